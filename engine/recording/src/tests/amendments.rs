//! Is what is put right afterwards kept beside its session, whole, in order, and until the session is forgotten?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use proprio_core::{Decision, Instrument, Note};

use super::disk::Memory;
use super::{open, payload, start, stop};
use crate::{Amendment, Disk, RecordingError, SessionEntry, amend, amendments, forget, sessions};

fn recorded(disk: &Arc<dyn Disk>) -> Vec<SessionEntry> {
    let mut recorder = open(disk);
    for (number, session) in ["a", "b"].into_iter().enumerate() {
        recorder.append(start(session), number as i64 * 100);
        recorder.append(payload(1, b"data"), number as i64 * 100 + 1);
        recorder.append(stop(), number as i64 * 100 + 2);
    }
    recorder.append(start("open"), 300);
    recorder.seal();
    drop(recorder);
    sessions(&**disk, "lab-1").expect("sessions")
}

fn amendment(why: &str) -> Amendment {
    let items = [3, 2, 1, 0, 4, 2, 0, 5, 3].map(Some).into_iter().chain([None]).collect();
    Amendment {
        entered_ns: 1_000,
        who: Some("a tester".to_owned()),
        why: Some(why.to_owned()),
        texts: [("rig.yaml".to_owned(), "rig: lab-1".to_owned())].into(),
        decisions: vec![
            Decision::Outcome { time_ns: 900, author: "a tester".to_owned(), instrument: Instrument::Odi, items },
            Decision::Note { time_ns: 901, note: Note::plain("a tester", "later") },
        ],
    }
}

#[test]
fn amendments_are_read_as_they_were_written_in_their_order() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let entries = recorded(&disk);
    assert_eq!(amend(&*disk, "lab-1", entries[0].first_position, &amendment("first")).expect("it is taken"), 1);
    assert_eq!(amend(&*disk, "lab-1", entries[0].first_position, &amendment("second")).expect("it is taken"), 2);
    let nothing_said = Amendment { entered_ns: 5, ..Amendment::default() };
    assert_eq!(amend(&*disk, "lab-1", entries[1].first_position, &nothing_said).expect("it is taken"), 1);
    assert_eq!(amendments(&*disk, "lab-1", 0).expect("they read"), [amendment("first"), amendment("second")]);
    assert_eq!(amendments(&*disk, "lab-1", 3).expect("they read"), [nothing_said]);
    assert_eq!(sessions(&*disk, "lab-1").expect("sessions"), entries, "the recording is what it was");
    let refused = amend(&*disk, "lab-1", entries[2].first_position, &amendment("third"));
    assert!(matches!(refused, Err(RecordingError::SessionOpen { session }) if session == "open"));
}

#[test]
fn a_damaged_amendment_is_an_error_wherever_it_is_cut() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let entries = recorded(&disk);
    amend(&*disk, "lab-1", entries[0].first_position, &amendment("first")).expect("it is taken");
    let path = Path::new("recording/lab-1/00000000000000000000.amendment.0001.mcap");
    let whole = memory.content(path);
    for length in 0..whole.len() {
        let cut: Arc<dyn Disk> = Arc::new(Arc::new(Memory::default()));
        let mut file = cut.open(path).expect("it opens");
        file.append(&whole[..length]).expect("memory takes it");
        match amendments(&*cut, "lab-1", 0) {
            // Beyond the data stands nothing that is needed.
            Ok(read) => assert_eq!(read, [amendment("first")], "cut at {length} of {}", whole.len()),
            Err(error) => assert!(error.to_string().contains("amendment.0001"), "{error}"),
        }
    }
}

#[test]
fn a_forgotten_session_leaves_no_amendment() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let entries = recorded(&disk);
    for entry in &entries[..2] {
        amend(&*disk, "lab-1", entry.first_position, &amendment(&entry.id)).expect("it is taken");
    }
    let left = Path::new("recording/lab-1/00000000000000000000.amendment.0002.mcap.tmp");
    disk.open(left).expect("it opens").append(b"what a crash left").expect("memory takes it");
    forget(&*disk, "lab-1", &BTreeSet::from(["a".to_owned()])).expect("it is forgotten");
    assert!(amendments(&*disk, "lab-1", 0).expect("they read").is_empty());
    assert_eq!(amendments(&*disk, "lab-1", 3).expect("they read"), [amendment("b")]);
    assert!(!memory.paths().iter().any(|path| path == left));
    let refused = amend(&*disk, "lab-1", entries[0].first_position, &amendment("again"));
    assert!(matches!(refused, Err(RecordingError::SessionGone { position: 0 })));
}
