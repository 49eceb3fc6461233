//! Whether positions and log times go on over restarts, and what a torn tail leaves.

use std::fs;
use std::path::Path;

use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::{Decision, Event, Kind, Rate, Recorded, Rig};

use crate::{Recorder, RecordingError, Texts, head, read};

fn rig() -> Rig {
    let sensor = |kind, rate| SensorFile { rate, magnetometer: false, ..SensorFile::new(kind) };
    let sensors = [("clicks", sensor(Kind::Events, None)), ("pelvis", sensor(Kind::Imu, Some(Rate::hz(100))))];
    RigFile { rig: "lab-1".into(), sensors: sensors.map(|(name, sensor)| (name.to_owned(), sensor)).into() }.resolve()
}

fn texts() -> Texts {
    Texts::from([("rig.yaml".to_owned(), "rig: lab-1\n".to_owned()), ("pipeline.yaml".to_owned(), "steps: []\n".to_owned())])
}

fn payload(sensor: usize, encoding: &str, bytes: &[u8]) -> Event {
    Event::Payload { sensor, encoding: encoding.into(), payload: bytes.to_vec() }
}

fn all(data: &Path) -> Vec<Recorded> {
    read(data, &rig()).expect("a recording").collect::<Result<_, _>>().expect("whole messages")
}

#[test]
fn what_is_appended_reads_back_over_restarts_with_increasing_positions_and_log_times() {
    let data = tempfile::tempdir().expect("a folder");
    let events = [
        payload(1, "application/json", b"{}"),
        Event::Decision(Decision::Mark { time_ns: 7, label: "heel".into() }),
        payload(0, "application/vnd.proprio.packed", &[0, 255, 3]),
        payload(1, "", b""),
    ];
    let mut written = Vec::new();
    // Arrivals go backwards on purpose: the log time must not.
    for (start, arrival_ns) in [1_000, 500, 2_000].into_iter().enumerate() {
        let mut recorder = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
        assert_eq!(recorder.next_position(), (start * events.len()) as i64);
        for event in &events {
            written.push(recorder.append(event.clone(), arrival_ns).expect("a write"));
        }
        assert_eq!(recorder.sync().expect("a sync"), written.len() as i64 - 1);
        if start == 0 {
            recorder.close().expect("a regular end");
        }
    }
    assert_eq!(all(data.path()), written);
    assert!(written.iter().enumerate().all(|(index, message)| message.position == index as i64));
    assert!(written.windows(2).all(|pair| pair[0].log_time_ns < pair[1].log_time_ns));
    assert_eq!(written[8].log_time_ns, 2_000);

    let heads = head(data.path(), "lab-1").expect("heads");
    assert_eq!(heads.iter().map(|head| head.first_position).collect::<Vec<_>>(), [0, 4, 8]);
    assert!(heads.iter().all(|head| head.texts == texts() && head.rig == "lab-1"));
}

#[test]
fn a_segment_cut_anywhere_gives_whole_messages_and_the_next_start_continues_after_them() {
    let data = tempfile::tempdir().expect("a folder");
    let mut recorder = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
    for number in 0..40_u8 {
        recorder.append(payload(1, "application/json", &[number; 90]), i64::from(number)).expect("a write");
        if number % 8 == 7 {
            recorder.sync().expect("a sync");
        }
    }
    let path = recorder.path().to_owned();
    let whole = fs::read(&path).expect("the segment");
    drop(recorder);

    let mut seen = 0;
    for cut in (9..whole.len()).step_by(37).chain([whole.len()]) {
        fs::remove_dir_all(data.path().join("recording")).expect("a clean start");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, &whole[..cut]).expect("a torn segment");
        let before = all(data.path());
        assert!(before.len() >= seen && before.len().is_multiple_of(8), "a chunk counts whole or not at all");
        seen = before.len();

        let mut recorder = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
        let next = recorder.append(payload(1, "application/json", b"after"), 0).expect("a write");
        assert_eq!(next.position, before.len() as i64);
        recorder.sync().expect("a sync");
        drop(recorder);
        assert_eq!(all(data.path()).len(), before.len() + 1);
    }
    assert_eq!(seen, 40);
}

