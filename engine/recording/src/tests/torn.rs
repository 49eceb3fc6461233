//! What does a file give that a crash cut short, or that was damaged?

use std::path::PathBuf;
use std::sync::Arc;

use proprio_core::Recorded;

use super::disk::Memory;
use super::{Seeded, all, open, payload, read_from, rig, start, stop, try_open};
use crate::{Disk, Read, RecordingError, sessions};

/// A recording of one segment with ten sealed chunks of eight messages, as kill -9 leaves it, and the file's length after each.
fn segment() -> (Vec<Recorded>, Vec<u8>, Vec<usize>, PathBuf) {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut recorder = open(&disk);
    let path = crate::segment::path("lab-1", 0);
    let (mut written, mut lengths) = (Vec::new(), Vec::new());
    for number in 0..80_u8 {
        written.push(match number {
            0 => recorder.append(start("a"), 0),
            _ => recorder.append(payload(1, &[number; 40]), i64::from(number)),
        });
        if number % 8 == 7 {
            recorder.seal();
            lengths.push(memory.content(&path).len());
        }
    }
    (written, memory.content(&path), lengths, path)
}

#[test]
fn a_segment_cut_at_any_byte_gives_its_whole_chunks_and_the_next_start_continues_after_them() {
    let (written, whole, lengths, path) = segment();
    for cut in 0..=whole.len() {
        let chunks = lengths.iter().filter(|length| **length <= cut).count();
        let memory = Arc::new(Memory::default());
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        memory.put(&path, &whole[..cut]);
        assert_eq!(all(&disk), written[..chunks * 8], "cut at {cut}");

        let mut recorder = open(&disk);
        assert_eq!(recorder.session().is_some(), chunks > 0);
        assert_eq!(recorder.durable_position(), recorder.next_position() - 1);
        // What was torn has a regular end before anything is appended.
        let ended = sessions(&*disk, "lab-1").expect("sessions");
        assert_eq!(ended.len(), usize::from(chunks > 0));
        let after = recorder.append(payload(1, b"after"), 0);
        assert_eq!(after.position, chunks as i64 * 8);
        assert!(chunks == 0 || after.log_time_ns > written[chunks * 8 - 1].log_time_ns);
        recorder.append(stop(), 0);
        recorder.close().expect("a regular end");
        assert_eq!(all(&disk).len(), chunks * 8 + 2);
        for (file, position) in memory.paths().iter().zip([0, chunks as i64 * 8]) {
            assert_eq!(file, &crate::segment::path("lab-1", position));
            assert!(crate::segment::read_end(&*disk, file).expect("a file").is_some(), "cut at {cut}: {file:?} has no end");
        }
    }
}

#[test]
fn an_end_cut_at_any_byte_is_written_again() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut recorder = open(&disk);
    recorder.append(start("a"), 3);
    recorder.seal();
    let path = crate::segment::path("lab-1", 0);
    let before = memory.content(&path).len();
    recorder.append(stop(), 4);
    recorder.close().expect("a regular end");
    let whole = memory.content(&path);
    let chunk = whole.len() - crate::format::End { last_position: 0, last_log_time_ns: 0, session_open: false }.bytes().len();
    assert!(before < chunk);
    for cut in chunk..whole.len() {
        memory.put(&path, &whole[..cut]);
        let recorder = open(&disk);
        assert_eq!((recorder.next_position(), recorder.session()), (2, None));
        drop(recorder);
        assert_eq!(memory.content(&path), whole, "cut at {cut}");
    }
}

#[test]
fn damaged_bytes_never_panic_and_never_invent_a_message() {
    let (written, whole, _, path) = segment();
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut random = Seeded(7);
    for _ in 0..4_000 {
        let mut torn = whole.clone();
        torn[random.below(whole.len() as u64) as usize] ^= 1 << random.below(8);
        memory.put(&path, &torn);
        // Payloads are guarded by the chunk's checksum; what comes back is what was written, up to the damage.
        let (read, _) = read_from(&disk, 0, &rig());
        for (read, original) in read.into_iter().zip(&written) {
            assert_eq!(read, Read::Message(original.clone()));
        }
        let _ = try_open(&disk).map(|recorder| recorder.next_position());
    }
}

#[test]
fn damage_before_what_a_crash_can_tear_is_an_error_that_names_file_and_position() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut recorder = open(&disk);
    for number in 0..200 {
        recorder.append(payload(1, &[7; 60_000]), number);
        recorder.seal();
    }
    let path = crate::segment::path("lab-1", 0);
    let whole = memory.content(&path);
    drop(recorder);
    let damaged = |error: &RecordingError| matches!(error, RecordingError::Damaged { position: 16, path: named, .. } if *named == path);

    let mut torn = whole.clone();
    torn[1_000_000] ^= 1;
    memory.put(&path, &torn);
    assert_eq!(read_from(&disk, 0, &rig()).0.len(), 16);
    assert!(damaged(&read_from(&disk, 0, &rig()).1.expect("not silently the end")));
    assert!(damaged(&try_open(&disk).err().expect("nothing that was durable is cut")));
    // A length that is damaged (the chunk's log time is 17), so that the record seems to end beyond the file.
    let mut longer = whole.clone();
    let chunk = 16 * (whole.len() / 200);
    let place = (chunk - 2_000..chunk + 2_000)
        .find(|at| whole[*at] == 6 && whole[at + 4..at + 9] == [0; 5] && whole[at + 9..at + 17] == 17_u64.to_le_bytes());
    longer[place.expect("the chunk with position 16") + 4] = 0x20;
    memory.put(&path, &longer);
    assert!(damaged(&read_from(&disk, 0, &rig()).1.expect("not silently the end")));

    // In a segment that another follows, the positions tell that something is missing.
    memory.put(&path, &whole);
    let mut recorder = open(&disk);
    recorder.append(payload(1, b"after"), 0);
    recorder.close().expect("a regular end");
    let mut torn = memory.content(&path);
    torn[whole.len() - 10_000] ^= 1;
    memory.put(&path, &torn);
    let (read, error) = read_from(&disk, 0, &rig());
    assert_eq!(read.len(), 199);
    assert!(matches!(error, Some(RecordingError::Damaged { position: 199, .. })), "{error:?}");
}
