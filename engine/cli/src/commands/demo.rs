//! `proprio demo`: the whole idea in a minute, on a virtual subject whose truth is known.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use proprio_core::control::Request;
use proprio_simulate::{Calibration, Impairments, Layout, Options as SimulationOptions, PerSide, Placement, Simulation};
use proprio_tables::{COMMIT_INTERVAL, Format, output};
use proprio_zenoh::{Publisher, PublisherOptions, SessionOptions, Speed};

use super::connect::free_endpoint;
use super::publishing::{PATIENCE, bar, change};
use super::simulate::deliver;
use super::test::ANSWERS_OFF;
use crate::engine::{Engine, Options};

const PIPELINE: &str = include_str!("../../../../pipelines/walking/pipeline.yaml");
const RIG: &str = include_str!("../../../../pipelines/walking/rig.yaml");

/// What the subject has, which the answers must find.
const DELAY_MS: f64 = 60.0;
const DROP_DEG: f64 = 8.0;
/// How far the IMUs sit askew, which the calibration must find.
const PLACEMENT_SD_DEG: f64 = 10.0;

/// Shows the whole: a virtual subject's sensors publish over zenoh, `pipelines/walking` fuses them, and SQL answers beside
/// the simulated truth.
///
/// Exits with 3 when an answer misses the truth.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Data directory; each demo is a session of its own.
    #[arg(long, default_value = "data/demo", value_name = "DIR")]
    data: PathBuf,
    /// How long the session takes: 24 s of calibration, then walking.
    #[arg(long, default_value = "70 s", value_parser = super::play::duration)]
    duration: proprio_core::quantity::Duration,
    /// How fast: `1`, `10`, or `max`.
    #[arg(long, default_value = "max")]
    speed: Speed,
    /// Seed of everything that chance decides.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stay up afterwards, for `proprio sql`, until Ctrl-C.
    #[arg(long)]
    keep_running: bool,
}

/// One question of the demo.
struct Question {
    title: &'static str,
    sql: String,
    /// Whether the numbers of a row agree with the truth in it; none when there is none.
    check: Option<fn(&[f64]) -> bool>,
}

/// Runs the demo.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    std::fs::create_dir_all(&args.data).with_context(|| format!("{} can't be made", args.data.display()))?;
    let pipeline = args.data.join("pipeline.yaml");
    for (path, text) in [(&pipeline, PIPELINE), (&args.data.join("rig.yaml"), RIG)] {
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    let loaded = match super::run::load(&pipeline) {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let rig = loaded.plan.rig.clone();
    let endpoint = free_endpoint()?;
    let zenoh = SessionOptions { listen: vec![endpoint.clone()], ..SessionOptions::default() };
    println!("engine      pipelines/walking on rig {}, zenoh router on {endpoint}", rig.name);
    let options = Options {
        pipeline,
        data: args.data.clone(),
        tables: None,
        disk: None,
        zenoh,
        metrics: None,
        queue_bytes: 64 << 20,
        commit_every: COMMIT_INTERVAL,
        doors: args.keep_running.then(proprio_serve::Options::default),
    };
    let engine = Engine::start(loaded, options).await?;

    let simulation = Simulation::new(simulation_options(&args, &rig.name))?;
    println!(
        "subject     {} s of calibrating and walking, left gluteus medius {DELAY_MS} ms late, pelvis drops {DROP_DEG}° on the left",
        args.duration.seconds()
    );
    println!("sensors     IMUs sit askew on their segments by {PLACEMENT_SD_DEG}° (SD, about each axis)");
    let session = publish(simulation, &rig, &args, &endpoint).await?;
    println!("took        {:.1} s\n", begun.elapsed().as_secs_f64());

    let agreed = ask(&engine, &session).await?;
    print_next(&args.data, &session);
    if args.keep_running {
        println!("The engine stays up; Ctrl-C ends it.");
        engine.doors().map(super::serve::print);
        super::run::wait_for_end(&engine).await?;
    }
    engine.stop().await?;
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::from(ANSWERS_OFF) })
}

