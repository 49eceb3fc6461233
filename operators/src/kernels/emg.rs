//! What the EMG operators share: which columns are muscles, which band they are filtered to, and where samples are missing.

use arrow_schema::{DataType, Field};
use proprio_core::quantity::{Duration, Frequency};
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Findings, PlanFinding, Port, Rate, TimeNs};

use crate::kernels::filter::Filter;
use crate::kernels::names::suggest;

/// The band that surface EMG lies in, in hertz, where a pipeline names none.
pub const BAND_HZ: [f64; 2] = [20.0, 450.0];
/// The share of the rate at which the default band ends when the rate is too low for 450 Hz.
const HIGHEST_SHARE_OF_RATE: f64 = 0.45;
/// Quality of the notch: its width is a 30th of its frequency.
const NOTCH_QUALITY: f64 = 30.0;

/// One muscle's column of an EMG stream.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Muscle with its side, such as `gluteus_medius_left`: the column's name without `_v`.
    pub muscle: String,
    /// Column in the input.
    pub index: usize,
    /// The column, for its metadata.
    pub field: Field,
}

impl Channel {
    /// Copies where the sensor sits (sensor, segment, side) onto a column made from this one.
    pub fn place(&self, field: Field) -> Field {
        let places = [meta::SENSOR, meta::SEGMENT, meta::SIDE];
        places.into_iter().fold(field, |field, key| match self.field.meta(key) {
            Some(value) => field.with(key, value),
            None => field,
        })
    }
}

