//! In which order is a work run, and how often? Once for the answers, then we and the peers in turn, so that a drift of the machine
//! meets all alike. What counts is processor time: what else runs on the machine slows everyone's clock, and hardly this one.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::error::BenchError;
use crate::machine::Machine;
use crate::peer::{Peer, Running};
use crate::report::{Compared, Measured, Report, Skipped};
use crate::work::{Bench, Work};

/// How long works may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rounds of a work at most; three at least.
    pub rounds: usize,
    /// No further round begins after this, once three are done.
    pub time: Duration,
}

/// A round lasts at least this long: what is shorter is done several times.
const ROUND: Duration = Duration::from_millis(50);

/// Measures works; `heard` is told of each before it begins.
///
/// # Errors
/// When a work's pipeline is refused. What a machine lacks is in the report.
pub fn measure(works: &[&Work], bench: &Bench, limits: Limits, build: &str, heard: impl Fn(&Work)) -> Result<Report, BenchError> {
    let mut report = Report { machine: Machine::this(build), measured: Vec::new(), skipped: Vec::new() };
    for work in works {
        heard(work);
        match one(work, bench, limits, &mut report.skipped) {
            Ok(measured) => report.measured.push(measured),
            Err(error @ BenchError::Data(_)) => report.skipped.push(Skipped::new(work.name, None, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

fn one(work: &Work, bench: &Bench, limits: Limits, skipped: &mut Vec<Skipped>) -> Result<Measured, BenchError> {
    let prepared = (work.prepare)(bench)?;
    let ours = (prepared.answer)(&prepared.ours.tables());
    let mut contests: Vec<Contest<'_>> = Vec::new();
    for peer in &prepared.peers {
        let begun = peer.start(bench, &prepared.inputs).and_then(|mut running| {
            let first = running.run()?;
            let agreed = (peer.agree)(&ours, &running.answer()?);
            let repeats = repeats(running.run()?);
            Ok(Contest { peer, running, agreed, first, repeats, took: Vec::new() })
        });
        match begun {
            Ok(contest) => contests.push(contest),
            Err(error) => skipped.push(Skipped::new(work.name, Some(peer.name), &error)),
        }
    }
    let (mut given, took_first) = timed(|| prepared.ours.run());
    let repeats = repeats(took_first);
    let (begun, mut took) = (Instant::now(), Vec::new());
    while took.len() < 3 || (took.len() < limits.rounds && begun.elapsed() < limits.time) {
        took.push(timed(|| (0..repeats).for_each(|_| given = prepared.ours.run())).1 / repeats);
        for Contest { running, repeats, took, .. } in &mut contests {
            let all = (0..*repeats).try_fold(Duration::ZERO, |all, _| Ok::<_, BenchError>(all + running.run()?))?;
            took.push(all / *repeats);
        }
    }
    Ok(Measured {
        work: work.name,
        events: prepared.events,
        bytes: prepared.bytes,
        rows: given.rows,
        row_bytes: given.bytes,
        compared: contests
            .into_iter()
            .map(|contest| Compared::new(contest.peer, &took, contest.first, &contest.took, contest.agreed))
            .collect(),
        took,
    })
}

/// A peer in a work's rounds.
struct Contest<'p> {
    peer: &'p Peer,
    running: Running,
    agreed: Result<String, String>,
    first: Duration,
    repeats: u32,
    took: Vec<Duration>,
}

/// What some work gives, and the processor time that this thread spent on it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    };
    let begun = now();
    let given = work();
    (given, now() - begun)
}

/// How often something that takes so long is done in a round.
fn repeats(took: Duration) -> u32 {
    (ROUND.as_secs_f64() / took.as_secs_f64().max(1e-6)).ceil().max(1.0) as u32
}
