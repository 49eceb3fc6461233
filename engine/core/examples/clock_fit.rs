//! `cargo run -p proprio-core --example clock_fit < readings.csv`: the rig's time, in ns, at each line's device time, by the fit of the lines
//! so far (`device_ns,arrival_ns`), for the oracles under `.ci/oracles`.

#![allow(clippy::print_stdout, reason = "the times are its output")]

use std::io::BufRead as _;

use proprio_core::ClockFit;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut fit = ClockFit::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (device, arrival) = line.split_once(',').ok_or("`device_ns,arrival_ns` is due")?;
        let device_ns: i64 = device.parse()?;
        fit.observe(device_ns, arrival.parse()?);
        println!("{}", fit.map(device_ns));
    }
    Ok(())
}
