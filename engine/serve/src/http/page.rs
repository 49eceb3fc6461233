//! Where does the operator's page come from? Out of the binary: `build.rs` has built it and `rust-embed` holds it.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Problem;

/// What the page may load and whom it may ask: this door alone. Charts set styles on their elements.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// The name of an asset changes with what is in it.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The files of the page; those that are packed stand beside themselves with `.gz`.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/console"]
struct Files;

/// `GET /`.
pub async fn index(headers: HeaderMap) -> Result<Response, Problem> {
    let mut response = file("index.html", &headers, "no-cache")?;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// `GET /assets/{file}`.
pub async fn asset(name: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::new(StatusCode::NOT_FOUND, &rejection.body_text()))?;
    file(&format!("assets/{name}"), &headers, FOR_EVER)
}

fn file(name: &str, headers: &HeaderMap, kept: &'static str) -> Result<Response, Problem> {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes_gzip = accepted.split(',').any(|coding| coding.split(';').next().is_some_and(|name| name.trim() == "gzip"));
    let packed = if takes_gzip { Files::get(&format!("{name}.gz")) } else { None };
    let is_packed = packed.is_some();
    let found = packed.or_else(|| Files::get(name)).filter(|_| !name.ends_with(".gz"));
    let EmbeddedFile { data, .. } = found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "the page has no such file"))?;
    let mut response = Body::from(data).into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(name)));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_packed {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn media(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_is_in_the_binary_and_loads_nothing_from_elsewhere() {
        let index = Files::get("index.html").expect("`build.rs` writes one in any case");
        let text = String::from_utf8(index.data.to_vec()).expect("UTF-8");
        for loaded in ["src=\"", "href=\""].iter().flat_map(|attribute| text.split(attribute).skip(1)) {
            let address = loaded.split('"').next().unwrap_or_default();
            assert!(address.starts_with("/assets/") || address.starts_with("data:"), "{address}");
            if let Some(name) = address.strip_prefix('/') {
                assert!(file(name, &HeaderMap::new(), FOR_EVER).is_ok(), "{name} is missing");
            }
        }
        let mut packed = HeaderMap::new();
        packed.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=0.8"));
        let response = index_of(&packed).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(file("assets/none.js", &packed, FOR_EVER).is_err() && file("../Cargo.toml", &packed, FOR_EVER).is_err());
    }

    async fn index_of(headers: &HeaderMap) -> Response {
        super::index(headers.clone()).await.expect("the page")
    }
}
