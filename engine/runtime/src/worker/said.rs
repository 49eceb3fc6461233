//! How do steps hear what people say? As rows of a source that nobody waits for.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use proprio_core::{TimeNs, rows};

use super::Worker;

impl Worker {
    /// Gives a row to the steps that read the stream: at its own time, or at the first instant that the step has not passed, whichever
    /// is later. The table keeps the time that was said.
    pub(super) fn say(&mut self, stream: &str, row: &RecordBatch) {
        if self.session.is_none() {
            return;
        }
        // Which instants a step has passed must hang on what came before, and not on where a chunk ends.
        self.run();
        let said = self.plan.source_names.iter().position(|name| name == stream).expect("every rig has what people say");
        for (step, port) in self.wiring.readers[said].clone() {
            let time = rows::times(row)[0].max(self.steps[step].earliest(port));
            self.steps[step].give(port, at(row, time));
        }
    }

    /// Whether a stream is what people say.
    pub(super) fn is_said(&self, stream: usize) -> bool {
        (self.sources.len()..self.plan.sources.len()).contains(&stream)
    }

    /// Those of a step's inputs that it waits for: all but what people say, unless it reads nothing else.
    pub(super) fn awaited(&self, inputs: &[usize]) -> impl Iterator<Item = usize> {
        let hears_only = inputs.iter().all(|input| self.is_said(*input));
        inputs.iter().copied().filter(move |input| hears_only || !self.is_said(*input))
    }
}

/// The row at another time.
fn at(row: &RecordBatch, time: TimeNs) -> RecordBatch {
    let mut columns = row.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from(vec![time])) as ArrayRef;
    RecordBatch::try_new(row.schema(), columns).expect("its own columns")
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::*;

    #[test]
    fn a_word_is_heard_at_its_time_or_at_the_first_instant_that_is_still_open() {
        let mut lab = Lab::new(&plan(rig(), &[("told", 1.0, 0, &["imu/a", "notes"])]));
        lab.start("s", START);
        for sensor in [1, 2] {
            lab.tell(idle(sensor));
        }
        lab.tell(samples(0, 0, START + TICK, &[0.0, 0.0, 0.0]));
        // The steps have passed the first one's time, the second one's is yet to come; the third comes at the second's.
        lab.tell(say(START + 2 * TICK, 1.0));
        lab.tell(say(START + 5 * TICK, 10.0));
        lab.tell(say(START + 5 * TICK, 100.0));
        lab.tell(samples(0, 3, START + 4 * TICK, &[0.0, 0.0, 0.0]));
        lab.tell(stop());
        let sums = floats(&lab.chunks, "told", "sum").into_iter().flatten();
        let heard: Vec<(i64, f64)> = integers(&lab.chunks, "told", "time_ns").into_iter().flatten().zip(sums).collect();
        let ticks = [(1, 0.0), (2, 0.0), (3, 0.0)].map(|(tick, sum)| (START + tick * TICK, sum));
        assert_eq!(heard[..3], ticks);
        let of_words = [(START + 3 * TICK + 1, 1.0), (START + 4 * TICK, 1.0), (START + 5 * TICK, 11.0), (START + 5 * TICK + 1, 111.0)];
        assert_eq!(heard[3..7], of_words);
        assert_eq!(
            integers(&lab.chunks, "notes", "time_ns"),
            [2, 5, 5].map(|tick| Some(START + tick * TICK)),
            "the table keeps what was said"
        );
    }

    #[test]
    fn nobody_waits_for_a_word_and_none_is_lost_at_the_end() {
        let mut lab = Lab::new(&plan(rig(), &[("told", 1.0, 0, &["notes"])]));
        lab.start("s", START);
        lab.tell(samples(0, 0, START + TICK, &[0.0]));
        lab.tell(say(START + 100 * TICK, 1.0));
        assert!(table(&lab.chunks, "told").is_empty(), "the sensors have not come so far");
        lab.tell(stop());
        assert_eq!(integers(&lab.chunks, "told", "time_ns"), [Some(START + 100 * TICK)]);
    }
}
