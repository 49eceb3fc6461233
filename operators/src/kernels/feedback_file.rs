//! What may a pipeline say of when cues come? The `policy` of step `feedback`.

use proprio_core::quantity::Share;
use schemars::JsonSchema;
use serde::Deserialize;

use super::feedback_policy::Policy;

/// The most trials of a block, of a summary, and between two probes.
pub const MOST: u32 = 1000;

/// A prescribed share is kept in every so many trials.
pub const PRESCRIBED_BLOCK: u32 = 20;

/// When a cue comes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicyFile {
    /// On every trial.
    Constant,
    /// Where the value is further off than this share of the target.
    Bandwidth(Share),
    /// On ever fewer trials.
    Faded(Faded),
    /// After several trials, on their mean.
    Summary(Summary),
    /// On the share, in percent, that a parameter of a `progression` step has in force.
    Prescribed(String),
}

/// On ever fewer trials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Faded {
    /// The share of trials with a cue, block by block; the last one stays.
    #[serde(default = "fading")]
    #[schemars(length(min = 1, max = 100))]
    pub shares: Vec<Share>,
    /// How many trials a block has, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub block: u32,
}

/// After several trials, on their mean.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// After how many, 2 to 1000.
    #[schemars(range(min = 2, max = 1000))]
    pub after: u32,
}

fn fading() -> Vec<Share> {
    [100.0, 50.0, 25.0].map(Share::new).to_vec()
}

impl PolicyFile {
    /// Says, by its pointer, what can't be.
    pub fn check(&self, say: &mut impl FnMut(&str, String)) {
        let within = |share: Share| (0.0..=100.0).contains(&share.percent());
        match self {
            Self::Bandwidth(share) if !within(*share) => say("/policy/bandwidth", format!("{share} is outside 0 % to 100 %")),
            Self::Faded(faded) => {
                if faded.shares.is_empty() || !faded.shares.iter().all(|share| within(*share)) {
                    say("/policy/faded/shares", "each share is from 0 % to 100 %, and there is one at least".to_owned());
                }
                if !(1..=MOST).contains(&faded.block) {
                    say("/policy/faded/block", format!("{} is outside 1 to {MOST}", faded.block));
                }
            }
            Self::Summary(summary) if !(2..=MOST).contains(&summary.after) => {
                say("/policy/summary/after", format!("{} is outside 2 to {MOST}", summary.after));
            }
            _ => {}
        }
    }

    /// The parameter of a `progression` step that it follows.
    pub fn prescribed(&self) -> Option<&String> {
        if let Self::Prescribed(parameter) = self { Some(parameter) } else { None }
    }

    /// As it is followed.
    pub fn planned(&self) -> Policy {
        match self {
            // Before anything is prescribed, trials are refused.
            Self::Prescribed(_) => Policy::Faded { shares: vec![0.0], block: PRESCRIBED_BLOCK },
            Self::Constant => Policy::Faded { shares: vec![1.0], block: 1 },
            Self::Bandwidth(share) => Policy::Bandwidth { percent: share.percent() },
            Self::Faded(faded) => {
                Policy::Faded { shares: faded.shares.iter().map(|share| share.percent() / 100.0).collect(), block: faded.block }
            }
            Self::Summary(summary) => Policy::Summary { after: summary.after },
        }
    }
}
