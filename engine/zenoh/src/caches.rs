//! What did a sensor send while nobody listened? Fetched from its publisher's cache, before what comes live.
//!
//! A publisher with a cache is an `AdvancedPublisher` of zenoh-ext: it numbers its messages, answers for the ones it keeps at
//! `<key>/@adv/pub/<zid>/<eid>/**?_sn=<first>..`, and is present there by a liveliness token. zenoh-ext's own subscriber
//! isn't used, for three reasons: a live message that comes between a reconnection and the answer makes it drop the answer;
//! it can't know what is recorded already, so that every restart would record whole caches again; and for publishers without
//! numbers it goes by the timestamps of routers on the way, and drops what two of them have swapped.
//!
//! What holds: of one publisher, messages pass in the order of their numbers, each once, as long as its cache reaches back
//! far enough. Live messages wait meanwhile, at most [`HELD_BYTES`] and about as long as the answer takes. Publishers without
//! numbers are not touched by any of this.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use zenoh::Session;
use zenoh::config::ZenohId;
use zenoh::query::{ConsolidationMode, QueryTarget, Reply, ReplyKeyExpr};
use zenoh::sample::Sample;
use zenoh::session::{EntityGlobalId, EntityId};

/// Live messages of one publisher that may wait for older ones.
const HELD_BYTES: usize = 8 << 20;
/// Publishers that are remembered; of more, messages pass as they come.
const PUBLISHERS: usize = 4096;
/// Questions that may wait to be asked.
const QUESTIONS: usize = 4096;
/// How long a cache may take for an answer; one that has said something is asked again for the rest.
const ANSWER: Duration = Duration::from_secs(5);

/// What is known of publishers that number their messages.
pub(crate) struct Caches<M> {
    publishers: Mutex<HashMap<EntityGlobalId, Publisher<M>>>,
    questions: mpsc::Sender<Question>,
}

/// One start of a publisher of one key.
struct Publisher<M> {
    /// Number of the message that is due.
    next: Option<u32>,
    fetching: bool,
    present: bool,
    held: Vec<(u32, M)>,
    held_bytes: usize,
}

/// What is to be asked of a cache.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    key: String,
    source: EntityGlobalId,
}

/// A message with its size in bytes.
pub(crate) trait Sized64 {
    fn bytes(&self) -> usize;
}

