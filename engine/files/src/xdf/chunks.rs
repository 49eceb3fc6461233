//! What do an XDF file's bytes say? Its chunks, checked to the byte (github.com/sccn/xdf, specification 1.0).

use std::collections::BTreeMap;

use super::xml::Element;

/// More channels than this are no stream of samples.
const MAX_CHANNELS: usize = 4096;
/// Times that no clock shows: seconds whose nanoseconds don't fit.
const MAX_SECONDS: f64 = 9.0e9;

/// One stream of a file.
#[derive(Debug)]
pub(super) struct Stream {
    /// The header's `info`.
    pub(super) info: Element,
    /// Channels of every sample.
    pub(super) channels: usize,
    /// Samples a second; 0 where they come as they come.
    pub(super) nominal_hz: f64,
    /// Sample times in seconds on the sender's clock, in the file's order; deduced from the rate where the file omits them.
    pub(super) times_s: Vec<f64>,
    /// Their values.
    pub(super) values: Values,
    /// The sender's clock against the recorder's: (sender's time, what to add), in seconds, in the file's order.
    pub(super) clock_offsets: Vec<(f64, f64)>,
    format: Format,
}

/// Values of a stream's samples, sample after sample.
#[derive(Debug)]
pub(super) enum Values {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Text,
}

/// The streams of a file by their numbers.
///
/// # Errors
/// What is wrong, with the byte at which the chunk or the value begins.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<u32, Stream>, String> {
    let mut file = Cursor { bytes, at: 0, end: bytes.len() };
    if file.take(4, "the magic number")? != b"XDF:" {
        return Err("it does not begin with `XDF:`".to_owned());
    }
    let mut streams = BTreeMap::new();
    while file.at < file.end {
        let begin = file.at;
        let length = file.length("a chunk's length")?;
        if length < 2 || length > (file.end - file.at) as u64 {
            let rest = file.end - file.at;
            return Err(format!("the chunk at byte {begin} says that {length} bytes follow, and {rest} do: the file is cut or damaged"));
        }
        let mut chunk = Cursor { bytes, at: file.at, end: file.at + length as usize };
        file.at = chunk.end;
        read_chunk(&mut chunk, begin, &mut streams)?;
    }
    Ok(streams)
}

fn read_chunk(chunk: &mut Cursor<'_>, begin: usize, streams: &mut BTreeMap<u32, Stream>) -> Result<(), String> {
    let tag = chunk.u16("a chunk's tag")?;
    match tag {
        // File header, boundary and stream footer say nothing that the samples don't.
        1 | 5 | 6 => Ok(()),
        2 => {
            let number = chunk.u32("a stream's number")?;
            let stream = header(chunk.take(chunk.end - chunk.at, "a stream's header")?)
                .map_err(|what| format!("the header of stream {number} at byte {begin}: {what}"))?;
            match streams.insert(number, stream) {
                None => Ok(()),
                Some(_) => Err(format!("the chunk at byte {begin} is a second header of stream {number}")),
            }
        }
        3 | 4 => {
            let number = chunk.u32("a stream's number")?;
            let unknown = || format!("the chunk at byte {begin} belongs to stream {number}, which has no header before it");
            let stream = streams.get_mut(&number).ok_or_else(unknown)?;
            if tag == 3 {
                return stream.read_samples(chunk);
            }
            let at = chunk.at;
            let (time_s, offset_s) = (chunk.f64("a clock's time")?, chunk.f64("a clock's offset")?);
            if time_s.is_nan() || offset_s.is_nan() || time_s.abs().max(offset_s.abs()) >= MAX_SECONDS {
                return Err(format!("the clock offset at byte {at} is {offset_s} s at {time_s} s"));
            }
            stream.clock_offsets.push((time_s, offset_s));
            Ok(())
        }
        _ => Err(format!("the chunk at byte {begin} has the tag {tag}, which XDF 1.0 doesn't know")),
    }
}

