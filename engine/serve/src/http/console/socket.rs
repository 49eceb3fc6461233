//! How does a page's connection go on: it hears what the page says, gathers what comes, and sends it, no faster than it is read?

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use proprio_core::control::{Reply, Request};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::queries::{Came, Drawn, Query, list};
use super::{CHANNELS_MAX, FOLLOWED_MAX, Followed, IN_FLIGHT, Said, Show};
use crate::desk::{Asker, Desk};
use crate::http::control::allowed;

/// The shortest time between two frames.
const FRAME_EVERY: Duration = Duration::from_millis(34);
/// How often the rig is asked how it is.
const STATUS_EVERY: Duration = Duration::from_millis(250);
/// Batches that wait for the page; then the live queries wait, and miss what comes.
const WAITING: usize = 64;
/// A page that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// One page that is open.
struct Page {
    socket: WebSocket,
    desk: Arc<Desk>,
    asker: Asker,
    came: mpsc::Sender<Came>,
    drawn: Drawn,
    listed: Vec<(Followed, Query)>,
    /// Of the newest frame.
    sequence: u32,
    /// The newest frame that the page has read.
    seen: u32,
    status: Option<JoinHandle<Option<Reply>>>,
}

/// Whether the page is still there.
type Still = Option<()>;

/// Serves a page until it is gone or the doors close.
pub async fn serve(socket: WebSocket, desk: Arc<Desk>, asker: Asker) {
    let mut closing = desk.closing();
    let (came, mut comes) = mpsc::channel(WAITING);
    let (drawn, listed) = (Drawn::default(), Vec::new());
    let mut page = Page { socket, desk, asker, came, drawn, listed, sequence: 0, seen: 0, status: None };
    let [mut frames, mut statuses] = [FRAME_EVERY, STATUS_EVERY].map(|every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    loop {
        let still = tokio::select! {
            said = page.socket.recv() => match said {
                Some(Ok(said)) => page.hear(said).await,
                Some(Err(_)) | None => None,
            },
            Some(came) = comes.recv() => page.take(came).await,
            _ = frames.tick() => page.send_frame().await,
            _ = statuses.tick() => page.send_status().await,
            () = closed(&mut closing) => None,
        };
        if still.is_none() {
            return;
        }
    }
}

/// Ends when the doors close.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // They have closed too when nobody could say so any more.
    let _ = closing.wait_for(|closing| *closing).await;
}

impl Page {
    async fn hear(&mut self, said: Message) -> Still {
        let text = match said {
            Message::Text(text) => text,
            Message::Close(_) => return None,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => return Some(()),
        };
        match serde_json::from_str(&text) {
            Ok(Said::Seen(sequence)) => self.seen = sequence.min(self.sequence),
            Ok(Said::Show(Show { channels, .. })) if channels.len() > CHANNELS_MAX => {
                return self.problem("show", &format!("at most {CHANNELS_MAX} channels are drawn at a time")).await;
            }
            Ok(Said::Show(show)) => self.drawn = Drawn::begin(show, &self.desk, &self.asker, &self.came, self.drawn.dropped()),
            Ok(Said::Follow(followed)) if followed.len() > FOLLOWED_MAX => {
                return self.problem("follow", &format!("at most {FOLLOWED_MAX} live queries are listed at a time")).await;
            }
            Ok(Said::Follow(followed)) => {
                self.listed.retain(|(known, _)| followed.contains(known));
                for new in followed {
                    if !self.listed.iter().any(|(known, _)| *known == new) {
                        let query = list(&new, &self.desk, &self.asker, &self.came);
                        self.listed.push((new, query));
                    }
                }
            }
            Err(error) => return self.problem("message", &error.to_string()).await,
        }
        Some(())
    }

    async fn take(&mut self, came: Came) -> Still {
        match came {
            Came::Drawn { generation, table, rows } => {
                self.drawn.take(generation, table, &rows);
                Some(())
            }
            Came::Listed { id, rows } => {
                let id = serde_json::Value::from(id);
                self.send(Message::Text(format!("{{\"rows\":{{\"id\":{id},\"rows\":{rows}}}}}").into())).await
            }
            Came::Failed { of, detail } => {
                // Asked for again it begins anew.
                self.listed.retain(|(known, _)| known.id != of);
                self.problem(&of, &detail).await
            }
        }
    }

    async fn send_frame(&mut self) -> Still {
        if self.sequence - self.seen >= IN_FLIGHT {
            return Some(());
        }
        let Some(frame) = self.drawn.frame(self.sequence + 1) else { return Some(()) };
        self.sequence += 1;
        self.send(Message::Binary(frame.into())).await
    }

    /// Sends what the rig has answered, and asks again.
    async fn send_status(&mut self) -> Still {
        let Some(control) = self.desk.control().filter(|_| allowed(&self.asker.user, Request::Status {}).is_ok()) else { return Some(()) };
        let control = control.clone();
        let answered = match self.status.take() {
            Some(asking) if !asking.is_finished() => {
                self.status = Some(asking);
                return Some(());
            }
            Some(asking) => asking.await.ok().flatten(),
            None => None,
        };
        self.status = Some(tokio::spawn(async move { control.ask(Request::Status {}, None).await.ok() }));
        match answered {
            Some(reply) => self.send(Message::Text(json!(reply).to_string().into())).await,
            None => Some(()),
        }
    }

    async fn problem(&mut self, of: &str, detail: &str) -> Still {
        self.send(Message::Text(json!({ "problem": { "of": of, "detail": detail } }).to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Still {
        timeout(PATIENCE, self.socket.send(message)).await.ok()?.ok()
    }
}
