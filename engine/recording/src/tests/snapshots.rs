//! Is the newest snapshot that counts found, whatever else lies there?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Memory;
use crate::{Disk, Folder, Snapshot, Snapshots};

fn snapshot(position: i64) -> Snapshot {
    Snapshot { run_id: "run".into(), session: "a".into(), position, state: vec![position as u8; 300] }
}

fn path(position: i64) -> PathBuf {
    Path::new("snapshots/lab-1").join(format!("{position:020}.snapshot"))
}

fn written(positions: &[i64]) -> (Arc<Memory>, Snapshots) {
    let memory = Arc::new(Memory::default());
    let mut snapshots = Snapshots::new(Arc::new(memory.clone()), "lab-1");
    positions.iter().for_each(|position| snapshots.write(&snapshot(*position)).expect("a disk"));
    (memory, snapshots)
}

#[test]
fn the_newest_two_are_kept_and_read_back() {
    let (memory, mut snapshots) = written(&[3, 7, 20]);
    assert_eq!(memory.paths(), [path(7), path(20)]);
    assert_eq!(snapshots.newest("run").expect("a list"), Some(snapshot(20)));
    memory.cut_power(0);
    assert_eq!(snapshots.newest("run").expect("a list"), Some(snapshot(20)));

    let data = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(data.path()));
    let mut real = Snapshots::new(disk.clone(), "lab-1");
    assert_eq!(real.newest("run").expect("no folder is no snapshot"), None);
    [3, 7, 20].iter().for_each(|position| real.write(&snapshot(*position)).expect("a disk"));
    assert_eq!(Snapshots::new(disk, "lab-1").newest("run").expect("a list"), Some(snapshot(20)));
}

#[test]
fn a_snapshot_torn_at_any_byte_or_damaged_anywhere_gives_way_to_the_one_before() {
    let (memory, mut snapshots) = written(&[7, 20]);
    let whole = memory.content(&path(20));
    for place in 0..whole.len() {
        memory.put(&path(20), &whole[..place]);
        assert_eq!(snapshots.newest("run").expect("a list"), Some(snapshot(7)), "torn at {place}");
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        memory.put(&path(20), &damaged);
        assert_eq!(snapshots.newest("run").expect("a list"), Some(snapshot(7)), "damaged at {place}");
    }
    memory.put(&path(7), b"");
    assert_eq!(snapshots.newest("run").expect("a list"), None);
}

#[test]
fn foreign_snapshots_are_passed_over_and_do_not_push_out_the_one_that_counts() {
    let (memory, mut snapshots) = written(&[7, 20]);
    let other = Snapshot { run_id: "another".into(), ..snapshot(30) };
    Snapshots::new(Arc::new(memory.clone()), "lab-1").write(&other).expect("a disk");
    memory.put(&path(99), b"garbage");
    memory.put(&path(98), &memory.content(&path(20)));
    memory.put(Path::new("snapshots/lab-1/00000000000000000040.snapshot.tmp"), b"torn");
    assert_eq!(snapshots.newest("run").expect("a list"), Some(snapshot(20)));
    snapshots.write(&snapshot(40)).expect("a disk");
    assert_eq!(memory.paths(), [path(20), path(40)]);
    assert_eq!(snapshots.newest("another").expect("a list"), None);
}

#[test]
fn a_disk_that_refuses_leaves_the_one_before() {
    let (memory, mut snapshots) = written(&[7, 20]);
    memory.state().failing_syncs = 1;
    assert!(snapshots.write(&snapshot(30)).is_err());
    let used: usize = memory.paths().iter().map(|path| memory.content(path).len()).sum();
    memory.state().capacity = Some(used + 100);
    assert!(snapshots.write(&snapshot(31)).is_err());
    memory.cut_power(700);
    assert_eq!(snapshots.newest("run").expect("a list"), Some(snapshot(20)));
    memory.state().capacity = None;
    snapshots.write(&snapshot(32)).expect("a disk");
    assert_eq!(memory.paths(), [path(20), path(32)]);
}
