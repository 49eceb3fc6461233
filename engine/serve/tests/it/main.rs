//! Do the doors let in whom they should, show what they may see, stop what runs away, and write down who asked?

mod console;
mod control;
mod hosting;
mod http;
mod limits;
mod live;
mod remote;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;
use proprio_core::control::Request;
use proprio_core::schema::{FieldExt as _, column, float};
use proprio_core::{StreamSchema, TableChunk, TableSpec};
use proprio_serve::users::{self, Entry, Limits};
use proprio_serve::{Addresses, Control, Doors, Options, Tables, Verifier};
use proprio_tables::{Place, Store};

/// Rows of each session, of which the first half is committed.
pub(crate) const ROWS: i64 = 1000;

fn stream() -> StreamSchema {
    StreamSchema::new(vec![column("sequence", DataType::Int64).required(), float("angle_deg", "deg")], &[], None)
}

/// A request, and who asked.
type Asked = (Option<String>, Request);

/// Doors over a rig with the tables `angles` and `secrets`, each with the sessions `s1` and `s2`.
pub(crate) struct Host {
    pub(crate) doors: Doors,
    pub(crate) store: Arc<Store>,
    pub(crate) token: String,
    /// What the rig was asked through the doors, and by whom.
    requests: Arc<Mutex<Vec<Asked>>>,
    dir: tempfile::TempDir,
}

impl Host {
    pub(crate) async fn open(options: impl FnOnce(Options, PathBuf) -> Options) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let spec = |name: &str| TableSpec {
            name: name.to_owned(),
            key: Some("sensor".to_owned()),
            columns: stream().columns,
            high_rate: false,
            operational: false,
        };
        let place = Place::of_data(&dir.path().join("data")).expect("a path");
        let store = Store::open(&place, "lab-1", &[spec("angles"), spec("secrets")]).await.expect("the store opens");
        for (position, half) in [(0, 0..ROWS / 2), (1, ROWS / 2..ROWS)] {
            let chunks = ["angles", "secrets"].map(|table| ["s1", "s2"].map(|session| chunk(table, session, half.clone(), position)));
            store.append(chunks.as_flattened(), position).expect("appended");
            if position == 0 {
                store.commit(position).await.expect("committed");
            }
        }
        let store = Arc::new(store);
        let any_port = Options { http_port: Some(0), postgres_port: Some(0), ..Options::default() };
        let options = options(any_port, dir.path().join("users.yaml"));
        let (control, mut calls) = Control::new();
        let requests: Arc<Mutex<Vec<_>>> = Arc::default();
        let heard = requests.clone();
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                if !matches!(call.request, Request::Status {}) {
                    heard.lock().expect("no test panics here").push((call.who.clone(), call.request.clone()));
                }
                let reply = control::answer(&call.request);
                call.reply(reply);
            }
        });
        let doors = Doors::open(&options, Tables::Running(store.clone()), Some(control)).expect("the doors open");
        Self { doors, store, token: String::new(), requests, dir }
    }

    /// With the users `anna`, who sees session `s1` of `angles`, `eve`, who sees all within narrow limits, and `root`.
    pub(crate) async fn with_users() -> Self {
        let (token, kept) = users::new_token();
        let mut host = Self::open(|options, path| {
            let entry = |password: &str, tables: &[&str], sessions: &[&str]| Entry {
                password: Some(Verifier::of(password).to_string()),
                tokens: Vec::new(),
                tables: tables.iter().map(ToString::to_string).collect(),
                sessions: sessions.iter().map(ToString::to_string).collect(),
                limits: Limits::default(),
                control: tables == ["*"] && sessions == ["*"],
            };
            let narrow = Limits { memory_mib: 4, time_s: 1, rows: 1500, queries: 1 };
            users::add(&path, "anna", Entry { tokens: vec![kept], ..entry("an apple", &["angles", "sessions"], &["s1"]) }).expect("added");
            users::add(&path, "eve", Entry { limits: narrow, ..entry("evening", &["*"], &["*"]) }).expect("added");
            users::add(&path, "root", entry("roots", &["*"], &["*"])).expect("added");
            Options { users: Some(path), ..options }
        })
        .await;
        host.token = token;
        host
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.requests.lock().expect("no test panics here").clone()
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        self.doors.addresses()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.addresses().http.rsplit('/').next().and_then(|at| at.parse().ok()).expect("an address")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// What `audit` says of questions: who, SQL, and the detail.
    pub(crate) async fn asked(&self) -> Vec<(String, String, serde_json::Value)> {
        let sql = "SELECT who, what, detail FROM audit WHERE kind = 'query' ORDER BY time_ns";
        let batches = self.store.query(sql).await.expect("an answer").collect().await.expect("rows");
        let text = |batch: &arrow_array::RecordBatch, column: usize, row: usize| {
            use arrow_array::cast::AsArray as _;
            batch.column(column).as_string::<i32>().value(row).to_owned()
        };
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| [0, 1, 2].map(|column| text(batch, column, row))));
        rows.map(|[who, sql, detail]| (who, sql, serde_json::from_str(&detail).expect("JSON"))).collect()
    }
}

fn chunk(table: &str, session: &str, sequence: std::ops::Range<i64>, position: i64) -> TableChunk {
    let sequence: Vec<i64> = sequence.collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(sequence.iter().map(|k| 1_800_000_000_000_000_000 + k * 10_000_000).collect::<Int64Array>()),
        Arc::new(Int64Array::from(sequence.clone())),
        Arc::new(sequence.iter().map(|k| *k as f64 * 0.25).collect::<Float64Array>()),
    ];
    TableChunk {
        table: table.to_owned(),
        key: Some("hip".to_owned()),
        session: session.to_owned(),
        run_id: "run-a".to_owned(),
        rows: proprio_core::rows::batch(&stream(), columns),
        position,
    }
}
