//! Is this machine fit for an engine: its clock, its disk, its ports, the data directory?

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proprio_recording::{Disk as _, Folder};
use proprio_serve::{HTTP_PORT, POSTGRES_PORT};

use super::Finding;
use crate::commands::connect::EngineArgs;
use crate::lineage::BUILD;
use crate::running::Running;

/// Less room than this is too little to begin with.
const ROOM_MIN_BYTES: u64 = 1 << 30;
/// Less room than this lasts a full lab for a few hours.
const ROOM_FEW_BYTES: u64 = 20 << 30;
/// A disk that takes longer for 64 KiB holds acknowledgements up.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// What is synced to learn so.
const SYNC_BYTES: usize = 64 << 10;
/// How often.
const SYNCS: u32 = 8;
/// How long a door on this machine may take to open.
const DOOR_PATIENCE: Duration = Duration::from_secs(2);
/// Before that no clock was set right: 1 January 2025.
const PAST: Duration = Duration::from_secs(1_735_689_600);
/// Where `proprio run` listens when nothing else is said.
const PORTS: [(u16, &str, &str); 3] = [
    (7447, "zenoh", "--listen tcp/127.0.0.1:<port>"),
    (HTTP_PORT, "HTTP and Flight SQL", "--http-port <port>"),
    (POSTGRES_PORT, "the PostgreSQL wire", "--postgres-port <port>"),
];

/// Which build this is.
pub fn versions() -> Finding {
    Finding::fine("versions", format!("proprio {BUILD}"))
}

/// Whether the clock is right, as far as this machine knows.
pub fn clock() -> Finding {
    const CHECK: &str = "clock";
    if SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() < PAST {
        return Finding::error(CHECK, "it stands before 2025", "set it: `timedatectl set-time …`, or let chrony or timesyncd set it");
    }
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    match asked.ok().filter(|answer| answer.status.success()).map(|answer| answer.stdout.trim_ascii() == b"yes") {
        Some(true) => Finding::fine(CHECK, "synchronised"),
        Some(false) => Finding::warning(
            CHECK,
            "not synchronised: sessions of several machines can't be compared to the second",
            "`timedatectl set-ntp true`, or name a time server to chrony",
        ),
        None => Finding::warning(
            CHECK,
            "whether it is synchronised can't be told here: no timedatectl answers",
            "look at the machine's own time service; in a container, at the host's",
        ),
    }
}

/// Whether the data directory is this build's.
pub fn data(data: &Path) -> Finding {
    const CHECK: &str = "data";
    let at = data.display();
    if !data.join("format").exists() {
        return Finding::fine(CHECK, format!("{at} is no data directory yet; `proprio run` makes it one"));
    }
    if let Err(error) = Running::check_format(data) {
        return Finding::error(CHECK, format!("{error:#}"), "use the build that wrote it, or another directory with `--data`");
    }
    if Running::find(data).is_none() && data.join("running.json").exists() {
        return Finding::warning(
            CHECK,
            format!("{at}: an engine ended without saying so"),
            "`proprio run` with the same pipeline takes its open session up",
        );
    }
    Finding::fine(CHECK, format!("{at} is laid out as this build does"))
}

