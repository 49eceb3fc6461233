//! What can be asked of a simulation: the subject, the impairments, the rig, the clocks and the faults.

use proprio_core::rig::Side;
use proprio_core::{Kind, TimeNs};

use crate::calibration::Calibration;
use crate::training::Training;

/// Everything that a simulation depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Name of the rig, first chunk of every key.
    pub rig: String,
    /// Seed of everything random: the same options give the same bytes.
    pub seed: u64,
    /// How long, in seconds of the rig's clock, the calibration included.
    pub duration_s: f64,
    /// Event time of the first sample.
    pub start_ns: TimeNs,
    /// Which sensors there are, and what the subject does.
    pub layout: Layout,
    /// Steps a minute, while walking.
    pub cadence_steps_per_min: f64,
    /// Metres a second, while walking.
    pub walking_speed_m_per_s: f64,
    /// Body mass.
    pub mass_kg: f64,
    /// Standard deviation of stride time and stride length as a share of the mean.
    pub stride_variation: f64,
    /// The calibration procedure that the session begins with; none when the subject is in the midst of the task from the start.
    pub calibration: Option<Calibration>,
    /// How the IMUs sit on their segments.
    pub placement: Placement,
    /// How the subject trains, in an exercise.
    pub training: Training,
    /// What is wrong with the subject.
    pub impairments: Impairments,
    /// What is wrong on the way from the sensors.
    pub faults: Faults,
    /// How the sensors' clocks run.
    pub clocks: Clocks,
    /// Factor on all noise and bias; 0 gives ideal sensors.
    pub noise: f64,
    /// Level of an active muscle over rest, in decibels of amplitude.
    pub emg_snr_db: f64,
    /// How long a muscle takes from its onset to full activity; 0 is a step.
    pub emg_rise_ms: f64,
    /// How much time one packet of a sensor covers; a packet is split where its rows would take more than 32 KiB.
    pub packet_ms: f64,
}

impl Default for Options {
    /// A minute of walking.
    fn default() -> Self {
        Self::of(Layout::Walking)
    }
}

impl Options {
    /// A minute of an unimpaired subject; while walking and standing, one in a thousand packets of an IMU is lost, so that
    /// losses are seen.
    pub fn of(layout: Layout) -> Self {
        let dropout = if layout == Layout::FullLab { 0.0 } else { 0.001 };
        Self {
            rig: "lab-1".to_owned(),
            seed: 1,
            duration_s: 60.0,
            // 2000-01-01T00:00:00Z, the default start of everything that has no time of its own.
            start_ns: 946_684_800_000_000_000,
            layout,
            cadence_steps_per_min: 110.0,
            walking_speed_m_per_s: 1.25,
            mass_kg: 72.0,
            stride_variation: 0.02,
            calibration: None,
            placement: Placement::default(),
            training: Training::default(),
            impairments: Impairments::default(),
            faults: Faults { dropout, ..Faults::default() },
            clocks: Clocks::default(),
            noise: 1.0,
            emg_snr_db: 18.0,
            emg_rise_ms: 5.0,
            packet_ms: 20.0,
        }
    }
}

/// Which sensors there are, and what the subject does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Walking: 8 IMUs, 8 EMG channels, 2 plates, 22 markers.
    Walking,
    /// Walking: 8 IMUs, 16 EMG channels, 2 plates, 40 markers.
    FullLab,
    /// Standing on one leg and the other in turn, 6 s each; sensors as for walking.
    Standing,
    /// Hip thrusts, the shoulders on a bench: 8 IMUs and 8 EMG channels.
    HipThrust,
}

impl Layout {
    /// Whether the subject walks.
    pub fn is_walking(self) -> bool {
        matches!(self, Self::Walking | Self::FullLab)
    }
}

/// How IMUs sit on their segments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Placement {
    /// Their axes are their segments'.
    #[default]
    Aligned,
    /// Each is turned about each axis by a normal angle of this standard deviation.
    Error {
        /// In degrees.
        sd_deg: f64,
    },
    /// Each in any direction.
    Anyhow,
}

/// A value for the left and for the right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerSide {
    /// Of the left side.
    pub left: f64,
    /// Of the right side.
    pub right: f64,
}

impl PerSide {
    /// The value of one side.
    pub const fn of(self, side: Side) -> f64 {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }
}

/// What is wrong with the subject; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairments {
    /// The gluteus medius of this side starts so much later, in milliseconds.
    pub gluteus_medius_delay_ms: PerSide,
    /// While standing on this side alone, the pelvis drops so much further to the other, in degrees. In hip thrusts it hangs on the other
    /// side by so much.
    pub pelvic_drop_deg: PerSide,
    /// While standing on this side alone, the gluteus medius lets go: 0 holds to the end, 1 has let go of everything by
    /// then. The pelvis sinks by up to 10° with it. In hip thrusts it is the gluteus maximus, and the hips sink by up to a quarter of the way.
    pub weak_hold: PerSide,
    /// The gluteus maximus of this side starts so much later, in milliseconds.
    pub gluteus_maximus_delay_ms: PerSide,
    /// In hip thrusts the lumbar spine extends so far in place of the hips, in degrees.
    pub lumbar_extension_deg: f64,
}

