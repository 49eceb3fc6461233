//! Is a muscle more or less active than it is usual for this person, or than the same muscle of the other side, and in which part of
//! the stride?
//!
//! Reads the rows of a `phase_profile` step over EMG envelopes: 101 points a stride and channel. The personal band is the mean ± 2 SD of
//! each point over a side's first `baseline_strides` strides with a good signal, which so must be usual ones. The SD is widened by
//! √(1 + 1/n), as befits a further stride beside a mean of n. Per stride and channel one row comes out, at the stride's end:
//!
//! - `over_percent`, `under_percent`: share of the cycle above and below the band;
//! - `verdict`: `over` or `under` where that share is at least 5 % (the greater one, where both are), `in_band`, `learning`, or
//!   `unknown` with a `reason`;
//! - `from_percent`, `to_percent`: the longest stretch of the cycle that the verdict is about;
//! - `furthest_sd`: the furthest that the envelope is from the mean, in SD, negative below it;
//! - `level_percent`: the stride's mean activity, 100 % for that of the band's mean;
//! - `trend`: the same verdict on the mean of the newest `trend_strides` known strides; null until there are so many. It is what to act
//!   on: a stride has a dozen or so independent points, so a usual one leaves a band of 2 SD for 5 % of the cycle every other time.
//!
//! **Baseline.** With `baseline: contralateral` the band is that of the same muscle on the other side (`soleus_right_…` for `soleus_left_…`), over
//! that side's own strides: for a weakness that has been there from the first stride on, which no personal band shows. Amplitudes of two
//! pairs of electrodes compare only where they are normalised alike, so read a profile of envelopes that `mvc` normalised. Both sides are judged
//! against each other; `channels` names the side that is in question.
//!
//! A channel whose name or metadata has a side (`gluteus_medius_left_envelope_v`) is judged over its own foot's strides; others over
//! either's, each with a baseline of its own. Envelopes of one session only: amplitudes depend on where electrodes sit, so the band is
//! not carried over. **Delay** none beyond `phase_profile`'s. Gaps: a stride with more than a tenth of its points missing, or in which
//! the channel's `_quality` isn't one of `accept` for more than a tenth of the points, is `unknown` and enters neither band nor trend.
//!
//! ```yaml
//! op: activation
//! from: profile
//! with: { baseline: contralateral, baseline_strides: 2, trend_strides: 2, channels: [soleus_left_percent] }
//! input:
//!   profile:
//!     schema:
//!       keys: [side, phase_percent]
//!       columns:
//!         - { name: side, type: text, required: true }
//!         - { name: phase_percent, type: integer, unit: "%", required: true }
//!         - { name: start_ns, type: integer, unit: ns, required: true }
//!         - { name: soleus_left_percent, unit: "%" }
//!         - { name: soleus_left_quality, type: text }
//!         - { name: soleus_right_percent, unit: "%" }
//!     rows: |
//!       time_ms,side,phase_percent,start_ns,soleus_left_percent,soleus_left_quality,soleus_right_percent
//!       1000,left,0,0,30,good,1
//!       1000,left,1,0,32,good,1
//!       1500,right,0,500000000,5,good,50
//!       1500,right,1,500000000,5,good,60
//!       2000,left,0,1000000000,31,good,1
//!       2000,left,1,1000000000,61,good,1
//!       2500,right,0,1500000000,5,good,54
//!       2500,right,1,1500000000,5,good,62
//!       3000,left,0,2000000000,30,good,1
//!       3000,left,1,2000000000,60,good,1
//!       4000,left,0,3000000000,33,good,1
//!       4000,left,1,3000000000,71,good,1
//!       5000,left,0,4000000000,30,gap,1
//!       5000,left,1,4000000000,60,good,1
//!       6000,left,0,5000000000,53,good,1
//!       6000,left,1,5000000000,62,good,1
//! ```
//! ```csv
//! time_ns,side,channel,start_ns,verdict,trend,over_percent,under_percent,from_percent,to_percent,furthest_sd,level_percent,reason
//! 1000000000,left,soleus_left_percent,0,learning,,,,,,,,
//! 2000000000,left,soleus_left_percent,1000000000,learning,,,,,,,,
//! 3000000000,left,soleus_left_percent,2000000000,under,,0.0,50.0,0,0,-6.35085,79.646,
//! 4000000000,left,soleus_left_percent,3000000000,over,over,50.0,50.0,1,1,5.7735,92.0354,
//! 5000000000,left,soleus_left_percent,4000000000,unknown,,,,,,,,quality: gap
//! 6000000000,left,soleus_left_percent,5000000000,in_band,over,0.0,0.0,,,0.57735,101.77,
//! # 6 rows, every bit hashed: b0d89ebb9c9b667e
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::quantity::Share;
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::baseline::{Band, Learner};
use crate::kernels::gait_event::Foot;
use crate::kernels::names::suggest;
use crate::kernels::phase_band::{Excursion, excursion};

