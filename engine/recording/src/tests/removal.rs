//! Is nothing left of what is forgotten, and does everything else still read?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::disk::Memory;
use super::{all, open, payload, start, stop};
use crate::{Disk, Folder, Gone, Lane, RecordingError, Snapshot, Snapshots, forget, heads, retain, sessions};

/// Sessions `a`, `b` and again `a` in name alone, `c`; each with a payload that names its subject, in two segments each.
fn recorded(disk: &Arc<dyn Disk>) {
    let mut recorder = open(disk);
    for (number, session) in ["a", "b", "c"].into_iter().enumerate() {
        let time_ns = number as i64 * 100;
        recorder.append(start(session), time_ns);
        recorder.append(payload(1, format!("secret of {session}").as_bytes()), time_ns + 1);
        recorder.begin_segment(&super::rig(), &super::texts());
        recorder.append(payload(1, format!("secret of {session}").as_bytes()), time_ns + 2);
        recorder.append(stop(), time_ns + 3);
    }
    recorder.close().expect("a regular end");
}

fn holds(memory: &Memory, text: &str) -> bool {
    memory.paths().iter().any(|path| memory.content(path).windows(text.len()).any(|window| window == text.as_bytes()))
}

fn ids(disk: &Arc<dyn Disk>) -> Vec<String> {
    sessions(&**disk, "lab-1").expect("sessions").into_iter().map(|session| session.id).collect()
}

#[test]
fn a_forgotten_session_leaves_positions_and_nothing_else() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    recorded(&disk);
    let mut snapshots = Snapshots::new(disk.clone(), "lab-1");
    for (session, position) in [("b", 5), ("c", 9)] {
        let state = format!("secret of {session}").into_bytes();
        snapshots.write(&Snapshot { run_id: "run".into(), session: session.into(), position, state }).expect("a snapshot");
    }
    assert!(holds(&memory, "secret of b") && holds(&memory, "subject of b"));

    let forgotten = forget(&*disk, "lab-1", &BTreeSet::from(["b".to_owned(), "unknown".to_owned()])).expect("it is forgotten");
    let ranges: Vec<_> = forgotten.iter().map(|segment| (segment.first_position, segment.last_position)).collect();
    assert_eq!(ranges, [(4, 5), (6, 7)]);
    assert!(forgotten.iter().all(|segment| segment.session.as_deref() == Some("b") && segment.bytes > 0));
    assert!(!holds(&memory, "secret of b") && !holds(&memory, "subject of b"));
    assert_eq!(ids(&disk), ["a", "c"]);
    assert_eq!(all(&disk).iter().map(|message| message.position).collect::<Vec<_>>(), [0, 1, 2, 3, 8, 9, 10, 11]);
    assert_eq!(snapshots.newest("run").expect("a list").map(|snapshot| snapshot.position), Some(9));
    assert!(forget(&*disk, "lab-1", &BTreeSet::from(["b".to_owned()])).expect("nothing to do").is_empty());

    // The last one too, and positions and log times still go on.
    forget(&*disk, "lab-1", &BTreeSet::from(["c".to_owned()])).expect("it is forgotten");
    let next = open(&disk).append(payload(1, b"after"), 0);
    assert_eq!((next.position, next.log_time_ns), (12, 204));
    assert_eq!(snapshots.newest("run").expect("a list"), None);
    assert!(heads(&*disk, "lab-1").expect("heads").iter().skip(2).all(|head| head.gone == Some(Gone::Forgotten) && head.texts.is_empty()));
}

#[test]
fn a_torn_last_segment_is_forgotten_up_to_its_last_whole_message() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut recorder = open(&disk);
    recorder.append(start("a"), 7);
    recorder.seal();
    recorder.append(payload(1, b"secret"), 8);
    recorder.seal();
    drop(recorder);
    let path = crate::segment::path("lab-1", 0);
    let whole = memory.content(&path);
    memory.put(&path, &whole[..whole.len() - 3]);
    let forgotten = forget(&*disk, "lab-1", &BTreeSet::from(["a".to_owned()])).expect("it is forgotten");
    assert_eq!((forgotten[0].first_position, forgotten[0].last_position), (0, 0));
    assert!(!holds(&memory, "secret"));
    assert_eq!(open(&disk).append(payload(1, b"after"), 0).position, 1);
}