fn simulation_options(args: &Args, rig: &str) -> SimulationOptions {
    SimulationOptions {
        rig: rig.to_owned(),
        seed: args.seed,
        duration_s: args.duration.seconds(),
        calibration: Some(Calibration::default()),
        placement: Placement::Error { sd_deg: PLACEMENT_SD_DEG },
        layout: Layout::Walking,
        impairments: Impairments {
            gluteus_medius_delay_ms: PerSide { left: DELAY_MS, right: 0.0 },
            pelvic_drop_deg: PerSide { left: DROP_DEG, right: 0.0 },
            ..Impairments::default()
        },
        ..SimulationOptions::default()
    }
}

/// Publishes the simulation from a zenoh session of its own, and gives the session's id.
async fn publish(mut simulation: Simulation, rig: &proprio_core::Rig, args: &Args, endpoint: &str) -> anyhow::Result<String> {
    let zenoh = SessionOptions { connect: vec![endpoint.to_owned()], ..SessionOptions::default() };
    let session = proprio_zenoh::open_client(&zenoh, PATIENCE).await?;
    let from_ns = simulation.options().start_ns - 1;
    let start = Request::SessionStart {
        subject: Some("virtual".to_owned()),
        task: Some("walking".to_owned()),
        from_ns: Some(from_ns),
        carry: None,
    };
    let id = change(&session, &rig.name, start).await?;
    let publisher = Publisher::open(&session, rig, PublisherOptions { paced: false, ..PublisherOptions::default() }).await?;
    let bar = bar((args.duration.seconds() * 1e9) as i64, "publishing");
    deliver(&mut simulation, &publisher, rig, args.speed, false, &bar).await?;
    let published = publisher.end().await?;
    bar.finish_and_clear();
    change(&session, &rig.name, Request::SessionStop {}).await?;
    println!(
        "published   {} samples in {} messages, {:.1} MB, all durable",
        published.samples,
        published.messages,
        published.bytes as f64 / 1e6
    );
    session.close().await.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))?;
    Ok(id)
}

/// What the demo asks of its session.
fn questions(session: &str) -> Vec<Question> {
    let mine = format!("session = '{session}'");
    vec![
        Question {
            title: "Every sample is accounted for",
            sql: format!(
                "SELECT stream, count(*) AS gaps, sum(count) AS lost_samples\nFROM losses WHERE {mine} GROUP BY stream ORDER BY stream"
            ),
            check: None,
        },
        Question {
            title: "How each IMU sits, found by standing and squatting: its angle to its segment, beside the truth",
            sql: format!(
                "SELECT found.sensor, found.verdict, round(2 * degrees(acos(abs(found.segment_from_sensor_q_w))), 1) AS found_deg, placed.true_deg\n\
                 FROM alignment AS found JOIN (\n  \
                 SELECT substr(name, 11, length(name) - 16) AS sensor, round(sqrt(sum(value * value)), 1) AS true_deg\n  \
                 FROM truth WHERE name LIKE 'placement_%' AND {mine} GROUP BY 1\n\
                 ) AS placed ON placed.sensor = found.sensor\nWHERE found.{mine} ORDER BY found.sensor"
            ),
            check: Some(|row| (row[0] - row[1]).abs() <= 3.0),
        },
        Question {
            title: "Initial contacts: found by the plates, beside the truth",
            sql: format!(
                "SELECT found.side, count(*) AS contacts,\n       \
                 round(median(abs(found.time_ns - truth.time_ns)) / 1e6, 2) AS median_error_ms,\n       \
                 round(max(abs(found.time_ns - truth.time_ns)) / 1e6, 2) AS largest_error_ms\n\
                 FROM plate_contacts AS found JOIN truth ON truth.name = 'initial_contact_' || found.side\n  \
                 AND truth.session = found.session AND abs(found.time_ns - truth.time_ns) < 50000000\n\
                 WHERE found.event = 'initial_contact' AND found.{mine}\nGROUP BY found.side ORDER BY found.side"
            ),
            check: Some(|row| row[0] >= 5.0 && row[1] <= 2.0),
        },
        Question {
            title: "Onset of the gluteus medius after the same side's contact: found, beside the truth",
            sql: format!(
                "WITH onset AS (\n  SELECT time_ns, replace(muscle, 'gluteus_medius_', '') AS side FROM onsets\n  \
                 WHERE event = 'onset' AND muscle LIKE 'gluteus_medius_%' AND {mine}\n), real AS (\n  \
                 SELECT time_ns, replace(name, 'onset_gluteus_medius_', '') AS side, value FROM truth\n  \
                 WHERE name LIKE 'onset_gluteus_medius_%' AND {mine}\n)\n\
                 SELECT real.side, count(*) AS onsets,\n       \
                 round(median(real.value + (onset.time_ns - real.time_ns) / 1e6), 1) AS found_ms,\n       \
                 round(median(real.value), 1) AS true_ms\n\
                 FROM real JOIN onset ON onset.side = real.side AND abs(onset.time_ns - real.time_ns) < 150000000\n\
                 GROUP BY real.side ORDER BY real.side"
            ),
            check: Some(|row| row[0] >= 5.0 && (row[1] - row[2]).abs() <= 10.0),
        },
        Question {
            title: "Pelvic drop: alerts, beside the true peaks",
            sql: format!(
                "SELECT CASE WHEN peak.name LIKE '%left%' THEN 'left' ELSE 'right' END AS stance, count(*) AS steps,\n       \
                 round(median(peak.value), 1) AS true_peak_drop_deg, count(alert.time_ns) AS alerts\n\
                 FROM truth AS peak LEFT JOIN alerts AS alert ON alert.step = 'pelvic_drop' AND alert.state = 'firing'\n  \
                 AND alert.session = peak.session AND abs(alert.time_ns - peak.time_ns) < 300000000\n\
                 WHERE peak.name LIKE 'peak_pelvic_drop_%' AND peak.{mine}\nGROUP BY 1 ORDER BY 1"
            ),
            // Where the true drop is beyond the alert's 7°, most steps fire; elsewhere hardly any.
            check: Some(|row| if row[1] > 7.0 { row[2] >= 0.8 * row[0] } else { row[2] <= 0.1 * row[0] }),
        },
        Question {
            title: "Gait, cycle by cycle",
            sql: format!(
                "SELECT side, count(*) AS cycles, round(avg(stride_time_s), 3) AS stride_time_s,\n       \
                 round(avg(stance_percent), 1) AS stance_percent, round(avg(cadence_steps_per_min), 1) AS cadence\n\
                 FROM gait WHERE {mine} GROUP BY side ORDER BY side"
            ),
            check: None,
        },
    ]
}

