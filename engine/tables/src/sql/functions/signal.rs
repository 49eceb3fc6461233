//! What do the samples of a window, a contraction or a stride say together?

use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use proprio_core::Rate;
use proprio_operators::kernels::emg_onset::{Detector, DetectorOptions, DetectorSettings, What};
use proprio_operators::kernels::{emg, gait_score, spectrum};

use super::manual;
use super::samples::{Compute, OfSamples};
use super::scalar::curve_type;

/// A step in time beyond this many usual ones is a gap.
const GAP_STEPS: f64 = 1.5;
/// Samples on either side of a point of a stride are at most this far apart.
const LONGEST_GAP_NS: i64 = 50_000_000;
/// Order of the band-pass at each edge, as of the `emg_onset` step.
const BAND_ORDER: usize = 2;

pub(super) fn functions() -> Vec<OfSamples> {
    vec![
        frequency(
            "median_frequency",
            |samples, _| of_even(samples, spectrum::median_frequency_hz),
            "The frequency below which half of a signal's power lies, in hertz (Stulen and De Luca 1981): over windows of 0.5 to 1 s of a \
             steady contraction its slope tells fatigue.",
        ),
        frequency(
            "mean_frequency",
            |samples, _| of_even(samples, spectrum::mean_frequency_hz),
            "The mean of a signal's frequencies, each weighted by its power, in hertz.",
        ),
        onset(),
        time_normalise(),
    ]
}

fn frequency(name: &'static str, compute: Compute, about: &str) -> OfSamples {
    let about = format!("{about} The rate is that of the samples' times. Null where a sample is missing or there is no power.");
    let example = format!(
        "SELECT round({name}(sin(time_ns * 5.026548245743669e-7), time_ns)) \
         FROM (SELECT unnest(time_grid(0, 1000000000, '1000 Hz')) AS time_ns)"
    );
    OfSamples::new(name, 0, DataType::Float64, compute, manual(&about, &format!("{name}(value, time_ns)"), &example, "80.0"))
}

fn of_even(samples: &[(i64, f64)], of: fn(&[f64], f64) -> f64) -> ScalarValue {
    let frequency = rate_hz(samples).map(|rate_hz| of(&values(samples), rate_hz));
    ScalarValue::Float64(frequency.filter(|frequency| frequency.is_finite()))
}

fn values(samples: &[(i64, f64)]) -> Vec<f64> {
    samples.iter().map(|(_, value)| *value).collect()
}

/// The rate of samples without a gap or a duplicate.
fn rate_hz(samples: &[(i64, f64)]) -> Option<f64> {
    let (first, last) = (samples.first()?.0, samples.last()?.0);
    let usual_ns = (i128::from(last) - i128::from(first)) as f64 / (samples.len() - 1) as f64;
    let is_step = |pair: &[(i64, f64)]| pair[1].0 > pair[0].0 && ((pair[1].0 - pair[0].0) as f64) <= GAP_STEPS * usual_ns;
    (samples.len() > 1 && samples.windows(2).all(is_step)).then(|| 1e9 / usual_ns)
}

fn onset() -> OfSamples {
    let about = "When a muscle switches on for the first time, in nanoseconds since 1970, as the `emg_onset` step with its defaults \
                 finds it in raw EMG in volts: an approximated generalised likelihood ratio (Staude 2001) on the band from 20 Hz to \
                 450 Hz. The first 0.6 s are rest, from which it learns. Null when it doesn't, or where a sample is missing.";
    let example = "SELECT round(onset(sin(power(time_ns / 1e6, 2) * 0.7) * CASE WHEN time_ns < 2000000000 THEN 1e-6 ELSE 1e-5 END, time_ns) / 1e8) \
                   FROM (SELECT unnest(time_grid(0, 3000000000, '1000 Hz')) AS time_ns)";
    OfSamples::new("onset", 0, DataType::Int64, |samples, _| ScalarValue::Int64(first_onset_ns(samples)), {
        manual(about, "onset(value_v, time_ns)", example, "20.0")
    })
}

fn first_onset_ns(samples: &[(i64, f64)]) -> Option<i64> {
    let rate = Rate::from_decimal(rate_hz(samples)?)?;
    let band = emg::band_filter(None, BAND_ORDER, None, rate).ok()?;
    let settings = DetectorSettings::new(DetectorOptions::default(), &band, rate.hertz());
    let (mut detector, mut filter, mut found) = (Detector::new(&settings, 0), band.start(), Vec::new());
    // A filter that starts on an offset would ring.
    let offset = samples.first()?.1;
    for (_, value) in samples {
        detector.push(&settings, band.step(&mut filter, value - offset), &mut found);
    }
    detector.finish(&settings, &mut found);
    let onsets = found.iter().filter(|found| matches!(found.what, What::Onset { .. }));
    let times = onsets.filter_map(|found| {
        let shown_ns = samples.get(usize::try_from(found.index).ok()?)?.0;
        Some(shown_ns - (found.lead / rate.hertz() * 1e9).round() as i64)
    });
    times.min()
}

fn time_normalise() -> OfSamples {
    let about = "A signal over one cycle as a curve of 51 points: 0 %, 2 % … 100 % of the time from start to end, on straight lines \
                 between the samples on either side, as in the `gait_scores` step. Start and end are the same in all rows of a group; rows \
                 up to a sample beyond them give the ends. Null where samples are further apart than 50 ms.";
    let example = "SELECT time_normalise(time_ns / 1e6, time_ns, 0, 1000000000)[26] \
                   FROM (SELECT unnest(time_grid(0, 1020000000, '50 Hz')) AS time_ns)";
    let curve = |samples: &[(i64, f64)], cycle: &[i64]| {
        let curve = match cycle {
            [start, end] if start < end => gait_score::resample(samples, *start, *end, LONGEST_GAP_NS),
            _ => None,
        };
        let Some(curve) = curve else { return ScalarValue::new_null_list(DataType::Float64, true, 1) };
        let points: Vec<ScalarValue> = curve.into_iter().map(ScalarValue::from).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&points, &DataType::Float64))
    };
    let manual = manual(about, "time_normalise(value, time_ns, start_ns, end_ns)", example, "500.0");
    OfSamples::new("time_normalise", 2, curve_type(), curve, manual)
}
