//! How far are found gait events from the true ones, which are missed, and which are false?

use arrow_array::StringArray;
use proprio_core::rows::{float_or_nan, floats, strings, times};
use proprio_simulate::TruthEvent;

use crate::bench::Stream;

/// Farther apart than this, two events are not of the same contact.
const SAME_CONTACT_MS: f64 = 50.0;

/// A gait event.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// When.
    pub time_s: f64,
    /// Initial contact, or final contact.
    pub is_initial: bool,
    /// `left`, `right` or `unknown`.
    pub side: String,
    /// How sure the operator is; 1 for those that a person marked.
    pub confidence: f64,
}

/// The initial and final contacts of a stream of events.
pub fn contacts((port, rows): &Stream) -> Vec<Contact> {
    let text = |name: &str| -> &StringArray { strings(rows, port.schema.index(name).expect("an event stream")) };
    let (events, sides) = (text("event"), text("side"));
    let confidence = port.schema.index("confidence").map(|column| floats(rows, column));
    let contact = |(row, time): (usize, &i64)| {
        let is_initial = match events.value(row) {
            "initial_contact" => true,
            "final_contact" => false,
            _ => return None,
        };
        let confidence = confidence.map_or(1.0, |confidence| float_or_nan(confidence, row));
        Some(Contact { time_s: *time as f64 * 1e-9, is_initial, side: sides.value(row).to_owned(), confidence })
    };
    times(rows).iter().enumerate().filter_map(contact).collect()
}

/// The true contacts of a simulation.
pub fn true_contacts(truth: &[TruthEvent]) -> Vec<Contact> {
    let contact = |event: &TruthEvent| {
        let (kind, side) = event.name.split_once("_contact_")?;
        let is_initial = match kind {
            "initial" => true,
            "final" => false,
            _ => return None,
        };
        Some(Contact { time_s: event.time_s, is_initial, side: side.to_owned(), confidence: 1.0 })
    };
    truth.iter().filter_map(contact).collect()
}

/// Events of one kind against the true ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// Found less true, in milliseconds, of the true ones that have a found one of their side within 50 ms.
    pub errors_ms: Vec<f64>,
    /// True ones without.
    pub missed: usize,
    /// Found ones without a true one.
    pub false_ones: usize,
}

impl Compared {
    /// Compares the contacts of one kind. `judged` says which true ones count.
    pub fn of(is_initial: bool, found: &[Contact], truth: &[Contact], judged: impl Fn(&Contact) -> bool) -> Self {
        let mut compared = Self::default();
        for due in truth.iter().filter(|contact| contact.is_initial == is_initial && judged(contact)) {
            match nearest_ms(due, found) {
                Some(distance) => compared.errors_ms.push(distance),
                None => compared.missed += 1,
            }
        }
        let is_false = |contact: &&Contact| contact.is_initial == is_initial && nearest_ms(contact, truth).is_none();
        compared.false_ones = found.iter().filter(is_false).count();
        compared
    }

    /// Adds those of another recording.
    pub fn extend(&mut self, other: Self) {
        self.errors_ms.extend(other.errors_ms);
        self.missed += other.missed;
        self.false_ones += other.false_ones;
    }

    /// Share of the true ones that were found, in percent.
    pub fn found_percent(&self) -> f64 {
        100.0 * self.errors_ms.len() as f64 / (self.errors_ms.len() + self.missed) as f64
    }

    /// The largest distance.
    pub fn worst_ms(&self) -> f64 {
        self.errors_ms.iter().fold(f64::NAN, |worst, error| worst.max(error.abs()))
    }
}

/// From `contact` to the nearest of its kind and side among `others`, within the limit.
fn nearest_ms(contact: &Contact, others: &[Contact]) -> Option<f64> {
    let same = others.iter().filter(|other| other.is_initial == contact.is_initial && other.side == contact.side);
    let nearest = same.map(|other| (other.time_s - contact.time_s) * 1e3).min_by(|a, b| a.abs().total_cmp(&b.abs()));
    nearest.filter(|distance| distance.abs() <= SAME_CONTACT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_and_false_contacts_are_counted() {
        let contact = |time_s, side: &str| Contact { time_s, is_initial: true, side: side.to_owned(), confidence: 1.0 };
        let (found, truth) = ([contact(1.01, "left"), contact(1.5, "left")], [contact(1.0, "left"), contact(1.5, "right")]);
        let compared = Compared::of(true, &found, &truth, |_| true);
        assert_eq!((compared.errors_ms.len(), compared.missed, compared.false_ones), (1, 1, 1));
        assert!((compared.errors_ms[0] - 10.0).abs() < 1e-9 && compared.found_percent() == 50.0);
        assert_eq!(Compared::of(false, &found, &truth, |_| true), Compared::default());
    }
}