/// The most points that a stride may have.
const MAX_POINTS: usize = 1001;
/// Share of a stride's points that may be missing or bad.
const LOST: f64 = 0.1;

/// Activity per stride against the personal band.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Columns to judge; all of the stream's that are measured when left out.
    channels: Vec<String>,
    /// Whose strides make the band.
    baseline: Baseline,
    /// How many of the first strides make the band, 2 to 1000.
    baseline_strides: u32,
    /// Half of the band's width, in standard deviations.
    width_sd: f64,
    /// Share of the cycle outside the band from which a stride is over or under.
    share: Share,
    /// How many of the newest strides the trend is the mean of, 32 at most.
    trend_strides: usize,
    /// Words in a `_quality` column with which a point counts.
    accept: Vec<String>,
}

/// Whose strides make a band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Baseline {
    /// The channel's own first ones.
    #[default]
    Personal,
    /// The first ones of the same muscle on the other side.
    Contralateral,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            baseline: Baseline::default(),
            baseline_strides: 10,
            width_sd: 2.0,
            share: Share::new(5.0),
            trend_strides: 5,
            accept: ["good", "poor", "settling"].map(str::to_owned).to_vec(),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let schema = &ports[0].schema;
        let find =
            |name: &str, data_type: DataType| schema.index(name).filter(|index| *schema.columns.field(*index).data_type() == data_type);
        let columns = (find("side", DataType::Utf8), find("phase_percent", DataType::Int64), find("start_ns", DataType::Int64));
        if columns.0.is_none() || columns.1.is_none() || columns.2.is_none() {
            let message = format!("`{}` has no strides: `side`, `phase_percent` and `start_ns` are due", ports[0].stream);
            findings.push(PlanFinding::input(0, message).help("read a `phase_profile` step"));
        }
        let channels = self.channels(&ports[0], &mut findings);
        self.check_limits(&mut findings);
        let ((Some(side), Some(phase), Some(start)), true) = (columns, findings.is_empty()) else { return Err(findings) };
        let operator = Activation { side, phase, start, channels, config: self, output: output() };
        Ok(Planned::new(operator, output()))
    }
}

