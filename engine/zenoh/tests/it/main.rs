//! Whether samples get from a publisher into the recording and back as acknowledgements, over real zenoh on loopback.

mod clocks;
mod restarts;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use futures::StreamExt;
use proprio_core::control::{Ack, Reply, Request, Status, key};
use proprio_core::recorded::Packet;
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::{Decision, Event, Kind, Rate, Rig, Sensor, SourceMessage};
use proprio_recording::{Folder, Lane, Read, Reader, Recorder};
use proprio_zenoh::{
    AckPublisher, ArrivalClock, ControlServer, Egress, Incoming, Ingress, Publisher, PublisherOptions, Session, SessionOptions, SqlAnswer,
    SqlServer, WireError, control, open_client, open_router, sql, wire,
};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

fn sensor(name: &str, kind: Kind) -> Sensor {
    let file = SensorFile {
        rate: kind.is_sampled().then(|| Rate::hz(2000)),
        channels: BTreeMap::from([(1, "vastus".into()), (2, "soleus".into())]),
        magnetometer: false,
        ..SensorFile::new(kind)
    };
    RigFile { rig: "lab-1".into(), sensors: BTreeMap::from([(name.into(), file)]) }.resolve().sensors.remove(0)
}

fn rig() -> Rig {
    Rig { name: "lab-1".into(), sensors: vec![sensor("clicks", Kind::Events), sensor("muscles", Kind::Emg)] }
}

fn emg(first: i64, rows: i64) -> RecordBatch {
    let rate = Rate::hz(2000);
    let times: ArrayRef = Arc::new((first..first + rows).map(|k| rate.grid_time(k)).collect::<Int64Array>());
    let values = |scale: f64| -> ArrayRef { Arc::new((first..first + rows).map(|k| scale * k as f64).collect::<Float64Array>()) };
    RecordBatch::try_new(sensor("muscles", Kind::Emg).wire_schema().columns, vec![times, values(1e-6), values(-1e-6)]).expect("EMG")
}

fn click(time_ns: i64) -> RecordBatch {
    let schema = sensor("clicks", Kind::Events).wire_schema().columns;
    let fill = |field: &Arc<arrow_schema::Field>| -> ArrayRef {
        match field.data_type() {
            arrow_schema::DataType::Int64 => Arc::new(Int64Array::from(vec![time_ns])),
            _ => Arc::new(StringArray::from(vec!["left"])),
        }
    };
    let columns = schema.fields().iter().map(fill).collect();
    RecordBatch::try_new(schema, columns).expect("a click")
}

/// A router on a free port of the loopback, and how to reach it.
async fn router() -> (Session, SessionOptions) {
    for _ in 0..20 {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = SessionOptions { connect: vec![format!("tcp/127.0.0.1:{port}")], ..SessionOptions::default() };
        if let Ok(session) = router_at(&address).await {
            return (session, address);
        }
    }
    panic!("no free port in 20 tries");
}

/// A router where others connect to.
async fn router_at(address: &SessionOptions) -> Result<Session, WireError> {
    open_router(&SessionOptions { listen: address.connect.clone(), ..SessionOptions::default() }).await
}

async fn client(options: &SessionOptions) -> Session {
    open_client(options, PATIENCE).await.expect("a client session")
}

/// A small engine: records, syncs, decodes, acknowledges. Returns what it saw when the publisher's `end` is durable.
struct Engine {
    samples: [i64; 2],
    overflowed: u64,
    payloads: u64,
    present: Vec<(usize, bool)>,
    rejected: Vec<&'static str>,
}

