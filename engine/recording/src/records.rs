//! Where does each record of an MCAP file begin and end?

use std::io::{self, BufReader, Read};

/// No record of ours is longer; what claims to be is damage, and must not be read.
const LONGEST_RECORD: u64 = 1 << 30;
/// Kind and length before a record's body.
const FRAME: usize = 9;

/// What follows in the file.
pub(crate) enum Framed {
    /// A record of this kind.
    Record(u8),
    /// The file's end, where a record was due or within one.
    Short,
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
                return Ok(Framed::Short);
            }
            if self.frame != mcap::MAGIC {
                return Ok(Framed::Bad("it does not begin as MCAP files do".to_owned()));
            }
            self.offset = self.frame.len() as u64;
        }
        self.frame.clear();
        if !self.fill(FRAME as u64)? {
            return Ok(Framed::Short);
        }
        let kind = self.frame[0];
        let length = u64::from_le_bytes(self.frame[1..].try_into().expect("eight of nine bytes"));
        if kind == 0 || length > LONGEST_RECORD {
            return Ok(Framed::Bad(format!("no record stands there (kind {kind:#04x}, {length} bytes)")));
        }
        if !self.fill(length)? {
            return Ok(Framed::Short);
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
