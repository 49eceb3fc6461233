//! Where is every sample that was published? In its table, in `late`, in `rejected` or in `losses`: in one of them, once.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::Path;

use anyhow::{Context as _, ensure};
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use futures::TryStreamExt as _;
use proprio_tables::Reader;
use serde::Serialize;

use super::lab::Published;

/// Samples, by what became of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Account {
    pub published: i64,
    pub stored: i64,
    pub late: i64,
    pub rejected: i64,
    pub lost: i64,
    /// Came again after they had been recorded; not counted above.
    pub duplicates: i64,
}

/// By stream.
pub type Accounts = BTreeMap<String, Account>;

/// Looks for every sample that was published, all of which were acknowledged. Since every sensor keeps what is not
/// acknowledged, none may be lost, whenever the engine was killed.
pub async fn check(data: &Path, published: &Published) -> anyhow::Result<Accounts> {
    let reader = Reader::open(&crate::place::of(data)?).await.context("the tables can't be read")?;
    let mut accounts = Accounts::new();
    for (stream, &count) in published {
        let account = check_sensor(&reader, stream, count).await.with_context(|| format!("sensor {stream}, {count} samples"))?;
        accounts.insert(stream.clone(), account);
    }
    Ok(accounts)
}

async fn check_sensor(reader: &Reader, stream: &str, published: i64) -> anyhow::Result<Account> {
    let (table, sensor) = stream.split_once('/').context("a stream is <kind>/<sensor>")?;
    let ones = |query: String| async move { sequences(reader, &query).await };
    let stored = ones(format!("SELECT sequence, 1 FROM {table} WHERE sensor = '{sensor}' AND sequence IS NOT NULL")).await?;
    let late = ones(format!("SELECT sequence, 1 FROM late WHERE stream = '{stream}'")).await?;
    let twice = "reason = 'duplicate'";
    let known = format!("FROM rejected WHERE stream = '{stream}' AND sequence IS NOT NULL");
    let rejected = ones(format!("SELECT sequence, 1 {known} AND NOT {twice}")).await?;
    let duplicates = ones(format!("SELECT sequence, 1 {known} AND {twice}")).await?;
    let losses = ones(format!("SELECT sequence, count FROM losses WHERE stream = '{stream}'")).await?;

    let mut found = vec![0_i64; usize::try_from(published)?];
    for &(sequence, _) in stored.iter().chain(&late).chain(&rejected) {
        *at(&mut found, sequence)? += 1;
    }
    for &(first, count) in &losses {
        // A count of −1 takes one sample back that came after all.
        for sequence in first..first + count.max(1) {
            *at(&mut found, sequence)? += count.signum();
        }
    }
    let odd: Vec<_> = found.iter().enumerate().filter(|(_, times)| **times != 1).take(5).collect();
    let lost = losses.iter().map(|(_, count)| count).sum();
    let total = |rows: &[(i64, i64)]| rows.len() as i64;
    let account =
        Account { published, stored: total(&stored), late: total(&late), rejected: total(&rejected), lost, duplicates: total(&duplicates) };
    ensure!(odd.is_empty(), "not every sample is in one place, once: (sequence, places) {odd:?} in {account:?}");
    ensure!(lost == 0, "samples that a sensor kept are lost: {:?} (sequence, count) in {account:?}", &losses[..losses.len().min(5)]);
    Ok(account)
}

fn at(found: &mut [i64], sequence: i64) -> anyhow::Result<&mut i64> {
    let known = found.len();
    let place = usize::try_from(sequence).ok().and_then(|sequence| found.get_mut(sequence));
    place.with_context(|| format!("sequence {sequence} is accounted for; {known} were published"))
}

/// Rows of two integers.
async fn sequences(reader: &Reader, query: &str) -> anyhow::Result<Vec<(i64, i64)>> {
    let mut rows = Vec::new();
    let mut batches = reader.query(query).await.with_context(|| query.to_owned())?.batches;
    while let Some(batch) = batches.try_next().await? {
        let [sequence, count] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>().values().to_vec());
        rows.extend(sequence.into_iter().zip(count));
    }
    Ok(rows)
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.published += other.published;
        self.stored += other.stored;
        self.late += other.late;
        self.rejected += other.rejected;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
    }
}
