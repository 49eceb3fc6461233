//! Who may ask what, and how much? The users file: passwords as verifiers, tokens as hashes, tables, sessions and limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proprio_tables::Access;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::error::ServeError;
use crate::scram::{Verifier, sha256};

const TOKEN: &str = "sha256:";
/// Longer files are refused unread.
const FILE_BYTES: u64 = 4 << 20;

/// What one query, and all queries of one user, may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of one query, in MiB; sorts and groupings beyond it spill to disk.
    pub memory_mib: usize,
    /// How long a query may take until its last row is taken, in seconds.
    pub time_s: u64,
    /// Rows of one answer.
    pub rows: u64,
    /// Queries at a time.
    pub queries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 256, time_s: 600, rows: 100_000_000, queries: 8 }
    }
}

impl Limits {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.time_s)
    }
}

/// Somebody who is known.
#[derive(Clone, Debug)]
pub struct User {
    /// Name; none for the one who asks where there is no users file.
    pub name: Option<String>,
    /// What they may see.
    pub access: Access,
    /// What they may take.
    pub limits: Limits,
    /// Whether they may open sessions, mark, note and reload.
    pub control: bool,
}

/// Everybody who may ask.
#[derive(Debug)]
pub struct Users {
    /// None where there is no file: then everybody on this machine is the same anonymous user.
    known: Option<BTreeMap<String, Known>>,
    secret: [u8; 32],
}

#[derive(Debug)]
struct Known {
    user: Arc<User>,
    verifier: Option<Verifier>,
    tokens: Vec<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    users: BTreeMap<String, Entry>,
}

/// A user as the file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `SCRAM-SHA-256$…`, as `proprio user add` writes it; without one, only tokens let the user in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `sha256:…`, the hash of each token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Names of tables; `*` stands for any text.
    pub tables: Vec<String>,
    /// Names of sessions; `*` stands for any text.
    pub sessions: Vec<String>,
    /// What the user may take.
    #[serde(default)]
    pub limits: Limits,
    /// Whether the user may change the rig that runs: sessions, trials, marks, notes, outcomes, acknowledgements, reloads.
    #[serde(default)]
    pub control: bool,
}

impl Users {
    /// Nobody is known: who asks is anonymous and sees all.
    pub fn anonymous() -> Self {
        Self { known: None, secret: secret() }
    }

    /// Those of a file.
    ///
    /// # Errors
    /// When it can't be read, or holds a mistake, which is named.
    pub fn read(path: &Path) -> Result<Self, ServeError> {
        let known = entries(path)?.into_iter().map(|(name, entry)| {
            let known = Known::new(&name, entry).map_err(|reason| wrong(path, format!("user `{name}`: {reason}")))?;
            Ok((name, known))
        });
        let known: BTreeMap<String, Known> = known.collect::<Result<_, ServeError>>()?;
        if known.is_empty() {
            return Err(wrong(path, "it names no user; add one with `proprio user add NAME`".to_owned()));
        }
        Ok(Self { known: Some(known), secret: secret() })
    }

    /// Whether there is no file.
    pub fn is_anonymous(&self) -> bool {
        self.known.is_none()
    }

    /// Who asks where nobody is known; none where somebody is.
    pub fn nobody(&self) -> Option<Arc<User>> {
        let everything = User { name: None, access: Access::all(), limits: Limits::default(), control: true };
        self.is_anonymous().then(|| Arc::new(everything))
    }

    /// The verifier of a user, or one that nothing meets.
    pub fn verifier(&self, name: &str) -> Verifier {
        let known = self.known.as_ref().and_then(|known| known.get(name)?.verifier.clone());
        known.unwrap_or_else(|| Verifier::of_nobody(&self.secret, name))
    }

    /// A user whose password has been proved.
    pub fn proved(&self, name: &str) -> Option<Arc<User>> {
        Some(self.known.as_ref()?.get(name)?.user.clone())
    }

    /// The user with a password. It takes some ten milliseconds.
    pub fn with_password(&self, name: &str, password: &str) -> Option<Arc<User>> {
        self.verifier(name).is_of(password).then(|| self.proved(name))?
    }

    /// The user with a token.
    pub fn with_token(&self, token: &str) -> Option<Arc<User>> {
        // Only hashes are compared: what their comparison tells does not tell of the token.
        let hash = sha256(token.as_bytes());
        self.known.as_ref()?.values().find(|known| known.tokens.contains(&hash)).map(|known| known.user.clone())
    }
}

impl Known {
    fn new(name: &str, entry: Entry) -> Result<Self, String> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-@".contains(letter);
        if name.is_empty() || name.len() > 63 || !name.chars().all(is_plain) {
            return Err("a name has 1 to 63 letters, digits, `.`, `_`, `-` and `@`".to_owned());
        }
        if entry.password.is_none() && entry.tokens.is_empty() {
            return Err("it has neither a password nor a token, so nobody could log in".to_owned());
        }
        let limits = [entry.limits.memory_mib as u64, entry.limits.time_s, entry.limits.rows, entry.limits.queries as u64];
        if limits.contains(&0) || entry.limits.memory_mib > 1 << 20 || entry.limits.time_s > 86_400 {
            return Err("each limit is at least 1; `memory_mib` is at most 1048576, `time_s` 86400".to_owned());
        }
        let verifier = entry.password.map(|text| text.parse()).transpose().map_err(|reason| format!("`password`: {reason}"))?;
        let tokens = entry.tokens.iter().map(|text| hash_of(text).ok_or("`tokens`: each is `sha256:` and 64 hexadecimal digits"));
        let tokens = tokens.collect::<Result<_, _>>()?;
        let access = Access::new(entry.tables, entry.sessions);
        Ok(Self {
            user: Arc::new(User { name: Some(name.to_owned()), access, limits: entry.limits, control: entry.control }),
            verifier,
            tokens,
        })
    }
}