/// The EMG columns of a stream: `Float64` in volts, named `<muscle>_v`; those named in `muscles` alone when there are any.
///
/// # Errors
/// When there is none, and for every name in `muscles` (pointer `/muscles/<n>`) that the stream has no column for.
pub fn channels(port: &Port, muscles: &[String]) -> Result<Vec<Channel>, Findings> {
    let fields = port.schema.columns.fields().iter().enumerate();
    let all: Vec<Channel> = fields
        .filter(|(_, field)| field.data_type() == &DataType::Float64 && field.meta(meta::UNIT) == Some("V"))
        .filter_map(|(index, field)| {
            let muscle = field.name().strip_suffix("_v")?.to_owned();
            Some(Channel { muscle, index, field: field.as_ref().clone() })
        })
        .collect();
    if all.is_empty() {
        let message = format!("`{}` has no EMG channel: no Float64 column `<muscle>_v` with the unit V", port.stream);
        return Err(vec![PlanFinding::input(0, message).help("read a stream of kind `emg`")]);
    }
    if muscles.is_empty() {
        return Ok(all);
    }
    let mut findings = Findings::new();
    for (n, muscle) in muscles.iter().enumerate() {
        if !all.iter().any(|channel| channel.muscle == *muscle) {
            let mut finding = PlanFinding::config(format!("/muscles/{n}"), format!("`{}` has no muscle `{muscle}`", port.stream));
            finding.help = suggest(muscle, all.iter().map(|channel| channel.muscle.as_str()));
            findings.push(finding);
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(all.into_iter().filter(|channel| muscles.contains(&channel.muscle)).collect())
}

/// The rate of an EMG stream.
///
/// # Errors
/// When it has none, or one too low for any EMG band (below 100 Hz).
pub fn rate(port: &Port) -> Result<Rate, Findings> {
    match port.schema.rate {
        Some(rate) if rate.hertz() >= 100.0 => Ok(rate),
        Some(rate) => Err(vec![PlanFinding::input(0, format!("`{}` has {rate}; EMG needs 100 Hz or more", port.stream))]),
        None => Err(vec![PlanFinding::input(0, format!("`{}` has no rate, and filters need one", port.stream))]),
    }
}

/// The band-pass, followed by the notch where there is one.
///
/// The default band ends at 450 Hz or at 0.45 of the rate, whichever is lower; a band that was written is never moved.
///
/// # Errors
/// A reversed band (`/band`), an edge outside (0, half the rate) (`/band/0`, `/band/1`), an order outside 1..=4 (`/order`), a notch
/// outside (0, half the rate) (`/notch`).
pub fn band_filter(band: Option<[Frequency; 2]>, order: usize, notch: Option<Frequency>, rate: Rate) -> Result<Filter, Findings> {
    let hertz = rate.hertz();
    let nyquist = hertz / 2.0;
    let [low, high] = band.map_or([BAND_HZ[0], BAND_HZ[1].min(HIGHEST_SHARE_OF_RATE * hertz)], |band| band.map(Frequency::hertz));
    let mut findings = Findings::new();
    for (n, edge) in [low, high].into_iter().enumerate() {
        if edge <= 0.0 || edge >= nyquist {
            let message = format!("{edge} Hz lies outside the band that {rate} can carry: above 0 and below {nyquist} Hz");
            let help = format!("write at most {:.0} Hz, or leave `band` out", HIGHEST_SHARE_OF_RATE * hertz);
            findings.push(PlanFinding::config(format!("/band/{n}"), message).help(help));
        }
    }
    if low >= high {
        let message = format!("the band is reversed: {low} Hz is not below {high} Hz");
        findings.push(PlanFinding::config("/band", message).help("write the lower edge first, such as `[20 Hz, 450 Hz]`"));
    }
    if !(1..=4).contains(&order) {
        findings.push(PlanFinding::config("/order", format!("order {order} is outside 1 to 4")));
    }
    if let Some(notch) = notch.map(Frequency::hertz).filter(|notch| *notch <= 0.0 || *notch >= nyquist) {
        findings.push(PlanFinding::config("/notch", format!("{notch} Hz is not between 0 and {nyquist} Hz, half the rate")));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let filter = Filter::band_pass(order, low, high, hertz);
    Ok(match notch {
        Some(notch) => filter.then(Filter::notch(notch.hertz(), NOTCH_QUALITY, hertz)),
        None => filter,
    })
}

/// The longest step in time, in nanoseconds, over which samples still count as neighbours: `gap`, and never less than one and a half
/// periods.
///
/// # Errors
/// When `gap` (pointer `/gap`) is not positive or above 100 ms.
pub fn longest_step_ns(gap: Duration, rate: Rate) -> Result<i64, Findings> {
    if !(gap.seconds() > 0.0 && gap.seconds() <= 0.1) {
        return Err(vec![PlanFinding::config("/gap", format!("a gap of {gap} is not within 0 to 100 ms"))]);
    }
    Ok(gap.nanoseconds().max(rate.period_ns() + rate.period_ns() / 2))
}

/// Per row, whether it doesn't go on from the one before: samples are missing just before it, or another device measured it. `last` is the
/// time of the row before the first one, `swaps` what [`swaps`](super::device::swaps) says.
pub fn breaks(times: &[TimeNs], last: Option<TimeNs>, longest_step_ns: i64, swaps: &[bool]) -> Vec<bool> {
    let before = std::iter::once(last).chain(times.iter().copied().map(Some));
    let is_gap = |(time, before): (&TimeNs, Option<TimeNs>)| before.is_some_and(|before| time.saturating_sub(before) > longest_step_ns);
    times.iter().zip(before).map(is_gap).zip(swaps).map(|(is_gap, is_swap)| is_gap || *is_swap).collect()
}

/// How long a signal lags in a filter, in seconds: the centroid of its impulse response's energy.
pub fn delay_s(filter: &Filter, rate_hz: f64) -> f64 {
    let response = filter.impulse_response(rate_hz as usize);
    let energy: f64 = response.iter().map(|h| h * h).sum();
    response.iter().enumerate().map(|(k, h)| k as f64 * h * h).sum::<f64>() / energy / rate_hz
}

/// Autocorrelation at lags 0.. of white noise behind a filter, relative to lag 0.
pub fn noise_correlation(filter: &Filter, rate_hz: f64, lags: usize) -> Vec<f64> {
    let response = filter.impulse_response(rate_hz as usize);
    let at = |lag: usize| response.iter().zip(&response[lag..]).map(|(a, b)| a * b).sum::<f64>();
    let power = at(0);
    (0..lags).map(|lag| at(lag) / power).collect()
}

/// Collects the findings of independent checks; all values only when nothing was found.
pub fn keep<T>(findings: &mut Findings, checked: Result<T, Findings>) -> Option<T> {
    checked.map_err(|found| findings.extend(found)).ok()
}
