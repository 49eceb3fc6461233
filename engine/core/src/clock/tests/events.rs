//! Are resets and steps of a clock found, and pauses and bursts not taken for them?

use super::*;

/// A wired sensor at 100 Hz, message by message, whose clock jumps.
struct Bench {
    fit: ClockFit,
    delays: Delays,
    /// What the clock has jumped so far.
    jumped_ns: i64,
    k: i32,
    last_ns: i64,
    events: Vec<(i32, ClockEvent)>,
}

impl Bench {
    fn new(way: Way, seed: u64) -> Self {
        let (fit, delays) = (ClockFit::default(), Delays::new(way, seed));
        Self { fit, delays, jumped_ns: 0, k: 0, last_ns: i64::MIN, events: Vec::new() }
    }

    fn true_s(&self) -> f64 {
        f64::from(self.k) * 0.01
    }

    /// Sends messages for so long; each arrives at or after the given time.
    fn send(&mut self, seconds: f64, not_before_s: f64) {
        for _ in 0..(seconds * 100.0).round() as i32 {
            let true_s = self.true_s();
            let device_ns = WIRED.device_ns(true_s) + self.jumped_ns;
            let arrival_ns = START_NS + ns(self.delays.arrival_s(true_s).max(not_before_s)) + i64::from(self.k % 1000);
            self.events.extend(self.fit.observe(device_ns, arrival_ns).map(|event| (self.k, event)));
            let mapped_ns = self.fit.map(device_ns);
            assert!(mapped_ns > self.last_ns, "from {} to {mapped_ns} at {true_s} s", self.last_ns);
            self.last_ns = mapped_ns;
            self.k += 1;
        }
    }

    fn run(&mut self, seconds: f64) {
        self.send(seconds, 0.0);
    }

    /// How far the newest sample is mapped off the truth.
    fn error_ms(&self) -> f64 {
        (self.last_ns - START_NS - ns(f64::from(self.k - 1) * 0.01 + self.delays.floor_s())) as f64 / 1e6
    }
}

#[test]
fn a_clock_that_restarts_is_reset_at_that_message() {
    for (seed, jump_ns) in [(1, -40 * SECOND_NS), (2, -2 * SECOND_NS), (3, -15 * MS), (4, 5 * SECOND_NS), (5, 86_400 * SECOND_NS)] {
        let mut bench = Bench::new(Way::Wired, seed);
        bench.run(60.0);
        bench.jumped_ns += jump_ns;
        bench.run(30.0);
        let [(6000, ClockEvent::Reset { jump_ns: found })] = bench.events[..] else { panic!("{jump_ns}: {:?}", bench.events) };
        assert!((found - jump_ns).abs() < 20 * MS, "{jump_ns} was found to be {found}");
        assert!(bench.error_ms().abs() < 0.2, "{jump_ns}: {} ms", bench.error_ms());
    }
}

#[test]
fn the_crystals_rate_outlives_a_reset() {
    let mut bench = Bench::new(Way::Wired, 1);
    bench.run(200.0);
    bench.jumped_ns -= 100 * SECOND_NS;
    bench.run(0.05);
    assert!((bench.fit.drift_ppb() - 50_000).abs() < 500, "{} ppb", bench.fit.drift_ppb());
}

#[test]
fn a_step_forward_is_found_within_a_few_messages() {
    for (way, step_ns) in [(Way::Wired, 20 * MS), (Way::Wired, 300 * MS), (Way::Bluetooth, 20 * MS)] {
        for seed in if std::env::var("DBG").is_ok() { 8..9 } else { 0..20 } {
            let mut bench = Bench::new(way, seed);
            bench.run(60.0);
            bench.jumped_ns += step_ns;
            bench.run(60.0);
            let [(at, ClockEvent::Step { jump_ns })] = bench.events[..] else { panic!("{way:?} {seed}: {:?}", bench.events) };
            assert!((6003..6300).contains(&at), "{way:?} {seed}: {at}");
            assert!((jump_ns - step_ns).abs() < 12 * MS, "{way:?} {seed}: {jump_ns}");
            assert!(bench.error_ms().abs() < if matches!(way, Way::Wired) { 0.2 } else { 3.0 }, "{way:?} {seed}: {} ms", bench.error_ms());
        }
    }
}

