//! How are messages stamped, and when does a segment begin and end?

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mcap::records::MessageHeader;
use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event, Recorded, Rig};

use crate::committer::{Block, Committer, GROUP_BYTES, Shared, Trouble};
use crate::encoder::Encoder;
use crate::format::{self, End, Head, SessionHead, Texts};
use crate::lane::{Lane, Running};
use crate::resume::{Resume, resume};
use crate::{Disk, RecordingError, segment};

/// Log time after which the next message begins a new segment.
const SEGMENT_NS: TimeNs = 300_000_000_000;
/// Length after which the next message begins a new segment.
const SEGMENT_BYTES: u64 = 256 << 20;
/// The unwritten tail at which whoever appends must stand still (contract 8).
const TAIL_BYTES: usize = 64 << 20;
/// What a message takes beside its payload: MCAP's record and message headers.
const MESSAGE_BYTES: usize = 31;

/// The one writer of a rig's recording. It alone gives out positions.
///
/// Appending goes into memory and never fails; a lane makes it durable. While the disk refuses, everything after
/// [`durable_position`](Self::durable_position) is kept and written first when it heals.
pub struct Recorder {
    rig: Rig,
    texts: Texts,
    /// The segment being encoded; none until a message begins it.
    segment: Option<Encoder>,
    /// The session that the next message belongs to, unless it begins one.
    session: Option<SessionHead>,
    next_position: i64,
    last_log_time_ns: TimeNs,
    /// Blocks finished since the last seal.
    finished: Vec<Block>,
    finished_bytes: usize,
    /// About how many bytes the unfinished chunk holds.
    chunk_bytes: usize,
    lane: Option<Running>,
    shared: Arc<Shared>,
    /// [`SEGMENT_BYTES`]; less in tests.
    pub(crate) segment_bytes: u64,
    /// [`TAIL_BYTES`]; less in the fault bench.
    tail_limit: usize,
}

impl Recorder {
    /// Opens the recording of `rig` for writing: takes the writer's lock, cuts a torn tail after the last whole message and
    /// ends that segment regularly, and continues after it. The first message begins a segment whose head holds `texts`.
    ///
    /// A disk that takes no write does not fail this: it is [`trouble`](Self::trouble).
    ///
    /// # Errors
    /// When another process writes it, the folder or the last segment cannot be read, or synced messages are damaged.
    pub fn open(disk: Arc<dyn Disk>, rig: &Rig, texts: &Texts, lane: Lane) -> Result<Self, RecordingError> {
        let path = format::lock_path(&rig.name);
        let lock = disk.lock(&path).map_err(RecordingError::io(&path))?;
        let lock = lock.ok_or_else(|| RecordingError::Locked { directory: format::directory(&rig.name) })?;
        let Resume { next_position, last_log_time_ns, session, last } = resume(&*disk, &rig.name)?;
        let shared = Arc::new(Shared::default());
        shared.durable_position.store(-1, Ordering::Release);
        let mut committer = Committer::new(disk, shared.clone(), lock);
        if let Some(last) = last {
            // What a crashed process wrote may still be in memory alone; what comes after it must not outlive it.
            shared.durable_position.store(last.first_position - 1, Ordering::Release);
            shared.waiting_bytes.fetch_add(last.end.len(), Ordering::AcqRel);
            committer.resume(last.path.clone(), last.whole_bytes);
            committer.push(Block { path: last.path, bytes: last.end, last_position: next_position - 1 });
        }
        Ok(Self {
            rig: rig.clone(),
            texts: texts.clone(),
            segment: None,
            session,
            next_position,
            last_log_time_ns,
            finished: Vec::new(),
            finished_bytes: 0,
            chunk_bytes: 0,
            lane: Some(Running::start(committer, lane)?),
            shared,
            segment_bytes: SEGMENT_BYTES,
            tail_limit: TAIL_BYTES,
        })
    }

    /// Stamps an event with its position and its log time: `arrival_ns`, or the next nanosecond after the last message's.
    /// Goes into memory alone. Whoever appends stands still while the recorder [`is_full`](Self::is_full).
    pub fn append(&mut self, event: Event, arrival_ns: TimeNs) -> Recorded {
        self.append_timed(event, arrival_ns, None)
    }

    /// As [`append`](Self::append), with the sensor's own time, which the file shows as the message's publish time.
    pub fn append_timed(&mut self, mut event: Event, arrival_ns: TimeNs, sensor_time_ns: Option<TimeNs>) -> Recorded {
        let position = self.next_position;
        let log_time_ns = arrival_ns.max(self.last_log_time_ns.saturating_add(1));
        // MCAP counts in unsigned nanoseconds; nothing of ours happened before 1970.
        let unsigned = |time: TimeNs| u64::try_from(time).unwrap_or(0);
        let stamp = MessageHeader {
            channel_id: 0,
            sequence: position as u32,
            log_time: unsigned(log_time_ns),
            publish_time: unsigned(sensor_time_ns.unwrap_or(log_time_ns)),
        };
        let begins = SessionHead::of(&event, position);
        if begins.is_some() || self.segment.as_ref().is_some_and(|segment| self.is_long(segment, log_time_ns)) {
            self.end_segment();
        }
        if begins.is_some() {
            self.session = begins;
        }
        if self.segment.is_none() {
            self.segment = Some(self.new_segment(position, log_time_ns));
        }
        self.segment.as_mut().expect("it was just begun").write(&mut event, stamp);
        self.chunk_bytes += MESSAGE_BYTES + payload_bytes(&event);
        self.next_position += 1;
        self.last_log_time_ns = log_time_ns;
        if self.chunk_bytes >= GROUP_BYTES {
            self.finish_chunk();
        }
        if matches!(event, Event::Decision(Decision::SessionStop)) {
            // So that a session's last segment ends with its stop, and nothing of the next is in it.
            self.session = None;
            self.end_segment();
        }
        Recorded { position, log_time_ns, event }
    }

