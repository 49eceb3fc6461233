//! Is the rig changed by whom may alone, and never by a page of another origin?

use proprio_core::control::{Reply, Request};
use proprio_core::note::Note;
use serde_json::json;

use super::Host;
use super::http::{ANNA, ROOT, Response, send};

fn control(host: &Host, request: &serde_json::Value, headers: &[&str]) -> Response {
    let headers = [&["content-type: application/json"], headers].concat();
    send(host.http(), "POST /v1/control", &headers, request.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rig_is_changed_by_whom_may_and_by_their_name() {
    let host = Host::with_users().await;
    let note = json!({ "request": "note", "note": { "author": "anna", "text": "limps" } });
    let done = control(&host, &note, &[ROOT]);
    assert_eq!((done.status, done.json()), (200, json!({ "done": { "session": "s1", "position": 7 } })));
    let noted = Request::Note { note: Note::plain("root", "limps"), time_ns: None };
    assert_eq!(host.requests(), [(Some("root".to_owned()), noted)]);

    for request in [&note, &json!({ "request": "session_stop" }), &json!({ "request": "status" })] {
        assert_eq!(control(&host, request, &[ANNA]).status, 403, "{request}");
    }
    assert_eq!(control(&host, &note, &[]).status, 401);
    assert_eq!(control(&host, &json!({ "request": "forget", "subject": "s" }), &[ROOT]).status, 403);
    for unknown in [json!({ "request": "explode" }), json!({ "request": "reload", "now": true }), json!({ "request": "status", "of": "x" })]
    {
        assert_eq!(control(&host, &unknown, &[ROOT]).status, 400, "{unknown}");
    }
    let refused = control(&host, &json!({ "request": "reload" }), &[ROOT]);
    assert_eq!((refused.status, &refused.json()["detail"]), (409, &json!("two mistakes")));
    assert_eq!(host.requests().len(), 2, "what is refused here does not reach the rig");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_not_heard() {
    let host = Host::open(|options, _| options).await;
    let mark = json!({ "request": "mark", "label": "turn" }).to_string();
    let (at, own) = (host.http(), format!("host: {0}\r\norigin: http://{0}", host.http()));
    let foreign = format!("host: {at}\r\norigin: http://example.org");
    let mark = |headers: &[&str]| send(at, "POST /v1/control", headers, mark.as_bytes()).status;
    assert_eq!(mark(&["content-type: application/json", &foreign]), 403);
    assert_eq!(mark(&["content-type: text/plain", &own]), 415, "what a form of any page could send");
    assert_eq!(mark(&["content-type: application/json", &own]), 200);
    for route in ["GET /v1/console", "GET /v1/stream?sql=SELECT%201"] {
        assert_eq!(send(at, route, &[&foreign], b"").status, 403, "{route}");
        assert_eq!(send(at, route, &[&own], b"").status, 426, "{route}");
    }
    assert_eq!(host.requests().len(), 1);
}

/// What the test's rig answers.
pub(super) fn answer(request: &Request) -> Reply {
    match request {
        Request::Reload {} => Reply::Refused { reason: "two mistakes".to_owned() },
        Request::Status {} => Reply::Status(proprio_core::control::Status { rig: "lab-1".to_owned(), ..Default::default() }),
        _ => Reply::Done { session: "s1".to_owned(), position: 7 },
    }
}
