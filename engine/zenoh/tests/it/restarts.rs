//! Whether a sensor's samples survive an engine that goes away and comes back, with and without a cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proprio_core::control::Ack;
use proprio_core::recorded::{Packet, Sequence};
use proprio_core::{Event, SourceMessage};
use proprio_zenoh::{AckPublisher, ArrivalClock, Incoming, Ingress, Publisher, PublisherOptions, Session, SessionOptions, wire};

use crate::{PATIENCE, client, emg, rig, router, router_at};

/// Samples a message, and messages a second.
const ROWS: i64 = 40;
const EVERY: Duration = Duration::from_millis(5);

/// What one start of an engine heard of the EMG: first and last sequence of each message, in order.
#[derive(Default)]
struct Heard {
    boot: i64,
    messages: Vec<(i64, i64)>,
    opened: usize,
    present: bool,
}

impl Heard {
    fn last(&self) -> i64 {
        self.messages.last().map_or(-1, |(_, last)| *last)
    }
}

/// An engine in miniature: hears, and acknowledges up to `acks_until`, until `done`.
async fn engine(session: Session, recorded: Option<Sequence>, acks_until: i64, done: impl Fn(&Heard) -> bool + Send + 'static) -> Heard {
    let ingress = Ingress::open(&session, &rig(), ArrivalClock::start(), 64 << 20, &[None, recorded]).await.expect("an ingress");
    let acks = AckPublisher::open(&session, &rig()).await.expect("acknowledgements");
    let hearing = tokio::task::spawn_blocking(move || {
        let (rig, started, mut heard) = (rig(), Instant::now(), Heard::default());
        while !done(&heard) {
            assert!(started.elapsed() < PATIENCE, "heard up to {} in {} messages", heard.last(), heard.messages.len());
            for arrival in ingress.recv(Duration::from_millis(10), 1 << 20) {
                match arrival.incoming {
                    Incoming::Presence { sensor: 1, present } => heard.present = present,
                    Incoming::Event(Event::Payload { sensor: 1, encoding, payload }) => {
                        match wire::decode(&rig.sensors[1], &encoding, &payload).expect("whole messages") {
                            SourceMessage::Samples(samples) => {
                                let last = samples.sequence + samples.rows.num_rows() as i64 - 1;
                                heard.boot = samples.boot;
                                heard.messages.push((samples.sequence, last));
                                if last <= acks_until {
                                    acks.set(1, Ack { boot: samples.boot, sequence: last });
                                }
                            }
                            SourceMessage::Open { .. } => heard.opened += 1,
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        }
        drop((ingress, acks));
        heard
    });
    let heard = hearing.await.expect("the engine ends");
    session.close().await.expect("the router closes");
    heard
}

/// Publishes EMG at a steady pace until told to stop, then sends `end`; returns the number of samples.
async fn publish(address: SessionOptions, cache: Option<usize>, stop: Arc<AtomicBool>) -> i64 {
    let session = client(&address).await;
    let options = PublisherOptions { sensors: Some(vec![1]), patience: PATIENCE, cache, ..PublisherOptions::default() };
    let publisher = Publisher::open(&session, &rig(), options).await.expect("a publisher");
    let mut sequence = 0;
    while !stop.load(Ordering::Relaxed) {
        publisher.publish(Packet { sensor: 1, sequence, rows: emg(sequence, ROWS) }).await.expect("EMG goes out");
        sequence += ROWS;
        tokio::time::sleep(EVERY).await;
    }
    publisher.end().await.expect("everything is acknowledged");
    session.close().await.expect("the session closes");
    sequence
}

/// Messages in order, each beginning where the one before ended.
fn is_seamless(messages: &[(i64, i64)]) -> bool {
    messages.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1)
}

/// Kills the engine amid the stream, leaves it down for a while, and gives what the two starts heard.
async fn restart(cache: Option<usize>, acks_until: i64, down: Duration) -> (Heard, Heard) {
    let (first, address) = router().await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(publish(address.clone(), cache, stop.clone()));
    let before = engine(first, None, acks_until, |heard| heard.last() >= 2_000).await;
    let recorded = Sequence { boot: before.boot, last: if cache.is_some() { before.last() } else { acks_until } };
    tokio::time::sleep(down).await;

    let second = router_at(&address).await.expect("the same port");
    let (goal, stopping) = (before.last() + 6_000, stop.clone());
    let after = engine(second, Some(recorded), i64::MAX, move |heard| {
        if heard.last() >= goal {
            stop.store(true, Ordering::Relaxed);
        }
        // The publisher ends once all is acknowledged, and its token goes.
        heard.last() >= goal && !heard.present
    });
    let after = after.await;
    let published = publishing.await.expect("the publisher ends");
    assert!(stopping.load(Ordering::Relaxed));
    assert_eq!(after.last() + 1, published, "all that was published has come");
    (before, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_is_sent_again_in_order() {
    let (before, after) = restart(None, 1_000, Duration::from_millis(400)).await;
    assert!(is_seamless(&before.messages) && is_seamless(&after.messages), "in order, none missing: {:?}", after.messages);
    let first = after.messages[0].0;
    assert!((1_000 - 2 * ROWS..=1_000).contains(&first), "from the first that was not acknowledged, not {first}");
    assert_eq!(after.opened, 1, "it is announced again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_gives_what_was_missed_once_and_before_what_is_live() {
    let (before, after) = restart(Some(4_000), i64::MAX, Duration::from_millis(400)).await;
    assert!(is_seamless(&before.messages) && is_seamless(&after.messages), "in order, none missing: {:?}", after.messages);
    assert_eq!(after.messages[0].0, before.last() + 1, "nothing that was recorded comes again");
}