/// A new token, and how the file keeps it.
pub fn new_token() -> (String, String) {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let token = format!("proprio_{}", hex(&bytes));
    let kept = format!("{TOKEN}{}", hex(&sha256(token.as_bytes())));
    (token, kept)
}

/// Adds a user to the file, which is made when it isn't there, readable by its owner alone.
///
/// # Errors
/// When the file can't be read or written, the name is taken, or the entry has a mistake.
pub fn add(path: &Path, name: &str, entry: Entry) -> Result<(), ServeError> {
    let mut users = if path.exists() { entries(path)? } else { BTreeMap::new() };
    if users.contains_key(name) {
        return Err(wrong(path, format!("there is a user `{name}` already; remove the entry first")));
    }
    Known::new(name, entry.clone()).map_err(|reason| wrong(path, format!("user `{name}`: {reason}")))?;
    users.insert(name.to_owned(), entry);
    let text = serde_saphyr::to_string(&File { users }).map_err(|error| wrong(path, error.to_string()))?;
    write(path, &text).map_err(|source| ServeError::Io { path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Beside the file and then in its place, so that a full disk costs no user.
    let beside = PathBuf::from(format!("{}.new", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

fn entries(path: &Path) -> Result<BTreeMap<String, Entry>, ServeError> {
    let io = |source| ServeError::Io { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if bytes > FILE_BYTES {
        return Err(wrong(path, format!("it has {bytes} bytes; at most {FILE_BYTES} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    let file: File = serde_saphyr::from_str(&text).map_err(|error| wrong(path, first_line(&error)))?;
    Ok(file.users)
}

fn wrong(path: &Path, reason: String) -> ServeError {
    ServeError::Users { path: path.to_owned(), reason }
}

/// The error without the picture of the place, which would repeat a verifier.
fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(TOKEN)?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(password: Option<&str>, tokens: Vec<String>) -> Entry {
        let password = password.map(|password| Verifier::of(password).to_string());
        Entry { password, tokens, tables: vec!["emg*".into()], sessions: vec!["S-1-*".into()], limits: Limits::default(), control: false }
    }

    #[test]
    fn who_is_added_is_known_by_password_and_token_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.yaml");
        let (token, kept) = new_token();
        add(&path, "anna", entry(Some("correct horse"), vec![kept])).expect("added");
        add(&path, "ben", entry(Some("battery"), Vec::new())).expect("added");
        assert!(add(&path, "ben", entry(Some("other"), Vec::new())).expect_err("taken").to_string().contains("already"));
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(!text.contains("horse") && !text.contains(&token), "{text}");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);

        let users = Users::read(&path).expect("users");
        assert!(!users.is_anonymous() && users.nobody().is_none());
        let anna = users.with_password("anna", "correct horse").expect("known");
        assert_eq!(anna.name.as_deref(), Some("anna"));
        assert!(anna.access.sees_table("emg_rms") && !anna.access.sees_table("imu") && anna.access.hides_sessions());
        assert_eq!(users.with_token(&token).and_then(|user| user.name.clone()).as_deref(), Some("anna"));
        for (name, password) in [("anna", "battery"), ("anna", ""), ("carl", "battery"), ("", "")] {
            assert!(users.with_password(name, password).is_none(), "{name} {password}");
        }
        assert!(users.with_token("").is_none() && users.with_token("proprio_00").is_none());
    }

    #[test]
    fn a_mistake_is_named_and_no_verifier_is_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.yaml");
        let verifier = Verifier::of("x").to_string();
        let cases = [
            ("users: {}", "names no user"),
            ("users: { anna: { tables: ['*'], sessions: ['*'] } }", "neither a password nor a token"),
            ("users: { anna: { password: hunter2, tables: ['*'], sessions: ['*'] } }", "no SCRAM-SHA-256 verifier"),
            ("users: { anna: { tokens: ['sha256:12'], tables: ['*'], sessions: ['*'] } }", "64 hexadecimal digits"),
            ("users: { 'an na': { tokens: [], tables: ['*'], sessions: ['*'] } }", "a name has"),
            (&format!("users: {{ anna: {{ password: '{verifier}', tables: ['*'] }} }}"), "sessions"),
            (&format!("users: {{ anna: {{ password: '{verifier}', tables: ['*'], sesions: ['*'] }} }}"), "sesions"),
            (&format!("users: {{ anna: {{ password: '{verifier}', tables: [], sessions: [], limits: {{ rows: 0 }} }} }}"), "at least 1"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).expect("written");
            let error = Users::read(&path).expect_err(text).to_string();
            assert!(error.contains(expected) && !error.contains(&verifier) && error.lines().count() == 1, "{text}: {error}");
        }
        assert!(Users::read(&folder.path().join("none.yaml")).is_err());
    }
}
