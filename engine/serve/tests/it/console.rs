//! Does the operator's page get what it shows, over its WebSocket, as its user may see it?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{ANNA, ROOT};
use super::{Host, ROWS, chunk};

/// A WebSocket of a page.
struct Page(TcpStream);

enum Message {
    Text(Value),
    Frame(Vec<u8>),
}

impl Page {
    fn open(host: &Host, user: &str) -> Self {
        let mut stream = TcpStream::connect(host.http()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        write!(
            stream,
            "GET /v1/console HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n{key}\r\n{user}\r\n\r\n",
            host.http()
        )
        .expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let length = u16::try_from(text.len()).expect("a short message").to_be_bytes();
        // Masked with zeros: a mask is due and hides nothing here.
        let head = [&[0x81, 0x80 | 126], length.as_slice(), &[0; 4]].concat();
        self.0.write_all(&[head.as_slice(), text.as_bytes()].concat()).expect("sent");
    }

    fn next(&mut self) -> Message {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a message");
        let length = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.bytes())),
            127 => usize::try_from(u64::from_be_bytes(self.bytes())).expect("a length"),
            short => usize::from(short),
        };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a message");
        match head[0] & 0x0f {
            1 => Message::Text(serde_json::from_slice(&body).expect("JSON")),
            2 => Message::Frame(body),
            other => panic!("a message of kind {other}"),
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("a message");
        bytes
    }

    /// The next text with this name.
    fn text(&mut self, name: &str) -> Value {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < give_up, "no {name} came");
            match self.next() {
                Message::Text(text) => {
                    if let Some(value) = text.get(name) {
                        return value.clone();
                    }
                }
                Message::Frame(frame) => self.say(&json!({ "seen": number(&frame, 8) })),
            }
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        loop {
            if let Message::Frame(frame) = self.next() {
                return frame;
            }
        }
    }
}

fn number(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(frame[at..at + 4].try_into().expect("four bytes"))
}

fn show(generation: u32, table: &str) -> Value {
    let channel = |id: u32, key: &str| json!({ "id": id, "table": table, "key": key, "column": "angle_deg" });
    json!({ "show": { "generation": generation, "bucket_ns": 50_000_000, "channels": [channel(3, "hip"), channel(4, "knee")] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_shows_comes_in_frames_of_least_and_greatest_values() {
    let host = Host::with_users().await;
    let mut page = Page::open(&host, ROOT);
    assert_eq!(page.text("status")["rig"], "lab-1");
    page.say(&show(9, "angles"));
    page.say(&json!({ "follow": [{ "id": "rows", "sql": "SELECT sequence FROM angles" }] }));
    // The live queries begin when they do; rows that come later are in frames.
    let mut position = 2;
    let mut frame = Vec::new();
    let store = host.store.clone();
    let appending = tokio::task::spawn_blocking(move || {
        for k in 0..100 {
            let from = ROWS + 10 * k;
            store.append(&[chunk("angles", "s1", from..from + 10, position)], position).expect("appended");
            position += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let listed = page.text("rows");
    assert_eq!(listed["id"], "rows");
    assert!(listed["rows"][0]["sequence"].as_i64().expect("a number") >= ROWS);
    while frame.is_empty() || number(&frame, 36) < 4 {
        frame = page.frame();
        page.say(&json!({ "seen": number(&frame, 8) }));
    }
    assert_eq!((&frame[..4], number(&frame, 4), number(&frame, 12), number(&frame, 32)), (b"PRF1".as_slice(), 9, 1, 3), "hip alone");
    let n = number(&frame, 36) as usize;
    assert_eq!(frame.len(), 32 + 16 + 12 * n);
    let value = |at: usize| f32::from_bits(number(&frame, 48 + 4 * at));
    // 100 Hz and 0.25 deg a row: five rows a bucket of 50 ms, but for the first and the last.
    for bucket in 1..n - 1 {
        let (low, high) = (value(n + bucket), value(2 * n + bucket));
        assert_eq!(high - low, 1.0, "bucket {bucket}");
        assert_eq!(low, value(n + bucket - 1).max(value(2 * n + bucket - 1)) + 0.25, "bucket {bucket}");
    }
    appending.await.expect("appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_reads_nothing_gets_a_few_frames_and_the_count_of_what_it_missed() {
    let host = Host::with_users().await;
    let mut page = Page::open(&host, ROOT);
    page.say(&show(1, "angles"));
    let store = host.store.clone();
    let appending = tokio::task::spawn_blocking(move || {
        for k in 0..200 {
            let from = ROWS + 100 * k;
            store.append(&[chunk("angles", "s1", from..from + 100, 2 + k)], 2 + k).expect("appended");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    appending.await.expect("appended");
    // Nothing was acknowledged: four frames are on their way, and the rest waits.
    for sequence in 1..=4 {
        assert_eq!(number(&page.frame(), 8), sequence);
    }
    page.say(&json!({ "seen": 4 }));
    let next = page.frame();
    assert_eq!(number(&next, 8), 5);
    let (n, dropped) = (number(&next, 36), u64::from_le_bytes(next[24..32].try_into().expect("eight bytes")));
    assert!(n <= 512, "no more than is kept: {n}");
    assert!(dropped > 0, "20000 rows at five a bucket don't fit 512 buckets and four frames");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_what_its_user_may_see_and_says_what_it_can_not_show() {
    let host = Host::with_users().await;
    let mut page = Page::open(&host, ANNA);
    page.say(&show(1, "secrets"));
    let problem = page.text("problem");
    assert_eq!(problem["of"], "secrets");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("secrets")), "{problem}");
    page.say(&json!({ "show": 7 }));
    assert_eq!(page.text("problem")["of"], "message");
    let many: Vec<Value> = (0..17).map(|id| json!({ "id": id.to_string(), "sql": "SELECT 1" })).collect();
    page.say(&json!({ "follow": many }));
    assert_eq!(page.text("problem")["of"], "follow");
}
