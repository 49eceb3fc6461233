//! How the three processors that C3D files come from write numbers.

/// Byte order and floating-point format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processor {
    /// Little-endian, IEEE 754.
    Intel,
    /// Little-endian integers, VAX F floats.
    Dec,
    /// Big-endian, IEEE 754.
    Mips,
}

impl Processor {
    /// From byte 4 of the parameter section.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        match code {
            84 => Some(Self::Intel),
            85 => Some(Self::Dec),
            86 => Some(Self::Mips),
            _ => None,
        }
    }

    pub(super) fn integer(self, bytes: [u8; 2]) -> i16 {
        match self {
            Self::Intel | Self::Dec => i16::from_le_bytes(bytes),
            Self::Mips => i16::from_be_bytes(bytes),
        }
    }

    pub(super) fn float(self, bytes: [u8; 4]) -> f32 {
        match self {
            Self::Intel => f32::from_le_bytes(bytes),
            Self::Mips => f32::from_be_bytes(bytes),
            // Two little-endian words, the high one first; the exponent's bias is 2 more than IEEE's. All bits zero in the
            // exponent mean zero, whatever the mantissa.
            Self::Dec => {
                let [b0, b1, b2, b3] = bytes;
                let bits = u32::from_le_bytes([b2, b3, b0, b1]);
                if bits & 0x7f80_0000 == 0 { 0.0 } else { f32::from_bits(bits) / 4.0 }
            }
        }
    }

    /// The integer at `offset`, if the bytes go that far.
    pub(super) fn integer_at(self, bytes: &[u8], offset: usize) -> Option<i16> {
        Some(self.integer(*bytes.get(offset..)?.first_chunk()?))
    }

    /// The float at `offset`, if the bytes go that far.
    pub(super) fn float_at(self, bytes: &[u8], offset: usize) -> Option<f32> {
        Some(self.float(*bytes.get(offset..)?.first_chunk()?))
    }
}
