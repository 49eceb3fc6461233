//! What would a person's sensors send, when we know exactly how the person moves? A virtual subject and its rig.
//!
//! [`Simulation`] is a pure function of its [`Options`]: the same options give the same bytes. It makes the packets of a
//! rig in delivery order, chunk by chunk in bounded memory, and one more source of kind `truth` that says what really
//! happened.
//!
//! **Frames.** The lab frame is east, north, up (ENU), in metres; the subject walks east on an endless walkway whose two
//! plates follow the feet: the first takes every left contact, the second every right one. Segments have ISB axes
//! (X forward, Y up, Z right), and **every IMU's axes are its segment's axes** unless [`Placement`] says otherwise. An accelerometer measures specific force
//! (+9.81 m/s² upward at rest); the magnetic field has a dip of 66° and no declination. Pelvis angles are about zero in
//! upright stance; the reported obliquity is positive with the right side up, and a drop is positive on either side.
//!
//! **Clocks.** Truth is on the rig's clock. A sensor samples and stamps by its own crystal, which runs fast or slow by a
//! few parts per million and starts without offset, so that a sample of a one-minute trial is stamped within 0.3 ms of
//! when it was taken (5 ppm; real crystals reach 100).
//!
//! **Movement.** A stride is a function of a phase that advances at a slowly wandering rate. Feet roll over the heel, stay
//! flat and roll over the ball exactly on the ground; hips follow the pelvis; thighs and shanks come from a two-link leg.
//! In a hip thrust the trunk turns about a bench and the legs follow ([`Training`] says when).
//! Gyroscopes and accelerometers measure the derivatives of exactly this movement. A session may begin with a [`Calibration`] procedure.

mod body;
mod calibration;
mod clock;
mod curve;
mod force;
mod hip_thrust;
mod layout;
mod motion;
mod muscles;
mod options;
mod patient;
mod random;
mod rhythm;
mod sensors;
mod simulation;
mod training;
mod truth;
mod way;

pub use body::{Body, Pose, Segment};
pub use calibration::Calibration;
pub use layout::{MARKERS_FULL, MARKERS_LEAN, rig_file};
pub use options::{ClockJump, Clocks, Faults, Impairments, Layout, Options, OptionsError, PerSide, Placement, Way};
pub use patient::{Patient, Prescription, Session};
pub use random::Random;
pub use simulation::{Count, Delivery, Payload, Simulation};
pub use training::{Repetition, Training, way};
pub use truth::TruthEvent;