impl<M: Sized64> Caches<M> {
    /// Nothing is known yet; what has to be asked comes out of the receiver.
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, receiver) = mpsc::channel(QUESTIONS);
        (Self { publishers: Mutex::default(), questions }, receiver)
    }

    /// A live message: passes at once when it is the one that is due, or waits for the ones before it.
    pub fn arrive(&self, key: &str, source: EntityGlobalId, number: u32, message: M, mut pass: impl FnMut(M)) {
        let mut publishers = self.lock();
        let Some(publisher) = entry(&mut publishers, source) else { return pass(message) };
        let is_due = publisher.next.map_or(number == 0, |next| !is_after(number, next));
        if !publisher.fetching && !is_due {
            publisher.fetching = self.ask(key, source);
        }
        if publisher.fetching {
            publisher.held_bytes += message.bytes();
            publisher.held.push((number, message));
            if publisher.held_bytes > HELD_BYTES {
                tracing::warn!(key, "its cache takes too long to answer: what was missed is given up");
                publisher.pass_held(pass);
            }
            return;
        }
        publisher.passed(number);
        pass(message);
    }

    /// A token of a publisher came or went: one that came may have kept something.
    pub fn see(&self, token: &str, present: bool) {
        let Some((key, source)) = parse(token) else { return };
        let mut publishers = self.lock();
        let Some(publisher) = entry(&mut publishers, source) else { return };
        publisher.present = present;
        if present && !publisher.fetching {
            publisher.fetching = self.ask(key, source);
        }
    }

    /// A cache answers; an answer that is known to be recorded is counted as passed, and left out.
    fn fetched(&self, source: EntityGlobalId, number: u32, message: Option<M>, pass: impl FnOnce(M)) {
        let mut publishers = self.lock();
        let Some(publisher) = publishers.get_mut(&source).filter(|publisher| publisher.fetching) else { return };
        if publisher.next.is_none_or(|next| !is_after(next, number)) {
            publisher.passed(number);
            message.map(pass);
        }
    }

    /// A cache has answered in full.
    fn answered(&self, source: EntityGlobalId, pass: impl FnMut(M)) {
        if let Some(publisher) = self.lock().get_mut(&source) {
            publisher.pass_held(pass);
        }
    }

    fn next(&self, source: EntityGlobalId) -> Option<u32> {
        self.lock().get(&source)?.next
    }

    fn ask(&self, key: &str, source: EntityGlobalId) -> bool {
        self.questions.try_send(Question { key: key.to_owned(), source }).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntityGlobalId, Publisher<M>>> {
        self.publishers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Publisher<M> {
    fn passed(&mut self, number: u32) {
        if self.next.is_none_or(|next| !is_after(next, number)) {
            self.next = Some(number.wrapping_add(1));
        }
    }

    /// What waited goes on, but for what the cache has given already.
    fn pass_held(&mut self, mut pass: impl FnMut(M)) {
        (self.fetching, self.held_bytes) = (false, 0);
        let mut held = std::mem::take(&mut self.held);
        let first = self.next.unwrap_or_else(|| held.first().map_or(0, |(number, _)| *number));
        held.sort_by_key(|(number, _)| number.wrapping_sub(first).cast_signed());
        for (number, message) in held {
            if self.next.is_none_or(|next| !is_after(next, number)) {
                self.passed(number);
                pass(message);
            }
        }
    }
}

/// Asks what is to be asked, each publisher in a task of its own. `take` turns an answer into a message, or into nothing when
/// it is recorded already; `pass` takes what has its turn.
pub(crate) async fn fetch<M, T, P>(
    session: Session,
    caches: std::sync::Arc<Caches<M>>,
    mut questions: mpsc::Receiver<Question>,
    take: T,
    pass: P,
) where
    M: Sized64 + Send + 'static,
    T: Fn(&Sample) -> Option<M> + Clone + Send + Sync + 'static,
    P: Fn(M) + Clone + Send + Sync + 'static,
{
    while let Some(Question { key, source }) = questions.recv().await {
        let (session, caches, take, pass) = (session.clone(), caches.clone(), take.clone(), pass.clone());
        tokio::spawn(async move {
            let mut fetched = None;
            loop {
                let from = caches.next(source);
                if fetched == Some(from) {
                    break;
                }
                fetched = Some(from);
                let (ended, end) = oneshot::channel::<()>();
                let (answers, take, pass) = (caches.clone(), take.clone(), pass.clone());
                let callback = move |reply: Reply| {
                    let _until_the_last = &ended;
                    let Ok(sample) = reply.result() else { return };
                    let Some(info) = sample.source_info().filter(|info| *info.source_id() == source) else { return };
                    answers.fetched(source, info.source_sn(), take(sample), &pass);
                };
                let range = from.map_or_else(|| "..".to_owned(), |from| format!("{from}.."));
                let selector = format!("{key}/@adv/pub/{}/{}/**?_sn={range}", source.zid(), source.eid());
                let get = session.get(selector.as_str()).consolidation(ConsolidationMode::None).target(QueryTarget::All);
                let asked = get.accept_replies(ReplyKeyExpr::Any).timeout(ANSWER).callback(callback).await;
                if let Err(error) = asked {
                    tracing::warn!(key, %error, "its cache can't be asked for what was missed");
                    break;
                }
                // The sender is dropped with the last answer.
                let began = std::time::Instant::now();
                let _ = end.await;
                if began.elapsed() < ANSWER {
                    break;
                }
            }
            caches.answered(source, pass);
        });
    }
}

/// The entry of a publisher; none when too many are known. Those that are gone make room first.
fn entry<M>(publishers: &mut HashMap<EntityGlobalId, Publisher<M>>, source: EntityGlobalId) -> Option<&mut Publisher<M>> {
    if publishers.len() >= PUBLISHERS && !publishers.contains_key(&source) {
        publishers.retain(|_, publisher| publisher.present || publisher.fetching);
        if publishers.len() >= PUBLISHERS {
            return None;
        }
    }
    let unknown = || Publisher { next: None, fetching: false, present: true, held: Vec::new(), held_bytes: 0 };
    Some(publishers.entry(source).or_insert_with(unknown))
}

/// Whether `a` is a later number than `b`; they wrap around.
fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// Key and publisher of a token `<key>/@adv/pub/<zid>/<eid>/…`; none for a publisher that doesn't number its messages.
fn parse(token: &str) -> Option<(&str, EntityGlobalId)> {
    let (key, rest) = token.split_once("/@adv/pub/")?;
    let mut parts = rest.split('/');
    let zid = ZenohId::from_str(parts.next()?).ok()?;
    let eid = EntityId::from_str(parts.next()?).ok()?;
    Some((key, EntityGlobalId::new(zid, eid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sized64 for u32 {
        fn bytes(&self) -> usize {
            1 << 20
        }
    }

    fn source() -> EntityGlobalId {
        EntityGlobalId::new(ZenohId::from_str("a1").expect("an id"), 7)
    }

    fn arrive(caches: &Caches<u32>, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut passed = Vec::new();
        numbers.into_iter().for_each(|number| caches.arrive("r/imu/a", source(), number, number, |message| passed.push(message)));
        passed
    }

    fn fetched(caches: &Caches<u32>, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut passed = Vec::new();
        numbers.into_iter().for_each(|number| caches.fetched(source(), number, Some(number), |message| passed.push(message)));
        caches.answered(source(), |message| passed.push(message));
        passed
    }

    #[test]
    fn what_was_missed_comes_before_what_is_live_and_nothing_twice() {
        let (caches, mut questions) = Caches::new();
        assert_eq!(arrive(&caches, [5, 6]), [0; 0]);
        assert_eq!(questions.try_recv().expect("the cache is asked").key, "r/imu/a");
        assert_eq!(fetched(&caches, 2..=5), [2, 3, 4, 5, 6]);
        assert_eq!(arrive(&caches, [7, 8]), [7, 8]);
        assert_eq!(arrive(&caches, [11, 10]), [0; 0], "a gap");
        assert_eq!(fetched(&caches, 9..=10), [9, 10, 11]);
        assert_eq!(arrive(&caches, [12]), [12]);
        assert!(questions.try_recv().is_ok() && questions.try_recv().is_err(), "one question a gap");
    }

    #[test]
    fn a_first_message_needs_no_cache_and_numbers_wrap_around() {
        let (caches, mut questions) = Caches::new();
        assert_eq!(arrive(&caches, [0, 1]), [0, 1]);
        assert!(questions.try_recv().is_err());
        caches.lock().get_mut(&source()).expect("it is known").next = Some(u32::MAX);
        assert_eq!(arrive(&caches, [u32::MAX, 0, 1]), [u32::MAX, 0, 1]);
        assert!(questions.try_recv().is_err());
    }

    #[test]
    fn an_answer_that_stays_away_holds_nothing_up_for_ever() {
        let (caches, _questions) = Caches::new();
        assert_eq!(arrive(&caches, 3..=11).len(), 9, "8 MiB wait, and no more");
        assert_eq!(fetched(&caches, 0..=3), [0; 0], "it is too late");
        assert_eq!(arrive(&caches, [12]), [12]);
    }

    #[test]
    fn tokens_name_their_key_and_publisher() {
        assert_eq!(parse("lab-1/imu/pelvis/@adv/pub/a1/7/_"), Some(("lab-1/imu/pelvis", source())));
        assert_eq!(parse("lab-1/imu/pelvis/@adv/pub/a1/uhlc/_"), None);
        assert_eq!(parse("lab-1/imu/pelvis"), None);
    }
}
