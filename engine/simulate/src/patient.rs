//! How does somebody's impairment respond to training? A virtual patient who gets stronger and steadier, or sore, by what is prescribed.
//!
//! Two abilities from 0 to 1 hide behind what can be measured: **capacity**, what the muscles bear, and **control**, how well the movement is
//! known. Training at the edge of the capacity raises it most, training far below it hardly does (the principle of overload), and training beyond
//! it makes pain and fatigue that last (fitness and fatigue, Banister 1975). Control grows most where the share of feedback fits what is known
//! already: much at first, little later (guidance hypothesis, Salmoni, Schmidt and Walter 1984; challenge point, Guadagnoli and Lee 2004). The form
//! follows these sources, the figures are chosen so that eight weeks matter: it is a patient to test a programme on, and predicts nobody.

use crate::options::{Impairments, PerSide};
use crate::random::Random;
use crate::training::Training;

/// What a session prescribes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prescription {
    /// Weight on the hips.
    pub load_kg: f64,
    /// How long each repetition is held.
    pub hold_s: f64,
    /// How many repetitions.
    pub repetitions: u32,
    /// How long the lowering lasts.
    pub eccentric_s: f64,
    /// On how many of the repetitions feedback is given.
    pub feedback_percent: f64,
}

impl Default for Prescription {
    /// What a first session prescribes.
    fn default() -> Self {
        Self { load_kg: 0.0, hold_s: 3.0, repetitions: 5, eccentric_s: 2.0, feedback_percent: 100.0 }
    }
}

impl Prescription {
    /// What it asks of the muscles: 0 nothing, 1 what a healthy person can just do.
    pub fn demand(&self) -> f64 {
        let parts =
            [self.load_kg / 20.0, (self.hold_s - 1.0) / 5.0, (f64::from(self.repetitions) - 2.0) / 8.0, (self.eccentric_s - 1.0) / 3.0];
        parts.iter().sum::<f64>() / 4.0
    }
}

/// A share of the prescribed hold that counts as held.
const HELD: f64 = 0.8;
/// Beyond the capacity by so much, a hold gets noticeably shorter.
const SLACK: f64 = 0.05;

/// Somebody with low-back pain.
#[derive(Clone, Debug)]
pub struct Patient {
    seed: u64,
    sessions: u64,
    capacity: f64,
    control: f64,
    fatigue: f64,
    /// Pain beyond what the abilities explain, in points.
    flare: f64,
    /// How fast capacity and control grow.
    talent: f64,
    /// Points of pain for doing twice as much as can be done.
    irritability: f64,
}

/// What a session looks like from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// How the patient trains.
    pub training: Training,
    /// What is wrong with the movement.
    pub impairments: Impairments,
    /// Seed of this session's repetitions.
    pub seed: u64,
    /// Pain after it, 0 to 10.
    pub pain_nrs: u8,
    /// Answers to the Oswestry Disability Index, 0 to 5 each.
    pub odi_items: [u8; 10],
}