impl Config {
    /// The columns to judge, by name.
    fn channels(&self, port: &Port, findings: &mut Findings) -> Vec<Channel> {
        let fields = port.schema.columns.fields();
        let of = |(index, field): (usize, &Arc<Field>)| {
            let stem =
                |name: &str| ["_envelope_v", "_percent", "_v", "_deg"].iter().find_map(|end| name.strip_suffix(end).map(str::to_owned));
            let quality = stem(field.name()).and_then(|stem| port.schema.index(&format!("{stem}_quality")));
            let named = field.name().split('_').map(Foot::parse).find(|foot| *foot != Foot::Unknown);
            let foot = field.meta(meta::SIDE).map(Foot::parse).filter(|foot| *foot != Foot::Unknown).or(named);
            let quality = quality.filter(|index| *fields[*index].data_type() == DataType::Utf8);
            let is_measured = *field.data_type() == DataType::Float64;
            is_measured.then(|| Channel { name: field.name().clone(), index, quality, foot, is_judged: true, band_of: 0 })
        };
        let mut all: Vec<Channel> = fields.iter().enumerate().filter_map(of).collect();
        if all.is_empty() {
            findings.push(PlanFinding::input(0, format!("`{}` has no measured column", port.stream)));
        }
        for (n, name) in self.channels.iter().enumerate().filter(|(_, name)| all.iter().all(|channel| channel.name != **name)) {
            let mut finding = PlanFinding::config(format!("/channels/{n}"), format!("`{}` has no measured column `{name}`", port.stream));
            finding.help = suggest(name, all.iter().map(|channel| channel.name.as_str()));
            findings.push(finding);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        for (index, channel) in all.iter_mut().enumerate() {
            channel.is_judged = self.channels.is_empty() || self.channels.contains(&channel.name);
            channel.band_of = index;
        }
        if self.baseline == Baseline::Contralateral {
            self.pair(port, &mut all, findings);
        }
        all
    }

    /// Gives each channel its counterpart's band; a channel without one can't be judged.
    fn pair(&self, port: &Port, all: &mut [Channel], findings: &mut Findings) {
        let counterparts: Vec<Option<usize>> = all.iter().map(|channel| counterpart(channel, all)).collect();
        for (channel, counterpart) in all.iter_mut().zip(counterparts) {
            if let Some(counterpart) = counterpart {
                channel.band_of = counterpart;
                continue;
            }
            channel.is_judged = false;
            if let Some(n) = self.channels.iter().position(|name| *name == channel.name) {
                let message = format!("`{}` has no counterpart of `{}` on the other side", port.stream, channel.name);
                findings.push(PlanFinding::config(format!("/channels/{n}"), message));
            }
        }
        if self.channels.is_empty() && !all.is_empty() && all.iter().all(|channel| !channel.is_judged) {
            let message = format!("`{}` has no muscle on both sides", port.stream);
            findings.push(
                PlanFinding::config("/baseline", message).help("name them alike but for left and right: `soleus_left`, `soleus_right`"),
            );
        }
    }

    fn check_limits(&self, findings: &mut Findings) {
        if !(2..=1000).contains(&self.baseline_strides) {
            findings.push(PlanFinding::config("/baseline_strides", "a band stands on 2 to 1000 strides, 8 to 10 as a rule"));
        }
        if !(0.5..=10.0).contains(&self.width_sd) {
            findings.push(PlanFinding::config("/width_sd", format!("{} standard deviations are not within 0.5 to 10", self.width_sd)));
        }
        if !(0.0..=100.0).contains(&self.share.percent()) {
            findings.push(PlanFinding::config("/share", "a share of the cycle lies between 0 % and 100 %"));
        }
        if !(1..=32).contains(&self.trend_strides) {
            findings.push(PlanFinding::config("/trend_strides", "a trend is the mean of 1 to 32 strides"));
        }
    }
}

fn output() -> StreamSchema {
    let mut fields = vec![text("side").required(), text("channel").required(), column("start_ns", DataType::Int64).unit("ns").required()];
    fields.extend([text("verdict").required(), text("trend")]);
    fields.extend(["over_percent", "under_percent"].map(|name| float(name, "%")));
    fields.extend(["from_percent", "to_percent"].map(|name| column(name, DataType::Int64).unit("%")));
    fields.extend([float("furthest_sd", "1"), float("level_percent", "%"), text("reason")]);
    StreamSchema::new(fields, &["side", "channel"], None)
}

/// The channel of the same muscle on the other side: named alike but for the side.
fn counterpart(channel: &Channel, all: &[Channel]) -> Option<usize> {
    let mirrored: Vec<&str> = channel
        .name
        .split('_')
        .map(|word| if Foot::parse(word) == Foot::Unknown { word } else { Foot::parse(word).other().name() })
        .collect();
    let mirrored = mirrored.join("_");
    channel.foot.and_then(|foot| all.iter().position(|other| other.name == mirrored && other.foot == Some(foot.other())))
}

/// A column that is read.
struct Channel {
    name: String,
    index: usize,
    quality: Option<usize>,
    /// Whose strides it is judged over; both feet's where it has no side.
    foot: Option<Foot>,
    /// Whether rows come of it, rather than a band for its counterpart alone.
    is_judged: bool,
    /// The channel whose band it is judged against: itself, or its counterpart on the other side.
    band_of: usize,
}

struct Activation {
    side: usize,
    phase: usize,
    start: usize,
    channels: Vec<Channel>,
    config: Config,
    output: StreamSchema,
}

/// What is remembered of the left and the right foot's strides, by channel.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    feet: [Vec<Memory>; 2],
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// By point of the cycle.
    points: Vec<Learner>,
    strides: u32,
    /// The newest strides' values.
    newest: VecDeque<Vec<f64>>,
}

