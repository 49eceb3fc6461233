//! Did the muscles come on in the order and at the time that is expected of them, and how probable is that?
//!
//! `expect` declares an order and a window: `tra_io_contralateral before gluteus_medius_ipsilateral before lumbar_load within
//! -100..50 ms`. The last name is the reference event; the others are muscles, in the order in which they should come on, each within
//! the window around the reference. A muscle ends in its side, or in `_ipsilateral` or `_contralateral` of the reference event; a
//! reference without a side stands for either side's. Names come from the inputs:
//!
//! | input | gives |
//! |---|---|
//! | `emg_onset`'s rows (`muscle`, `event`, `onset_sd_ms`, `onset_ahead_ms`) | `<muscle>` at its onsets, with their standard deviations |
//! | rows with `event` and `side`: gait events, a file's, marks | `<event>_<side>`, such as `initial_contact_left`; `<event>` alone for another side than these two |
//! | a column that `crossings` names | the crossing's name, when the signal crosses the threshold to stay |
//! | text columns `<muscle>_quality` | whether the muscle's channel can be believed |
//!
//! Per reference event one row comes out. `<muscle>_latency_ms` is the onset after the reference, negative before it, and
//! `<muscle>_sd_ms` its standard deviation: onset and reference together, with `model_sd` for what a detector can't know. An onset's
//! time is the mean over all that it may be, `onset_ahead_ms` before the likeliest one: a slow rise is found late. From the normal
//! distribution of the difference, `<muscle>_p_before` is P(before the reference), `<muscle>_p_in_window` P(within the window),
//! `p_<a>_before_<b>` P(a before b) of neighbours, `p_order` P(all in this order). A muscle's verdict is
//! `simultaneous` where the latency is less than twice its standard deviation (the order can't be told), else `early`, `in_window` or
//! `late`, and `unknown` with a reason. `order` is `as_declared`, `reversed` (some pair beyond doubt), `simultaneous` or `unknown`;
//! `verdict` the worst of the muscles', in the order unknown, late, early, simultaneous, in_window.
//!
//! `<muscle>_is_delayed`: later than `delayed` after the reference and beyond the personal baseline, mean + 2 SD of the first `baseline`
//! latencies of the session (which so must be healthy ones) or of `bands`; null until there is one, and where the latency is unknown.
//! `<muscle>_after_other_side_ms` is the latency less the mean of the other side's baseline: the gluteus medius has no norm but its
//! owner's own, of either side.
//!
//! The window is that of feed-forward activation (Hodges and Richardson 1996), the probability that of two independent normal times.
//! Surface EMG can't isolate transversus abdominis: the pair is called TrA/IO. Of several onsets within `search` the one nearest to the
//! window counts. **Delay**: an event is judged once the watermark has passed its search window. What isn't there is `unknown`: no
//! onset, an onset that was refused, a muscle that was active already, a bad channel, a gap that a quality column tells of. A crossing
//! needs samples without a gap of five periods. Two streams that both hold the reference give two rows for it: read one.
//!
//! ```yaml
//! op: firing_order
//! from: [onsets, fused]
//! with:
//!   expect: tra_io_contralateral before gluteus_medius_ipsilateral before load within -100..50 ms
//!   crossings: { load: { signal: pelvis_load_n, above: 20, for: 40 ms, side: left } }
//!   baseline: 2
//! input:
//!   onsets:
//!     schema:
//!       keys: [muscle, event]
//!       columns:
//!         - { name: muscle, type: text, required: true }
//!         - { name: event, type: text, required: true }
//!         - { name: onset_sd_ms, unit: ms }
//!         - { name: onset_ahead_ms, unit: ms }
//!         - { name: snr_db, unit: dB }
//!         - { name: reason, type: text }
//!     rows: |
//!       time_ms,muscle,event,onset_sd_ms,onset_ahead_ms,snr_db,reason
//!       940,tra_io_right,onset,3,1,16,
//!       980,gluteus_medius_left,onset,2,1,17,
//!       1200,gluteus_medius_left,offset,,,,
//!       1300,tra_io_right,offset,,,,
//!       1965,tra_io_right,onset,2,1,16,
//!       1976,gluteus_medius_left,onset,2,1,17,
//!       2300,gluteus_medius_left,offset,,,,
//!       2300,tra_io_right,offset,,,,
//!       3005,gluteus_medius_left,onset,5,1,12,
//!       3085,tra_io_right,onset,4,1,11,
//!       3300,tra_io_right,offset,,,,
//!       4020,tra_io_right,refused,,,2,signal-to-noise ratio below 3 dB
//!   fused:
//!     schema:
//!       rate: 100 Hz
//!       columns:
//!         - { name: pelvis_load_n, unit: N }
//!         - { name: gluteus_medius_left_quality, type: text }
//!     generate:
//!       duration: 6.2 s
//!       columns:
//!         pelvis_load_n: [{ pulses: { from: 0.99 s, period: 1 s, width: 0.6 s, amplitude: 400 } }, { missing: { from: 4.9 s, to: 5.1 s } }]
//! ```
//! ```csv
//! time_ns,reference,side,reference_sd_ms,verdict,reason,tra_io_contralateral_latency_ms,tra_io_contralateral_sd_ms,tra_io_contralateral_p_before,tra_io_contralateral_p_in_window,tra_io_contralateral_verdict,tra_io_contralateral_reason,tra_io_contralateral_is_delayed,tra_io_contralateral_after_other_side_ms,gluteus_medius_ipsilateral_latency_ms,gluteus_medius_ipsilateral_sd_ms,gluteus_medius_ipsilateral_p_before,gluteus_medius_ipsilateral_p_in_window,gluteus_medius_ipsilateral_verdict,gluteus_medius_ipsilateral_reason,gluteus_medius_ipsilateral_is_delayed,gluteus_medius_ipsilateral_after_other_side_ms,p_tra_io_contralateral_before_gluteus_medius_ipsilateral,p_order,order
//! 999553661,load_left,left,5.0,in_window,,-60.5537,5.83095,1.0,1.0,in_window,,,,-20.5537,5.38516,0.999932,1.0,in_window,,,,1.0,0.999999,as_declared
//! 1999553661,load_left,left,5.0,in_window,,-35.5537,5.38516,1.0,1.0,in_window,,,,-24.5537,5.38516,0.999997,1.0,in_window,,,,0.99995,0.999949,as_declared
//! 2999553661,load_left,left,5.0,late,,84.4463,6.40312,5.12333e-40,3.73228e-8,late,,true,,4.44634,7.07107,0.264738,1.0,simultaneous,,false,,4.03012e-36,2.99311e-50,reversed
//! 3999553661,load_left,left,5.0,unknown,tra_io_contralateral: refused: signal-to-noise ratio below 3 dB,,,,,unknown,refused: signal-to-noise ratio below 3 dB,,,,,,,unknown,active already,,,,,unknown
//! 5999553661,load_left,left,5.0,unknown,tra_io_contralateral: no onset,,,,,unknown,no onset,,,,,,,unknown,active already,,,,,unknown
//! # 5 rows, every bit hashed: d82098362ebedf0e
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::Duration;
use proprio_core::schema::{column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::baseline::{Band, Learner};
use crate::kernels::crossing::{CrossingFile, CrossingState, Signal};
use crate::kernels::expectation::{Expectation, side_of};
use crate::kernels::firing::{Judged, Known, Member, Order, Verdict};
use crate::kernels::marks::{Mark, MarkStream, Sign, Track, mark_streams};
use crate::kernels::names::suggest;

/// A declared order of muscles around a reference event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is expected: `<muscle> before … before <reference> within -100..50 ms`.
    expect: String,
    /// Reference events that are made from signals, by name.
    #[serde(default)]
    crossings: BTreeMap<String, CrossingFile>,
    /// How far around the reference an onset is searched. Left out: 200 ms beyond the window on either side.
    #[serde(default)]
    search: Option<[Duration; 2]>,
    /// Standard deviation of gait events and marks. Left out: 2 ms for those from force, 10 ms for others.
    #[serde(default)]
    event_sd: Option<Duration>,
    /// Standard deviation of every onset beyond the detector's own: its noise isn't quite the detector's.
    #[serde(default = "model_sd")]
    model_sd: Duration,
    /// Latency beyond which a muscle may be delayed.
    #[serde(default = "delayed")]
    delayed: Duration,
    /// How many of a muscle's first latencies make its personal baseline; 0 for none.
    #[serde(default = "baseline")]
    baseline: u32,
    /// Personal baselines that are known from before, by muscle with its side.
    #[serde(default)]
    bands: BTreeMap<String, BandFile>,
    /// Words in a `<muscle>_quality` column with which a channel counts.
    #[serde(default = "accepted")]
    accept: Vec<String>,
}