#[test]
fn damaged_bytes_never_panic_and_never_invent_a_message() {
    let data = tempfile::tempdir().expect("a folder");
    let mut recorder = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
    for number in 0..20_u8 {
        recorder.append(payload(1, "application/json", &[number; 50]), i64::from(number)).expect("a write");
        recorder.sync().expect("a sync");
    }
    let path = recorder.path().to_owned();
    drop(recorder);
    let intact = all(data.path());
    let whole = fs::read(&path).expect("the segment");
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..2_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut torn = whole.clone();
        let place = (random >> 20) as usize % torn.len();
        torn[place] ^= 1 << (random >> 61);
        fs::write(&path, torn).expect("a damaged segment");
        // Payloads are guarded by the chunk's checksum; what comes back is what was written, up to the damage.
        for (message, original) in read(data.path(), &rig()).expect("a recording").filter_map(Result::ok).zip(&intact) {
            assert_eq!(&message, original);
        }
    }
}

#[test]
fn a_long_segment_ends_at_a_sync_and_the_next_one_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let mut recorder = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
    recorder.segment_bytes = 1_000;
    for number in 0..100 {
        recorder.append(payload(1, "application/json", &[1; 60]), number).expect("a write");
        assert_eq!(recorder.sync().expect("a sync"), number);
    }
    recorder.close().expect("a regular end");
    // 17 payloads of 60 bytes are the first to exceed 1000.
    let firsts: Vec<_> = head(data.path(), "lab-1").expect("heads").iter().map(|head| head.first_position).collect();
    assert_eq!(firsts, [0, 17, 34, 51, 68, 85]);
    assert!(all(data.path()).iter().enumerate().all(|(index, message)| message.position == index as i64));
    assert_eq!(all(data.path()).len(), 100);
}

#[test]
fn one_writer_per_rig() {
    let data = tempfile::tempdir().expect("a folder");
    let first = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
    assert!(matches!(Recorder::open(data.path(), &rig(), &texts()), Err(RecordingError::Locked { .. })));
    drop(first);
    assert!(Recorder::open(data.path(), &rig(), &texts()).is_ok());
}

#[test]
fn a_missing_segment_is_reported_and_made_up_encodings_are_bounded() {
    let data = tempfile::tempdir().expect("a folder");
    for _ in 0..3 {
        let mut recorder = Recorder::open(data.path(), &rig(), &texts()).expect("a recorder");
        for number in 0..100 {
            let stamped = recorder.append(payload(0, &format!("made/up-{number}"), b"x"), number).expect("a write");
            let Event::Payload { encoding, .. } = stamped.event else { panic!("a payload stays one") };
            assert_eq!(encoding == format!("made/up-{number}"), number < 16);
        }
        recorder.sync().expect("a sync");
    }
    assert_eq!(all(data.path()).len(), 300);
    fs::remove_file(crate::segment::path(&crate::recorder::directory(data.path(), "lab-1"), 100)).expect("one segment less");
    let read: Vec<_> = read(data.path(), &rig()).expect("a recording").collect();
    assert_eq!(read.len(), 101);
    assert!(matches!(read[100], Err(RecordingError::Gap { expected: 100, found: 200, .. })));
}

/// `/dev/full` takes no byte, as a full disk.
#[test]
fn a_full_disk_surfaces_and_acknowledges_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let directory = crate::recorder::directory(data.path(), "lab-1");
    fs::create_dir_all(&directory).expect("a folder");
    let path = crate::segment::path(&directory, 0);
    if std::os::unix::fs::symlink("/dev/full", &path).is_err() || !Path::new("/dev/full").exists() {
        eprintln!("skipped: a_full_disk_surfaces_and_acknowledges_nothing");
        return;
    }
    let Err(error) = Recorder::open(data.path(), &rig(), &texts()) else { panic!("a full disk takes no head") };
    assert!(error.to_string().contains("00000000000000000000.mcap"), "{error}");
}
