//! How the events of several methods become one timeline, and what a gait cycle on it measures.

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

use super::gait_event::{Foot, Kind};

/// An event from one of several streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// When.
    pub time_ns: TimeNs,
    /// What happened.
    pub kind: Kind,
    /// To which foot.
    pub foot: Foot,
    /// How sure its method is, 0 to 1.
    pub confidence: f64,
    /// The method that found it.
    pub method: String,
    /// Rank of its stream: 0 is believed first.
    pub rank: u32,
}

impl Candidate {
    /// Less is better.
    fn preference(&self) -> (bool, u32) {
        (self.confidence < 0.5, self.rank)
    }
}

/// Events that wait until all that could stand for the same contact have come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Merger {
    /// By (time, rank).
    waiting: Vec<Candidate>,
}

impl Merger {
    /// Adds an event.
    pub fn insert(&mut self, candidate: Candidate) {
        let at = self.waiting.partition_point(|other| (other.time_ns, other.rank) <= (candidate.time_ns, candidate.rank));
        self.waiting.insert(at, candidate);
    }

    /// Decides every contact whose first candidate lies at or before `until_ns`, for which all candidates up to twice
    /// `window_ns` later must have come: the best within the window stands for all that are within a window of it. The best
    /// is of the highest rank among those whose confidence is at least a half, if there are any.
    pub fn decide(&mut self, until_ns: TimeNs, window_ns: i64) -> Vec<Candidate> {
        let mut decided = Vec::new();
        while let Some(first) = self.waiting.first().filter(|first| first.time_ns <= until_ns) {
            let (kind, foot, end_ns) = (first.kind, first.foot, first.time_ns.saturating_add(window_ns));
            let same = |other: &Candidate| other.kind == kind && other.foot == foot;
            let group = self.waiting.iter().filter(|other| same(other) && other.time_ns <= end_ns);
            let Some(best) = group.min_by_key(|other| (other.preference(), other.time_ns)).cloned() else { break };
            let covered_ns = best.time_ns.saturating_add(window_ns);
            self.waiting.retain(|other| {
                !(same(other) && (other.time_ns <= end_ns || (other.time_ns <= covered_ns && other.preference() >= best.preference())))
            });
            decided.push(best);
        }
        decided
    }
}

/// An event of the merged timeline, with where its foot then stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// The event.
    pub event: Candidate,
    /// Heel on the floor, x and y in metres in the lab frame, for initial contacts where markers tell.
    pub heel_m: Option<[f64; 2]>,
}

/// The merged timeline, as far back as the longest stride.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    contacts: Vec<Contact>,
}

/// One gait cycle: from a foot's initial contact to its next. Events in between are `None` where they were not found, or
/// more than once.
#[derive(Clone, Debug, PartialEq)]
pub struct Cycle {
    /// The foot's initial contact.
    pub start: Contact,
    /// The other foot leaves the ground.
    pub opposite_off: Option<Contact>,
    /// The other foot reaches the ground.
    pub opposite_contact: Option<Contact>,
    /// The foot leaves the ground.
    pub off: Option<Contact>,
    /// The foot's next initial contact.
    pub end: Contact,
}

impl Timeline {
    /// Adds the next event, in time order; gives the cycle that it ends.
    pub fn push(&mut self, contact: Contact, max_stride_ns: i64) -> Option<Cycle> {
        let oldest = contact.event.time_ns.saturating_sub(max_stride_ns);
        self.contacts.retain(|earlier| earlier.event.time_ns >= oldest);
        let cycle = (contact.event.kind == Kind::InitialContact).then(|| self.cycle(&contact)).flatten();
        self.contacts.push(contact);
        cycle
    }

    fn cycle(&self, end: &Contact) -> Option<Cycle> {
        let foot = end.event.foot;
        let is = |contact: &Contact, kind, foot| contact.event.kind == kind && contact.event.foot == foot;
        let first = self.contacts.iter().rposition(|contact| is(contact, Kind::InitialContact, foot))?;
        let within = &self.contacts[first + 1..];
        let single = |kind, foot| {
            let mut found = within.iter().filter(|contact| is(contact, kind, foot));
            found.next().filter(|_| found.next().is_none()).cloned()
        };
        Some(Cycle {
            start: self.contacts[first].clone(),
            opposite_off: single(Kind::FinalContact, foot.other()),
            opposite_contact: single(Kind::InitialContact, foot.other()),
            off: single(Kind::FinalContact, foot),
            end: end.clone(),
        })
    }
}