    /// Finishes the chunk of what was appended, and hands it to the lane. With [`Lane::Inline`] it is durable afterwards,
    /// unless there is [`trouble`](Self::trouble); what waits is tried again then even if nothing was appended.
    pub fn seal(&mut self) {
        self.finish_chunk();
        self.shared.waiting_bytes.fetch_add(self.finished_bytes, Ordering::AcqRel);
        self.finished_bytes = 0;
        self.lane.as_mut().expect("the lane ends with the recorder").commit(self.finished.drain(..));
    }

    /// The next message opens a new segment, whose head holds these texts and this rig's sensors; at a reload. A session's
    /// start begins one by itself.
    pub fn begin_segment(&mut self, rig: &Rig, texts: &Texts) {
        assert_eq!(rig.name, self.rig.name, "a recording is one rig's");
        self.end_segment();
        self.rig = rig.clone();
        self.texts = texts.clone();
    }

    /// Stands still at a shorter tail, and ends segments earlier, than in a lab: so that a short simulation comes to both.
    pub fn limit(&mut self, tail_bytes: usize, segment_bytes: u64) {
        (self.tail_limit, self.segment_bytes) = (tail_bytes, segment_bytes);
    }

    /// The last durable position; −1 when there is none.
    pub fn durable_position(&self) -> i64 {
        self.shared.durable_position.load(Ordering::Acquire)
    }

    /// The position that the next message gets.
    pub fn next_position(&self) -> i64 {
        self.next_position
    }

    /// The session that is open, after what was appended, and after a restart the one that was; none after a stop.
    pub fn session(&self) -> Option<&SessionHead> {
        self.session.as_ref()
    }

    /// What the disk said when it last refused; none when it takes what comes.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.trouble()
    }

    /// Bytes appended and not yet durable.
    pub fn tail_bytes(&self) -> usize {
        self.shared.waiting_bytes.load(Ordering::Acquire) + self.finished_bytes + self.chunk_bytes
    }

    /// Whether the tail has grown to 64 MiB: nothing more may be appended until the disk takes it.
    pub fn is_full(&self) -> bool {
        self.tail_bytes() >= self.tail_limit
    }

    /// Ends the segment regularly, waits for the disk, at most 10 s, and returns the last durable position. Dropping a
    /// recorder instead leaves what was not sealed unwritten, and a segment that reads as well.
    ///
    /// # Errors
    /// When the disk did not take all of it.
    pub fn close(mut self) -> Result<i64, RecordingError> {
        self.end_segment();
        self.seal();
        self.end_lane();
        let durable_position = self.durable_position();
        if durable_position + 1 == self.next_position && self.tail_bytes() == 0 {
            return Ok(durable_position);
        }
        let said = self.trouble().map_or_else(|| "the disk does not answer".to_owned(), |trouble| trouble.text);
        Err(RecordingError::Unwritten { durable_position, next_position: self.next_position, said })
    }

    fn is_long(&self, segment: &Encoder, log_time_ns: TimeNs) -> bool {
        log_time_ns - segment.first_log_time_ns >= SEGMENT_NS || segment.bytes + self.chunk_bytes as u64 >= self.segment_bytes
    }

    fn new_segment(&self, first_position: i64, first_log_time_ns: TimeNs) -> Encoder {
        let head = Head {
            first_position,
            first_log_time_ns,
            rig: self.rig.name.clone(),
            sensors: self.rig.sensors.iter().map(|sensor| sensor.key.clone()).collect(),
            session: self.session.clone(),
            texts: self.texts.clone(),
            gone: None,
        };
        Encoder::begin(segment::path(&self.rig.name, first_position), &self.rig, &head)
    }

    fn finish_chunk(&mut self) {
        if self.chunk_bytes == 0 {
            return;
        }
        let segment = self.segment.as_mut().expect("a chunk is part of a segment");
        let (path, bytes) = (segment.path.clone(), segment.take());
        self.chunk_bytes = 0;
        self.finish(path, bytes);
    }

    fn end_segment(&mut self) {
        self.finish_chunk();
        let Some(segment) = self.segment.take() else { return };
        let end =
            End { last_position: self.next_position - 1, last_log_time_ns: self.last_log_time_ns, session_open: self.session.is_some() };
        self.finish(segment.path.clone(), segment.end(&end));
    }

    fn finish(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.finished_bytes += bytes.len();
        self.finished.push(Block { path, bytes, last_position: self.next_position - 1 });
    }

    fn end_lane(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.end();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end_lane();
    }
}

impl SessionHead {
    /// The session that a message begins.
    pub(crate) fn of(event: &Event, position: i64) -> Option<Self> {
        let Event::Decision(Decision::SessionStart { session, subject, task, from_ns, .. }) = event else { return None };
        Some(Self { id: session.clone(), subject: subject.clone(), task: task.clone(), from_ns: *from_ns, start_position: position })
    }
}

fn payload_bytes(event: &Event) -> usize {
    match event {
        Event::Payload { payload, .. } => payload.len(),
        // Most are short; a reload's texts are not.
        Event::Decision(Decision::Reload { texts, .. }) => texts.values().map(String::len).sum(),
        Event::Decision(_) => 0,
    }
}
