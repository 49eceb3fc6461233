//! Where in a C3D file which sample stands: the header, and the frames of the data section.

use proprio_core::Rate;

use super::numbers::Processor;
use super::parameters::Parameters;

/// A C3D file in memory, with its layout checked against its length.
#[derive(Debug)]
pub(super) struct C3d {
    bytes: Vec<u8>,
    processor: Processor,
    pub(super) parameters: Parameters,
    /// Number of the first frame, from 1.
    pub(super) first_frame: u32,
    pub(super) frames: usize,
    pub(super) points: usize,
    pub(super) channels: usize,
    /// Analog samples of one channel in a frame.
    pub(super) samples_per_frame: usize,
    pub(super) point_rate: Rate,
    data_start: usize,
    /// Whether samples are 32-bit floats; else they are 16-bit integers.
    float: bool,
    point_scale: f64,
    analog: AnalogScale,
}

/// How a stored analog value becomes one in the channel's unit: (value − offset) · scale.
#[derive(Debug)]
struct AnalogScale {
    offsets: Vec<f64>,
    scales: Vec<f64>,
    unsigned: bool,
}

/// The file's marker of a point that was not seen is replaced by this.
pub(super) const MISSING: [f64; 3] = [f64::NAN; 3];

impl C3d {
    /// Reads header and parameters, and checks that the data section is all there.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() < 512 {
            return Err(format!("{} bytes are too few for a C3D file, whose header has 512", bytes.len()));
        }
        if bytes[1] != 0x50 {
            return Err(format!("byte 2 is {:#04x}, a C3D file has 0x50 there", bytes[1]));
        }
        let section = usize::from(bytes[0]).checked_sub(1).map(|block| block * 512).filter(|start| *start >= 512);
        let section = section.ok_or_else(|| format!("the header puts the parameter section at block {}", bytes[0]))?;
        let code = *bytes.get(section + 3).ok_or("the file ends before the parameter section")?;
        let processor = Processor::from_code(code)
            .ok_or_else(|| format!("the processor type is {code}; known are 84 (Intel), 85 (DEC) and 86 (MIPS)"))?;
        let parameters = Parameters::read(&bytes, section, processor)?;
        let word = |number: usize| usize::from(processor.integer_at(&bytes, 2 * (number - 1)).unwrap_or(0).cast_unsigned());

        let points = word(2);
        let analog_per_frame = word(3);
        let samples_per_frame = if analog_per_frame == 0 { 0 } else { word(10).max(1) };
        let channels = analog_per_frame.checked_div(samples_per_frame).unwrap_or(0);
        if channels * samples_per_frame != analog_per_frame {
            return Err(format!(
                "the header has {analog_per_frame} analog values a frame, which is no multiple of {samples_per_frame} samples"
            ));
        }
        let scale = parameters.number("POINT", "SCALE").or_else(|| processor.float_at(&bytes, 12).map(f64::from)).unwrap_or(-1.0);
        let float = scale < 0.0;
        let header_rate = processor.float_at(&bytes, 20).filter(|rate| *rate > 0.0).map(f64::from);
        let rate = parameters.number("POINT", "RATE").filter(|rate| *rate > 0.0).or(header_rate).unwrap_or(f64::NAN);
        let point_rate = rate_of(rate).ok_or_else(|| format!("POINT:RATE is {rate}, no rate"))?;
        let (first_frame, frames) = frame_range(&parameters, word(4), word(5))?;
        let data_block = Some(word(9)).filter(|block| *block > 0).or_else(|| parameters.counts("POINT", "DATA_START").first().copied());
        let data_start = data_block.and_then(|block| block.checked_sub(1)).ok_or("the header names no data section")? * 512;

        let analog = AnalogScale::new(&parameters, channels);
        let file = Self {
            bytes,
            processor,
            parameters,
            first_frame,
            frames,
            points,
            channels,
            samples_per_frame,
            point_rate,
            data_start,
            float,
            point_scale: scale.abs(),
            analog,
        };
        file.check_length()?;
        Ok(file)
    }

    fn word_bytes(&self) -> usize {
        if self.float { 4 } else { 2 }
    }

    fn frame_bytes(&self) -> usize {
        (self.points * 4 + self.channels * self.samples_per_frame) * self.word_bytes()
    }

    fn check_length(&self) -> Result<(), String> {
        let frame = self.frame_bytes();
        if frame == 0 {
            return Err("it holds neither points nor analog channels".to_owned());
        }
        let there = self.bytes.len().saturating_sub(self.data_start) / frame;
        if there < self.frames {
            return Err(format!("the data section is cut off: {there} of its {} frames are there", self.frames));
        }
        Ok(())
    }

    /// The rate of the analog channels: a whole multiple of the points' rate.
    pub(super) fn analog_rate(&self) -> Result<Rate, String> {
        let (numerator, denominator) = self.point_rate.ratio();
        let rate = numerator.checked_mul(self.samples_per_frame as u64).and_then(|numerator| Rate::new(numerator, denominator));
        rate.ok_or_else(|| format!("{} samples in a frame at {} are no rate", self.samples_per_frame, self.point_rate))
    }

    /// One stored value as a double.
    fn value(&self, offset: usize, unsigned: bool) -> f64 {
        let stored = if self.float {
            self.processor.float_at(&self.bytes, offset).map(f64::from)
        } else {
            let integer = self.processor.integer_at(&self.bytes, offset);
            integer.map(|value| if unsigned { f64::from(value.cast_unsigned()) } else { f64::from(value) })
        };
        stored.expect("the data section's length was checked when the file was read")
    }

    /// A point's coordinates in every frame, in the file's unit; [`MISSING`] where its residual is negative or all of them
    /// are exactly zero, as some writers mark what was not seen.
    pub(super) fn point(&self, point: usize) -> Vec<[f64; 3]> {
        let word = self.word_bytes();
        let scale = if self.float { 1.0 } else { self.point_scale };
        let frame = |frame: usize| {
            let start = self.data_start + frame * self.frame_bytes() + point * 4 * word;
            let [x, y, z, residual] = [0, 1, 2, 3].map(|axis| self.value(start + axis * word, false));
            let seen = residual >= 0.0 && (x != 0.0 || y != 0.0 || z != 0.0) && [x, y, z].iter().all(|value| value.is_finite());
            if seen { [x * scale, y * scale, z * scale] } else { MISSING }
        };
        (0..self.frames).map(frame).collect()
    }

    /// All samples of an analog channel, in the unit of `ANALOG:UNITS`.
    pub(super) fn channel(&self, channel: usize) -> Vec<f64> {
        let word = self.word_bytes();
        let (offset, scale) = (self.analog.offsets[channel], self.analog.scales[channel]);
        let mut values = Vec::with_capacity(self.frames * self.samples_per_frame);
        for frame in 0..self.frames {
            let start = self.data_start + frame * self.frame_bytes() + self.points * 4 * word;
            let samples = (0..self.samples_per_frame).map(|sample| start + (sample * self.channels + channel) * word);
            values.extend(samples.map(|at| (self.value(at, self.analog.unsigned) - offset) * scale));
        }
        values
    }
}