/// What is wrong on the way from the sensors; all are shares of a sensor's packets.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// Packets that are lost, mostly in bursts of a few; the sensor's sequence counts on.
    pub dropout: f64,
    /// The kinds of sensors that lose packets.
    pub dropout_kinds: Vec<Kind>,
    /// Packets that come twice.
    pub duplicate: f64,
    /// Packets that come after their successor.
    pub out_of_order: f64,
    /// Payloads of random bytes between the packets.
    pub garbage: f64,
    /// Spread of the delivery time on a wire, in milliseconds: packets come late by |N(0, jitter)|, in order.
    pub jitter_ms: f64,
    /// How packets travel.
    pub way: Way,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// On a wire: late by the jitter alone.
    #[default]
    Wired,
    /// By radio, whatever the jitter says: 12 ms at least, up to 7.5 ms for the next connection event, 3 ms on average in the
    /// radios, and 10 ms to 60 ms more in bursts of retransmissions of up to 1.5 s.
    Bluetooth,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            dropout: 0.0,
            dropout_kinds: vec![Kind::Imu],
            duplicate: 0.0,
            out_of_order: 0.0,
            garbage: 0.0,
            jitter_ms: 1.0,
            way: Way::Wired,
        }
    }
}

/// How the sensors' clocks run.
#[derive(Clone, Debug, PartialEq)]
pub struct Clocks {
    /// Each sensor's clock runs fast by a constant within ± this many parts per million.
    pub drift_ppm: f64,
    /// Each sensor's clock starts off by a constant within ± this many milliseconds.
    pub offset_ms: f64,
    /// When clocks are set: a step by little, a reset by much or back.
    pub jumps: Vec<ClockJump>,
}

/// A sensor's clock is set; what it measures goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockJump {
    /// Name of the sensor; none for all sampled ones.
    pub sensor: Option<String>,
    /// When, in seconds since the start.
    pub at_s: f64,
    /// How far, in milliseconds; forward positive.
    pub by_ms: f64,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { drift_ppm: 5.0, offset_ms: 0.0, jumps: Vec::new() }
    }
}

/// Options that no simulation can be made from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name} is {value}, but must be from {from} to {to}")]
pub struct OptionsError {
    /// Which figure.
    pub name: &'static str,
    /// What it is.
    pub value: f64,
    /// The least it may be.
    pub from: f64,
    /// The most it may be.
    pub to: f64,
}

impl Options {
    /// Stride length in metres, from speed and cadence.
    pub fn stride_length_m(&self) -> f64 {
        self.walking_speed_m_per_s * 120.0 / self.cadence_steps_per_min
    }

    /// Checks every figure against the range in which the model is sound.
    ///
    /// # Errors
    /// The first figure that is out of its range.
    pub fn check(&self) -> Result<(), OptionsError> {
        let (delay, drop, hold) = (self.impairments.gluteus_medius_delay_ms, self.impairments.pelvic_drop_deg, self.impairments.weak_hold);
        let figures = [
            ("the duration in s", self.duration_s, 0.0, 1e6),
            ("the cadence in steps/min", self.cadence_steps_per_min, 60.0, 150.0),
            ("the step length in m (half of speed · 120 / cadence)", self.stride_length_m() / 2.0, 0.3, 0.85),
            ("the mass in kg", self.mass_kg, 20.0, 250.0),
            ("the stride variation", self.stride_variation, 0.0, 0.1),
            ("the left gluteus medius delay in ms", delay.left, 0.0, 150.0),
            ("the right gluteus medius delay in ms", delay.right, 0.0, 150.0),
            ("the left pelvic drop in deg", drop.left, 0.0, 20.0),
            ("the right pelvic drop in deg", drop.right, 0.0, 20.0),
            ("the left weak hold", hold.left, 0.0, 1.0),
            ("the right weak hold", hold.right, 0.0, 1.0),
            ("the left gluteus maximus delay in ms", self.impairments.gluteus_maximus_delay_ms.left, 0.0, 300.0),
            ("the right gluteus maximus delay in ms", self.impairments.gluteus_maximus_delay_ms.right, 0.0, 300.0),
            ("the lumbar extension in deg", self.impairments.lumbar_extension_deg, 0.0, 30.0),
            ("the share of dropouts", self.faults.dropout, 0.0, 0.9),
            ("the share of duplicates", self.faults.duplicate, 0.0, 1.0),
            ("the share out of order", self.faults.out_of_order, 0.0, 0.5),
            ("the share of garbage", self.faults.garbage, 0.0, 1.0),
            ("the jitter in ms", self.faults.jitter_ms, 0.0, 1000.0),
            ("the clock drift in ppm", self.clocks.drift_ppm, 0.0, 1000.0),
            ("the clock offset in ms", self.clocks.offset_ms, 0.0, 1e9),
            ("the noise factor", self.noise, 0.0, 100.0),
            ("the EMG signal-to-noise ratio in dB", self.emg_snr_db, -10.0, 60.0),
            ("the EMG rise time in ms", self.emg_rise_ms, 0.0, 100.0),
            ("the packet length in ms", self.packet_ms, 1.0, 2000.0),
        ];
        let error_deg = if let Placement::Error { sd_deg } = self.placement { sd_deg } else { 0.0 };
        let figures = figures.into_iter().chain([("the placement error in deg", error_deg, 0.0, 45.0)]);
        let figures = figures.chain(self.calibration.iter().flat_map(Calibration::figures)).chain(self.training.figures());
        let jumps = self.clocks.jumps.iter();
        let jumps =
            jumps.flat_map(|jump| [("when a clock is set, in s", jump.at_s, 0.0, 1e6), ("a clock's jump in ms", jump.by_ms, -1e9, 1e9)]);
        let wrong = figures.chain(jumps).find(|(_, value, from, to)| !(*from..=*to).contains(value));
        wrong.map_or(Ok(()), |(name, value, from, to)| Err(OptionsError { name, value, from, to }))
    }
}
