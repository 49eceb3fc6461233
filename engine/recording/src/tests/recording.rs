//! Do positions and log times go on over restarts and segments, and does a recording read back for the rig that asks?

use std::sync::Arc;

use proprio_core::{Decision, Event, Kind, Rig};

use super::disk::Memory;
use super::{all, open, payload, read_from, rig, rig_of, start, stop, texts};
use crate::{Disk, Folder, Lane, Read, Reader, Recorder, RecordingError, Texts, heads, sessions};

fn firsts(disk: &Arc<dyn Disk>) -> Vec<i64> {
    heads(&**disk, "lab-1").expect("heads").iter().map(|head| head.first_position).collect()
}

#[test]
fn what_is_appended_reads_back_over_restarts_with_increasing_positions_and_log_times() {
    let data = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(data.path()));
    let events = [
        payload(1, b"{}"),
        Event::Decision(Decision::Mark { time_ns: 7, label: "heel".into() }),
        Event::Payload { sensor: 0, encoding: "application/vnd.proprio.packed".into(), payload: vec![0, 255, 3] },
        Event::Payload { sensor: 1, encoding: String::new(), payload: Vec::new() },
    ];
    let mut written = Vec::new();
    // Arrivals go backwards on purpose: the log time must not.
    for (count, (arrival_ns, lane)) in [(1_000, Lane::Thread), (500, Lane::Inline), (2_000, Lane::Thread)].into_iter().enumerate() {
        let mut recorder = Recorder::open(disk.clone(), &rig(), &texts(), lane).expect("a recorder");
        assert_eq!(recorder.next_position(), (count * events.len()) as i64);
        assert_eq!(recorder.durable_position(), recorder.next_position() - 1);
        for event in &events {
            written.push(recorder.append(event.clone(), arrival_ns));
        }
        assert!(recorder.tail_bytes() > 0);
        if count == 1 {
            recorder.seal();
            assert_eq!((recorder.durable_position(), recorder.tail_bytes()), (7, 0));
        } else {
            assert_eq!(recorder.close().expect("a regular end"), written.len() as i64 - 1);
        }
    }
    assert_eq!(all(&disk), written);
    assert!(written.iter().enumerate().all(|(index, message)| message.position == index as i64));
    assert!(written.windows(2).all(|pair| pair[0].log_time_ns < pair[1].log_time_ns));
    assert_eq!(written[8].log_time_ns, 2_000);
    let heads = heads(&*disk, "lab-1").expect("heads");
    assert_eq!(firsts(&disk), [0, 4, 8]);
    assert!(
        heads
            .iter()
            .all(|head| head.texts == texts() && head.rig == "lab-1" && head.sensors == ["lab-1/events/clicks", "lab-1/imu/pelvis"])
    );
    for from in 0..=12 {
        let (read, error) = read_from(&disk, from, &rig());
        assert!(error.is_none());
        assert!(read.iter().eq(&written[from as usize..].iter().cloned().map(Read::Message).collect::<Vec<_>>()), "from {from}");
    }
}

#[test]
fn a_restart_without_messages_leaves_no_segment() {
    let disk: Arc<dyn Disk> = Arc::new(Arc::new(Memory::default()));
    assert_eq!(open(&disk).close().expect("nothing to write"), -1);
    assert!(firsts(&disk).is_empty());
    assert!(all(&disk).is_empty());
}

