//! Where does each record of an MCAP file begin and end?

use std::io::{self, BufReader, Read};

use mcap::records::op;

/// No record of ours is longer; what claims to be is damage, and must not be read.
const LONGEST_RECORD: u64 = 1 << 30;
/// Kind and length before a record's body.
const FRAME: usize = 9;

/// What follows in the file.
pub(crate) enum Framed {
    /// A record of this kind.
    Record(u8),
    /// The file's end, where a record was due or within one.
    Cut {
        /// Whether the record's own content tells the same length as its frame, so that the frame is not what is damaged.
        sure: bool,
    },
    /// What is no record.
    Bad(String),
}

/// Reads a file's records one after the other, and knows where it stands.
pub(crate) struct Records {
    file: BufReader<Box<dyn Read + Send>>,
    offset: u64,
    frame: Vec<u8>,
}

impl Records {
    pub fn new(file: Box<dyn Read + Send>) -> Self {
        Self { file: BufReader::with_capacity(1 << 16, file), offset: 0, frame: Vec::new() }
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self) -> io::Result<Framed> {
        if self.offset == 0 {
            if !self.fill(mcap::MAGIC.len() as u64)? {
                return Ok(Framed::Cut { sure: true });
            }
            if self.frame != mcap::MAGIC {
                return Ok(Framed::Bad("it does not begin as MCAP files do".to_owned()));
            }
            self.offset = self.frame.len() as u64;
        }
        self.frame.clear();
        if !self.fill(FRAME as u64)? {
            return Ok(Framed::Cut { sure: true });
        }
        let kind = self.frame[0];
        let length = u64::from_le_bytes(self.frame[1..].try_into().expect("eight of nine bytes"));
        if kind == 0 || length > LONGEST_RECORD {
            return Ok(Framed::Bad(format!("no record stands there (kind {kind:#04x}, {length} bytes)")));
        }
        if !self.fill(length)? {
            return Ok(Framed::Cut { sure: told_length(kind, self.body()) == Some(length) });
        }
        self.offset += self.frame.len() as u64;
        Ok(Framed::Record(kind))
    }

    /// Length of the file up to the end of the last record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The last record whole.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The last record's content.
    pub fn body(&self) -> &[u8] {
        &self.frame[FRAME..]
    }

    /// Appends so many bytes to the frame; false when the file has fewer. Allocates only for what is there.
    fn fill(&mut self, bytes: u64) -> io::Result<bool> {
        Ok((&mut self.file).take(bytes).read_to_end(&mut self.frame)? as u64 == bytes)
    }
}

/// How long a record's body is by what stands at its beginning: both kinds that we write long tell it a second time.
fn told_length(kind: u8, body: &[u8]) -> Option<u64> {
    let text = |at: usize| Some(u64::from(u32::from_le_bytes(body.get(at..at.checked_add(4)?)?.try_into().ok()?)) + 4);
    match kind {
        // Two times, a size and a checksum; the compression; the records after their size.
        op::CHUNK => {
            let at = 28 + text(28)?;
            let size = body.get(usize::try_from(at).ok()?..)?.first_chunk::<8>()?;
            at.checked_add(8)?.checked_add(u64::from_le_bytes(*size))
        }
        op::METADATA => {
            let name = text(0)?;
            name.checked_add(text(usize::try_from(name).ok()?)?)
        }
        _ => None,
    }
}