impl AnalogScale {
    fn new(parameters: &Parameters, channels: usize) -> Self {
        let unsigned = parameters.text("ANALOG", "FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("UNSIGNED"));
        let general = parameters.number("ANALOG", "GEN_SCALE").unwrap_or(1.0);
        let mut scales = parameters.numbers("ANALOG", "SCALE");
        scales.resize(channels, 1.0);
        let mut offsets = parameters.numbers("ANALOG", "OFFSET");
        offsets.resize(channels, 0.0);
        if unsigned {
            offsets.iter_mut().filter(|offset| **offset < 0.0).for_each(|offset| *offset += 65536.0);
        }
        Self { offsets, scales: scales.iter().map(|scale| scale * general).collect(), unsigned }
    }
}

/// The first frame's number and how many there are. The header's words are 16 bits, so longer recordings say it elsewhere.
fn frame_range(parameters: &Parameters, first: usize, last: usize) -> Result<(u32, usize), String> {
    let field = |name| match parameters.counts("TRIAL", name)[..] {
        [low, high, ..] => Some(low + (high << 16)),
        _ => None,
    };
    let (start, end) = (field("ACTUAL_START_FIELD"), field("ACTUAL_END_FIELD"));
    let (first, last) = match (start, end) {
        (Some(start), Some(end)) if last == 0xffff || last < first => (start, end),
        _ if last == 0xffff => {
            let long = parameters.number("POINT", "LONG_FRAMES").filter(|frames| *frames >= 1.0);
            long.map_or((first, last), |frames| (first, first.saturating_add(frames as usize) - 1))
        }
        _ => (first, last),
    };
    if last < first {
        return Err(format!("its last frame, {last}, is before its first, {first}"));
    }
    let first_frame = u32::try_from(first).map_err(|_| format!("its first frame is {first}"))?;
    Ok((first_frame, last - first + 1))
}

/// The rate that a 32-bit float in a header stands for: its shortest decimal, so that 119.88 is 2997/25 Hz.
fn rate_of(hertz: f64) -> Option<Rate> {
    let shortest = format!("{} Hz", hertz as f32);
    shortest.parse().ok().or_else(|| Rate::from_decimal(hertz))
}
