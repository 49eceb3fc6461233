//! Is this stream still the same one? A hash per stream of all that decides its rows beside the recording and the build.

use proprio_core::Rig;
use serde_json::Value;

use crate::lineage::Hasher;
use crate::plan::Plan;

/// Per stream of a plan: of a sensor, its name and declaration; of what people say, its name; of a step, its name, operator,
/// configuration, and the fingerprints of what it reads.
pub(super) fn fingerprints(plan: &Plan) -> Vec<u128> {
    let mut all = sensors(&plan.rig);
    all.extend(plan.source_names[all.len()..].iter().map(|name| {
        let mut hasher = Hasher::new();
        hasher.part(name.as_bytes());
        hasher.finish()
    }));
    for step in &plan.steps {
        let mut hasher = Hasher::new();
        hasher.part(step.stream.as_bytes());
        hasher.part(step.op.as_bytes());
        value(&step.config, &mut hasher);
        step.inputs.iter().for_each(|input| hasher.part(&all[*input].to_le_bytes()));
        all.push(hasher.finish());
    }
    all
}

fn sensors(rig: &Rig) -> Vec<u128> {
    let file = serde_json::to_value(rig.to_file()).expect("a rig is plain data");
    let sensor = |sensor: &proprio_core::Sensor| {
        let mut hasher = Hasher::new();
        hasher.part(sensor.name.as_bytes());
        value(&file["sensors"][&sensor.name], &mut hasher);
        hasher.finish()
    };
    rig.sensors.iter().map(sensor).collect()
}

/// A JSON value in the order of its keys, whichever order it was written in.
fn value(value: &Value, hasher: &mut Hasher) {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            hasher.part(format!("{{{}", entries.len()).as_bytes());
            for (name, entry) in entries {
                hasher.part(name.as_bytes());
                self::value(entry, hasher);
            }
        }
        Value::Array(items) => {
            hasher.part(format!("[{}", items.len()).as_bytes());
            items.iter().for_each(|item| self::value(item, hasher));
        }
        scalar => hasher.part(scalar.to_string().as_bytes()),
    }
}
