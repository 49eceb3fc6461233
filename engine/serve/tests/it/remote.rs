//! Does our own client ask an engine elsewhere as anybody's program does, and is it told why not?

use futures::TryStreamExt as _;
use proprio_serve::{Login, Remote, RemoteError};

use super::{Host, ROWS, chunk};

async fn connect(host: &Host, user: &str, password: &str) -> Result<Remote, RemoteError> {
    let login = Login::Password { user: user.to_owned(), password: password.to_owned() };
    Remote::connect(host.addresses().flight.parse().expect("an address"), &login, None).await
}

async fn count(remote: &Remote, sql: &str) -> Result<usize, RemoteError> {
    let batches: Vec<_> = remote.ask(sql).await?.batches.try_collect().await?;
    Ok(batches.iter().map(arrow_array::RecordBatch::num_rows).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_elsewhere_answers_whom_it_knows() {
    let host = Host::with_users().await;
    let anna = connect(&host, "anna", "an apple").await.expect("she is known");
    assert_eq!(count(&anna, "SELECT * FROM angles").await.expect("an answer"), ROWS as usize);
    let empty = anna.ask("SELECT angle_deg FROM angles WHERE false").await.expect("an answer");
    assert_eq!(empty.schema.field(0).metadata().get("unit").map(String::as_str), Some("deg"));
    for (sql, says) in
        [("SELECT * FROM secrets", "no table"), ("DROP TABLE angles", "read-only"), ("SELECT angel_deg FROM angles", "angle_deg")]
    {
        let error = count(&anna, sql).await.expect_err(sql).to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
    let token = Remote::connect(host.addresses().flight.parse().expect("an address"), &Login::Token(host.token.clone()), None).await;
    assert_eq!(count(&token.expect("it is hers"), "SELECT 1").await.expect("an answer"), 1);

    assert!(matches!(connect(&host, "anna", "wrong").await, Err(RemoteError::Login { .. })));
    let nobody = Remote::connect(host.addresses().flight.parse().expect("an address"), &Login::Nobody, None).await.expect("a connection");
    assert!(matches!(nobody.ask("SELECT 1").await, Err(RemoteError::Login { .. })));
    let nowhere = Remote::connect("grpc://127.0.0.1:1".parse().expect("an address"), &Login::Nobody, None).await;
    assert!(matches!(nowhere, Err(RemoteError::Connect { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_followed_until_they_are_let_go() {
    let host = Host::with_users().await;
    let root = connect(&host, "root", "roots").await.expect("known");
    let sql = "SUBSCRIBE SELECT sequence FROM angles";
    let mut followed = root.ask(sql).await.expect("it can be followed").batches;
    let mut came = 0;
    for position in 2.. {
        host.store.append(&[chunk("angles", "s1", 1000 + position..1001 + position, position)], position).expect("appended");
        if let Ok(batch) = tokio::time::timeout(std::time::Duration::from_millis(100), followed.try_next()).await {
            came += batch.expect("no error").expect("it has no end").num_rows();
        }
        if came >= 3 {
            break;
        }
    }
    drop(followed);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !host.asked().await.iter().any(|(_, asked, detail)| asked == sql && detail["outcome"] == "the query was cancelled") {
        assert!(std::time::Instant::now() < give_up, "{:?}", host.asked().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
