//! Does an engine answer, and do the sensors that it hears do what the rig's file says?

use std::time::Duration;

use proprio_core::control::{Reply, Request, SensorStatus, Status};

use super::Finding;
use crate::commands::connect::{Engine, EngineArgs};

const CHECK: &str = "rig";
/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far a rate may be from what is declared.
const RATE_OFF: f64 = 0.05;
/// Share of samples whose loss is worth a word.
const LOSS_FEW: f64 = 0.01;

/// What the engine says, when one is there or must be.
pub async fn look(engine: &EngineArgs, must_run: bool) -> Vec<Finding> {
    if !engine.is_running() {
        let says = format!("no engine has {} open", engine.data.display());
        if must_run {
            return vec![Finding::error("zenoh", says, "`proprio run`; its log says why it ended")];
        }
        return vec![Finding::fine("zenoh", says + ", and none was named: its sensors were not looked at")];
    }
    let fix =
        "does it run, and do `--connect` or `--zenoh-config` lead there? A router with access control wants a certificate that may ask";
    let asked = async {
        let engine = engine.find().await?;
        let (status, declared) = (engine.ask(&Request::Status {}, PATIENCE).await?, engine.ask(&Request::Rig {}, PATIENCE).await?);
        let present = present(&engine, &status).await;
        engine.close().await;
        anyhow::Ok((status, declared, present))
    };
    match asked.await {
        Ok((Reply::Status(status), Reply::Rig(rig), present)) => {
            let answers = Finding::fine("zenoh", format!("rig {} answers", status.rig));
            let keys: Vec<String> = rig.resolve().sensors.iter().map(|sensor| sensor.key.clone()).collect();
            let told = status.sensors.iter().filter_map(|sensor| sensor_finding(sensor, &status));
            let strangers = present.iter().filter(|key| !keys.contains(key)).map(|key| undeclared(key));
            let mut found: Vec<Finding> = [answers, recording(&status)].into_iter().chain(told).chain(strangers).collect();
            if found.len() == 2 {
                found.push(Finding::fine(CHECK, format!("all {} sensors do what their file says", status.sensors.len())));
            }
            found
        }
        Ok((other, ..)) => vec![Finding::error("zenoh", format!("the engine answers {other:?}"), "is it of another version?")],
        Err(error) => vec![Finding::error("zenoh", format!("{error:#}"), fix)],
    }
}

async fn present(engine: &Engine, status: &Reply) -> Vec<String> {
    let Reply::Status(Status { rig, .. }) = status else { return Vec::new() };
    // Who may ask the engine may not see who else is there, where access is controlled.
    engine.present(rig, PATIENCE).await.unwrap_or_default()
}

fn recording(status: &Status) -> Finding {
    match &status.trouble {
        Some(trouble) => Finding::error(
            "recording",
            format!("the disk takes nothing: {trouble}"),
            "make room, or mend the disk; what waits is written first",
        ),
        None => Finding::fine("recording", format!("{} messages wait for the disk", status.position - status.durable_position)),
    }
}

/// What is amiss with a sensor; nothing when nothing is.
fn sensor_finding(sensor: &SensorStatus, status: &Status) -> Option<Finding> {
    let name = &sensor.name;
    if !sensor.present {
        let says = if sensor.rows == 0 { format!("{name} was never seen") } else { format!("{name} has gone") };
        return Some(Finding::warning(
            CHECK,
            says,
            "switch it on; if it is not there today, take it out of the rig file and `proprio reload`",
        ));
    }
    if sensor.idle {
        return Some(Finding::warning(CHECK, format!("{name} is there and sends nothing"), "is it started? Its publisher's log says more"));
    }
    if let (Some(is), Some(due)) = (sensor.rate_hz, sensor.declared_rate_hz)
        && (is - due).abs() > RATE_OFF * due
    {
        let fix = format!("let the rig file say `rate: {is:.0} Hz`, or set the device to {due} Hz");
        return Some(Finding::warning(CHECK, format!("{name} sends {is:.1} samples a second, {due} are declared"), fix));
    }
    let lost = sensor.lost.max(0) as f64 / (sensor.rows as f64 + sensor.lost.max(0) as f64).max(1.0);
    if lost > LOSS_FEW {
        let says = format!("{name} has lost {:.1} % of its samples", 100.0 * lost);
        return Some(Finding::warning(CHECK, says, "radio or cable: bring the receiver nearer, or use fewer sensors on it"));
    }
    if sensor.rejected > 0 {
        let fix = format!("`SELECT reason, count(*) FROM rejected WHERE session = '{}' GROUP BY reason`", status.session);
        return Some(Finding::warning(CHECK, format!("{} samples of {name} were rejected", sensor.rejected), fix));
    }
    None
}

fn undeclared(key: &str) -> Finding {
    let parts: Vec<&str> = key.split('/').collect();
    let fix = match parts[..] {
        [_, kind, name] => format!("put `{name}: {{ kind: {kind}, rate: … }}` into the rig file and `proprio reload`, or switch it off"),
        _ => "put it into the rig file with `key:`, or switch it off".to_owned(),
    };
    Finding::warning(CHECK, format!("{key} publishes, and no sensor of the rig has that key"), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_be_amiss_is_told_once() {
        let status = Status::default();
        let fine = SensorStatus {
            name: "a".to_owned(),
            present: true,
            rows: 1000,
            declared_rate_hz: Some(100.0),
            rate_hz: Some(99.0),
            ..SensorStatus::default()
        };
        assert_eq!(sensor_finding(&fine, &status), None);
        let amiss = [
            (SensorStatus { present: false, ..fine.clone() }, "gone"),
            (SensorStatus { present: false, rows: 0, ..fine.clone() }, "never seen"),
            (SensorStatus { idle: true, ..fine.clone() }, "sends nothing"),
            (SensorStatus { rate_hz: Some(50.0), ..fine.clone() }, "50.0 samples"),
            (SensorStatus { lost: 100, ..fine.clone() }, "lost 9.1 %"),
            (SensorStatus { rejected: 3, ..fine.clone() }, "rejected"),
        ];
        for (sensor, says) in amiss {
            let found = sensor_finding(&sensor, &status).expect(says);
            assert!(found.says.contains(says) && found.fix.is_some(), "{found:?}");
        }
        assert!(undeclared("lab-1/imu/wrist").fix.expect("a fix").contains("wrist: { kind: imu"));
    }
}
