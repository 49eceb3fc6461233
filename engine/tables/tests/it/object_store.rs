//! Do tables in an object store hold what tables in a folder do, also when the store fails on the way?

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use proprio_tables::{Place, Reader, Store, forget_sessions, merge_tables, table_sizes, vacuum_tables};

use crate::{DAY_NS, append, as_csv, csv, imu, samples_of};

/// A store in memory that can be out of reach, lose answers, or not know conditional puts.
#[derive(Debug, Default)]
struct Shaky {
    inner: InMemory,
    is_gone: AtomicBool,
    /// So many commits are made whose answer is lost,
    lost_answers: AtomicUsize,
    /// and that the client tries again, to find that they are there.
    tries_again: AtomicBool,
    overwrites: bool,
}

impl Shaky {
    fn reach(&self) -> Result<()> {
        if self.is_gone.load(Ordering::Relaxed) { Err(lost("out of reach")) } else { Ok(()) }
    }
}

fn lost(what: &str) -> Error {
    Error::Generic { store: "Shaky", source: what.into() }
}

impl fmt::Display for Shaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shaky")
    }
}

#[async_trait]
impl ObjectStore for Shaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        self.reach()?;
        if self.overwrites {
            options.mode = PutMode::Overwrite;
        }
        let is_commit = options.mode == PutMode::Create && location.as_ref().contains("_delta_log");
        let put = self.inner.put_opts(location, payload, options).await?;
        if is_commit && self.lost_answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(match self.tries_again.load(Ordering::Relaxed) {
                true => Error::AlreadyExists { path: location.to_string(), source: "the client's second attempt".into() },
                false => lost("no answer"),
            });
        }
        Ok(put)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.reach()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reach()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reach()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.reach() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reach()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn place(store: &Arc<Shaky>) -> Place {
    Place::of_store("s3://lab/rigs/one", store.clone()).expect("a URL")
}

async fn open(store: &Arc<Shaky>) -> Store {
    Store::open(&place(store), "lab-1", &[imu()]).await.expect("opens")
}

async fn read(store: &Arc<Shaky>, sql: &str) -> String {
    let reader = Reader::open(&place(store)).await.expect("tables");
    as_csv(&reader.query(sql).await.expect("an answer").collect().await.expect("rows"))
}

