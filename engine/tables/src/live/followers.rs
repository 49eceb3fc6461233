//! Who follows the tables, up to where has each read them, and how long do they keep rows for it?
//!
//! A live query is a place in each table that it follows. Rows are in memory until they are committed anyway; those of a followed
//! table are kept a while longer. So a reader that is slow or gone costs the writer nothing: it finds, when it reads, what is
//! still there, and how much is not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proprio_core::table::Reached;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::statement::Keep;
use crate::error::TablesError;
use crate::hot::HotBatch;
use crate::state::Tables;
use crate::store::Inner;

/// Committed rows that are kept in memory for those who follow their tables.
const RECENT_BYTES: usize = 64 << 20;
/// The same, when a recorder has not read them yet.
const RECORDER_BYTES: usize = 256 << 20;
/// How long a writer may take to say how far the rig has come.
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);

/// Every live query of a store.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    by_id: BTreeMap<u64, Follower>,
    next: u64,
    closed: bool,
    waker: Option<AbortHandle>,
    /// Live queries that are about to begin.
    beginning: usize,
}

#[derive(Debug)]
struct Follower {
    keep: Keep,
    places: BTreeMap<String, Place>,
}

/// How far a table was read.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: i64,
    /// Rows that the table had taken in by then.
    taken: u64,
}

/// What has come since a live query read last.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Per table that it follows.
    pub(crate) rows: BTreeMap<String, Vec<Arc<HotBatch>>>,
    /// Rows that were not kept for it.
    pub(crate) dropped: u64,
    /// The newest position whose rows are all among these or were before.
    pub(crate) position: i64,
    pub(crate) reached: Option<Arc<Reached>>,
    /// Whether nothing comes any more.
    pub(crate) closed: bool,
}

impl Followers {
    /// The store is gone: who follows it reads what has come, and ends.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether anybody wants to know how far the rig has come.
    pub(crate) fn listen(&self) -> bool {
        self.beginning > 0 || !self.by_id.is_empty()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }
}

/// Says, as long as it lives, that somebody wants to know how far the rig has come.
pub(crate) struct Asking(Arc<Inner>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.lock().followers.beginning -= 1;
    }
}

impl Inner {
    /// From now on the writer says with each append how far the rig has come; waits for its first word where it has said nothing of
    /// the newest rows, but not for long: nobody may write.
    pub(crate) async fn ask_how_far(self: &Arc<Self>) -> Asking {
        self.lock().followers.beginning += 1;
        let asking = Asking(self.clone());
        let give_up = tokio::time::Instant::now() + ANSWERED_WITHIN;
        while tokio::time::Instant::now() < give_up {
            let is_known = {
                let tables = self.lock();
                tables.reached.as_ref().is_some_and(|reached| reached.position >= tables.position)
            };
            if is_known {
                break;
            }
            tokio::time::sleep(ANSWERED_WITHIN / 50).await;
        }
        asking
    }
}