/// A personal baseline.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BandFile {
    /// Mean latency.
    mean: Duration,
    /// Its standard deviation.
    sd: Duration,
}

fn model_sd() -> Duration {
    Duration::new(0.001)
}

fn delayed() -> Duration {
    Duration::new(0.025)
}

fn baseline() -> u32 {
    10
}

fn accepted() -> Vec<String> {
    ["good", "poor", "settling"].map(str::to_owned).to_vec()
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let expectation = Expectation::parse(&self.expect).map_err(|error| {
            let help = "such as `tra_io_contralateral before gluteus_medius_ipsilateral within -100..50 ms`";
            findings.push(PlanFinding::config("/expect", error.to_string()).help(help));
        });
        let crossings: Vec<Signal> = self.crossings.iter().filter_map(|(name, file)| file.plan(name, ports, &mut findings)).collect();
        self.check_limits(&mut findings);
        let Ok(expectation) = expectation else { return Err(findings) };
        let streams = mark_streams(ports, self.event_sd.map(|sd| sd.seconds() * 1e3), self.model_sd.seconds() * 1e3);
        let watched = expectation.watched();
        self.check_names(&expectation, &watched, &streams, ports, &mut findings);
        let qualities = qualities(ports, &watched);
        for (port, input) in ports.iter().enumerate() {
            let is_read = streams.iter().any(|stream| stream.port == port)
                || crossings.iter().any(|crossing| crossing.port == port)
                || qualities.iter().any(|(_, at, _)| *at == port);
            if !is_read {
                let message = format!("`{}` holds neither onsets nor events, nor a signal or quality that is asked for", input.stream);
                findings.push(
                    PlanFinding::input(port, message)
                        .help("read `emg_onset`, a stream with `event` and `side`, or name a crossing's signal"),
                );
            }
        }
        let [low, high] = expectation.window_ns;
        let slack = 200_000_000;
        let search_ns =
            self.search.map_or([low.saturating_sub(slack), high.saturating_add(slack)], |search| search.map(Duration::nanoseconds));
        if search_ns[0] > low || search_ns[1] < high || search_ns.iter().any(|edge| edge.abs() > 60_000_000_000) {
            findings.push(PlanFinding::config("/search", "onsets are searched over the whole window at least, and 60 s around it at most"));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let lag_ns =
            crossings.iter().map(|crossing| crossing.crossing.hold_ns + crossing.crossing.gap_ns).fold(search_ns[1].max(0), i64::max);
        let members = Member::of(&expectation, &watched);
        let output = output(&members);
        let bands = watched
            .iter()
            .map(|name| self.bands.get(name).map(|band| Band { mean: band.mean.seconds() * 1e3, sd: band.sd.seconds() * 1e3 }));
        let operator = FiringOrder {
            reference: expectation.reference,
            window_ms: expectation.window_ns.map(|edge| edge as f64 / 1e6),
            bands: bands.collect(),
            watched,
            members,
            streams,
            crossings,
            qualities,
            accept: self.accept,
            search_ns,
            lag_ns,
            delayed_ms: self.delayed.seconds() * 1e3,
            baseline: self.baseline,
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check_limits(&self, findings: &mut Findings) {
        let sds = [("/event_sd", self.event_sd), ("/model_sd", Some(self.model_sd))];
        for (at, sd) in sds.into_iter().filter_map(|(at, sd)| Some((at, sd?))) {
            if !(0.0..=1.0).contains(&sd.seconds()) {
                findings.push(PlanFinding::config(at, format!("a standard deviation of {sd} is not within 0 s to 1 s")));
            }
        }
        if self.baseline == 1 || self.baseline > 1000 {
            findings.push(PlanFinding::config("/baseline", "a baseline stands on 2 to 1000 latencies; 0 for none"));
        }
    }

    fn check_names(&self, expectation: &Expectation, watched: &[String], streams: &[MarkStream], ports: &[Port], findings: &mut Findings) {
        let reference = expectation.reference.as_str();
        if streams.is_empty() {
            findings.push(PlanFinding::step("no input holds onsets").help("read an `emg_onset` step"));
        }
        for name in self.crossings.keys().filter(|name| **name != reference) {
            let message = format!("`{name}` is not the reference of `expect`, which is `{reference}`");
            findings.push(PlanFinding::config(format!("/crossings/{name}"), message));
        }
        let needs_side = expectation.muscles.iter().any(|name| name.resolve(None).is_none());
        if self.crossings.get(reference).is_some_and(|crossing| needs_side && crossing.side.is_none()) {
            let at = format!("/crossings/{reference}");
            findings.push(
                PlanFinding::config(at, "sides are relative to the reference, and this one has none")
                    .help("side: left, or write the muscles' sides out"),
            );
        }
        let is_gait = reference.starts_with("initial_contact") || reference.starts_with("final_contact");
        if is_gait && !streams.iter().any(|stream| !stream.is_onsets) {
            let all: Vec<&str> = ports.iter().map(|port| port.stream.as_str()).collect();
            findings.push(PlanFinding::step(format!("`{reference}` is a gait event, and none of {} has any", all.join(", "))));
        }
        for name in self.bands.keys().filter(|name| !watched.contains(name)) {
            let mut finding = PlanFinding::config(format!("/bands/{name}"), format!("`{name}` is no muscle of `expect`"));
            finding.help = suggest(name, watched.iter().map(String::as_str));
            findings.push(finding);
        }
    }
}

/// The quality columns of watched muscles: muscle, port, column.
fn qualities(ports: &[Port], watched: &[String]) -> Vec<(usize, usize, usize)> {
    let of = |(slot, name): (usize, &String)| {
        let wanted = format!("{name}_quality");
        ports.iter().enumerate().find_map(|(port, input)| {
            let index = input.schema.columns.fields().iter().position(|field| {
                *field.data_type() == DataType::Utf8 && (*field.name() == wanted || field.name().ends_with(&format!("_{wanted}")))
            })?;
            Some((slot, port, index))
        })
    };
    watched.iter().enumerate().filter_map(of).collect()
}

fn output(members: &[Member]) -> StreamSchema {
    let mut fields = vec![text("reference").with_nullable(false), text("side").with_nullable(false), float("reference_sd_ms", "ms")];
    fields.extend([text("verdict").with_nullable(false), text("reason")]);
    for Member { name, .. } in members {
        fields.extend([float(format!("{name}_latency_ms"), "ms"), float(format!("{name}_sd_ms"), "ms")]);
        fields.extend(["before", "in_window"].map(|what| float(format!("{name}_p_{what}"), "1")));
        fields.extend([text(format!("{name}_verdict")).with_nullable(false), text(format!("{name}_reason"))]);
        fields.extend([column(format!("{name}_is_delayed"), DataType::Boolean), float(format!("{name}_after_other_side_ms"), "ms")]);
    }
    fields.extend(members.windows(2).map(|pair| float(format!("p_{}_before_{}", pair[0].name, pair[1].name), "1")));
    if members.len() > 1 {
        fields.extend([float("p_order", "1"), text("order").with_nullable(false)]);
    }
    StreamSchema::new(fields, &["reference"], None)
}

struct FiringOrder {
    reference: String,
    window_ms: [f64; 2],
    /// Muscles by name; slots count through them.
    watched: Vec<String>,
    /// By slot.
    bands: Vec<Option<Band>>,
    members: Vec<Member>,
    streams: Vec<MarkStream>,
    crossings: Vec<Signal>,
    qualities: Vec<(usize, usize, usize)>,
    accept: Vec<String>,
    search_ns: [i64; 2],
    /// How long after a reference event all is known about it.
    lag_ns: i64,
    delayed_ms: f64,
    baseline: u32,
    output: StreamSchema,
}

/// What is remembered: reference events that wait, and the muscles' onsets around them.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// By (time, name).
    waiting: Vec<Reference>,
    tracks: Vec<Track>,
    learners: Vec<Learner>,
    crossings: Vec<CrossingState>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reference {
    time: TimeNs,
    name: String,
    ahead_ms: f64,
    sd_ms: f64,
}

impl Operator for FiringOrder {
    type State = State;

    fn start(&self) -> State {
        State {
            waiting: Vec::new(),
            tracks: vec![Track::default(); self.watched.len()],
            learners: vec![Learner::default(); self.watched.len()],
            crossings: vec![CrossingState::default(); self.crossings.len()],
        }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        for stream in &self.streams {
            stream.read(&inputs[stream.port], &mut |name, mark| self.take(state, name, mark));
        }
        for (slot, port, index) in &self.qualities {
            let words = rows::strings(&inputs[*port], *index);
            for (row, time) in rows::times(&inputs[*port]).iter().enumerate() {
                let word = (!words.is_null(row)).then(|| words.value(row)).filter(|word| !self.accept.iter().any(|fine| fine == word));
                state.tracks[*slot].note_quality(*time, word);
            }
        }
        for (n, signal) in self.crossings.iter().enumerate() {
            let values = rows::floats(&inputs[signal.port], signal.index);
            for (row, time) in rows::times(&inputs[signal.port]).iter().enumerate() {
                if let Some(at) = signal.crossing.step(&mut state.crossings[n], *time, rows::float_or_nan(values, row)) {
                    wait(state, Reference { time: at, name: signal.name.clone(), ahead_ms: 0.0, sd_ms: signal.sd_ms });
                }
            }
        }
        let promised = watermark.saturating_sub(self.lag_ns);
        self.judge_until(state, promised, false, out);
        let oldest = promised.saturating_add(self.search_ns[0]);
        state.tracks.iter_mut().for_each(|track| track.forget_before(oldest));
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.judge_until(state, TimeNs::MAX, true, out);
    }
}

impl FiringOrder {
    /// A mark is an onset of a watched muscle, a reference event, or both.
    fn take(&self, state: &mut State, name: &str, mark: Mark) {
        let is_reference = name == self.reference || side_of(name).is_some_and(|(base, _)| base == self.reference);
        if let Sign::Onset { ahead_ms, sd_ms } = mark.sign
            && is_reference
        {
            wait(state, Reference { time: mark.time, name: name.to_owned(), ahead_ms, sd_ms });
        }
        if let Ok(slot) = self.watched.binary_search_by(|other| other.as_str().cmp(name)) {
            state.tracks[slot].push(mark);
        }
    }

    fn judge_until(&self, state: &mut State, until: TimeNs, is_last: bool, out: &mut Output) {
        let ready = state.waiting.partition_point(|reference| reference.time <= until);
        let references: Vec<Reference> = state.waiting.drain(..ready).collect();
        let judged = references.iter().map(|reference| self.judge(state, reference, is_last));
        let judged: Vec<Vec<Judged>> = judged.collect();
        if !references.is_empty() {
            out.push(self.batch(&references, &judged));
        }
    }

    fn judge(&self, state: &mut State, reference: &Reference, is_last: bool) -> Vec<Judged> {
        let side = match side_of(&reference.name) {
            Some((_, "left")) => 1,
            Some((_, "right")) => 2,
            _ => 0,
        };
        let range = self.search_ns.map(|edge| reference.time.saturating_add(edge));
        let member = |member: &Member| {
            let Some(slot) = member.slots[side] else { return Judged::unknown("the reference has no side") };
            let found = state.tracks[slot].onset(reference.time, range, self.window_ms, is_last);
            let found = found.map(|(latency_ms, sd_ms)| {
                let latency_ms = latency_ms + reference.ahead_ms;
                Known { latency_ms, sd_ms, reference_sd_ms: reference.sd_ms }
            });
            let mut judged = Judged::new(found, self.window_ms);
            if let Some(known) = judged.known {
                let band = self.band(state, slot);
                // The same muscle as it usually is when the reference is the other side's.
                let other = if side == 0 { None } else { member.slots[3 - side].filter(|other| *other != slot) };
                let usual = other.and_then(|other| self.band(state, other));
                judged.after_other_side_ms = usual.map(|band| known.latency_ms - band.mean);
                judged.is_delayed = band.map(|band| known.latency_ms > self.delayed_ms && known.latency_ms > band.mean + 2.0 * band.sd);
                state.learners[slot].learn(known.latency_ms, self.baseline);
            }
            judged
        };
        self.members.iter().map(member).collect()
    }

    /// What is usual for a muscle, once that is known.
    fn band(&self, state: &State, slot: usize) -> Option<Band> {
        self.bands[slot].or(state.learners[slot].band(self.baseline))
    }

    fn batch(&self, references: &[Reference], judged: &[Vec<Judged>]) -> RecordBatch {
        let floats = |value: &dyn Fn(&[Judged]) -> f64| rows::nan_as_null(judged.iter().map(|row| value(row)).collect());
        let words = |value: &dyn Fn(&[Judged]) -> Option<String>| -> ArrayRef {
            Arc::new(judged.iter().map(|row| value(row)).collect::<StringArray>())
        };
        let side = |reference: &Reference| side_of(&reference.name).map_or("none", |(_, side)| side).to_owned();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(references.iter().map(|reference| reference.time).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(references.iter().map(|reference| &reference.name))),
            Arc::new(StringArray::from_iter_values(references.iter().map(side))),
            rows::nan_as_null(references.iter().map(|reference| reference.sd_ms).collect()),
            words(&|row| Some(Verdict::worst(row).name().to_owned())),
            words(&|row| {
                row.iter().zip(&self.members).find_map(|(judged, member)| Some(format!("{}: {}", member.name, judged.reason.as_ref()?)))
            }),
        ];
        for n in 0..self.members.len() {
            columns.push(floats(&|row| row[n].known.map_or(f64::NAN, |known| known.latency_ms)));
            columns.push(floats(&|row| row[n].known.map_or(f64::NAN, |known| known.latency_sd_ms())));
            columns.push(floats(&|row| row[n].known.map_or(f64::NAN, |known| known.p_before_reference())));
            columns.push(floats(&|row| row[n].known.map_or(f64::NAN, |known| known.p_within(self.window_ms))));
            columns.push(words(&|row| Some(row[n].verdict.name().to_owned())));
            columns.push(words(&|row| row[n].reason.clone()));
            columns.push(Arc::new(judged.iter().map(|row| row[n].is_delayed).collect::<BooleanArray>()));
            columns.push(floats(&|row| row[n].after_other_side_ms.unwrap_or(f64::NAN)));
        }
        let orders: Vec<Order> = judged.iter().map(|row| Order::of(row)).collect();
        for pair in 0..self.members.len() - 1 {
            columns.push(rows::nan_as_null(orders.iter().map(|order| order.pairs[pair]).collect()));
        }
        if self.members.len() > 1 {
            columns.push(rows::nan_as_null(orders.iter().map(|order| order.p_order).collect()));
            columns.push(Arc::new(StringArray::from_iter_values(orders.iter().map(|order| order.name))));
        }
        rows::batch(&self.output, columns)
    }
}

/// Adds a reference event, once.
fn wait(state: &mut State, reference: Reference) {
    let key = |other: &Reference| (other.time, other.name.clone());
    let at = state.waiting.partition_point(|other| key(other) < key(&reference));
    if state.waiting.get(at).is_none_or(|other| key(other) != key(&reference)) {
        state.waiting.insert(at, reference);
    }
}