/// Whether the disk has room, and takes what is written soon enough.
pub fn disk(data: &Path) -> Vec<Finding> {
    const CHECK: &str = "disk";
    const ROOM: &str = "`proprio tables` says what takes the room; `recording: { keep: … }` and `tables:` in the pipeline bound it";
    // One that is not there yet will lie on its parent's disk.
    let Some(there) =
        data.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path }).find(|path| path.exists())
    else {
        return vec![Finding::error(CHECK, format!("{} lies nowhere", data.display()), "name a directory with `--data`")];
    };
    let room = match Folder::new(there).free_bytes() {
        Ok(free) if free < ROOM_MIN_BYTES => Finding::error(CHECK, format!("{} left", gigabytes(free)), ROOM),
        Ok(free) if free < ROOM_FEW_BYTES => Finding::warning(CHECK, format!("{} left", gigabytes(free)), ROOM),
        Ok(free) => Finding::fine(CHECK, format!("{} left", gigabytes(free))),
        Err(error) => Finding::error(CHECK, format!("its room can't be told: {error}"), "is the directory's disk mounted?"),
    };
    let speed = match worst_sync(there) {
        Ok(worst) if worst > SYNC_SLOW => Finding::warning(
            CHECK,
            format!("takes {} ms for 64 KiB: samples are acknowledged no sooner", worst.as_millis()),
            "put the data directory on a local SSD, and see what else writes there",
        ),
        Ok(worst) => Finding::fine(CHECK, format!("takes 64 KiB in {:.1} ms at worst", worst.as_secs_f64() * 1e3)),
        Err(error) => Finding::error(
            CHECK,
            format!("{} can't be written: {error}", there.display()),
            "give it to the user that the engine runs as (under the systemd unit: /var/lib/proprio)",
        ),
    };
    vec![room, speed]
}

/// How long the slowest of a few small writes took to be on disk.
fn worst_sync(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let measured = (|| {
        let mut file = std::fs::File::create(&path)?;
        let mut worst = Duration::ZERO;
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[0; SYNC_BYTES])?;
            file.sync_data()?;
            worst = worst.max(begun.elapsed());
        }
        Ok(worst)
    })();
    // Where nothing could be made there is nothing to remove.
    let _ = std::fs::remove_file(&path);
    measured
}

/// Whether the doors of the engine that runs here open, or the ports are free for one.
pub fn ports(engine: &EngineArgs) -> Vec<Finding> {
    const CHECK: &str = "ports";
    match Running::find(&engine.data) {
        Some(running) => {
            let doors = running.doors.iter().flat_map(|doors| [doors.http.clone(), doors.postgres.clone()]);
            doors
                .chain([running.endpoint.replacen("tcp/", "tcp://", 1)])
                .map(|door| match address(&door).map(|at| TcpStream::connect_timeout(&at, DOOR_PATIENCE)) {
                    Some(Ok(_)) => Finding::fine(CHECK, format!("{door} opens")),
                    Some(Err(error)) => {
                        Finding::error(CHECK, format!("{door} doesn't open: {error}"), "is the engine stuck? `proprio top`, and its log")
                    }
                    None => Finding::warning(CHECK, format!("{door} can't be tried from here"), "ask there with `proprio top --connect …`"),
                })
                .collect()
        }
        None if engine.is_running() => Vec::new(),
        None => PORTS
            .into_iter()
            .map(|(port, what, option)| match TcpListener::bind(("127.0.0.1", port)) {
                Ok(_) => Finding::fine(CHECK, format!("{port} is free for {what}")),
                Err(error) => Finding::warning(
                    CHECK,
                    format!("{port}, for {what}, can't be had: {error}"),
                    format!("end what listens there (`ss -ltnp`), or `proprio run {option}`"),
                ),
            })
            .collect(),
    }
}

/// `http://127.0.0.1:7341/x` as an address.
fn address(url: &str) -> Option<SocketAddr> {
    let host = url.split("://").nth(1)?.split('/').next()?;
    host.to_socket_addrs().ok()?.next()
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn a_directory_of_another_layout_is_an_error_and_a_fast_disk_is_fine() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("format"), "7\n").expect("a file");
        assert_eq!(data(folder.path()).state, State::Error);
        let missing = folder.path().join("a/b");
        assert_eq!(data(&missing).state, State::Fine);
        assert_eq!(disk(&missing).len(), 2);
        assert!(!missing.exists(), "a doctor builds no houses");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
    }

    #[test]
    fn doors_are_addresses() {
        assert_eq!(address("http://127.0.0.1:7341"), Some(([127, 0, 0, 1], 7341).into()));
        assert_eq!(address("postgresql://127.0.0.1:7342/proprio"), Some(([127, 0, 0, 1], 7342).into()));
        assert_eq!(address("as configured"), None);
    }
}
