//! Where do the tables of a data directory lie? Said once to `proprio run`, and kept in the directory for every other command.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use proprio_tables::Place;

/// Says where they lie when that isn't the folder `tables`.
const FILE: &str = "tables.url";

/// A data directory that is read or written without an engine, and where its tables lie.
#[derive(Clone, Debug, clap::Args)]
pub struct DataArgs {
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub data: PathBuf,
    /// Tables elsewhere than the data directory says: a folder, or `s3://<bucket>/<prefix>`, which AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and their like open.
    #[arg(long, value_name = "PLACE", env = "PROPRIO_TABLES")]
    tables: Option<String>,
}

impl DataArgs {
    /// Where the tables lie.
    ///
    /// # Errors
    /// When that can't be read, or is no place for tables.
    pub fn place(&self) -> anyhow::Result<Place> {
        match &self.tables {
            Some(place) => Ok(Place::parse(place)?),
            None => of(&self.data),
        }
    }

    /// Whether these are the tables of the data directory, which its engine has.
    pub fn is_of_data(&self) -> bool {
        self.tables.as_ref().is_none_or(|place| kept(&self.data).is_ok_and(|kept| kept.as_ref() == Some(place)))
    }
}

/// Where a data directory's tables lie.
///
/// # Errors
/// When its file `tables.url` can't be read, or names no place for tables.
pub fn of(data: &Path) -> anyhow::Result<Place> {
    match kept(data)? {
        Some(place) => Place::parse(&place).with_context(|| format!("{}", data.join(FILE).display())),
        None => Ok(Place::of_data(data)?),
    }
}

/// Where a data directory's tables are to lie; what was kept holds, since tables never move by themselves.
///
/// # Errors
/// When they lie elsewhere already, or that is no place for tables.
pub fn wanted(data: &Path, said: Option<&str>) -> anyhow::Result<Place> {
    let Some(said) = said else { return of(data) };
    let folder = data.join("tables");
    match kept(data)? {
        Some(kept) if kept != said => bail!(
            "the tables of {} lie at {kept}: leave out --tables, or copy them to {said} and write that into {}",
            data.display(),
            data.join(FILE).display()
        ),
        None if folder.is_dir() => {
            bail!("{} holds the tables already: copy it to {said} and rename it, or leave out --tables", folder.display())
        }
        _ => Ok(Place::parse(said)?),
    }
}

/// Keeps where they lie, once they do.
///
/// # Errors
/// When the directory can't be written.
pub fn keep(data: &Path, said: Option<&str>) -> anyhow::Result<()> {
    let Some(said) = said.filter(|said| !kept(data).is_ok_and(|kept| kept.as_deref() == Some(said))) else { return Ok(()) };
    let path = data.join(FILE);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        writeln!(file, "{said}")?;
        file.sync_all()?;
        std::fs::File::open(data)?.sync_all()
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

fn kept(data: &Path) -> anyhow::Result<Option<String>> {
    let path = data.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_first_holds() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = |said: Option<&str>| wanted(dir.path(), said).map(|place| place.to_string()).map_err(|error| error.to_string());
        assert!(place(None).expect("the default").ends_with("/tables"));
        assert_eq!(place(Some("s3://lab/rigs")).as_deref(), Ok("s3://lab/rigs"));
        keep(dir.path(), Some("s3://lab/rigs")).expect("written");
        assert_eq!(of(dir.path()).expect("it is kept").to_string(), "s3://lab/rigs");
        assert_eq!((place(None).as_deref(), place(Some("s3://lab/rigs")).as_deref()), (Ok("s3://lab/rigs"), Ok("s3://lab/rigs")));
        assert!(place(Some("s3://lab/others")).expect_err("they lie elsewhere").contains("lie at s3://lab/rigs"));

        let full = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(full.path().join("tables")).expect("a folder");
        assert!(wanted(full.path(), Some("s3://lab/rigs")).expect_err("there are tables").to_string().contains("holds the tables already"));
        std::fs::write(full.path().join(FILE), "gs://lab\n").expect("written");
        assert!(format!("{:#}", of(full.path()).expect_err("no such place")).contains("tables.url: gs://lab can't hold tables"));
    }
}