/// Until it has lasted for 10 s it may be the network.
#[test]
fn a_step_back_is_found_after_ten_seconds_and_shows_in_the_uncertainty() {
    for (way, step_ns) in [(Way::Wired, -5 * MS), (Way::Bluetooth, -40 * MS)] {
        for seed in 0..20 {
            let mut bench = Bench::new(way, seed);
            bench.run(60.0);
            // A step back by less than a period: device times still rise.
            let before = bench.k;
            bench.jumped_ns += step_ns;
            bench.k += (-step_ns / (10 * MS)) as i32;
            bench.run(5.0);
            assert_eq!(bench.events, []);
            let uncertain_ms = bench.fit.uncertainty_ns().unwrap_or(0) as f64 / 1e6;
            assert!(uncertain_ms >= bench.error_ms().abs(), "{way:?} {seed}: {uncertain_ms} ms is said where {} ms are", bench.error_ms());
            bench.run(55.0);
            let [(at, ClockEvent::Step { jump_ns })] = bench.events[..] else { panic!("{way:?} {seed}: {:?}", bench.events) };
            // Retransmissions just before the step count as its beginning.
            assert!((before + 820..before + 1300).contains(&at), "{way:?} {seed}: {at}");
            assert!((jump_ns - step_ns).abs() < 3 * MS, "{way:?} {seed}: {jump_ns}");
            assert!(bench.error_ms().abs() < if matches!(way, Way::Wired) { 0.2 } else { 3.0 }, "{way:?} {seed}: {} ms", bench.error_ms());
        }
    }
}

#[test]
fn pauses_are_no_resets() {
    for (way, pause_s) in [(Way::Wired, 30.0), (Way::Bluetooth, 30.0), (Way::Wired, 3600.0)] {
        for seed in 0..20 {
            let mut bench = Bench::new(way, seed);
            bench.run(60.0);
            bench.k += (pause_s * 100.0) as i32;
            bench.run(60.0);
            assert_eq!(bench.events, [], "{way:?} {seed}");
            assert!(bench.error_ms().abs() < if matches!(way, Way::Wired) { 0.2 } else { 3.0 }, "{way:?} {seed}: {} ms", bench.error_ms());
        }
    }
}

#[test]
fn what_a_network_held_up_and_then_sent_at_once_is_no_step() {
    for seed in 0..20 {
        let mut bench = Bench::new(Way::Wired, seed);
        for pause_s in [0.3, 3.0, 25.0] {
            bench.run(30.0);
            let not_before_s = bench.true_s() + pause_s;
            bench.send(pause_s, not_before_s);
            bench.run(2.0);
            assert!(bench.error_ms().abs() < 0.2, "{seed} after {pause_s} s: {} ms", bench.error_ms());
        }
        assert_eq!(bench.events, [], "{seed}");
    }
}

/// A few messages with a wrong time in them leave no trace.
#[test]
fn strays_are_left_out() {
    let mut bench = Bench::new(Way::Wired, 1);
    for _ in 0..10 {
        bench.run(20.0);
        bench.jumped_ns += 5 * MS;
        bench.run(0.01);
        bench.jumped_ns -= 5 * MS;
    }
    bench.run(1.0);
    assert_eq!(bench.events, []);
    assert!(bench.error_ms().abs() < 0.2, "{} ms", bench.error_ms());
}

#[test]
fn a_device_time_that_was_never_observed_is_not_mapped_into_the_future() {
    let mut bench = Bench::new(Way::Wired, 1);
    bench.run(60.0);
    let newest_ns = bench.last_ns;
    bench.jumped_ns -= 40 * SECOND_NS;
    bench.run(1.0);
    // A message from before the reset, after it.
    let mapped_ns = bench.fit.map(WIRED.device_ns(59.0));
    assert!(mapped_ns > newest_ns && mapped_ns <= bench.last_ns, "{mapped_ns}");
}

#[test]
fn older_samples_are_mapped_before_newer_ones() {
    let mut bench = Bench::new(Way::Wired, 1);
    bench.run(10.0);
    let newest_ns = WIRED.device_ns(9.99);
    let mapped: Vec<i64> = [0, 1, 5 * MS, SECOND_NS].iter().map(|back| bench.fit.map(newest_ns - back)).collect();
    assert!(mapped.windows(2).all(|pair| pair[0] > pair[1]), "{mapped:?}");
    assert_eq!(bench.fit.map(newest_ns), mapped[0], "mapped once, mapped for good");
}
