//! Does nothing that was durable get lost, and nothing else count as durable, when the disk fills up, refuses or loses power?

use std::sync::Arc;
use std::time::{Duration, Instant};

use proprio_core::Recorded;

use super::disk::Memory;
use super::{Seeded, all, open, payload, rig, start, stop, texts};
use crate::{Disk, Lane, Recorder, RecordingError};

fn memory() -> (Arc<Memory>, Arc<dyn Disk>) {
    let memory = Arc::new(Memory::default());
    (memory.clone(), Arc::new(memory))
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing_once_it_heals() {
    let (memory, disk) = memory();
    let mut recorder = open(&disk);
    let mut written: Vec<_> = (0..10).map(|number| recorder.append(payload(1, &[1; 50]), number)).collect();
    recorder.seal();
    assert_eq!((recorder.durable_position(), recorder.trouble()), (9, None));
    let full = memory.content(&crate::segment::path("lab-1", 0)).len() + 300;
    memory.state().capacity = Some(full);
    for number in 0..500 {
        // Sessions and with them segments begin and end meanwhile.
        let event = if number % 100 == 50 { start(&number.to_string()) } else { payload(1, &[2; 50]) };
        written.push(recorder.append(event, 1_000 + number));
        recorder.seal();
        assert!(recorder.durable_position() < 20);
    }
    let said = recorder.trouble().expect("the disk is full").text;
    assert!(said.contains("recording/lab-1/") && said.contains(".mcap"), "{said}");
    assert!(recorder.tail_bytes() > 400 * 50);
    assert!(!recorder.is_full());
    memory.state().capacity = None;
    recorder.seal();
    assert_eq!((recorder.durable_position(), recorder.trouble(), recorder.tail_bytes()), (509, None, 0));
    memory.cut_power(0);
    assert_eq!(all(&disk), written);
}

#[test]
fn after_a_failed_sync_the_same_bytes_are_written_again() {
    let (memory, disk) = memory();
    let mut recorder = open(&disk);
    let mut written = Vec::new();
    for number in 0..20 {
        written.push(recorder.append(payload(1, &[number as u8; 50]), number));
        memory.state().failing_syncs = usize::from(number % 3 == 1) * 2;
        recorder.seal();
        assert_eq!(recorder.trouble().is_some(), number % 3 == 1);
        assert_eq!(recorder.durable_position() == number, number % 3 != 1);
    }
    memory.state().failing_syncs = 0;
    recorder.seal();
    assert_eq!(recorder.durable_position(), 19);
    memory.cut_power(0);
    assert_eq!(all(&disk), written);
}

#[test]
fn a_recorder_that_ends_says_what_was_not_written_and_a_torn_tail_on_a_full_disk_heals_too() {
    let (memory, disk) = memory();
    let mut recorder = open(&disk);
    recorder.append(payload(1, b"durable"), 0);
    recorder.seal();
    let full = memory.content(&crate::segment::path("lab-1", 0)).len();
    memory.state().capacity = Some(full);
    recorder.append(payload(1, b"lost"), 1);
    recorder.append(payload(1, b"lost"), 2);
    let ended = recorder.close();
    assert!(matches!(ended, Err(RecordingError::Unwritten { durable_position: 0, next_position: 3, .. })), "{ended:?}");

    let mut recorder = open(&disk);
    assert!(recorder.trouble().is_some());
    assert_eq!((recorder.next_position(), recorder.durable_position()), (1, -1));
    recorder.append(payload(1, b"second"), 3);
    memory.state().capacity = None;
    recorder.seal();
    assert_eq!((recorder.trouble(), recorder.durable_position()), (None, 1));
    assert_eq!(all(&disk).len(), 2);
}

#[test]
fn what_was_durable_survives_any_sequence_of_faults_and_power_cuts() {
    for seed in 0..300 {
        let mut random = Seeded(seed);
        let (memory, disk) = memory();
        let mut written: Vec<Recorded> = Vec::new();
        for _ in 0..6 {
            memory.state().capacity = None;
            memory.state().failing_syncs = 0;
            let mut recorder = open(&disk);
            let next = recorder.next_position() as usize;
            written.truncate(next);
            assert_eq!(all(&disk), written, "seed {seed}");
            recorder.segment_bytes = 1_500;
            let mut durable = recorder.durable_position();
            for _ in 0..random.below(60) {
                let arrival_ns = random.below(1_000_000) as i64;
                match random.below(20) {
                    0 => written.push(recorder.append(start(&seed.to_string()), arrival_ns)),
                    1 => written.push(recorder.append(stop(), arrival_ns)),
                    2 => memory.state().failing_syncs = random.below(4) as usize,
                    3 => {
                        let free = random.below(2_000) as usize;
                        let used: usize = memory.paths().iter().map(|path| memory.content(path).len()).sum();
                        memory.state().capacity = (free > 300).then_some(used + free);
                    }
                    4..8 => recorder.seal(),
                    _ => written.push(recorder.append(payload(random.below(2) as usize, &[7; 30]), arrival_ns)),
                }
                assert!(recorder.durable_position() >= durable, "seed {seed}");
                durable = recorder.durable_position();
                assert_eq!(durable + 1 == recorder.next_position(), recorder.tail_bytes() == 0, "seed {seed}");
            }
            drop(recorder);
            memory.cut_power(random.below(1_001) as usize);
            let left = all(&disk);
            assert!(left.len() as i64 > durable, "seed {seed}: {durable} was durable, and {} are left", left.len());
            assert_eq!(left, written[..left.len()], "seed {seed}");
        }
    }
}

#[test]
fn the_thread_commits_what_has_come_with_one_sync() {
    let (memory, disk) = memory();
    memory.state().sync_takes = Duration::from_millis(20);
    let mut recorder = Recorder::open(disk.clone(), &rig(), &texts(), Lane::Thread).expect("a recorder");
    let started = Instant::now();
    for number in 0..200 {
        recorder.append(payload(1, &[3; 50]), number);
        recorder.seal();
    }
    while recorder.durable_position() < 199 {
        assert!(started.elapsed() < Duration::from_secs(20), "the thread has stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    let (syncs, most) = (memory.state().syncs, started.elapsed().as_millis() as usize / 20 + 1);
    assert!((1..=most.min(100)).contains(&syncs), "{syncs} syncs for 200 seals");
    assert_eq!(recorder.tail_bytes(), 0);
    recorder.close().expect("a regular end");
    assert_eq!(all(&disk).len(), 200);
}

#[test]
fn the_thread_tries_again_by_itself_and_not_for_every_seal() {
    let (memory, disk) = memory();
    memory.state().failing_syncs = usize::MAX;
    let mut recorder = Recorder::open(disk.clone(), &rig(), &texts(), Lane::Thread).expect("a recorder");
    let started = Instant::now();
    let mut number = 0;
    let tried = || usize::MAX - memory.state().failing_syncs;
    while started.elapsed() < Duration::from_millis(600) || (tried() < 2 && started.elapsed() < Duration::from_secs(20)) {
        recorder.append(payload(1, &[3; 50]), number);
        recorder.seal();
        number += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(recorder.trouble().is_some());
    assert_eq!(recorder.durable_position(), -1);
    let (tried, most) = (tried(), started.elapsed().as_millis() as usize / 250 + 2);
    assert!((2..=most).contains(&tried), "{tried} tries for {number} seals");
    memory.state().failing_syncs = 0;
    let waited = Instant::now();
    while recorder.trouble().is_some() || recorder.durable_position() + 1 < number {
        assert!(waited.elapsed() < Duration::from_secs(20), "it has not healed");
        std::thread::sleep(Duration::from_millis(5));
    }
    recorder.close().expect("a regular end");
    assert_eq!(all(&disk).len() as i64, number);
}

#[test]
fn ending_the_thread_while_the_disk_refuses_takes_one_more_try_and_says_what_was_not_written() {
    let (memory, disk) = memory();
    let mut recorder = Recorder::open(disk.clone(), &rig(), &texts(), Lane::Thread).expect("a recorder");
    memory.state().failing_syncs = usize::MAX;
    recorder.append(payload(1, b"lost"), 1);
    let started = Instant::now();
    let ended = recorder.close();
    assert!(
        matches!(&ended, Err(RecordingError::Unwritten { durable_position: -1, next_position: 1, said }) if said.contains("error")),
        "{ended:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    memory.cut_power(0);
    assert!(all(&disk).is_empty());
}

#[test]
fn the_tail_is_full_at_64_mib_and_its_groups_stay_short() {
    let (memory, disk) = memory();
    memory.state().capacity = Some(0);
    let mut recorder = open(&disk);
    let mut number = 0;
    while !recorder.is_full() {
        recorder.append(payload(1, &[5; 60_000]), number);
        number += 1;
    }
    assert_eq!(number, (64 << 20) / 60_031 + 1);
    recorder.seal();
    // What was estimated is what is kept.
    assert!(recorder.is_full() && recorder.tail_bytes() < (64 << 20) + (1 << 20), "{}", recorder.tail_bytes());
    memory.state().capacity = None;
    recorder.seal();
    assert_eq!((recorder.durable_position() + 1, recorder.tail_bytes()), (number, 0));
    assert!(memory.state().syncs >= 60, "so that what a crash can tear is short");
}
