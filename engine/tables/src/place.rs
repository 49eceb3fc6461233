//! Where do the tables lie: in a folder, or under a prefix of a bucket in an object store that speaks S3?

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::logstore::{StorageConfig, default_logstore};
use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig};
use url::Url;

use crate::error::TablesError;

/// What the log of each table lies in.
const LOG: &str = "_delta_log";
/// An object that is made once: a second attempt must be refused.
const MARK: &str = "_proprio";
/// How long a request that fails is tried again: whoever asked says so, and asks once more.
const RETRY: Duration = Duration::from_secs(10);
/// How often.
const RETRIES: usize = 3;

/// Where tables lie, each in a folder of its name.
#[derive(Clone)]
pub struct Place {
    /// Ends in `/`.
    url: Url,
    /// The whole file system or bucket.
    store: Arc<dyn ObjectStore>,
    /// Set where files must be brought to the disk.
    local: Option<PathBuf>,
}

impl Place {
    /// The folder `tables` of a data directory.
    ///
    /// # Errors
    /// As [`folder`](Self::folder).
    pub fn of_data(data: &FilePath) -> Result<Self, TablesError> {
        Self::folder(&data.join("tables"))
    }

    /// A folder, which need not be there yet.
    ///
    /// # Errors
    /// When its path can't be made absolute.
    pub fn folder(path: &FilePath) -> Result<Self, TablesError> {
        let io = |source| TablesError::Io { path: path.to_owned(), source };
        let local = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).map_err(io)?;
        let url = Url::from_directory_path(&local)
            .map_err(|()| TablesError::Place { place: path.display().to_string(), reason: "its path can't be a URL".to_owned() })?;
        Ok(Self { url, store: Arc::new(LocalFileSystem::new()), local: Some(local) })
    }

    /// What a person says: a folder, or `s3://<bucket>/<prefix>` of a store that speaks S3. Who may read and write there, and where
    /// the store is, say `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP` and
    /// their like in the environment. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When it is no such thing, or the environment says nothing that makes sense.
    pub fn parse(place: &str) -> Result<Self, TablesError> {
        let said = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::parse_in(place, said)
    }

    /// As [`parse`](Self::parse), in an environment of these variables.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_in(place: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, TablesError> {
        let refused = |reason: String| TablesError::Place { place: place.to_owned(), reason };
        match place.split_once("://") {
            None => return Self::folder(FilePath::new(place)),
            Some(("file", path)) => return Self::folder(FilePath::new(path)),
            Some(("s3" | "s3a", _)) => {}
            Some((scheme, _)) => {
                return Err(refused(format!("`{scheme}://` is none that is known; say a folder or s3://<bucket>/<prefix>")));
            }
        }
        let url = Url::parse(place).map_err(|error| refused(error.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) || url.query().is_some() {
            return Err(refused("say s3://<bucket>/<prefix>".to_owned()));
        }
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY, ..RetryConfig::default() };
        let mut store = AmazonS3Builder::new();
        for (name, value) in environment.into_iter().filter(|(name, _)| name.starts_with("AWS_")) {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                store = store.with_config(key, value);
            }
        }
        let store = store.with_url(url.as_str()).with_retry(retry).build().map_err(|error| refused(error.to_string()))?;
        Self::of_store(place, Arc::new(store))
    }

    /// A store that the caller has made, where `url` names the tables' prefix in it, such as `s3://<bucket>/<prefix>`.
    ///
    /// # Errors
    /// When that is no URL.
    pub fn of_store(url: &str, store: Arc<dyn ObjectStore>) -> Result<Self, TablesError> {
        let mut url = Url::parse(url).map_err(|error| TablesError::Place { place: url.to_owned(), reason: error.to_string() })?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self { url, store, local: None })
    }

    /// The folder, where it is one.
    pub(crate) fn local(&self) -> Option<&FilePath> {
        self.local.as_deref()
    }

    /// Where one table lies.
    pub(crate) fn table(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{name}/", url.path()));
        Self { url, store: self.store.clone(), local: self.local.as_ref().map(|local| local.join(name)) }
    }

    /// The Delta table that lies here, not yet read.
    pub(crate) fn delta(&self, name: &str) -> Result<DeltaTable, TablesError> {
        let config = StorageConfig::default();
        let within = config.decorate_store(self.store.clone(), &self.url).map_err(TablesError::delta(name))?;
        Ok(DeltaTable::new(default_logstore(Arc::from(within), self.store.clone(), &self.url, &config)))
    }

    /// The tables that lie here, by name, but for those that are known.
    pub(crate) async fn tables(&self, is_known: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Self>, TablesError> {
        let listed = self.store.list_with_delimiter(Some(&self.path()?)).await.map_err(|error| self.unreachable(error))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        let unknown = names.filter(|name| !is_known(name)).map(|name| async move {
            let table = self.table(name);
            Ok::<_, TablesError>(table.has_log().await?.then(|| (name.to_owned(), table)))
        });
        Ok(futures::future::try_join_all(unknown).await?.into_iter().flatten().collect())
    }

    /// Makes sure that two writers can't take one version of a table: a store that doesn't refuse to make an object anew that is
    /// there would let the second overwrite the first's rows.
    pub(crate) async fn check(&self) -> Result<(), TablesError> {
        if self.local.is_some() {
            return Ok(());
        }
        let mark = self.path()?.join(MARK);
        for _ in 0..2 {
            let once = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.store.put_opts(&mark, PutPayload::from_static(b"1\n"), once).await {
                Ok(_) => {}
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => return Ok(()),
                Err(error) => return Err(self.unreachable(error)),
            }
        }
        let reason = "the store doesn't honour conditional puts (If-None-Match), without which writers overwrite each other";
        Err(TablesError::Place { place: self.to_string(), reason: reason.to_owned() })
    }

    async fn has_log(&self) -> Result<bool, TablesError> {
        if let Some(local) = &self.local {
            return Ok(local.join(LOG).is_dir());
        }
        let first = self.store.list(Some(&self.path()?.join(LOG))).next().await.transpose();
        Ok(first.map_err(|error| self.unreachable(error))?.is_some())
    }

    /// Within the whole store.
    fn path(&self) -> Result<Path, TablesError> {
        let refused = |error: object_store::path::Error| TablesError::Place { place: self.to_string(), reason: error.to_string() };
        Path::from_url_path(self.url.path()).map_err(refused)
    }

    fn unreachable(&self, source: StoreError) -> TablesError {
        TablesError::Unreachable { place: self.to_string(), source }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.local {
            Some(local) => write!(f, "{}", local.display()),
            None => write!(f, "{}", self.url.as_str().trim_end_matches('/')),
        }
    }
}

/// Without the store, which knows secrets.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket_and_a_prefix() {
        for (said, shown) in [("/srv/lab/tables", "/srv/lab/tables"), ("file:///srv/lab", "/srv/lab"), ("s3://lab/a/b/", "s3://lab/a/b")] {
            let place = Place::parse(said).expect("it is one");
            assert_eq!((place.to_string().as_str(), place.local().is_none()), (shown, said.starts_with("s3")));
        }
        assert_eq!(Place::parse("s3://lab/a").expect("one").table("imu").to_string(), "s3://lab/a/imu");
        for (wrong, says) in
            [("gs://lab/a", "`gs://` is none that is known"), ("s3:///a", "s3://<bucket>/<prefix>"), ("s3://lab/a?b=c", "say")]
        {
            let error = Place::parse(wrong).expect_err("it is none").to_string();
            assert!(error.contains(wrong) && error.contains(says), "{error}");
        }
    }
}
