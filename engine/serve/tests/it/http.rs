//! Does HTTP answer in every form, as its asker may see it, and refuse the rest in problem details?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Host, ROWS};

/// A response: status, headers, body.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json().as_array().expect("an array").clone()
    }
}

/// Sends a request in HTTP/1.0, so that the answer ends with the connection.
pub(crate) fn send(at: SocketAddr, line: &str, headers: &[&str], body: &[u8]) -> Response {
    let mut stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "{line} HTTP/1.0\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).expect("sent");
    stream.write_all(body).expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Response { status, head, body: bytes[split + 4..].to_vec() }
}

pub(crate) fn ask(at: SocketAddr, sql: &str, headers: &[&str]) -> Response {
    send(at, "POST /v1/sql", &[&["content-type: application/sql"], headers].concat(), sql.as_bytes())
}

pub(crate) const ANNA: &str = "authorization: Basic YW5uYTphbiBhcHBsZQ==";
pub(crate) const EVE: &str = "authorization: Basic ZXZlOmV2ZW5pbmc=";
pub(crate) const ROOT: &str = "authorization: Basic cm9vdDpyb290cw==";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_in_every_form_with_hot_and_cold_rows() {
    let host = Host::open(|options, _| options).await;
    let at = host.http();
    let rows = ask(at, "SELECT count(*) AS n, sum(angle_deg) AS deg FROM angles", &[]).rows();
    assert_eq!(rows, [json!({ "n": 2 * ROWS, "deg": (ROWS * (ROWS - 1)) as f64 * 0.25 })]);

    let sql = "SELECT sequence, angle_deg FROM angles WHERE session = 's1' AND sequence >= 998 ORDER BY sequence";
    assert_eq!(ask(at, sql, &["accept: text/csv"]).text(), "sequence,angle_deg\n998,249.5\n999,249.75\n");
    let lines = ask(at, sql, &["accept: application/x-ndjson"]).text();
    assert_eq!(lines, "{\"sequence\":998,\"angle_deg\":249.5}\n{\"sequence\":999,\"angle_deg\":249.75}\n");
    let arrow = ask(at, sql, &["accept: application/vnd.apache.arrow.stream"]);
    let mut reader = arrow_ipc::reader::StreamReader::try_new(arrow.body.as_slice(), None).expect("a stream");
    assert_eq!(reader.schema().field(1).metadata().get("unit").map(String::as_str), Some("deg"));
    assert_eq!(reader.next().expect("a batch").expect("readable").num_rows(), 2);
    let parquet = ask(at, sql, &["accept: application/vnd.apache.parquet"]);
    assert!(parquet.head.contains("application/vnd.apache.parquet"), "{}", parquet.head);
    let file = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(parquet.body)).expect("a file");
    assert_eq!(file.build().expect("a reader").map(|batch| batch.expect("readable").num_rows()).sum::<usize>(), 2);

    assert_eq!(ask(at, "SELECT * FROM angles WHERE false", &["accept: text/csv"]).text().lines().count(), 1);
    assert_eq!(ask(at, "SELECT * FROM angles WHERE false", &[]).rows().len(), 0);
    assert_eq!(ask(at, sql, &["accept: text/html"]).status, 406);

    let body = json!({ "sql": "SELECT count(*) AS n FROM angles WHERE sequence < $1 AND session = $2", "parameters": [10, "s2"] });
    let asked = send(at, "POST /v1/sql", &["content-type: application/json"], body.to_string().as_bytes());
    assert_eq!(asked.rows(), [json!({ "n": 10 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_problem_details() {
    let host = Host::open(|options, _| options).await;
    let at = host.http();
    let cases = [
        ("SELECT * FROM angels", 400, "42P01", "did you mean `angles`"),
        ("SELECT angel_deg FROM angles", 400, "42703", "did you mean `angle_deg`"),
        ("SELEKT 1", 400, "42601", "SELEKT"),
        ("", 400, "42601", "nothing was asked"),
        ("DROP TABLE angles", 403, "25006", "read-only"),
        ("COPY angles TO '/tmp/x.csv'", 403, "25006", "read-only"),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", 403, "25006", "read-only"),
        ("SET datafusion.execution.batch_size = 1", 403, "25006", "read-only"),
        ("SELECT 1/0", 400, "42601", "zero"),
    ];
    for (sql, status, sqlstate, detail) in cases {
        let problem = ask(at, sql, &[]);
        assert_eq!(problem.status, status, "{sql}: {}", problem.text());
        assert!(problem.head.contains("application/problem+json"), "{}", problem.head);
        let told = problem.json();
        assert_eq!(told["sqlstate"], sqlstate, "{sql}: {told}");
        assert!(told["detail"].as_str().is_some_and(|text| text.contains(detail)), "{sql}: {told}");
    }
    assert_eq!(send(at, "POST /v1/sql", &["content-type: application/json"], b"{\"sq\": 1}").status, 400);
    assert_eq!(send(at, "POST /v1/sql", &["content-type: image/png"], b"x").status, 415);
    assert_eq!(send(at, "POST /v1/sql", &["content-type: text/plain"], &vec![b' '; 300 << 10]).status, 413);
    assert_eq!(ask(at, &format!("SELECT '{}'", "x".repeat(70_000)), &[]).status, 400);
    assert_eq!(send(at, "GET /v1/sql", &[], b"").status, 405);
    assert_eq!(send(at, "GET /v2", &[], b"").status, 404);
    assert_eq!(send(at, "GET /v1/tables", &["host: evil.example"], b"").status, 403);

    let outcomes = host.asked().await;
    let dropped = outcomes.iter().find(|(_, sql, _)| sql == "DROP TABLE angles").expect("it is written down");
    assert!(dropped.0 == "anonymous" && dropped.2["outcome"].as_str().is_some_and(|text| text.contains("read-only")), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_health_and_the_document_are_there() {
    let host = Host::with_users().await;
    let at = host.http();
    for path in ["/livez", "/readyz", "/v1/openapi.json"] {
        assert_eq!(send(at, &format!("GET {path}"), &[], b"").status, 200, "{path}");
    }
    let table = send(at, "GET /v1/tables/angles_latest", &[ROOT], b"").json();
    let angle = table["columns"].as_array().and_then(|columns| columns.iter().find(|column| column["name"] == "angle_deg")).cloned();
    assert_eq!(angle.expect("a column")["unit"], "deg");
    assert_eq!(send(at, "GET /v1/tables/angels", &[ROOT], b"").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_refused() {
    let host = Host::with_users().await;
    let at = host.http();
    let wrong =
        ["authorization: Basic YW5uYTp3cm9uZw==", "authorization: Bearer proprio_x", "authorization: Basic !", "authorization: x", "x: y"];
    for header in wrong {
        let problem = ask(at, "SELECT 1", &[header]);
        assert_eq!(problem.status, 401, "{header}: {}", problem.text());
        assert!(problem.head.contains("www-authenticate: basic"), "{}", problem.head);
    }
    assert_eq!(send(at, "GET /v1/tables", &[], b"").status, 401);
    let token = format!("authorization: Bearer {}", host.token);
    assert_eq!(ask(at, "SELECT 1 AS one", &[&token]).rows(), [json!({ "one": 1 })]);
    // Who tried is written down, by the name that was given; who brought nothing that could be read has tried nothing.
    let sql = "SELECT who, what, detail LIKE '%\"door\":\"http\"%' AS here FROM audit WHERE kind = 'login_refused' ORDER BY time_ns";
    let tried = |who: Value| json!({ "who": who, "what": null, "here": true });
    assert_eq!(ask(at, sql, &[ROOT]).rows(), [tried(json!("anna")), tried(Value::Null), tried(Value::Null)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_see_is_not_there_in_any_way() {
    let host = Host::with_users().await;
    let at = host.http();
    assert_eq!(ask(at, "SELECT count(*) AS n FROM angles", &[ROOT]).rows(), [json!({ "n": 2 * ROWS })]);
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM angles", json!([{ "n": ROWS }])),
        ("SELECT count(*) AS n FROM angles_all", json!([{ "n": ROWS }])),
        ("SELECT count(*) AS n FROM \"public\".\"angles\" WHERE session = 's2'", json!([{ "n": 0 }])),
        ("SELECT count(*) AS n FROM angles WHERE session <> 's1' OR true", json!([{ "n": ROWS }])),
        ("SELECT DISTINCT session FROM angles", json!([{ "session": "s1" }])),
        ("SELECT DISTINCT session FROM angles_latest", json!([{ "session": "s1" }])),
        ("SELECT max(session) AS session FROM angles", json!([{ "session": "s1" }])),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'se%' AND table_schema = 'public' ORDER BY 1",
            json!([
                { "table_name": "sessions" }, { "table_name": "sessions_all" }, { "table_name": "sessions_latest" }
            ]),
        ),
        ("SELECT count(*) AS n FROM information_schema.columns WHERE table_name LIKE 'secrets%'", json!([{ "n": 0 }])),
    ] {
        assert_eq!(Value::from(ask(at, sql, &[ANNA]).rows()), expected, "{sql}");
    }
    for sql in [
        "SELECT * FROM secrets",
        "DESCRIBE secrets",
        "SELECT * FROM secrets_all",
        "SELECT * FROM proprio.public.secrets",
        "SHOW COLUMNS FROM secrets",
    ] {
        let problem = ask(at, sql, &[ANNA]);
        assert_eq!(problem.status, 400, "{sql}: {}", problem.text());
        assert!(!problem.text().contains("did you mean"), "{sql}: {}", problem.text());
    }
    assert!(!ask(at, "SELECT * FROM secret", &[ANNA]).text().contains("secrets"));
    assert!(ask(at, "SELECT * FROM secret", &[ROOT]).text().contains("secrets"));
    assert_eq!(send(at, "GET /v1/tables/secrets", &[ANNA], b"").status, 404);
    let listed = send(at, "GET /v1/tables", &[ANNA], b"").json();
    assert_eq!(listed["tables"].as_array().map(Vec::len), Some(2), "{listed}");
    let explained = ask(at, "EXPLAIN ANALYZE SELECT * FROM angles", &[ANNA]);
    assert!(explained.status == 400 && explained.text().contains("EXPLAIN"), "{}", explained.text());
    assert_eq!(ask(at, "EXPLAIN SELECT * FROM angles", &[ROOT]).status, 200);
    // Nor by an error that only a hidden row could raise.
    let sql = "SELECT count(*) AS n FROM angles WHERE 1 / (CASE WHEN session = 's2' THEN 0 ELSE 1 END) = 1";
    assert_eq!(ask(at, sql, &[ANNA]).rows(), [json!({ "n": ROWS })]);
}