#[test]
fn segments_rotate_by_length_by_log_time_and_by_session() {
    let disk: Arc<dyn Disk> = Arc::new(Arc::new(Memory::default()));
    let mut recorder = open(&disk);
    recorder.segment_bytes = 4_000;
    for number in 0..100 {
        recorder.append(payload(1, &[1; 60]), number);
        recorder.seal();
    }
    recorder.close().expect("a regular end");
    let lengths: Vec<_> = firsts(&disk).windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(lengths.len() >= 3 && lengths.iter().all(|length| *length == lengths[0] && *length > 10), "{lengths:?}");

    let disk: Arc<dyn Disk> = Arc::new(Arc::new(Memory::default()));
    let mut recorder = open(&disk);
    let second = 1_000_000_000;
    for number in 0..=10 {
        recorder.append(payload(1, b"x"), (number + 1) * 60 * second);
    }
    // Positions 0 to 4 stand within five minutes of the first.
    assert_eq!(recorder.append(start("a"), 661 * second).position, 11);
    recorder.append(payload(1, b"x"), 662 * second);
    recorder.append(stop(), 663 * second);
    recorder.append(payload(1, b"between"), 664 * second);
    recorder.append(start("b"), 665 * second);
    assert_eq!(recorder.session().map(|session| session.id.as_str()), Some("b"));
    recorder.close().expect("a regular end");
    assert_eq!(firsts(&disk), [0, 5, 10, 11, 14, 15]);
    let of: Vec<_> = heads(&*disk, "lab-1").expect("heads").into_iter().map(|head| head.session.map(|session| session.id)).collect();
    assert_eq!(of, [None, None, None, Some("a".to_owned()), None, Some("b".to_owned())]);
    assert_eq!(all(&disk).len(), 16);
}

#[test]
fn a_session_goes_on_over_a_crash_and_ends_with_its_stop() {
    let disk: Arc<dyn Disk> = Arc::new(Arc::new(Memory::default()));
    let mut recorder = open(&disk);
    recorder.append(payload(0, b"before"), 1);
    recorder.append(start("a"), 10);
    recorder.seal();
    drop(recorder);
    assert_eq!(sessions(&*disk, "lab-1").expect("sessions")[0].last, None);

    let mut recorder = open(&disk);
    assert_eq!(recorder.session().map(|session| (session.id.as_str(), session.start_position)), Some(("a", 1)));
    let reloaded = Texts::from([("pipeline.yaml".to_owned(), "steps: [more]\n".to_owned())]);
    recorder.append(payload(1, b"under the old texts"), 20);
    recorder.begin_segment(&rig(), &reloaded);
    recorder.append(payload(1, b"under the new texts"), 30);
    recorder.append(stop(), 40);
    recorder.append(start("b"), 50);
    recorder.append(stop(), 60);
    recorder.close().expect("a regular end");

    let found = sessions(&*disk, "lab-1").expect("sessions");
    assert_eq!(found.len(), 2);
    let a = &found[0];
    assert_eq!((a.id.as_str(), a.subject.as_deref(), a.task.as_deref(), a.from_ns), ("a", Some("subject of a"), Some("walking"), 5));
    assert_eq!((a.first_position, a.first_log_time_ns, a.segments, &a.texts), (1, 10, 3, &texts()));
    assert_eq!(a.last.map(|last| (last.position, last.log_time_ns)), Some((4, 40)));
    assert_eq!(found[1].last.map(|last| (last.position, last.log_time_ns)), Some((6, 60)));
    let texts: Vec<_> = heads(&*disk, "lab-1").expect("heads").into_iter().map(|head| head.texts).collect();
    assert_eq!(texts, [super::texts(), super::texts(), super::texts(), reloaded.clone(), reloaded]);
    assert_eq!(open(&disk).session(), None);
}