/// Prints every question with its SQL and its answer; whether all agree with the truth.
async fn ask(engine: &Engine, session: &str) -> anyhow::Result<bool> {
    let mut agreed = true;
    for question in questions(session) {
        println!("── {}", question.title);
        println!("{}", question.sql);
        let batches = engine.store().query(&question.sql).await?.collect().await?;
        output::write(&batches, Format::Table, std::io::stdout())?;
        if let Some(check) = question.check {
            let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| numbers(batch, row)));
            let fine = rows.map(|row| check(&row)).collect::<Vec<_>>();
            let agrees = !fine.is_empty() && fine.iter().all(|fine| *fine);
            println!("{}\n", if agrees { "✓ agrees with the simulated truth" } else { "✗ misses the simulated truth" });
            agreed &= agrees;
        }
        std::io::stdout().flush()?;
    }
    Ok(agreed)
}

/// The numeric values of a row, in order.
fn numbers(batch: &arrow_array::RecordBatch, row: usize) -> Vec<f64> {
    let text = |column: &arrow_array::ArrayRef| arrow_cast::display::array_value_to_string(column, row).unwrap_or_default();
    batch.columns().iter().filter_map(|column| text(column).parse().ok()).collect()
}

fn print_next(data: &Path, session: &str) {
    let data = data.display();
    println!("Your data lies in {data}: recording/ (MCAP), tables/ (Delta Lake). Try next:");
    println!("  proprio sql --data {data} \"SHOW TABLES\"");
    println!("  proprio sql --data {data} \"DESCRIBE angles\"");
    println!("  proprio sql --data {data} \"SELECT * FROM gait WHERE session = '{session}' LIMIT 5\"");
    println!("  proprio demo --keep-running --speed 1      # and ask while it runs, from another terminal");
    println!("  proprio graph {data}/pipeline.yaml         # what the pipeline does");
}