const COUNTED: &str = "SELECT session, count(*) AS n, sum(sequence) AS s FROM imu_all GROUP BY session ORDER BY session";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_in_an_object_store_are_written_merged_forgotten_and_read() {
    let shaky = Arc::new(Shaky::default());
    let store = open(&shaky).await;
    for (position, session) in (0..6).zip(["s1", "s1", "s1", "s2", "s2", "s2"]) {
        append(&store, &samples_of((session, "a"), "pelvis", position * 100, 100, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    append(&store, &samples_of(("s2", "a"), "pelvis", 600, 50, 6)).expect("appended");
    let hot = csv(&store, COUNTED).await;
    assert!(hot.contains("s1,300,") && hot.contains("s2,350,"), "{hot}");
    assert!(read(&shaky, COUNTED).await.contains("s2,300,"), "what is hot is not there yet");
    store.commit(6).await.expect("committed");
    assert_eq!(read(&shaky, COUNTED).await, hot);

    // A second process, beside the first, which follows it.
    let other = Store::open_as(&place(&shaky), "lab-1", "b/s1", &[imu()]).await.expect("opens");
    append(&other, &samples_of(("s1", "b"), "pelvis", 0, 10, 3)).expect("appended");
    other.commit(3).await.expect("committed");
    append(&store, &samples_of(("s2", "a"), "pelvis", 700, 10, 7)).expect("appended");
    store.commit(7).await.expect("committed beside another writer");
    let both = csv(&store, COUNTED).await;
    assert!(both.contains("s1,310,") && both.contains("s2,360,"), "{both}");

    let merged = store.merge(2, || true).await.expect("merged");
    assert!(merged.files >= 8 && merged.rows >= 670, "{merged:?}");
    drop((store, other));
    assert_eq!(merge_tables(&place(&shaky)).await.expect("merged").files, 0, "nothing is left to merge");
    assert_eq!(read(&shaky, COUNTED).await, both);

    let removed = forget_sessions(&place(&shaky), &["s1".to_owned()]).await.expect("forgotten");
    assert_eq!(removed["imu"], 310);
    let left = read(&shaky, COUNTED).await;
    assert!(!left.contains("s1") && left.contains("s2,360,"), "{left}");
    for file in shaky.inner.list(None).try_collect::<Vec<_>>().await.expect("listed") {
        let bytes = shaky.inner.get(&file.location).await.expect("it is there").bytes().await.expect("bytes");
        // What Delta forgets of no transaction is the name of a rebuild.
        let is_allowed = file.location.as_ref().contains("checkpoint");
        assert!(is_allowed || !bytes.windows(2).any(|window| window == b"s1"), "{} holds it still", file.location);
    }

    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    vacuum_tables(&place(&shaky), now_ns + 8 * DAY_NS).await.expect("vacuumed");
    let sizes = table_sizes(&place(&shaky)).await.expect("tables");
    let imu = sizes.iter().find(|size| size.table == "imu").expect("it is there");
    let parquet = shaky.inner.list(Some(&Path::from("rigs/one/imu"))).try_filter(|file| {
        let is_data = !file.location.as_ref().contains("_delta_log");
        std::future::ready(is_data)
    });
    assert_eq!((imu.rows, parquet.count().await), (360, imu.files), "only what the newest version names is left");
    assert_eq!(read(&shaky, COUNTED).await, left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_out_of_reach_costs_no_row_and_heals() {
    let shaky = Arc::new(Shaky::default());
    let store = open(&shaky).await;
    append(&store, &samples_of(("s1", "a"), "pelvis", 0, 100, 0)).expect("appended");
    store.commit(0).await.expect("committed");
    shaky.is_gone.store(true, Ordering::Relaxed);
    append(&store, &samples_of(("s1", "a"), "pelvis", 100, 100, 1)).expect("appended");
    let error = store.commit(1).await.expect_err("it can't be").to_string();
    assert!(error.contains("out of reach"), "{error}");
    assert!(store.hot_bytes() > 0, "they wait");
    let late = Store::open(&place(&shaky), "lab-1", &[imu()]).await.expect_err("it can't be reached").to_string();
    assert!(late.contains("the tables at s3://lab/rigs/one can't be reached: ") && late.contains("out of reach"), "{late}");
    shaky.is_gone.store(false, Ordering::Relaxed);
    append(&store, &samples_of(("s1", "a"), "pelvis", 200, 100, 2)).expect("appended");
    store.commit(2).await.expect("it has healed");
    assert_eq!((csv(&store, COUNTED).await, store.hot_bytes()), (read(&shaky, COUNTED).await, 0));
    assert!(read(&shaky, COUNTED).await.contains("s1,300,44850"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_made_once() {
    let shaky = Arc::new(Shaky::default());
    let store = open(&shaky).await;
    for position in 0..6 {
        append(&store, &samples_of(("s1", "a"), "pelvis", position * 100, 100, position)).expect("appended");
        shaky.lost_answers.store(usize::from(position % 2 == 1), Ordering::Relaxed);
        shaky.tries_again.store(position > 2, Ordering::Relaxed);
        // Whether it is told at once or found by the next round, it is in the table once.
        let _ = store.commit(position).await;
        let counted = csv(&store, "SELECT count(*), count(DISTINCT sequence) FROM imu_all").await;
        let rows = (position + 1) * 100;
        assert!(counted.ends_with(&format!("{rows},{rows}\n")), "{counted}");
    }
    store.commit(6).await.expect("committed");
    shaky.lost_answers.store(1, Ordering::Relaxed);
    let merged = store.merge(2, || true).await.expect("merged");
    assert!(merged.files >= 6 && merged.rows >= 500, "{merged:?}");
    assert!(read(&shaky, COUNTED).await.contains("s1,600,179700"), "what a merge wrote is there, whatever the answer was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_conditional_puts_is_refused() {
    let shaky = Arc::new(Shaky { overwrites: true, ..Shaky::default() });
    let error = Store::open(&place(&shaky), "lab-1", &[imu()]).await.expect_err("it is not safe").to_string();
    assert!(error.contains("doesn't honour conditional puts"), "{error}");
}