/// What a cycle measures; NaN where an event or a marker is missing. Walking only: a flight phase has no double support.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Initial contact to the same foot's next.
    pub stride_time_s: f64,
    /// The other foot's initial contact to this foot's, at the cycle's end.
    pub step_time_s: f64,
    /// Two steps a stride.
    pub cadence_steps_per_min: f64,
    /// Share of the cycle at which the foot leaves the ground.
    pub stance_percent: f64,
    /// The rest of it.
    pub swing_percent: f64,
    /// While the other foot swings.
    pub single_support_s: f64,
    /// From the foot's contact until the other foot leaves.
    pub initial_double_support_s: f64,
    /// From the other foot's contact until the foot leaves.
    pub terminal_double_support_s: f64,
    /// Both together.
    pub double_support_s: f64,
    /// Between two placements of the foot.
    pub stride_length_m: f64,
    /// From the other foot's placement to this foot's, along the stride.
    pub step_length_m: f64,
    /// Distance of the other foot's placement from the stride's line.
    pub step_width_m: f64,
    /// Stride length a stride time.
    pub speed_m_per_s: f64,
}

impl Cycle {
    /// The events, in the order of walking.
    pub fn events(&self) -> [Option<&Contact>; 5] {
        [Some(&self.start), self.opposite_off.as_ref(), self.opposite_contact.as_ref(), self.off.as_ref(), Some(&self.end)]
    }

    /// Where the events come from: the one source that all have, or `mixed`.
    pub fn source(&self) -> &str {
        let mut sources = self.events().into_iter().flatten().map(|contact| source(&contact.event.method));
        let first = sources.next().unwrap_or("mixed");
        if sources.all(|source| source == first) { first } else { "mixed" }
    }

    /// The least sure of its events.
    pub fn confidence(&self) -> f64 {
        self.events().into_iter().flatten().map(|contact| contact.event.confidence).fold(1.0, f64::min)
    }

    /// Measures it.
    pub fn parameters(&self) -> Parameters {
        let [start, opposite_off, opposite_contact, off, end] = self.events();
        let between = |from: Option<&Contact>, to: Option<&Contact>| {
            from.zip(to).map_or(f64::NAN, |(from, to)| (to.event.time_ns - from.event.time_ns) as f64 * 1e-9)
        };
        let positive = |seconds: f64| if seconds > 0.0 { seconds } else { f64::NAN };
        let stride_time_s = between(start, end);
        let stance_percent = 100.0 * between(start, off) / stride_time_s;
        let initial_double_support_s = positive(between(start, opposite_off));
        let terminal_double_support_s = positive(between(opposite_contact, off));
        let lengths = self.lengths();
        Parameters {
            stride_time_s,
            step_time_s: between(opposite_contact, end),
            cadence_steps_per_min: 120.0 / stride_time_s,
            stance_percent,
            swing_percent: 100.0 - stance_percent,
            single_support_s: positive(between(opposite_off, opposite_contact)),
            initial_double_support_s,
            terminal_double_support_s,
            double_support_s: initial_double_support_s + terminal_double_support_s,
            stride_length_m: lengths[0],
            step_length_m: lengths[1],
            step_width_m: lengths[2],
            speed_m_per_s: lengths[0] / stride_time_s,
        }
    }

    /// Stride length, step length and step width (Huxham et al. 2006, "Defining spatial parameters for non-linear walking").
    fn lengths(&self) -> [f64; 3] {
        let Some((from, to)) = self.start.heel_m.zip(self.end.heel_m) else { return [f64::NAN; 3] };
        let stride = [to[0] - from[0], to[1] - from[1]];
        let stride_length_m = (stride[0] * stride[0] + stride[1] * stride[1]).sqrt();
        let Some(other) = self.opposite_contact.as_ref().and_then(|contact| contact.heel_m) else {
            return [stride_length_m, f64::NAN, f64::NAN];
        };
        let step = [to[0] - other[0], to[1] - other[1]];
        let along = (step[0] * stride[0] + step[1] * stride[1]) / stride_length_m;
        let across = (step[0] * stride[1] - step[1] * stride[0]) / stride_length_m;
        [stride_length_m, along, across.abs()]
    }
}

