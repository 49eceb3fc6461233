//! How a number with a unit is written in a file, and what is said when its dimension is wrong.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::{Rate, SECOND_NS};

/// A physical dimension: the units it may be written in and an example.
#[derive(Debug)]
pub struct Dimension {
    /// With its article: `a duration`.
    pub article_name: &'static str,
    /// JSON Schema `format` that names this dimension.
    pub format: &'static str,
    /// What a correct value looks like.
    pub example: &'static str,
    /// Units with their factor to the first one's base.
    units: &'static [(&'static str, f64)],
}

impl Dimension {
    /// Seconds.
    pub const DURATION: Self = Self {
        article_name: "a duration",
        format: "duration-quantity",
        example: "20 ms",
        units: &[("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0)],
    };
    /// Hertz.
    pub const FREQUENCY: Self =
        Self { article_name: "a frequency", format: "frequency", example: "100 Hz", units: &[("Hz", 1.0), ("kHz", 1000.0)] };
    /// Degrees.
    pub const ANGLE: Self = Self {
        article_name: "an angle",
        format: "angle",
        example: "5 deg",
        units: &[("deg", 1.0), ("°", 1.0), ("rad", 57.295_779_513_082_32)],
    };
    /// Newtons.
    pub const FORCE: Self = Self { article_name: "a force", format: "force", example: "20 N", units: &[("N", 1.0), ("kN", 1000.0)] };
    /// Metres.
    pub const LENGTH: Self =
        Self { article_name: "a length", format: "length", example: "5 mm", units: &[("m", 1.0), ("cm", 1e-2), ("mm", 1e-3)] };
    /// Volts.
    pub const VOLTAGE: Self = Self {
        article_name: "a voltage",
        format: "voltage",
        example: "10 uV",
        units: &[("V", 1.0), ("mV", 1e-3), ("uV", 1e-6), ("µV", 1e-6)],
    };
    /// Percent.
    pub const SHARE: Self = Self { article_name: "a share", format: "share", example: "2 %", units: &[("%", 1.0)] };

    const ALL: [&'static Self; 7] =
        [&Self::DURATION, &Self::FREQUENCY, &Self::ANGLE, &Self::FORCE, &Self::LENGTH, &Self::VOLTAGE, &Self::SHARE];

    /// Reads `text` as this dimension, in its base unit.
    ///
    /// # Errors
    /// When the number, the unit or the dimension is wrong.
    pub fn parse(&self, text: &str) -> Result<f64, QuantityError> {
        let (number, unit) = split_number_and_unit(text);
        let factor = self.units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
        factor.zip(value).map(|(factor, value)| value * factor).ok_or_else(|| self.refuse(text))
    }

    /// The error for a text that is not of this dimension: says what it is instead, where that is plain.
    pub fn refuse(&self, text: &str) -> QuantityError {
        let (number, unit) = split_number_and_unit(text);
        let is =
            Self::ALL.iter().find(|dimension| dimension.format != self.format && dimension.units.iter().any(|(name, _)| *name == unit));
        let problem = match is {
            Some(other) => format!("`{text}` is {}", other.article_name),
            None if unit.is_empty() && number.parse::<f64>().is_ok() => format!("`{text}` has no unit"),
            None if !unit.is_empty() && number.parse::<f64>().is_ok() => format!("`{unit}` is no unit of {}", self.article_name),
            None => format!("`{text}` can't be read"),
        };
        QuantityError { problem, due: self.article_name, example: self.example, units: self.units.iter().map(|(name, _)| *name).collect() }
    }
}

/// A value whose number, unit or dimension doesn't fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {due} is due here, such as `{example}`")]
pub struct QuantityError {
    /// What is wrong with the text as written.
    pub problem: String,
    /// The dimension that is due, with its article.
    pub due: &'static str,
    /// A correct value.
    pub example: &'static str,
    /// The units that fit.
    pub units: Vec<&'static str>,
}

/// Splits `20 ms` into `("20", "ms")`; either part may be empty.
pub fn split_number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let exponent =
        |i: usize| matches!(text.as_bytes()[i], b'e' | b'E') && text[i + 1..].starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let end = text
        .char_indices()
        .find(|(i, c)| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '/') || exponent(*i)))
        .map_or(text.len(), |(i, _)| i);
    (text[..end].trim(), text[end..].trim())
}