/// What a stream's header says.
fn header(xml: &[u8]) -> Result<Stream, String> {
    let xml = std::str::from_utf8(xml).map_err(|_| "it is no UTF-8".to_owned())?;
    let info = Element::read(xml)?;
    let text = |name: &str| info.text_of(name).ok_or_else(|| format!("it has no `{name}`"));
    let format = match text("channel_format")?.as_str() {
        "float32" => Format::Float32,
        "double64" | "float64" => Format::Float64,
        "int8" => Format::Int8,
        "int16" => Format::Int16,
        "int32" => Format::Int32,
        "int64" => Format::Int64,
        "string" => Format::Text,
        other => return Err(format!("`{other}` is no channel format")),
    };
    let channels = text("channel_count")?;
    let channels = channels.parse().ok().filter(|count| (1..=MAX_CHANNELS).contains(count));
    let channels = channels.ok_or_else(|| format!("its `channel_count` is not from 1 to {MAX_CHANNELS}"))?;
    let nominal_hz = text("nominal_srate")?;
    let nominal_hz = nominal_hz.parse().ok().filter(|hertz| (0.0..=1e9).contains(hertz));
    let nominal_hz = nominal_hz.ok_or("its `nominal_srate` is not from 0 to 1 GHz")?;
    let values = if format == Format::Text { Values::Texts(Vec::new()) } else { Values::Numbers(Vec::new()) };
    Ok(Stream { info, channels, nominal_hz, times_s: Vec::new(), values, clock_offsets: Vec::new(), format })
}

impl Stream {
    fn read_samples(&mut self, chunk: &mut Cursor<'_>) -> Result<(), String> {
        let count = chunk.length("the number of samples")?;
        let period_s = if self.nominal_hz > 0.0 { 1.0 / self.nominal_hz } else { 0.0 };
        for _ in 0..count {
            let at = chunk.at;
            let time_s = match chunk.take(1, "a sample's time")?[0] {
                0 => self.times_s.last().copied().unwrap_or(0.0) + period_s,
                8 => chunk.f64("a sample's time")?,
                other => return Err(format!("the sample at byte {at} has a time of {other} bytes")),
            };
            if time_s.is_nan() || time_s.abs() >= MAX_SECONDS {
                return Err(format!("the sample at byte {at} is of {time_s} s"));
            }
            self.times_s.push(time_s);
            for _ in 0..self.channels {
                self.read_value(chunk)?;
            }
        }
        if chunk.at < chunk.end {
            return Err(format!("{} bytes are left after the samples at byte {}", chunk.end - chunk.at, chunk.at));
        }
        Ok(())
    }

    fn read_value(&mut self, chunk: &mut Cursor<'_>) -> Result<(), String> {
        const WHAT: &str = "a value";
        match &mut self.values {
            Values::Texts(texts) => {
                let length = chunk.length(WHAT)?;
                texts.push(String::from_utf8_lossy(chunk.take(usize::try_from(length).unwrap_or(usize::MAX), WHAT)?).into_owned());
            }
            Values::Numbers(numbers) => numbers.push(match self.format {
                Format::Float32 => f64::from(f32::from_le_bytes(chunk.array(WHAT)?)),
                Format::Float64 => chunk.f64(WHAT)?,
                Format::Int8 => f64::from(i8::from_le_bytes(chunk.array(WHAT)?)),
                Format::Int16 => f64::from(i16::from_le_bytes(chunk.array(WHAT)?)),
                Format::Int32 => f64::from(i32::from_le_bytes(chunk.array(WHAT)?)),
                Format::Int64 | Format::Text => i64::from_le_bytes(chunk.array(WHAT)?) as f64,
            }),
        }
        Ok(())
    }
}

/// Bytes from `at` up to `end`; a read beyond is an error that says where.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], String> {
        if count > self.end - self.at {
            let left = self.end - self.at;
            return Err(format!("{what} at byte {} has {count} bytes, of which {left} are there: the file is cut or damaged", self.at));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        Ok(self.take(N, what)?.try_into().expect("as many bytes as were asked for"))
    }

    fn u16(&mut self, what: &str) -> Result<u16, String> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, String> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn f64(&mut self, what: &str) -> Result<f64, String> {
        self.array(what).map(f64::from_le_bytes)
    }

    /// A length, which is written in 1, 4 or 8 bytes.
    fn length(&mut self, what: &str) -> Result<u64, String> {
        let at = self.at;
        match self.take(1, what)?[0] {
            1 => Ok(u64::from(self.take(1, what)?[0])),
            4 => self.u32(what).map(u64::from),
            8 => self.array(what).map(u64::from_le_bytes),
            other => Err(format!("{what} at byte {at} is of {other} bytes, and must be of 1, 4 or 8")),
        }
    }
}
