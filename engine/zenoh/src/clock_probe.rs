//! What does a device's own clock show? Asked as LSL does, eight questions every two seconds, at `<rig>/@clock/<sensor>`.
//!
//! The question is a zenoh query without payload. Whoever publishes the sensor answers with its clock, little-endian:
//!
//! | offset | bytes | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | received | `i64`, nanoseconds on the device's clock when the question came |
//! | 8 | 8 | sent | `i64`, nanoseconds on the same clock when the answer leaves; may be left out |
//!
//! The clock is the one that the sensor's samples are stamped by, whatever its zero. Answers of another length are left out.
//! Only sensors that the rig declares with `clock: device` are asked; one that doesn't answer is asked once every two seconds.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proprio_core::control::key;
use proprio_core::recorded::RoundTrip;
use proprio_core::{Rig, TimeNs};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use zenoh::Session;
use zenoh::query::{ConsolidationMode, Query, Queryable, Reply};

use crate::{ArrivalClock, WireError};

/// Questions a round, the time between them, and the time between the beginnings of rounds.
const QUESTIONS: usize = 8;
const BETWEEN: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_secs(2);
/// An answer that takes longer says little.
const ANSWER: Duration = Duration::from_secs(1);
/// Questions that may wait for their answer at a device.
const WAITING: usize = 16;

/// A device's own clock, in nanoseconds from a zero of its own.
#[derive(Clone)]
pub struct DeviceClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl DeviceClock {
    /// A clock that is read by calling it, from any thread and without waiting.
    pub fn new(read: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What it shows.
    pub fn now_ns(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for DeviceClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceClock({})", self.now_ns())
    }
}

/// One sensor that is asked.
struct Asked {
    /// Where.
    at: String,
    /// The sensor's own key.
    sensor_key: String,
    answers: Arc<AtomicBool>,
}

/// Asks the clocks of a rig's sensors (by index) until it is aborted. `take` gets each answer, with the key of its sensor.
pub(crate) async fn ask(
    session: Session,
    rig: Rig,
    sensors: Vec<usize>,
    clock: ArrivalClock,
    take: impl Fn(&str, RoundTrip) + Clone + Send + Sync + 'static,
) {
    let asked: Vec<Asked> = sensors.iter().map(|&index| Asked::new(&rig, index)).collect();
    loop {
        let next = Instant::now() + EVERY;
        for question in 0..QUESTIONS {
            for asked in asked.iter().filter(|asked| question == 0 || asked.answers.load(Ordering::Relaxed)) {
                if let Err(error) = asked.question(&session, clock, take.clone()).await {
                    tracing::debug!(%error, "a clock was not asked");
                }
            }
            sleep(BETWEEN).await;
        }
        sleep_until(next).await;
    }
}

impl Asked {
    fn new(rig: &Rig, index: usize) -> Self {
        let sensor = &rig.sensors[index];
        Self { at: key::clock(&rig.name, &sensor.name), sensor_key: sensor.key.clone(), answers: Arc::default() }
    }

    async fn question(
        &self,
        session: &Session,
        clock: ArrivalClock,
        take: impl Fn(&str, RoundTrip) + Send + Sync + 'static,
    ) -> Result<(), WireError> {
        let (sensor_key, answers) = (self.sensor_key.clone(), self.answers.clone());
        let get = session.get(&self.at).consolidation(ConsolidationMode::None).timeout(ANSWER).express(true);
        let sent_ns = clock.now_ns();
        let answered = move |reply: Reply| {
            let received_ns = clock.now_ns();
            if let Some(round_trip) = reply.result().ok().and_then(|sample| round_trip(&sample.payload().to_bytes(), sent_ns, received_ns))
            {
                answers.store(true, Ordering::Relaxed);
                take(&sensor_key, round_trip);
            }
        };
        get.callback(answered).await.map_err(WireError::zenoh(format!("asking {}", self.at)))
    }
}

/// The four instants; none when the answer is no reading of a clock.
fn round_trip(answer: &[u8], sent_ns: TimeNs, received_ns: TimeNs) -> Option<RoundTrip> {
    let (readings, []) = answer.as_chunks::<8>() else { return None };
    let device_received_ns = i64::from_le_bytes(*readings.first()?);
    let device_sent_ns = readings.get(1).map_or(device_received_ns, |sent| i64::from_le_bytes(*sent));
    (readings.len() <= 2).then_some(RoundTrip { sent_ns, device_received_ns, device_sent_ns, received_ns })
}

/// Answers for the clock of one publisher's sensors until it is dropped.
pub(crate) struct Answers {
    _queryables: Vec<Queryable<()>>,
    task: JoinHandle<()>,
}

impl Answers {
    /// Declares where each sensor's clock is asked. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn open(session: &Session, rig: &str, sensors: impl Iterator<Item = &str>, clock: DeviceClock) -> Result<Self, WireError> {
        let (questions, waiting) = mpsc::channel(WAITING);
        let mut queryables = Vec::new();
        for sensor in sensors {
            let key = key::clock(rig, sensor);
            let (questions, clock) = (questions.clone(), clock.clone());
            // A question that finds no room stays without an answer: others follow.
            let take = move |query: Query| drop(questions.try_send((query, clock.now_ns())));
            let queryable = session.declare_queryable(&key).callback(take).await;
            queryables.push(queryable.map_err(WireError::zenoh(format!("declaring {key}")))?);
        }
        Ok(Self { _queryables: queryables, task: tokio::spawn(answer(waiting, clock)) })
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut questions: mpsc::Receiver<(Query, i64)>, clock: DeviceClock) {
    while let Some((query, received_ns)) = questions.recv().await {
        let key = query.key_expr().clone();
        let bytes = [received_ns, clock.now_ns()].map(i64::to_le_bytes).concat();
        if let Err(error) = query.reply(key, bytes).express(true).await {
            tracing::debug!(%error, "what a clock shows was not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_or_two_readings() {
        let [received, sent] = [7_i64, 9].map(i64::to_le_bytes);
        let both = RoundTrip { sent_ns: 1, device_received_ns: 7, device_sent_ns: 9, received_ns: 4 };
        assert_eq!(round_trip(&[received, sent].concat(), 1, 4), Some(both));
        assert_eq!(round_trip(&received, 1, 4), Some(RoundTrip { device_sent_ns: 7, ..both }));
        for wrong in [0, 4, 15, 17, 24] {
            assert_eq!(round_trip(&vec![1; wrong], 1, 4), None, "{wrong} bytes");
        }
    }
}
