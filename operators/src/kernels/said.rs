//! What have clinicians said of a step? The rows of `notes`, told from other streams by their columns, and what is held by them.

use arrow_array::{Array, RecordBatch};
use proprio_core::note::Action;
use proprio_core::{Port, TimeNs, rows};
use serde::{Deserialize, Serialize};

/// Where `notes` stands among a step's inputs.
#[derive(Clone, Copy, Debug)]
pub struct Notes {
    /// Which input.
    pub port: usize,
    author: usize,
    text: usize,
    action: usize,
    about: usize,
    value: usize,
}

/// One note that is meant to be obeyed.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// When.
    pub time: TimeNs,
    /// What it is meant to do.
    pub action: Action,
    /// What it is about.
    pub about: String,
    /// The value of an override; NaN of others.
    pub value: f64,
    /// Who said it.
    pub author: String,
    /// In which words.
    pub text: String,
}

impl Notes {
    /// The input that has the columns of `notes`, if there is one.
    pub fn among(ports: &[Port]) -> Option<Self> {
        ports.iter().enumerate().find_map(|(port, input)| {
            let index = |name: &str| input.schema.index(name);
            Some(Self {
                port,
                author: index("author")?,
                text: index("text")?,
                action: index("action")?,
                about: index("about")?,
                value: index("value")?,
            })
        })
    }

    /// What the rows say of one of `names`, in order; plain notes are for people and left out.
    pub fn said(&self, batch: &RecordBatch, names: &[String]) -> Vec<Said> {
        let text = |index: usize, row: usize| {
            let texts = rows::strings(batch, index);
            if texts.is_null(row) { String::new() } else { texts.value(row).to_owned() }
        };
        let read = |row: usize| {
            let name = text(self.action, row);
            let action =
                [Action::Hold, Action::Release, Action::Override, Action::Approve].into_iter().find(|known| known.name() == name)?;
            let about = text(self.about, row);
            names.contains(&about).then(|| Said {
                time: rows::times(batch)[row],
                action,
                about,
                value: rows::float_or_nan(rows::floats(batch, self.value), row),
                author: text(self.author, row),
                text: text(self.text, row),
            })
        };
        (0..batch.num_rows()).filter_map(read).collect()
    }
}

/// Whether what a step does is held, by whom and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held(Option<String>);

impl Held {
    /// Obeys a hold or a release.
    pub fn obey(&mut self, said: &Said) {
        match said.action {
            Action::Hold => self.0 = Some(format!("held by {}: {}", said.author, said.text)),
            Action::Release => self.0 = None,
            _ => {}
        }
    }

    /// Why it is held; none where it isn't.
    pub fn reason(&self) -> Option<&str> {
        self.0.as_deref()
    }
}