fn run(
    ingress: &Ingress,
    acks: &AckPublisher,
    mut recorder: Recorder,
    slowness: Duration,
    until: impl Fn(&Engine, usize) -> bool,
) -> Engine {
    let rig = rig();
    let mut engine = Engine { samples: [0; 2], overflowed: 0, payloads: 0, present: Vec::new(), rejected: Vec::new() };
    let (mut ended, started) = (0, Instant::now());
    let mut known = [Ack { boot: 0, sequence: -1 }; 2];
    while started.elapsed() < PATIENCE {
        for arrival in ingress.recv(POLL, 1 << 20) {
            let event = match arrival.incoming {
                Incoming::Event(event) => event,
                Incoming::Presence { sensor, present } => {
                    engine.present.push((sensor, present));
                    continue;
                }
            };
            let recorded = recorder.append(event, arrival.arrival_ns);
            match recorded.event {
                Event::Decision(Decision::Overflow { messages, .. }) => engine.overflowed += messages,
                Event::Decision(other) => panic!("the ingress doesn't decide {other:?}"),
                Event::Payload { sensor, encoding, payload } => {
                    engine.payloads += 1;
                    match wire::decode(&rig.sensors[sensor], &encoding, &payload) {
                        Ok(SourceMessage::Open { boot, .. }) => known[sensor] = Ack { boot, sequence: -1 },
                        Ok(SourceMessage::End { last_sequence, boot }) => {
                            ended += 1;
                            known[sensor] = Ack { boot, sequence: last_sequence };
                        }
                        Ok(SourceMessage::Progress { .. }) => {}
                        Ok(SourceMessage::Samples(samples)) => {
                            let rows = samples.rows.num_rows() as i64;
                            engine.samples[sensor] += rows;
                            known[sensor] = Ack { boot: samples.boot, sequence: samples.sequence + rows - 1 };
                        }
                        Err(rejection) => engine.rejected.push(rejection.reason),
                    }
                }
            }
        }
        recorder.seal();
        assert_eq!(recorder.trouble(), None);
        known.iter().enumerate().for_each(|(sensor, ack)| acks.set(sensor, *ack));
        if until(&engine, ended) {
            return engine;
        }
        std::thread::sleep(slowness);
    }
    panic!("the engine waited too long: {:?} samples, {} ended", engine.samples, ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_samples_are_recorded_and_acknowledged_and_read_back() {
    let data = tempfile::tempdir().expect("a folder");
    let (session, address) = router().await;
    let clock = ArrivalClock::start();
    let ingress = Arc::new(Ingress::open(&session, &rig(), clock, 64 << 20, &[]).await.expect("an ingress"));
    let acks = AckPublisher::open(&session, &rig()).await.expect("acknowledgements");
    let recorder = Recorder::open(Arc::new(Folder::new(data.path())), &rig(), &BTreeMap::new(), Lane::Inline).expect("a recorder");

    // Kept and closed in the open: dropping the last handle blocks, and could swallow the wake-up of the other branch.
    let publishing = client(&address).await;
    let publisher_side = async {
        let options = PublisherOptions { paced: false, window_bytes: 100_000, patience: PATIENCE, ..PublisherOptions::default() };
        let publisher = Publisher::open(&publishing, &rig(), options).await.expect("a publisher");
        for chunk in 0..40 {
            publisher.publish(Packet { sensor: 1, sequence: chunk * 5_000, rows: emg(chunk * 5_000, 5_000) }).await.expect("EMG goes out");
            publisher.publish(Packet { sensor: 0, sequence: chunk, rows: click(chunk) }).await.expect("a click goes out");
            publisher.progress(0, chunk).await.expect("progress goes out");
            assert!(publisher.unacknowledged_bytes() <= 100_000);
        }
        publisher.end().await.expect("everything is acknowledged")
    };
    let taking = ingress.clone();
    let engine_side = tokio::task::spawn_blocking(move || {
        run(&taking, &acks, recorder, Duration::ZERO, |engine, ended| ended >= 2 && engine.present.len() >= 4)
    });
    let (published, engine) = tokio::join!(publisher_side, engine_side);
    let engine = engine.expect("the engine ends");
    assert_eq!((engine.samples, engine.overflowed), ([40, 200_000], 0));
    assert_eq!(published.samples, 200_040);
    assert!(engine.rejected.is_empty());
    // Both tokens came, and went with the publisher.
    assert_eq!(engine.present.iter().filter(|(_, present)| *present).count(), 2);
    assert_eq!(engine.present.iter().filter(|(_, present)| !present).count(), 2);
    assert_eq!(ingress.counts().received, engine.payloads);

    let disk: Arc<dyn proprio_recording::Disk> = Arc::new(Folder::new(data.path()));
    let mut reader = Reader::open(&disk, &rig().name, 0).expect("a recording");
    let mut read = Vec::new();
    while let Some(found) = reader.next(&rig()).expect("whole messages") {
        let Read::Message(message) = found else { panic!("the rig has not changed") };
        read.push(message);
    }
    assert_eq!(read.len() as u64, engine.payloads);
    let mut sequence = 0;
    for message in &read {
        if let Event::Payload { sensor: 1, encoding, payload } = &message.event
            && let Ok(SourceMessage::Samples(samples)) = wire::decode(&rig().sensors[1], encoding, payload)
        {
            assert_eq!(samples.sequence, sequence, "in order, none missing");
            assert_eq!(samples.rows.columns(), emg(sequence, samples.rows.num_rows() as i64).columns(), "bit for bit");
            sequence += samples.rows.num_rows() as i64;
        }
    }
    assert_eq!(sequence, 200_000);
    session.close().await.expect("the router closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_overflows_is_counted_exactly_and_told_as_an_event() {
    let data = tempfile::tempdir().expect("a folder");
    let (session, address) = router().await;
    let ingress = Arc::new(Ingress::open(&session, &rig(), ArrivalClock::start(), 200_000, &[]).await.expect("an ingress"));
    let acks = AckPublisher::open(&session, &rig()).await.expect("acknowledgements");
    let recorder = Recorder::open(Arc::new(Folder::new(data.path())), &rig(), &BTreeMap::new(), Lane::Inline).expect("a recorder");
    let options = PublisherOptions { paced: false, window_bytes: usize::MAX, patience: PATIENCE, ..PublisherOptions::default() };
    let publishing = client(&address).await;
    let publisher = Publisher::open(&publishing, &rig(), options).await.expect("a publisher");
    // Nobody takes: all but the first 200 kB must overflow, and nothing else may go missing.
    for chunk in 0..100 {
        publisher.publish(Packet { sensor: 1, sequence: chunk * 1_000, rows: emg(chunk * 1_000, 1_000) }).await.expect("EMG goes out");
    }
    let sent = publisher.published().messages + 2;
    let give_up = Instant::now() + PATIENCE;
    while ingress.counts().received < sent && Instant::now() < give_up {
        tokio::time::sleep(POLL).await;
    }
    let counts = ingress.counts();
    assert_eq!(counts.received, sent);
    assert!(counts.overflowed > 50 && counts.waiting_bytes <= 200_000, "{counts:?}");

    let taking = ingress.clone();
    let engine_side = tokio::task::spawn_blocking(move || run(&taking, &acks, recorder, Duration::ZERO, |_, ended| ended >= 2));
    let (ended, engine) = tokio::join!(publisher.end(), engine_side);
    ended.expect("end is acknowledged, the lost samples with it");
    let engine = engine.expect("the engine ends");
    assert_eq!(engine.overflowed, counts.overflowed);
    assert_eq!(engine.payloads + engine.overflowed, ingress.counts().received);
    session.close().await.expect("the router closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_strangers_are_counted_and_stop_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let (session, address) = router().await;
    let ingress = Arc::new(Ingress::open(&session, &rig(), ArrivalClock::start(), 64 << 20, &[]).await.expect("an ingress"));
    let acks = AckPublisher::open(&session, &rig()).await.expect("acknowledgements");
    let recorder = Recorder::open(Arc::new(Folder::new(data.path())), &rig(), &BTreeMap::new(), Lane::Inline).expect("a recorder");
    let vandal = client(&address).await;
    let publisher = vandal.declare_publisher("lab-1/emg/muscles").await.expect("a publisher");
    while !publisher.matching_status().await.expect("a status").matching() {
        tokio::time::sleep(POLL).await;
    }
    let endless = "x".repeat(200);
    let put = |encoding: &'static str, payload: &'static [u8]| publisher.put(payload).encoding(encoding);
    put(wire::PACKED, b"PRP1 but not really").await.expect("goes out");
    put(wire::ARROW, &[0xFF; 64]).await.expect("goes out");
    put(wire::JSON, b"{\"boot\":1,\"sequence\":0,\"time_ns\":5,\"volts\":1}").await.expect("goes out");
    put("text/plain", b"hello").await.expect("goes out");
    publisher.put(b"").encoding(endless.as_str()).await.expect("goes out");
    put(wire::JSON, b"{\"boot\":1,\"sequence\":0,\"time_ns\":5,\"vastus_v\":1,\"soleus_v\":2}").await.expect("goes out");
    for _ in 0..3 {
        vandal.put("lab-1/emg/unknown", "?").await.expect("goes out");
    }
    let taking = ingress.clone();
    let done = move |engine: &Engine, _| engine.samples[1] == 1;
    let engine = tokio::task::spawn_blocking(move || run(&taking, &acks, recorder, Duration::ZERO, done)).await.expect("the engine ends");
    assert_eq!(engine.rejected, ["garbage", "garbage", "schema", "encoding", "encoding"]);
    let give_up = Instant::now() + PATIENCE;
    while ingress.counts().undeclared < 3 && Instant::now() < give_up {
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(ingress.counts().undeclared, 3);
    session.close().await.expect("the router closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_queries_are_answered_in_full_or_refused_in_words() {
    let (session, address) = router().await;
    let (server, calls) = ControlServer::open(&session, "lab-1").await.expect("control");
    let answering = std::thread::spawn(move || {
        while let Ok(call) = calls.recv() {
            let reply = match &call.request {
                Request::Status {} => Reply::Status(Status { rig: "lab-1".into(), ..Status::default() }),
                Request::Mark { label, .. } => Reply::Done { session: label.clone(), position: 7 },
                _ => Reply::Refused { reason: "not here".into() },
            };
            call.reply(&reply).expect("the asker is there");
        }
    });
    let handler: proprio_zenoh::SqlHandler = Arc::new(|sql: String| {
        Box::pin(async move {
            let schema = emg(0, 0).schema();
            match sql.as_str() {
                "rows" => {
                    let batches = futures::stream::iter((0..30).map(|chunk| Ok(emg(chunk * 8_192, 8_192)))).boxed();
                    Ok(SqlAnswer { schema, batches })
                }
                "none" => Ok(SqlAnswer { schema, batches: futures::stream::empty().boxed() }),
                "late" => Ok(SqlAnswer { schema, batches: futures::stream::iter([Ok(emg(0, 3)), Err("disk on fire".to_owned())]).boxed() }),
                _ => Err(format!("no such table: {sql}")),
            }
        })
    });
    let _sql = SqlServer::open(&session, "lab-1", handler).await.expect("sql");
    let client = &client(&address).await;

    let ask = |request: Request| async move { control::request(client, "lab-1", &request, PATIENCE).await };
    assert!(matches!(ask(Request::Status {}).await, Ok(Reply::Status(status)) if status.rig == "lab-1"));
    assert_eq!(
        ask(Request::Mark { label: "a".into(), time_ns: None }).await.expect("done"),
        Reply::Done { session: "a".into(), position: 7 }
    );
    assert!(matches!(ask(Request::SessionStop {}).await, Ok(Reply::Refused { .. })));
    let anyone = control::request(client, "*", &Request::Status {}, PATIENCE).await;
    assert!(matches!(anyone, Ok(Reply::Status(status)) if status.rig == "lab-1"));
    let nonsense = client.get(key::control("lab-1")).payload("nonsense").await.expect("asked").recv_async().await.expect("a reply");
    assert!(nonsense.result().is_err());

    let ask = |text: &'static str| sql::query(client, "lab-1", text, PATIENCE);
    let batches = ask("rows").await.expect("rows");
    let whole = arrow_select::concat::concat_batches(&batches[0].schema(), &batches).expect("one batch");
    assert_eq!(whole.columns(), emg(0, 30 * 8_192).columns(), "every row, in order");
    let none = ask("none").await.expect("no rows");
    assert_eq!((none.len(), none[0].num_rows(), none[0].num_columns()), (1, 0, 3));
    assert!(matches!(ask("late").await, Err(WireError::Refused(text)) if text == "disk on fire"));
    assert!(matches!(ask("walks").await, Err(WireError::Refused(text)) if text == "no such table: walks"));

    drop(server);
    let short = Duration::from_millis(300);
    assert!(matches!(control::request(client, "lab-2", &Request::Status {}, short).await, Err(WireError::Timeout { .. })));
    assert!(matches!(sql::query(client, "lab-2", "rows", short).await, Err(WireError::Timeout { .. })));
    session.close().await.expect("the router closes");
    answering.join().expect("the calls end with their server");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_reach_their_listeners() {
    let (session, address) = router().await;
    let listener = client(&address).await;
    let alerts = listener.declare_subscriber(key::alert("lab-1", "*")).await.expect("a subscriber");
    let egress = Egress::open(&session, [("drop".to_owned(), key::alert("lab-1", "drop"))]).await.expect("an egress");
    // A new subscription takes a moment to reach the router; an alert from before it is not owed.
    let give_up = Instant::now() + PATIENCE;
    let first = loop {
        egress.tell("drop", &serde_json::json!({"id": 1})).expect("JSON");
        match tokio::time::timeout(POLL, alerts.recv_async()).await {
            Ok(sample) => break sample.expect("an alert"),
            Err(_) => assert!(Instant::now() < give_up, "no alert came"),
        }
    };
    assert_eq!(first.key_expr().as_str(), "lab-1/@alert/drop");
    assert_eq!(first.payload().to_bytes().as_ref(), br#"{"id":1}"#);
    assert_eq!(egress.dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_says_what_it_waits_for() {
    let (session, address) = router().await;
    let short = PublisherOptions { patience: Duration::from_millis(300), window_bytes: 1_000, ..PublisherOptions::default() };
    let waiting = Publisher::open(&client(&address).await, &rig(), short.clone()).await;
    let Err(error) = waiting else { panic!("nobody subscribes") };
    assert!(error.to_string().contains("a subscriber to lab-1/events/clicks"), "{error}");

    let _ingress = Ingress::open(&session, &rig(), ArrivalClock::start(), 64 << 20, &[]).await.expect("an ingress");
    let publisher = Publisher::open(&client(&address).await, &rig(), short).await.expect("a publisher");
    publisher.publish(Packet { sensor: 1, sequence: 0, rows: emg(0, 60) }).await.expect("the first fills the window");
    let stuck = publisher.publish(Packet { sensor: 1, sequence: 60, rows: emg(60, 60) }).await.expect_err("nobody acknowledges");
    assert!(stuck.to_string().contains("not yet durable (muscles) on lab-1/@ack"), "{stuck}");
    let nobody =
        open_client(&SessionOptions { connect: vec!["tcp/127.0.0.1:1".into()], ..Default::default() }, Duration::from_millis(300)).await;
    assert!(matches!(nobody, Err(WireError::Open { endpoints, .. }) if endpoints.contains("127.0.0.1:1")));
}