impl Tables {
    /// Follows some tables from now on, in this instant's state. The bell is heard as long as anyone follows.
    pub(crate) fn follow<'a>(&mut self, names: impl Iterator<Item = &'a str>, keep: Keep, bell: &Arc<Bell>) -> u64 {
        let mut places = BTreeMap::new();
        for name in names {
            let Some(table) = self.by_name.get_mut(name) else { continue };
            table.followed += 1;
            places.insert(name.to_owned(), Place { position: table.due_to(self.position), taken: table.hot.taken() });
        }
        let id = self.followers.next;
        self.followers.next += 1;
        self.followers.by_id.insert(id, Follower { keep, places });
        if self.followers.waker.is_none() {
            self.followers.waker = Some(tokio::spawn(bell.clone().wake()).abort_handle());
        }
        id
    }

    /// Follows no longer.
    pub(crate) fn unfollow(&mut self, id: u64) {
        let Some(follower) = self.followers.by_id.remove(&id) else { return };
        for name in follower.places.keys() {
            if let Some(table) = self.by_name.get_mut(name) {
                table.followed -= 1;
                if table.followed == 0 {
                    table.hot.release();
                }
            }
        }
        if self.followers.by_id.is_empty()
            && let Some(waker) = self.followers.waker.take()
        {
            waker.abort();
        }
    }

    /// What has come since a live query read last, which it has read from here on.
    ///
    /// # Errors
    /// When a recorder has fallen so far behind that rows are gone.
    pub(crate) fn arrived(&mut self, id: u64) -> Result<Arrived, TablesError> {
        let (position, reached, closed) = (self.position, self.reached.clone(), self.followers.closed);
        let follower = self.followers.by_id.get_mut(&id).expect("it follows until it is dropped");
        let mut arrived = Arrived { rows: BTreeMap::new(), dropped: 0, position, reached, closed };
        for (name, place) in &mut follower.places {
            let table = &self.by_name[name];
            let pieces = table.hot.after(place.position);
            let came = table.hot.taken().saturating_sub(place.taken);
            let rows = within(pieces, follower.keep);
            let kept: u64 = rows.iter().map(|batch| batch.rows.num_rows() as u64).sum();
            let dropped = came.saturating_sub(kept);
            if dropped > 0 && follower.keep == Keep::All {
                return Err(TablesError::FellBehind { table: name.clone(), rows: dropped, position: place.position });
            }
            arrived.dropped += dropped;
            *place = Place { position: table.due_to(position), taken: table.hot.taken() };
            arrived.rows.insert(name.clone(), rows);
        }
        Ok(arrived)
    }

    /// Lets go of committed rows beyond what is kept: of the table that holds most of them first.
    pub(crate) fn release(&mut self) {
        let mut bytes: usize = self.by_name.values().map(|table| table.hot.recent_bytes()).sum();
        while bytes > RECENT_BYTES {
            let followers = &self.followers;
            let may_go = |name: &str, position: i64| bytes > RECORDER_BYTES || !followers.record(name, position);
            let candidates = self.by_name.iter_mut().filter(|(name, table)| {
                let oldest = table.hot.recent_position();
                oldest.is_some_and(|position| may_go(name, position))
            });
            let Some((_, table)) = candidates.max_by_key(|(_, table)| table.hot.recent_bytes()) else { return };
            let before = table.hot.recent_bytes();
            table.hot.release_oldest();
            bytes -= before - table.hot.recent_bytes();
        }
    }
}

impl Followers {
    /// Whether a recorder has not read a table's rows at a position yet.
    fn record(&self, table: &str, position: i64) -> bool {
        let waits = |follower: &Follower| follower.places.get(table).is_some_and(|place| place.position < position);
        self.by_id.values().any(|follower| follower.keep == Keep::All && waits(follower))
    }
}

/// The newest of the pieces that fit what waits for one reader at most; one of them in any case.
fn within(mut pieces: Vec<Arc<HotBatch>>, keep: Keep) -> Vec<Arc<HotBatch>> {
    let Keep::Newest { bytes: mut room } = keep else { return pieces };
    let mut fits = |piece: &Arc<HotBatch>| {
        let fits = piece.bytes() <= room;
        room = room.saturating_sub(piece.bytes());
        fits
    };
    let kept = pieces.iter().rev().take_while(|piece| fits(piece)).count().max(1);
    pieces.drain(..pieces.len().saturating_sub(kept));
    pieces
}

/// Tells those who follow that rows have come. The writer rings, which takes it as long whoever listens; a task of its own wakes them.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Notify,
    heard: watch::Sender<u64>,
}

impl Default for Bell {
    fn default() -> Self {
        Self { rung: Notify::new(), heard: watch::Sender::new(0) }
    }
}

impl Bell {
    /// Rows have come.
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Changes whenever the bell has been rung.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    async fn wake(self: Arc<Self>) {
        loop {
            self.rung.notified().await;
            self.heard.send_modify(|times| *times += 1);
        }
    }
}
