//! Which stride is an instant in? Initial contacts of either foot from a stream of gait events, in step with a stream of samples.

use proprio_core::{Findings, PlanFinding, Port, TimeNs};
use serde::{Deserialize, Serialize};

use super::gait_event::{Contacts, Foot};

/// The shortest stride, in nanoseconds: contacts nearer to each other are one, told twice.
const SHORTEST_NS: i64 = 300_000_000;

/// The one input of samples, and the stream of gait events beside it, where there is one. `help` says which step gives the samples.
pub fn samples_and_contacts(ports: &[Port], help: &str, findings: &mut Findings) -> (Option<usize>, Contacts) {
    let contacts = Contacts::of(ports);
    let (events, samples): (Vec<usize>, Vec<usize>) = (0..ports.len()).partition(|port| contacts.has(*port));
    if let [_, extra, ..] = events[..] {
        findings.push(PlanFinding::input(extra, "strides come from one stream of gait events only"));
    }
    if let [_, extra, ..] = samples[..] {
        findings.push(PlanFinding::input(extra, "envelopes come from one stream only").help("join them with `align` first"));
    }
    if samples.is_empty() {
        findings.push(PlanFinding::step("no stream of envelopes among the inputs").help(help));
    }
    (samples.first().copied(), contacts)
}

/// Which foot's strides a muscle or another column goes by, from the end of its name.
pub fn side_of(name: &str) -> Foot {
    Foot::parse(name.rsplit('_').next().unwrap_or_default())
}

/// The newest contact of each foot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strides {
    left: Option<TimeNs>,
    right: Option<TimeNs>,
}

/// What a contact does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Nothing: it follows another too closely.
    Repeated,
    /// It begins a stride.
    Begins,
    /// It ends the stride that began then, and begins the next.
    Ends(TimeNs),
}

impl Strides {
    /// Takes a contact; a stride longer than `longest_ns` is none.
    pub fn take(&mut self, time: TimeNs, foot: Foot, longest_ns: i64) -> Contact {
        let last = if foot == Foot::Left { &mut self.left } else { &mut self.right };
        match *last {
            Some(start) if time.saturating_sub(start) < SHORTEST_NS => Contact::Repeated,
            Some(start) => {
                *last = Some(time);
                if time.saturating_sub(start) <= longest_ns { Contact::Ends(start) } else { Contact::Begins }
            }
            None => {
                *last = Some(time);
                Contact::Begins
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_make_strides() {
        let mut strides = Strides::default();
        let mut take = |ms: i64, foot| strides.take(ms * 1_000_000, foot, 2_000_000_000);
        assert_eq!(take(0, Foot::Left), Contact::Begins);
        assert_eq!(take(10, Foot::Left), Contact::Repeated);
        assert_eq!(take(500, Foot::Right), Contact::Begins);
        assert_eq!(take(1000, Foot::Left), Contact::Ends(0));
        assert_eq!(take(5000, Foot::Left), Contact::Begins);
        assert_eq!((side_of("soleus_left"), side_of("soleus")), (Foot::Left, Foot::Unknown));
    }
}
