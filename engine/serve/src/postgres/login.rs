//! How does a client of the PostgreSQL wire log in? By SCRAM-SHA-256 against the verifier that is kept; not at all where nobody is known.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::{Sink, SinkExt as _};
use pgwire::api::auth::sasl::SCRAM_SHA_256_METHOD;
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation, save_startup_parameters_to_metadata,
};
use pgwire::api::{ClientInfo, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator as _};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::connection::Connection;
use super::error_of;
use crate::desk::{Asker, Caller};
use crate::scram::Challenge;
use crate::users::User;

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if self.door.tls.is_some() && !client.is_secure() {
                    return Err(error_of("FATAL", "28000", "only TLS is spoken here; connect with sslmode=verify-full".to_owned()));
                }
                if let Some(nobody) = self.door.desk.users().nobody() {
                    return self.let_in(client, nobody).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let methods = Authentication::SASL(vec![SCRAM_SHA_256_METHOD.to_owned()]);
                client.send(PgWireBackendMessage::Authentication(methods)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => self.prove(client, message).await?,
            _ => {}
        }
        Ok(())
    }
}

impl Connection {
    fn caller(&self) -> Caller {
        Caller { door: "postgres", from: self.from }
    }

    async fn prove<C>(&self, client: &mut C, message: PasswordMessageFamily) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let begun = self.login.lock().expect("nothing panics while it holds the login").take();
        let Some((name, challenge)) = begun else {
            let name = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
            let first = message.into_sasl_initial_response()?;
            if first.auth_method != SCRAM_SHA_256_METHOD {
                return Err(PgWireError::UnsupportedSASLAuthMethod(first.auth_method));
            }
            let text = first.data.as_deref().and_then(|data| std::str::from_utf8(data).ok()).unwrap_or_default();
            let challenged = Challenge::new(self.door.desk.users().verifier(&name), text);
            let (challenge, server_first) = challenged.ok_or_else(|| PgWireError::InvalidScramMessage("client-first".to_owned()))?;
            *self.login.lock().expect("nothing panics while it holds the login") = Some((name, challenge));
            let answer = Authentication::SASLContinue(server_first.into());
            return Ok(client.send(PgWireBackendMessage::Authentication(answer)).await?);
        };
        let last = message.into_sasl_response()?;
        let proved = std::str::from_utf8(&last.data).ok().and_then(|text| challenge.prove(text));
        let (Some(server_final), Some(user)) = (proved, self.door.desk.users().proved(&name)) else {
            let error = self.door.desk.unknown(self.caller(), Some(&name)).await;
            return Err(error_of("FATAL", error.kind().sqlstate(), error.to_string()));
        };
        client.feed(PgWireBackendMessage::Authentication(Authentication::SASLFinal(server_final.into()))).await?;
        self.let_in(client, user).await
    }

    async fn let_in<C>(&self, client: &mut C, user: std::sync::Arc<User>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // It logs in once.
        let _ = self.asker.set(Asker { user, caller: self.caller() });
        let (number, secret) = self.door.keys.generate(&*client);
        client.set_pid_and_secret_key(number, secret.clone());
        self.register((number, secret.to_bytes().to_vec()));
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = "16.6".to_owned();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        finish_authentication(client, &parameters).await
    }
}
