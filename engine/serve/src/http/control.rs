//! How is the rig that runs asked to change over HTTP? By the same typed requests as over zenoh's `@control`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use proprio_core::control::{Reply, Request};
use proprio_core::note::Note;

use super::problem::Problem;
use crate::control::ControlError;
use crate::desk::{Asker, Desk};
use crate::users::User;

/// `POST /v1/control`: a [`Request`], answered by a [`Reply`]. What the rig refuses is a conflict (409) with its reason.
pub async fn ask(
    State(desk): State<Arc<Desk>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reply>, Problem> {
    let body = body.map_err(|rejection| Problem::new(rejection.status(), &rejection.body_text()))?;
    // No form of a page of another site is sent as this without asking first.
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a request is application/json, {\"request\": …}"));
    }
    let request = serde_json::from_slice(&body).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let request = allowed(&asker.user, request).map_err(|reason| Problem::new(StatusCode::FORBIDDEN, reason))?;
    let Some(control) = desk.control() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no rig runs here: these are the tables on disk alone"));
    };
    match control.ask(request, asker.user.name.clone()).await {
        Ok(Reply::Refused { reason }) => Err(Problem::new(StatusCode::CONFLICT, &reason)),
        Ok(reply) => Ok(Json(reply)),
        Err(error @ ControlError::Full) => Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, &error.to_string())),
        Err(error) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
    }
}

/// The request as this user may make it: who is known signs with their own name.
///
/// # Errors
/// Why they may not.
pub fn allowed(user: &User, mut request: Request) -> Result<Request, &'static str> {
    match &mut request {
        Request::Forget { .. } => return Err("a person is forgotten on the rig's own machine alone, with `proprio forget`"),
        Request::Rig {} | Request::Status {} | Request::Files {} | Request::Check { .. }
            if user.access.hides_sessions() && !user.control =>
        {
            return Err("the rig tells which session is open, and you may see some sessions alone");
        }
        Request::Rig {} | Request::Status {} | Request::Files {} | Request::Check { .. } => return Ok(request),
        _ if !user.control => return Err("you may ask and not change anything; `control: true` in the users file allows it"),
        Request::Note { note: Note { author, .. }, .. } | Request::Acknowledge { author, .. } | Request::Outcome { author, .. } => {
            if let Some(name) = &user.name {
                author.clone_from(name);
            }
        }
        Request::SessionStart { .. }
        | Request::SessionStop {}
        | Request::Trial { .. }
        | Request::Mark { .. }
        | Request::Reload {}
        | Request::Edit { .. } => {}
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use proprio_tables::Access;

    use super::*;
    use crate::users::Limits;

    #[test]
    fn who_may_not_change_anything_is_refused_and_who_may_signs_with_their_name() {
        let user = |control, sessions: &str| User {
            name: Some("anna".to_owned()),
            access: Access::new(vec!["*".to_owned()], vec![sessions.to_owned()]),
            limits: Limits::default(),
            control,
        };
        let note = || Request::Note { note: Note::plain("ben", "limps"), time_ns: None };
        let edit = || Request::Edit { file: "rig.yaml".to_owned(), text: String::new(), was: String::new() };
        let signed = allowed(&user(true, "*"), note());
        assert!(matches!(&signed, Ok(Request::Note { note, .. }) if note.author == "anna"), "{signed:?}");
        for request in [note(), Request::SessionStop {}, Request::Reload {}, edit(), Request::Mark { label: "x".to_owned(), time_ns: None }]
        {
            assert!(allowed(&user(false, "*"), request.clone()).is_err(), "{request:?}");
        }
        assert!(allowed(&user(false, "*"), Request::Status {}).is_ok());
        assert!(allowed(&user(false, "S-1-*"), Request::Status {}).is_err());
        let forget = Request::Forget { subject: "S-1".to_owned(), who: None };
        assert!(allowed(&user(true, "*"), forget).is_err(), "nobody is forgotten over HTTP");
    }
}