#[test]
fn what_a_crash_left_of_a_sessions_head_is_forgotten_too() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut recorder = open(&disk);
    recorder.append(payload(1, b"before"), 1);
    recorder.append(start("a"), 7);
    recorder.seal();
    drop(recorder);
    let path = crate::segment::path("lab-1", 1);
    let whole = memory.content(&path);
    memory.put(&path, &whole[..whole.len() - 3]);
    assert!(ids(&disk).is_empty() && holds(&memory, "subject of a"));
    assert!(forget(&*disk, "lab-1", &BTreeSet::from(["a".to_owned()])).expect("it is forgotten").is_empty());
    assert!(!holds(&memory, "subject of a"));
    assert_eq!(open(&disk).append(payload(1, b"after"), 0).position, 1);
}

#[test]
fn what_is_being_recorded_is_not_forgotten_and_what_is_over_is() {
    let data = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(data.path()));
    let mut recorder = crate::Recorder::open(disk.clone(), &super::rig(), &super::texts(), Lane::Inline).expect("a recorder");
    recorder.append(start("over"), 1);
    recorder.append(start("open"), 2);
    recorder.seal();
    let refused = forget(&*disk, "lab-1", &BTreeSet::from(["over".to_owned(), "open".to_owned()]));
    assert!(matches!(refused, Err(RecordingError::SessionOpen { session }) if session == "open"));
    assert_eq!(ids(&disk), ["over", "open"], "nothing was touched");
    assert_eq!(forget(&*disk, "lab-1", &BTreeSet::from(["over".to_owned()])).expect("it is over").len(), 1);
    recorder.append(payload(1, b"goes on"), 3);
    recorder.close().expect("a regular end");
    assert_eq!(ids(&disk), ["open"]);
    assert_eq!(all(&disk).iter().map(|message| message.position).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn retention_keeps_the_list_of_sessions_and_the_last_segment() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    recorded(&disk);
    let gone = retain(&*disk, "lab-1", 103).expect("a disk");
    assert_eq!(gone.iter().map(|segment| segment.first_position).collect::<Vec<_>>(), [0, 2, 4]);
    assert!(retain(&*disk, "lab-1", 103).expect("a disk").is_empty());
    assert!(!holds(&memory, "secret of a") && holds(&memory, "secret of b"));
    let found = sessions(&*disk, "lab-1").expect("sessions");
    assert_eq!(
        found.iter().map(|session| (session.id.as_str(), session.gone)).collect::<Vec<_>>(),
        [("a", Some(Gone::Retention)), ("b", Some(Gone::Retention)), ("c", None)]
    );
    assert_eq!(found[0].last.map(|last| last.position), Some(3));
    // A session whose raw messages are gone can still be forgotten whole.
    forget(&*disk, "lab-1", &BTreeSet::from(["a".to_owned()])).expect("it is forgotten");
    assert!(!holds(&memory, "subject of a"));
    retain(&*disk, "lab-1", i64::MAX).expect("a disk");
    assert_eq!(all(&disk).iter().map(|message| message.position).collect::<Vec<_>>(), [10, 11]);
}

#[test]
fn a_power_cut_while_forgetting_leaves_each_segment_old_or_replaced() {
    for steps in 0..12 {
        let memory = Arc::new(Memory::default());
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        recorded(&disk);
        memory.state().failing_syncs = 0;
        // The disk runs out of room at some byte of some stub.
        let used: usize = memory.paths().iter().map(|path| memory.content(path).len()).sum();
        memory.state().capacity = Some(used + steps * 100);
        let outcome = forget(&*disk, "lab-1", &BTreeSet::from(["a".to_owned()]));
        memory.cut_power(500);
        memory.state().capacity = None;
        let left = all(&disk).len();
        assert!(left == 12 || left == 10 || left == 8, "{left}");
        assert_eq!(outcome.is_ok(), left == 8);
        forget(&*disk, "lab-1", &BTreeSet::from(["a".to_owned()])).expect("it is forgotten now");
        assert_eq!(all(&disk).len(), 8);
        let left_beside =
            |path: &&std::path::PathBuf| path.extension() != Some("mcap".as_ref()) && path.starts_with(Path::new("recording"));
        assert_eq!(memory.paths().iter().filter(left_beside).count(), 0);
    }
}
