//! Does a request come from a page of ours? A browser sends whatever a page of another site asks it to, with the user's password, so what
//! changes something or answers over a WebSocket, which browsers let every page open, is for pages that came from this door.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Problem;

/// Lets a request pass that no page of another origin has sent.
pub async fn check(request: Request, next: Next) -> Result<Response, Problem> {
    if is_own(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "a page of another origin asks; only pages from this address and programs may"))
}

/// Whether the headers name no origin, as programs do, or the one that is asked.
fn is_own(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let from = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origins.next().is_none() && from.zip(host).is_some_and(|(from, host)| from.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_programs_and_our_own_pages_are_heard() {
        let heard = |host: &'static str, origins: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            for origin in origins {
                headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_own(&headers)
        };
        assert!(heard("127.0.0.1:7341", &[]));
        assert!(heard("127.0.0.1:7341", &["http://127.0.0.1:7341"]));
        assert!(heard("lab.example", &["https://LAB.example"]));
        let foreign: [&[&str]; 5] =
            [&["http://example.org"], &["http://127.0.0.1:8000"], &["null"], &[""], &["http://127.0.0.1:7341", "http://example.org"]];
        for origins in foreign {
            assert!(!heard("127.0.0.1:7341", origins), "{origins:?}");
        }
    }
}
