//! How an operator says what is wrong with its configuration or its inputs, before any data flows.

use std::borrow::Cow;

/// Where in a step a finding stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// A JSON pointer into the step's `with:` block, such as `/band/1`; empty for the block itself.
    Config(String),
    /// An input port, by its index.
    Input(usize),
    /// The step as a whole.
    Step,
}

/// One mistake that planning found, with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFinding {
    /// Where it stands.
    pub at: At,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// All that planning a step found; empty is never returned as an error.
pub type Findings = Vec<PlanFinding>;

impl PlanFinding {
    /// A finding at a JSON pointer into `with:`.
    pub fn config(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: At::Config(pointer.into()), message: message.into(), help: None }
    }

    /// A finding about an input port.
    pub fn input(port: usize, message: impl Into<String>) -> Self {
        Self { at: At::Input(port), message: message.into(), help: None }
    }

    /// A finding about the whole step.
    pub fn step(message: impl Into<String>) -> Self {
        Self { at: At::Step, message: message.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A name as a part of a JSON pointer.
pub fn pointer_part(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name.into() }
}
