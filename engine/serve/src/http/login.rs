//! Who sends a request? A token, or a name and a password; nobody where there are no users.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::problem::Problem;
use super::{From, caller};
use crate::desk::{Asker, Caller, Desk};
use crate::error::AskError;
use crate::users::User;

/// Lets a request pass that comes from somebody who is known, with them as an extension.
pub async fn check(State(desk): State<Arc<Desk>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let from = *request.extensions().get::<From>().ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "from nowhere"))?;
    let caller = caller(from);
    let user = user(&desk, caller, request.headers()).await?;
    request.extensions_mut().insert(Asker { user, caller });
    Ok(next.run(request).await)
}

/// The user that the headers name.
///
/// # Errors
/// When there is none, or the password or token is wrong.
async fn user(desk: &Arc<Desk>, caller: Caller, headers: &HeaderMap) -> Result<Arc<User>, Problem> {
    if let Some(nobody) = desk.users().nobody() {
        // A page on the web that has its name point at this machine would come under that name.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        return match host.is_none_or(is_this_machine) {
            true => Ok(nobody),
            false => Err(Problem::new(StatusCode::FORBIDDEN, "without users, only this machine may ask, by the name localhost")),
        };
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    Ok(with_header(desk, caller, given).await?)
}

/// The user of an `authorization` header.
///
/// # Errors
/// [`AskError::Unknown`].
pub async fn with_header(desk: &Arc<Desk>, caller: Caller, given: Option<&str>) -> Result<Arc<User>, AskError> {
    // Who brings nothing is told to bring something, which is no failed login.
    let Some((scheme, secret)) = given.and_then(|given| given.split_once(' ')) else { return Err(AskError::Unknown) };
    let secret = secret.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return desk.with_token(caller, secret).await;
    }
    let basic = || {
        // Arrow's Go clients leave the padding out.
        let text = String::from_utf8(BASE64.decode(secret.trim_end_matches('=')).ok()?).ok()?;
        text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
    };
    match scheme.eq_ignore_ascii_case("basic").then(basic).flatten() {
        Some((name, password)) => desk.with_password(caller, &name, &password).await,
        None => Err(desk.unknown(caller, None).await),
    }
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_names_are_its_own() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:7341", "[::1]:7341", "127.1.2.3"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["example.org", "127.0.0.1.example.org:7341", "[2001:db8::1]", ""] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
