//! The hot operators on fixed inputs, a function each: `.ci/kernels` counts the instructions in each under callgrind. Instructions, unlike
//! time, are the same in every run, so that a growth of a few per cent shows.

use std::hint::black_box;

use proprio_accuracy::{Bench, Simulated, Stream};
use proprio_core::Kind;
use proprio_simulate::{Layout, Options};
use serde_json::{Value, json};

/// What the operators read.
struct Inputs {
    /// One IMU with a magnetometer, 20 s.
    imu: Vec<Stream>,
    /// Both feet's, 20 s.
    feet: Vec<Stream>,
    /// 16 muscles at 2 kHz, 2 s.
    emg: Vec<Stream>,
    /// One muscle's envelope and an IMU: two rates on one grid.
    mixed: Vec<Stream>,
}

impl Inputs {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let imus = Simulated::of_kinds(Options { duration_s: 20.0, ..Options::of(Layout::FullLab) }, &[Kind::Imu])?;
        let emg = Simulated::of_kinds(Options { duration_s: 2.0, ..Options::of(Layout::FullLab) }, &[Kind::Emg])?.stream("muscles");
        let imu = vec![imus.stream("pelvis")];
        let feet = ["foot_left", "foot_right"].map(|name| imus.stream(name)).to_vec();
        Ok(Self { mixed: vec![emg.clone(), imu[0].clone()], imu, feet, emg: vec![emg] })
    }
}

/// One operator over whole streams, driven in advances of a tenth of a second as a live rig drives it.
fn run(op: &str, config: Value, streams: &[Stream]) {
    let given = Bench::of_environment().step("kernel", op, config, streams);
    let (_, rows) = given.unwrap_or_else(|error| panic!("{op}: {error}"));
    assert!(black_box(rows).num_rows() > 0, "{op} gives rows");
}

/// A function per kernel, which the compiler keeps apart, and one that calls them all.
macro_rules! kernels {
    ($($name:ident: $config:tt of $streams:ident;)*) => {
        mod kernel {
            $(#[inline(never)]
            pub fn $name(inputs: &super::Inputs) {
                super::run(stringify!($name), super::json!($config), &inputs.$streams);
            })*
        }

        fn all(inputs: &Inputs) {
            $(kernel::$name(inputs);)*
        }
    };
}

kernels! {
    align: { "rate": "2000 Hz" } of mixed;
    emg_envelope: {} of emg;
    emg_onset: {} of emg;
    fill: { "window": "1 s" } of emg;
    foot_imu_events: {} of feet;
    foot_trajectory: {} of feet;
    orientation: {} of imu;
    z_score: { "window": "1 s" } of emg;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    all(&Inputs::new()?);
    Ok(())
}