impl Patient {
    /// Somebody; the same one for the same seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = Random::new(seed, "patient");
        let mut between = |from: f64, to: f64| from + (to - from) * chance.uniform();
        Self {
            seed,
            sessions: 0,
            capacity: between(0.12, 0.35),
            control: between(0.05, 0.25),
            fatigue: 0.0,
            flare: 0.0,
            talent: between(0.06, 0.14),
            irritability: between(4.0, 12.0),
        }
    }

    /// What the muscles bear, 0 to 1.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// How well the movement is known, 0 to 1.
    pub fn control(&self) -> f64 {
        self.control
    }

    /// Pain, in points from 0 to 10.
    pub fn pain(&self) -> f64 {
        (6.0 * (1.0 - 0.5 * self.capacity - 0.5 * self.control) + self.flare).clamp(0.0, 10.0)
    }

    /// Oswestry Disability Index, in percent.
    pub fn odi_percent(&self) -> f64 {
        (6.0 + 44.0 * (1.0 - 0.6 * self.capacity - 0.4 * self.control) + 2.0 * self.flare).clamp(0.0, 100.0)
    }

    /// Time without training.
    pub fn rest(&mut self, days: f64) {
        self.fatigue *= libm::exp(-days / 2.0);
        self.flare *= libm::exp(-days / 4.0);
        self.capacity *= libm::exp(-days / 400.0);
    }

    /// One session: how it goes, and what it leaves behind.
    pub fn train(&mut self, prescribed: &Prescription) -> Session {
        let seed = self.seed.wrapping_mul(1000).wrapping_add(self.sessions);
        self.sessions += 1;
        let feedback = prescribed.feedback_percent / 100.0;
        let strain = prescribed.demand() - self.capacity + 0.5 * self.fatigue + 0.03 * self.flare;
        // Feedback helps while it is there, whatever is kept of it.
        let unsure = (1.0 - self.control) * (1.0 - 0.5 * feedback);
        let training = Training {
            sets: 1,
            repetitions: prescribed.repetitions,
            hold_s: prescribed.hold_s * (1.0 - 2.0 * (strain - SLACK).max(0.0)).clamp(0.2, 1.0),
            eccentric_s: prescribed.eccentric_s,
            tempo_error: 0.25 * unsure,
            sag: 0.15 * (strain - SLACK).clamp(0.0, 1.0),
            ..Training::default()
        };
        let impairments = Impairments {
            lumbar_extension_deg: 16.0 * (1.0 - self.control),
            gluteus_maximus_delay_ms: PerSide { left: 120.0 * (1.0 - self.capacity), right: 0.0 },
            ..Impairments::default()
        };
        let schedule = training.schedule(seed);
        let held = schedule.iter().filter(|repetition| repetition.lower_s - repetition.top_s >= HELD * prescribed.hold_s).count();
        let held = held as f64 / schedule.len().max(1) as f64;
        // Most is gained a little below what can just be done.
        let off = (strain + SLACK) / 0.18;
        self.capacity += self.talent * (1.0 - self.capacity) * libm::exp(-off * off) * held;
        self.control += self.talent * (1.0 - self.control) * (1.0 - (feedback - (1.0 - self.control)).abs());
        self.fatigue += 0.25 * strain.max(0.0);
        self.flare += self.irritability * (strain - 2.0 * SLACK).max(0.0);
        let pain = self.pain() + 0.5 * Random::new(seed, "pain").normal();
        Session { training, impairments, seed, pain_nrs: pain.clamp(0.0, 10.0).round() as u8, odi_items: self.odi_items() }
    }

    /// Items that come to the index, as even as they can be.
    fn odi_items(&self) -> [u8; 10] {
        let sum = (self.odi_percent() / 2.0).round() as usize;
        std::array::from_fn(|item| ((sum + item) / 10).min(5) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eight_weeks(prescribed: Prescription) -> Patient {
        let mut patient = Patient::new(7);
        for session in 0..24 {
            patient.rest(if session % 3 == 0 { 3.0 } else { 2.0 });
            patient.train(&prescribed);
        }
        patient
    }

    #[test]
    fn too_little_does_little_and_too_much_hurts() {
        let before = Patient::new(7);
        let least = eight_weeks(Prescription { hold_s: 2.0, repetitions: 2, eccentric_s: 1.0, ..Prescription::default() });
        let fitting = eight_weeks(Prescription::default());
        let most = eight_weeks(Prescription { load_kg: 20.0, hold_s: 6.0, repetitions: 10, eccentric_s: 4.0, feedback_percent: 100.0 });
        assert!(fitting.capacity() > before.capacity() + 0.05, "{before:?} {fitting:?}");
        assert!(least.capacity() < fitting.capacity() && most.capacity() < fitting.capacity(), "{least:?} {most:?}");
        assert!(most.pain() > before.pain() + 2.0 && fitting.pain() < before.pain(), "{most:?}");
        assert!(fitting.odi_percent() < before.odi_percent());
    }

    #[test]
    fn constant_feedback_is_worse_in_the_end_than_fading_it() {
        let control = |fade: bool| {
            let mut patient = Patient::new(3);
            for session in 0..24 {
                let feedback_percent = if fade { 100.0 - 4.0 * f64::from(session) } else { 100.0 };
                patient.train(&Prescription { feedback_percent, ..Prescription::default() });
            }
            patient.control()
        };
        assert!(control(true) > control(false) + 0.1, "{} {}", control(true), control(false));
    }

    #[test]
    fn the_same_patient_answers_the_same() {
        let [mut one, mut other] = [Patient::new(5), Patient::new(5)];
        let session = one.train(&Prescription::default());
        assert_eq!(session, other.train(&Prescription::default()));
        assert_eq!(session.odi_items.iter().map(|item| f64::from(*item)).sum::<f64>(), (one.odi_percent() / 2.0).round());
    }
}