/// The kind of source behind a method; any other method, such as marks of a file, is its own.
fn source(method: &str) -> &str {
    match method {
        "foot_velocity" | "zeni" => "markers",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn candidate(ms: i64, kind: Kind, foot: Foot, rank: u32) -> Candidate {
        let method = if rank == 0 { "force" } else { "zeni" };
        Candidate { time_ns: ms * MS, kind, foot, confidence: 1.0 - 0.25 * f64::from(rank), method: method.to_owned(), rank }
    }

    #[test]
    fn the_better_ranked_event_stands_for_its_neighbours() {
        let mut merger = Merger::default();
        for (ms, rank) in [(1000, 1), (1080, 0), (1160, 1), (1500, 1)] {
            merger.insert(candidate(ms, Kind::InitialContact, Foot::Left, rank));
        }
        merger.insert(candidate(1010, Kind::InitialContact, Foot::Right, 1));
        let decided = merger.decide(1499 * MS, 100 * MS);
        let brief: Vec<_> = decided.iter().map(|event| (event.time_ns / MS, event.foot, event.rank)).collect();
        assert_eq!(brief, [(1080, Foot::Left, 0), (1010, Foot::Right, 1)]);
        assert_eq!(merger.decide(1500 * MS, 100 * MS).len(), 1);
    }

    #[test]
    fn an_unsure_event_gives_way() {
        let mut merger = Merger::default();
        merger.insert(Candidate { confidence: 0.4, ..candidate(1000, Kind::FinalContact, Foot::Left, 0) });
        merger.insert(candidate(1090, Kind::FinalContact, Foot::Left, 1));
        let decided = merger.decide(1000 * MS, 100 * MS);
        assert_eq!(decided.iter().map(|event| event.time_ns / MS).collect::<Vec<_>>(), [1090]);
        assert!(merger.decide(i64::MAX, 100 * MS).is_empty());
    }

    #[test]
    fn a_cycle_measures_what_its_events_say() {
        let walk = [
            (0, Kind::InitialContact, Foot::Left, [0.0, 0.1]),
            (120, Kind::FinalContact, Foot::Right, [0.0; 2]),
            (520, Kind::InitialContact, Foot::Right, [0.6, -0.1]),
            (640, Kind::FinalContact, Foot::Left, [0.0; 2]),
            (1000, Kind::InitialContact, Foot::Left, [1.2, 0.1]),
        ];
        let mut timeline = Timeline::default();
        let cycles: Vec<_> = walk
            .into_iter()
            .filter_map(|(ms, kind, foot, heel)| {
                let rank = u32::from(kind == Kind::FinalContact);
                timeline.push(
                    Contact { event: candidate(ms, kind, foot, rank), heel_m: (kind == Kind::InitialContact).then_some(heel) },
                    3000 * MS,
                )
            })
            .collect();
        assert_eq!(cycles.len(), 1);
        let found = cycles[0].parameters();
        let pairs = [
            (found.stride_time_s, 1.0),
            (found.step_time_s, 0.48),
            (found.cadence_steps_per_min, 120.0),
            (found.stance_percent, 64.0),
            (found.swing_percent, 36.0),
            (found.single_support_s, 0.4),
            (found.double_support_s, 0.24),
            (found.stride_length_m, 1.2),
            (found.step_length_m, 0.6),
            (found.step_width_m, 0.2),
            (found.speed_m_per_s, 1.2),
        ];
        pairs.iter().for_each(|(value, expected)| assert!((value - expected).abs() < 1e-9, "{value} is not {expected}"));
        assert_eq!((cycles[0].source(), cycles[0].confidence()), ("mixed", 0.75));
    }

    #[test]
    fn a_missing_or_doubled_event_leaves_a_gap_and_no_guess() {
        let mut timeline = Timeline::default();
        let mut push = |ms, kind, foot| timeline.push(Contact { event: candidate(ms, kind, foot, 0), heel_m: None }, 3000 * MS);
        push(0, Kind::InitialContact, Foot::Left);
        push(200, Kind::InitialContact, Foot::Right);
        push(400, Kind::InitialContact, Foot::Right);
        let found = push(1000, Kind::InitialContact, Foot::Left).expect("a cycle").parameters();
        assert_eq!(found.stride_time_s, 1.0);
        assert!(found.step_time_s.is_nan() && found.stance_percent.is_nan() && found.stride_length_m.is_nan());
        assert!(push(5000, Kind::InitialContact, Foot::Left).is_none());
    }
}