/// A row of the output.
struct Judged<'a> {
    time: TimeNs,
    foot: Foot,
    start: TimeNs,
    channel: &'a str,
    verdict: &'static str,
    found: Option<Excursion>,
    /// Mean activity against the band's.
    level: f64,
    range: Option<(i64, i64)>,
    points: usize,
    trend: Option<&'static str>,
    reason: Option<String>,
}

impl Operator for Activation {
    type State = State;

    fn start(&self) -> State {
        let memories = || self.channels.iter().map(|_| Memory::default()).collect();
        State { feet: [memories(), memories()] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let batch = &inputs[0];
        let (stamps, sides) = (rows::times(batch), rows::strings(batch, self.side));
        let mut judged = Vec::new();
        let mut from = 0;
        // Rows of a stride share time and side, and so come in one call.
        while from < stamps.len() {
            let is_same = |row: &usize| stamps[*row] == stamps[from] && sides.value(*row) == sides.value(from);
            let to = (from..stamps.len()).take_while(is_same).count() + from;
            let foot = Foot::parse(sides.value(from));
            if foot != Foot::Unknown {
                let stride = batch.slice(from, to - from);
                let of_foot = self.channels.iter().enumerate().filter(|(_, channel)| channel.foot.is_none_or(|own| own == foot));
                judged.extend(of_foot.filter_map(|(index, _)| self.judge(index, &mut state.feet, &stride, foot)));
            }
            from = to;
        }
        if !judged.is_empty() {
            out.push(self.batch(&judged));
        }
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Activation {
    /// Takes a stride of a channel, and judges it; none where the channel is there for its counterpart alone.
    fn judge(&self, index: usize, feet: &mut [Vec<Memory>; 2], stride: &RecordBatch, foot: Foot) -> Option<Judged<'_>> {
        let channel = &self.channels[index];
        let (time, start) = (rows::times(stride)[0], rows::integers(stride, self.start).value(0));
        let points = stride.num_rows();
        let mut judged = Judged {
            time,
            foot,
            start,
            channel: &channel.name,
            verdict: "unknown",
            found: None,
            level: f64::NAN,
            range: None,
            points,
            trend: None,
            reason: None,
        };
        let column = rows::floats(stride, channel.index);
        let values: Vec<f64> = (0..points).map(|point| rows::float_or_nan(column, point)).collect();
        let band_foot = if self.config.baseline == Baseline::Personal { foot } else { foot.other() };
        let usual = &feet[usize::from(band_foot == Foot::Right)][channel.band_of];
        let due = [usual.points.len(), feet[usize::from(foot == Foot::Right)][index].points.len()].into_iter().max().filter(|due| *due > 0);
        judged.reason = self.refusal(channel, &values, stride, due.unwrap_or(points));
        if judged.reason.is_some() {
            return channel.is_judged.then_some(judged);
        }
        let bands = self.bands(usual);
        let memory = &mut feet[usize::from(foot == Foot::Right)][index];
        let wanted = self.config.baseline_strides;
        if memory.strides < wanted {
            memory.strides += 1;
            memory.points.resize(points, Learner::default());
            memory.points.iter_mut().zip(&values).for_each(|(learner, value)| learner.learn(*value, wanted));
        }
        let Some(bands) = bands else {
            judged.verdict = "learning";
            return channel.is_judged.then_some(judged);
        };
        let found = excursion(&values, &bands, self.config.width_sd);
        judged.verdict = self.verdict(&found);
        let longest = match judged.verdict {
            "over" => found.longest_over,
            "under" => found.longest_under,
            _ => None,
        };
        let phases = rows::integers(stride, self.phase);
        judged.range = longest.map(|(first, last)| (phases.value(first), phases.value(last)));
        judged.found = Some(found);
        judged.level = level(&values, &bands);
        memory.newest.push_back(values);
        if memory.newest.len() > self.config.trend_strides {
            memory.newest.pop_front();
        }
        if memory.newest.len() == self.config.trend_strides {
            judged.trend = Some(self.verdict(&excursion(&mean(&memory.newest), &bands, self.config.width_sd)));
        }
        channel.is_judged.then_some(judged)
    }

    /// The band of a channel, once it stands on enough strides. A point that was missing in one of them stands on one less.
    fn bands(&self, usual: &Memory) -> Option<Vec<Band>> {
        let wanted = self.config.baseline_strides;
        let band = |learner: &Learner| learner.band(2).map_or(Band { mean: f64::NAN, sd: f64::NAN }, widened(wanted));
        (usual.strides >= wanted).then(|| usual.points.iter().map(band).collect())
    }

    fn verdict(&self, found: &Excursion) -> &'static str {
        let is_out = |count: usize| count > 0 && 100.0 * count as f64 >= self.config.share.percent() * found.known as f64;
        if is_out(found.over) && found.over >= found.under {
            "over"
        } else if is_out(found.under) {
            "under"
        } else {
            "in_band"
        }
    }

    /// Why a stride can't be judged.
    fn refusal(&self, channel: &Channel, values: &[f64], stride: &RecordBatch, points: usize) -> Option<String> {
        if values.len() != points || points > MAX_POINTS {
            return Some("a stride with another number of points".to_owned());
        }
        let most = (LOST * values.len() as f64) as usize;
        let words = channel.quality.map(|index| rows::strings(stride, index));
        let word = |row: usize| words.filter(|words| words.is_valid(row)).map(|words| words.value(row));
        let is_bad = |row: &usize| word(*row).is_some_and(|word| !self.config.accept.iter().any(|fine| fine == word));
        let mut bad = (0..values.len()).filter(is_bad);
        if let Some(first) = bad.next().filter(|_| bad.count() + 1 > most) {
            return word(first).map(|word| format!("quality: {word}"));
        }
        (values.iter().filter(|value| value.is_nan()).count() > most).then(|| "the signal is missing".to_owned())
    }

    fn batch(&self, judged: &[Judged]) -> RecordBatch {
        let share = |judged: &Judged, count: fn(&Excursion) -> usize| {
            judged.found.map_or(f64::NAN, |found| 100.0 * count(&found) as f64 / judged.points as f64)
        };
        let floats = |value: &dyn Fn(&Judged) -> f64| rows::nan_as_null(judged.iter().map(value).collect());
        let words = |value: &dyn Fn(&Judged) -> Option<String>| -> ArrayRef { Arc::new(judged.iter().map(value).collect::<StringArray>()) };
        let integers = |value: &dyn Fn(&Judged) -> Option<i64>| -> ArrayRef { Arc::new(judged.iter().map(value).collect::<Int64Array>()) };
        let columns = vec![
            integers(&|row| Some(row.time)),
            words(&|row| Some(row.foot.name().to_owned())),
            words(&|row| Some(row.channel.to_owned())),
            integers(&|row| Some(row.start)),
            words(&|row| Some(row.verdict.to_owned())),
            words(&|row| row.trend.map(str::to_owned)),
            floats(&|row| share(row, |found| found.over)),
            floats(&|row| share(row, |found| found.under)),
            integers(&|row| row.range.map(|(from, _)| from)),
            integers(&|row| row.range.map(|(_, to)| to)),
            floats(&|row| row.found.map_or(f64::NAN, |found| found.furthest_sd)),
            floats(&|row| 100.0 * row.level),
            words(&|row| row.reason.clone()),
        ];
        rows::batch(&self.output, columns)
    }
}

/// The mean of a stride over the mean of its band, where both are known.
fn level(values: &[f64], bands: &[Band]) -> f64 {
    let known = values.iter().zip(bands).filter(|(value, band)| !value.is_nan() && !band.mean.is_nan());
    let (sum, usual) = known.fold((0.0, 0.0), |(sum, usual), (value, band)| (sum + value, usual + band.mean));
    if usual > 0.0 { sum / usual } else { f64::NAN }
}

/// Point by point; NaN where no stride has a value.
fn mean(strides: &VecDeque<Vec<f64>>) -> Vec<f64> {
    let at = |point: usize| {
        let known = strides.iter().map(|values| values[point]).filter(|value| !value.is_nan());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    (0..strides[0].len()).map(at).collect()
}

/// A band for a further stride beside the mean of `strides`.
fn widened(strides: u32) -> impl Fn(Band) -> Band {
    move |band| Band { sd: band.sd * (1.0 + 1.0 / f64::from(strides)).sqrt(), ..band }
}
