//! What does a clinician say while a session runs? Words that are kept, and words that steps obey: they read the stream `notes`.

use serde::{Deserialize, Serialize};

/// A person's words, and what they are meant to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Who says it.
    pub author: String,
    /// What they say.
    pub text: String,
    /// What it is meant to do.
    #[serde(default)]
    pub action: Action,
    /// What it is about: a step, an exercise, a muscle, whatever the step that obeys it is told to listen to; the session when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The value that an override puts in place of the computed one, in the unit of what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// What a note is meant to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To be read by people.
    #[default]
    Note,
    /// What it is about must wait.
    Hold,
    /// What was held goes on.
    Release,
    /// Its value stands in place of the computed one.
    Override,
    /// What was proposed may take effect.
    Approve,
}

impl Action {
    /// As it stands in column `action`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Override => "override",
            Self::Approve => "approve",
        }
    }
}

impl Note {
    /// Words for people alone.
    pub fn plain(author: impl Into<String>, text: impl Into<String>) -> Self {
        Self { author: author.into(), text: text.into(), action: Action::Note, about: None, value: None }
    }
}
