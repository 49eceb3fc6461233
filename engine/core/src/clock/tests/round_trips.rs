//! Do answers give the true offset and the latency that one-way data can't know?

use super::*;

/// Eight questions at once, as LSL asks every 2 s: both ways take `floor_s` and half a millisecond of jitter on average, and
/// one in ten is held up on one of them.
fn ask(fit: &mut ClockFit, scene: &Scene, at_s: f64, floor_s: f64, random: &mut Random, jumped_ns: i64) -> Vec<ClockEvent> {
    let mut events = Vec::new();
    for question in 0..8 {
        let sent_s = at_s + f64::from(question) * 0.02;
        let mut way_s = || floor_s - 0.0005 * (1.0 - random.uniform()).ln() + if random.uniform() < 0.1 { 0.02 } else { 0.0 };
        let device_s = sent_s + way_s();
        let answered_s = device_s + 0.0002;
        let received_s = answered_s + way_s();
        events.extend(fit.observe_round_trip(RoundTrip {
            sent_ns: START_NS + ns(sent_s),
            device_received_ns: scene.device_ns(device_s) + jumped_ns,
            device_sent_ns: scene.device_ns(answered_s) + jumped_ns,
            received_ns: START_NS + ns(received_s),
        }));
    }
    events
}

#[test]
fn answers_give_the_true_offset_and_the_latency_floor() {
    let (mut errors_ms, mut covered) = (Vec::new(), 0);
    for seed in 0..10 {
        let mut fit = ClockFit::default();
        let mut delays = Delays::new(Way::Bluetooth, seed);
        let mut random = Random(seed);
        for k in 0..12_000 {
            let true_s = f64::from(k) * 0.01;
            if k % 200 == 0 {
                assert_eq!(ask(&mut fit, &BLUETOOTH, true_s - 0.5, 0.004, &mut random, 0), []);
            }
            let device_ns = BLUETOOTH.device_ns(true_s);
            assert_eq!(fit.observe(device_ns, START_NS + ns(delays.arrival_s(true_s))), None);
            let error_ns = (fit.map(device_ns) - START_NS - ns(true_s)).abs();
            errors_ms.push(error_ns as f64 / 1e6);
            covered += usize::from(error_ns <= fit.uncertainty_ns().expect("there was an answer"));
        }
        let floor_ms = fit.latency_floor_ns().expect("answers show it") as f64 / 1e6;
        assert!((floor_ms - 12.0).abs() < 1.0, "{floor_ms} ms");
        assert!((fit.drift_ppb() - 50_000).abs() < 5_000, "{} ppb", fit.drift_ppb());
    }
    errors_ms.sort_by(f64::total_cmp);
    let p95_ms = errors_ms[errors_ms.len() * 95 / 100];
    println!("round trips of 8.7 ms: error p50 {:.4} p95 {p95_ms:.4} ms", errors_ms[errors_ms.len() / 2]);
    assert!(p95_ms < 0.5, "{p95_ms} ms");
    assert!(covered * 100 >= errors_ms.len() * 95);
}

#[test]
fn the_first_answer_replaces_one_way_data_without_a_jump_back() {
    let mut fit = ClockFit::default();
    let mut delays = Delays::new(Way::Bluetooth, 1);
    let mut random = Random(1);
    let mut last_ns = i64::MIN;
    for k in 0..6000 {
        let true_s = f64::from(k) * 0.01;
        fit.observe(BLUETOOTH.device_ns(true_s), START_NS + ns(delays.arrival_s(true_s)));
        if k >= 3000 && k % 200 == 0 {
            ask(&mut fit, &BLUETOOTH, true_s - 0.5, 0.002, &mut random, 0);
        }
        let mapped_ns = fit.map(BLUETOOTH.device_ns(true_s));
        assert!(mapped_ns >= last_ns + 5 * MS, "time runs at half speed at least");
        last_ns = mapped_ns;
    }
    assert!((last_ns - START_NS - ns(59.99)).abs() < MS / 2);
}

#[test]
fn answers_show_steps_and_resets() {
    let mut found = Vec::new();
    for jump_ns in [20 * MS, -20 * MS, -3600 * SECOND_NS, 7 * SECOND_NS] {
        let mut fit = ClockFit::default();
        let mut random = Random(1);
        for burst in 0..30 {
            let at_s = 10.0 + f64::from(burst) * 2.0;
            let jumped_ns = if burst < 20 { 0 } else { jump_ns };
            let events = ask(&mut fit, &BLUETOOTH, at_s, 0.001, &mut random, jumped_ns);
            found.extend(events.into_iter().map(|event| (burst, event)));
        }
        assert_eq!(found.len(), 1, "{jump_ns}: {found:?}");
        let (burst, event) = found.remove(0);
        assert_eq!(burst, 20, "{event:?}");
        match event {
            ClockEvent::Step { jump_ns: found } => assert!((found - jump_ns).abs() < 12 * MS && jump_ns.abs() < SECOND_NS, "{event:?}"),
            ClockEvent::Reset { jump_ns: found } => assert!((found - jump_ns).abs() < 12 * MS && jump_ns.abs() > SECOND_NS, "{event:?}"),
        }
    }
}

#[test]
fn impossible_answers_are_left_out() {
    let mut fit = ClockFit::default();
    let backwards = RoundTrip { sent_ns: 10, device_received_ns: 5, device_sent_ns: 4, received_ns: 20 };
    let too_quick = RoundTrip { sent_ns: 10, device_received_ns: 5, device_sent_ns: 25, received_ns: 20 };
    assert_eq!((fit.observe_round_trip(backwards), fit.observe_round_trip(too_quick)), (None, None));
    assert_eq!(fit.uncertainty_ns(), None);
}
