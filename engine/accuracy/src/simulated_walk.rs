//! What did a simulated subject do, and what did its IMUs send?

use proprio_core::{Kind, Port, TimeNs};
use proprio_operators::kernels::gait_event::{self, Foot, GaitEvent, Kind as Contact, Method, Waiting};
use proprio_simulate::Options;

use crate::bench::Stream;
use crate::error::AccuracyError;
use crate::simulated::Simulated;

/// A walk with its truth.
pub struct Walk {
    /// What its IMUs sent.
    pub imus: Simulated,
    /// The true contacts, in order.
    pub contacts: Vec<GaitEvent>,
    /// The true length of each stride in metres, with its foot and the contact that ends it.
    pub lengths_m: Vec<(TimeNs, Foot, f64)>,
}

impl Walk {
    /// Simulates a whole walk.
    ///
    /// # Errors
    /// When the simulation refuses the options.
    pub fn of(options: Options) -> Result<Self, AccuracyError> {
        let imus = Simulated::of_kinds(options, &[Kind::Imu])?;
        let (mut contacts, mut lengths_m) = (Waiting::default(), Vec::new());
        for event in &imus.truth {
            let time_ns = imus.event_time_ns(event.time_s);
            let foot = Foot::parse(event.name.trim_end_matches("_m").rsplit('_').next().unwrap_or_default());
            let kind = event.name.strip_suffix(&format!("_{}", foot.name())).and_then(Contact::parse);
            if let Some(kind) = kind {
                contacts.insert(GaitEvent { time_ns, kind, foot, confidence: 1.0 });
            } else if event.name.starts_with("stride_length_") {
                lengths_m.push((time_ns, foot, event.value));
            }
        }
        Ok(Self { imus, contacts: contacts.take_until(TimeNs::MAX), lengths_m })
    }

    /// The true contacts as a stream of events.
    pub fn events(&self) -> Stream {
        let method = Method { name: "truth", threshold_n: None, filter: "none".to_owned() };
        let schema = gait_event::schema();
        let rows = gait_event::batch(&schema, &self.contacts, &method);
        (Port { stream: "truth".to_owned(), schema }, rows)
    }

    /// The IMUs on the feet.
    pub fn feet(&self) -> Vec<Stream> {
        ["foot_left", "foot_right"].map(|foot| self.imus.stream(foot)).to_vec()
    }
}