/// Checks a text against the JSON Schema `format` of a quantity; `None` when the format is no quantity's.
pub fn check_format(format: &str, text: &str) -> Option<Result<(), QuantityError>> {
    match format {
        "rate" => return Some(text.parse::<Rate>().map(drop)),
        Amount::FORMAT => return Some(text.parse::<Amount>().map(drop)),
        _ => {}
    }
    Dimension::ALL.iter().find(|dimension| dimension.format == format).map(|dimension| dimension.parse(text).map(drop))
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $dimension:expr, $unit:literal, $getter:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// From the base unit.
            pub const fn new(value: f64) -> Self {
                Self(value)
            }

            /// In the base unit.
            pub const fn $getter(self) -> f64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, $unit)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $dimension.parse(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let example = $dimension.example;
                let description = format!("{}, such as `{example}`.", $dimension.article_name);
                json_schema!({ "type": "string", "format": $dimension.format, "description": description })
            }
        }
    };
}

quantity!(
    /// A length of time in seconds, written `20 ms`.
    Duration, Dimension::DURATION, "s", seconds
);
quantity!(
    /// A frequency in hertz, written `20 Hz`.
    Frequency, Dimension::FREQUENCY, "Hz", hertz
);
quantity!(
    /// An angle in degrees, written `5 deg`.
    Angle, Dimension::ANGLE, "deg", degrees
);
quantity!(
    /// A force in newtons, written `20 N`.
    Force, Dimension::FORCE, "N", newtons
);
quantity!(
    /// A length in metres, written `5 mm`.
    Length, Dimension::LENGTH, "m", metres
);
quantity!(
    /// A voltage in volts, written `10 uV`.
    Voltage, Dimension::VOLTAGE, "V", volts
);
quantity!(
    /// A share in percent, written `2 %`.
    Share, Dimension::SHARE, "%", percent
);

/// A number in whatever unit the column that it is compared with has, written `15 deg`, `40 mm` or, without a unit, `0.4`.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// In the base unit of its dimension, or in `unit` where that is of none.
    pub value: f64,
    /// The base unit, as columns name it, or the unit as written; none for a plain number.
    pub unit: Option<String>,
}

impl Amount {
    const FORMAT: &'static str = "amount";

    /// Whether it can be compared with values in `unit`; a plain number fits all, and where no unit is known everything fits.
    pub fn fits(&self, unit: Option<&str>) -> bool {
        self.unit.as_deref().zip(unit).is_none_or(|(own, other)| own == other)
    }
}

impl std::str::FromStr for Amount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = split_number_and_unit(text);
        let known = Dimension::ALL.iter().find_map(|dimension| {
            let (_, factor) = dimension.units.iter().find(|(name, _)| *name == unit)?;
            Some((dimension.units.iter().find(|(_, factor)| *factor == 1.0)?.0, *factor))
        });
        let (base, factor) = known.unwrap_or((unit, 1.0));
        let is_name = unit.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '^' | '%' | '°' | '_' | '*'));
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() && is_name => {
                Ok(Self { value: value * factor, unit: (!unit.is_empty()).then(|| base.to_owned()) })
            }
            _ => Err(QuantityError {
                problem: format!("`{text}` can't be read"),
                due: "a number with its unit",
                example: "15 deg",
                units: vec!["deg", "m", "m/s^2"],
            }),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unit {
            Some(unit) => write!(f, "{} {unit}", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": Self::FORMAT, "description": "a number with its unit, such as `15 deg`." })
    }
}

impl Duration {
    /// In whole nanoseconds, rounded to the nearest and saturating.
    pub fn nanoseconds(self) -> i64 {
        (self.0 * SECOND_NS as f64).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_says_which_dimension_it_is_instead() {
        assert_eq!(Dimension::DURATION.parse("20 ms"), Ok(0.02));
        assert_eq!(Dimension::DURATION.parse("1e-3s"), Ok(0.001));
        assert_eq!(Dimension::ANGLE.parse("-5°"), Ok(-5.0));
        let error = Dimension::DURATION.parse("20 Hz").expect_err("a frequency");
        assert_eq!(error.to_string(), "`20 Hz` is a frequency; a duration is due here, such as `20 ms`");
        let error = Dimension::DURATION.parse("20").expect_err("no unit");
        assert_eq!(error.to_string(), "`20` has no unit; a duration is due here, such as `20 ms`");
        assert!(Dimension::FORCE.parse("nan N").is_err());
        let amount = |text: &str| text.parse::<Amount>().map(|amount| amount.to_string()).map_err(|error| error.problem);
        assert_eq!(amount("40 mm"), Ok("0.04 m".to_owned()));
        assert_eq!(amount("-2.5 m/s^2"), Ok("-2.5 m/s^2".to_owned()));
        assert_eq!((amount("0.4"), amount("inf deg")), (Ok("0.4".to_owned()), Err("`inf deg` can't be read".to_owned())));
        assert!("5°".parse::<Amount>().is_ok_and(|amount| amount.fits(Some("deg")) && !amount.fits(Some("m")) && amount.fits(None)));
        assert_eq!(Duration::new(0.02).nanoseconds(), 20_000_000);
    }
}
