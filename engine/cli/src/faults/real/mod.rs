//! Does the real engine keep its promises when it is killed? Real sensors over zenoh, `kill -9` at random moments, restarts.

mod account;
mod lab;
mod process;

use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::chance::Chance;
use crate::plans::load;
use account::{Account, Accounts};
use lab::Lab;
use process::Engine;

/// What all rounds came to.
#[derive(Debug, Serialize)]
struct Outcome {
    rounds: u64,
    kills: u64,
    /// Of those, before the engine was up.
    kills_while_starting: u64,
    samples: Accounts,
    took_s: f64,
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    what: String,
    /// What the round left: files, data and the engine's log.
    folder: PathBuf,
}

/// What one round came to.
#[derive(Clone, Debug, Default)]
struct Round {
    kills: u64,
    kills_while_starting: u64,
    samples: Accounts,
}

/// Runs so many rounds, one after the other, from `seed` on.
///
/// In each, four sensors publish at their own rates, one of them with a cache, while the engine is killed up to three times
/// and started again. In the end the tables are compared with a replay of the recording, and every sample is looked for.
/// A round that fails names its seed, which decides on the moments of the kills, and keeps its folder. Returns whether none did.
///
/// # Errors
/// When the bench itself can't work.
pub fn run(rounds: u64, seed: u64, json: bool) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let runtime = crate::commands::runtime()?;
    let bar = ProgressBar::new(rounds);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} rounds, {eta} left").expect("the template is right"));
    let (mut total, mut failures) = (Round::default(), Vec::new());
    for seed in seed..seed.saturating_add(rounds) {
        let folder = std::env::temp_dir().join(format!("proprio-faults-{}-{seed}", std::process::id()));
        match runtime.block_on(round(seed, &folder)) {
            Ok(round) => {
                total += round;
                std::fs::remove_dir_all(&folder).with_context(|| format!("{} can't be removed", folder.display()))?;
            }
            Err(error) => {
                let what = format!("{error:#}");
                bar.println(format!("FAILED seed {seed}: {what}\n       its data and log: {}", folder.display()));
                failures.push(Failure { seed, what, folder });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let Round { kills, kills_while_starting, samples } = total;
    let outcome = Outcome { rounds, kills, kills_while_starting, samples, took_s: begun.elapsed().as_secs_f64(), failures };
    if json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        outcome.print();
    }
    Ok(outcome.failures.is_empty())
}

async fn round(seed: u64, folder: &Path) -> anyhow::Result<Round> {
    let mut chance = Chance::new(seed, "real");
    let mut engine = Engine::new(folder, lab::PIPELINE, lab::RIG)?;
    engine.start()?;
    let mut round = Round::default();
    let rig = load(&engine.pipeline())?.plan.rig;
    let lab = Lab::start(&engine.endpoint(), &rig, seed);
    for _ in 0..chance.between(1, 3) {
        // Early moments are likelier: an engine that comes up does the most that can go wrong.
        let alive_ms = if chance.happens(0.4) { chance.between(20, 600) } else { chance.between(600, 2_500) };
        tokio::time::sleep(Duration::from_millis(alive_ms.cast_unsigned())).await;
        round.kills_while_starting += u64::from(!engine.is_up());
        round.kills += 1;
        engine.kill()?;
        tokio::time::sleep(Duration::from_millis(chance.between(0, 700).cast_unsigned())).await;
        engine.start()?;
    }
    engine.wait_until_up().await?;
    tokio::time::sleep(Duration::from_millis(chance.between(800, 1_500).cast_unsigned())).await;
    let published =
        lab.finish().await.with_context(|| format!("the sensors don't come to an end; the engine says\n{}", engine.log_end()))?;
    engine.stop().await?;

    verify(&engine.data())?;
    round.samples = account::check(&engine.data(), &published).await?;
    Ok(round)
}

/// Whether the tables hold what the recording gives, by a process of its own, as an operator would ask.
fn verify(data: &Path) -> anyhow::Result<()> {
    let exe = std::env::current_exe().context("this binary can't be found")?;
    let output = Command::new(exe).args(["replay", "all", "--verify", "--data"]).arg(data).output().context("the replay does not run")?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the tables are not what the recording gives:\n{said}{complained}");
    Ok(())
}

impl AddAssign for Round {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.kills_while_starting += other.kills_while_starting;
        for (stream, account) in other.samples {
            *self.samples.entry(stream).or_default() += account;
        }
    }
}

impl Outcome {
    fn print(&self) {
        let Self { rounds, kills, kills_while_starting, samples, took_s, failures } = self;
        for Failure { seed, what, folder } in failures {
            println!("seed {seed}: {what}\n  in {}", folder.display());
        }
        println!("{rounds} rounds in {took_s:.1} s: {kills} kills, {kills_while_starting} of them while the engine came up");
        for (stream, account) in samples {
            let Account { published, stored, late, rejected, lost, duplicates } = account;
            println!(
                "{stream}: {published} samples = {stored} stored + {late} late + {rejected} rejected + {lost} lost; {duplicates} came twice"
            );
        }
        println!("{}", if failures.is_empty() { "every promise held" } else { "PROMISES WERE BROKEN" });
    }
}