#[test]
fn another_rig_reads_by_key() {
    let disk: Arc<dyn Disk> = Arc::new(Arc::new(Memory::default()));
    let mut recorder = open(&disk);
    let idle = |sensor| Event::Decision(Decision::Idle { sensor });
    recorder.append(payload(0, b"click"), 1);
    recorder.append(payload(1, b"pelvis"), 2);
    recorder.append(idle(1), 3);
    recorder.append(idle(0), 4);
    // The rig changes while it is recorded: the indices mean others now.
    let wider = rig_of(&[("arm", Kind::Imu), ("clicks", Kind::Events), ("pelvis", Kind::Imu)]);
    recorder.begin_segment(&wider, &texts());
    recorder.append(payload(2, b"pelvis"), 5);
    recorder.append(Event::Decision(Decision::Overflow { sensor: 0, messages: 1, bytes: 2 }), 6);
    recorder.close().expect("a regular end");

    let sensors = |rig: &Rig| {
        let (read, error) = read_from(&disk, 0, rig);
        assert!(error.is_none());
        let sensor = |read| match read {
            Read::Message(mut message) => *crate::reader::sensor_of(&mut message.event).expect("each is about a sensor") as i64,
            Read::Undeclared { key, .. } => {
                assert!(key == "lab-1/events/clicks" || key == "lab-1/imu/arm", "{key}");
                -1
            }
        };
        read.into_iter().map(sensor).collect::<Vec<_>>()
    };
    assert_eq!(sensors(&wider), [1, 2, 2, 1, 2, 0]);
    assert_eq!(sensors(&rig()), [0, 1, 1, 0, 1, -1]);
    assert_eq!(sensors(&rig_of(&[("pelvis", Kind::Imu)])), [-1, 0, 0, -1, 0, -1]);

    // The rig may change between two messages, as a reload does.
    let mut reader = Reader::open(&disk, "lab-1", 1).expect("a recording");
    for rig in [rig(), wider, rig()] {
        let Ok(Some(Read::Message(message))) = reader.next(&rig) else { panic!("pelvis is in both") };
        if let Event::Payload { sensor, .. } | Event::Decision(Decision::Idle { sensor }) = message.event {
            assert_eq!(
                rig.sensors.get(sensor).map(|sensor| sensor.name.as_str()),
                Some(if message.position == 3 { "clicks" } else { "pelvis" })
            );
        }
    }
}

#[test]
fn one_writer_per_rig() {
    let data = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(data.path()));
    let first = Recorder::open(disk.clone(), &rig(), &texts(), Lane::Thread).expect("a recorder");
    assert!(matches!(super::try_open(&disk), Err(RecordingError::Locked { .. })));
    drop(first);
    assert!(super::try_open(&disk).is_ok());
    assert!(disk.free_bytes().expect("a file system says") > 0);
}

#[test]
fn a_missing_segment_is_reported_and_made_up_encodings_are_bounded() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    for _ in 0..3 {
        let mut recorder = open(&disk);
        for number in 0..100 {
            let made_up = Event::Payload { sensor: 0, encoding: format!("made/up-{number}"), payload: b"x".to_vec() };
            let Event::Payload { encoding, .. } = recorder.append(made_up, number).event else { panic!("a payload stays one") };
            assert_eq!(encoding == format!("made/up-{number}"), number < 16);
        }
        recorder.close().expect("a regular end");
    }
    assert_eq!(all(&disk).len(), 300);
    disk.remove(&crate::segment::path("lab-1", 100)).expect("one segment less");
    let (read, error) = read_from(&disk, 0, &rig());
    assert_eq!(read.len(), 100);
    assert!(matches!(error, Some(RecordingError::Gap { expected: 100, found: 200, .. })));
    disk.remove(&crate::segment::path("lab-1", 0)).expect("one segment less");
    assert!(matches!(read_from(&disk, 0, &rig()).1, Some(RecordingError::Gap { expected: 0, found: 200, .. })));
    assert_eq!(read_from(&disk, 250, &rig()).0.len(), 50);
}

#[test]
fn another_rigs_or_formats_segment_is_refused() {
    let memory = Arc::new(Memory::default());
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    let mut recorder = open(&disk);
    recorder.append(payload(1, b"x"), 1);
    recorder.close().expect("a regular end");
    let path = crate::segment::path("lab-1", 0);
    let whole = memory.content(&path);
    memory.put(&crate::segment::path("lab-2", 0), &whole);
    assert!(matches!(heads(&*disk, "lab-2"), Err(RecordingError::Segment { detail, .. }) if detail.contains("`lab-1`")));
    let place = whole.windows(7).position(|window| window == b"format\x01").expect("a head");
    let mut newer = whole;
    newer[place + 10] = b'9';
    memory.put(&path, &newer);
    assert!(matches!(super::try_open(&disk), Err(RecordingError::Segment { detail, .. }) if detail.contains("`9`")));
}
