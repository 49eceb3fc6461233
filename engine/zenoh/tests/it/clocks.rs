//! Whether a device's own clock is found by asking it, over real zenoh on loopback.

use std::time::{Duration, Instant};

use proprio_core::clock::ClockFit;
use proprio_core::rig::Clock;
use proprio_core::{Decision, Event, Kind, Rig};
use proprio_zenoh::{ArrivalClock, DeviceClock, Incoming, Ingress, Publisher, PublisherOptions};

use crate::{PATIENCE, client, router, sensor};

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_5_s_and_100_ppm_off_is_found_to_a_millisecond() {
    let mut muscles = sensor("muscles", Kind::Emg);
    muscles.clock = Clock::Device;
    let rig = Rig { name: "lab-1".into(), sensors: vec![sensor("clicks", Kind::Events), muscles] };
    let (session, address) = router().await;
    let rig_clock = ArrivalClock::start();
    let ingress = Ingress::open(&session, &rig, rig_clock, 64 << 20, &[]).await.expect("an ingress");

    let began_ns = rig_clock.now_ns();
    let device = DeviceClock::new(move || {
        let since_ns = rig_clock.now_ns() - began_ns;
        began_ns + 5_000_000_000 + since_ns + since_ns / 10_000
    });
    let publishing = client(&address).await;
    let options = PublisherOptions { clock: Some(device.clone()), patience: PATIENCE, ..PublisherOptions::default() };
    let publisher = Publisher::open(&publishing, &rig, options).await.expect("a publisher");

    let hearing = tokio::task::spawn_blocking(move || {
        let (mut fit, mut answers, started) = (ClockFit::default(), 0, Instant::now());
        while answers < 16 {
            assert!(started.elapsed() < PATIENCE, "{answers} answers");
            for arrival in ingress.recv(Duration::from_millis(50), 1 << 20) {
                if let Incoming::Event(Event::Decision(decision)) = arrival.incoming {
                    let Decision::RoundTrip { sensor, round_trip } = decision else { panic!("nobody decides {decision:?}") };
                    assert_eq!((sensor, arrival.arrival_ns), (1, round_trip.received_ns), "only the one with a clock is asked");
                    assert_eq!(fit.observe_round_trip(round_trip), None, "it doesn't jump");
                    answers += 1;
                }
            }
        }
        (fit, started.elapsed())
    });
    let (mut fit, took) = hearing.await.expect("the answers come");
    // Two rounds of eight, two seconds apart; none of them all at once.
    assert!(took > Duration::from_millis(2_500), "{took:?}");
    let (device_ns, rig_ns) = (device.now_ns(), rig_clock.now_ns());
    let off_ns = fit.map(device_ns) - rig_ns;
    assert!(off_ns.abs() < 1_000_000, "off by {off_ns} ns, said to be within {:?} ns", fit.uncertainty_ns());
    drop(publisher);
    session.close().await.expect("the router closes");
}
