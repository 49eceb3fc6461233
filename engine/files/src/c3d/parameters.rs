//! What the parameter section of a C3D file says: named arrays of text, integers or floats, in groups.

use std::collections::BTreeMap;

use super::numbers::Processor;

/// The parameters of a file, by `GROUP` and `NAME` in upper case.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    values: BTreeMap<(String, String), Parameter>,
}

#[derive(Debug)]
struct Parameter {
    /// Its first dimension.
    width: usize,
    values: Values,
}

/// An array, its first dimension running fastest.
#[derive(Debug)]
enum Values {
    Text(Vec<String>),
    Bytes(Vec<u8>),
    Integers(Vec<i16>),
    Floats(Vec<f32>),
}

/// A walk through the section's bytes that never goes past their end.
struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    processor: Processor,
}

impl Parameters {
    /// Reads the section that begins at `start`.
    pub(super) fn read(bytes: &[u8], start: usize, processor: Processor) -> Result<Self, String> {
        let mut reader = Reader { bytes, position: start + 4, processor };
        let mut groups: BTreeMap<u8, String> = BTreeMap::new();
        let mut found: Vec<(u8, String, Parameter)> = Vec::new();
        loop {
            let at = reader.position;
            let name_length = reader.byte()?.cast_signed().unsigned_abs();
            let id = reader.byte()?.cast_signed();
            if name_length == 0 || id == 0 {
                break;
            }
            let name = text(reader.take(name_length.into())?).to_ascii_uppercase();
            let offset_at = reader.position;
            let offset = usize::from(reader.integer()?.cast_unsigned());
            if id < 0 {
                groups.insert(id.unsigned_abs(), name);
            } else {
                let parameter = reader.parameter().map_err(|what| format!("parameter `{name}` at byte {at}: {what}"))?;
                found.push((id.unsigned_abs(), name, parameter));
            }
            if offset == 0 {
                break;
            }
            reader.position = offset_at + offset;
        }
        let named = |(id, name, parameter): (u8, String, Parameter)| Some(((groups.get(&id)?.clone(), name), parameter));
        Ok(Self { values: found.into_iter().filter_map(named).collect() })
    }

    fn get(&self, group: &str, name: &str) -> Option<&Values> {
        self.values.get(&(group.to_owned(), name.to_owned())).map(|parameter| &parameter.values)
    }

    /// A parameter's first dimension: how many values one column of it has.
    pub(super) fn width(&self, group: &str, name: &str) -> usize {
        self.values.get(&(group.to_owned(), name.to_owned())).map_or(0, |parameter| parameter.width)
    }

    /// The texts of a parameter and of its continuations: `LABELS`, `LABELS2`, `LABELS3`; more than 255 need them.
    pub(super) fn texts(&self, group: &str, name: &str) -> Vec<String> {
        let names = (1..=99).map(|part| if part == 1 { name.to_owned() } else { format!("{name}{part}") });
        let parts = names.map_while(|name| match self.get(group, &name) {
            Some(Values::Text(texts)) => Some(texts.clone()),
            _ => None,
        });
        parts.flatten().collect()
    }

    /// The first text of a parameter, unless it is empty.
    pub(super) fn text(&self, group: &str, name: &str) -> Option<String> {
        self.texts(group, name).into_iter().next().filter(|text| !text.is_empty())
    }

    /// The numbers of a parameter and of its continuations, as doubles; none when it is absent or text.
    pub(super) fn numbers(&self, group: &str, name: &str) -> Vec<f64> {
        let names = (1..=99).map(|part| if part == 1 { name.to_owned() } else { format!("{name}{part}") });
        let parts = names.map_while(|name| match self.get(group, &name) {
            Some(Values::Bytes(values)) => Some(values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>()),
            Some(Values::Integers(values)) => Some(values.iter().map(|value| f64::from(*value)).collect()),
            Some(Values::Floats(values)) => Some(values.iter().map(|value| f64::from(*value)).collect()),
            _ => None,
        });
        parts.flatten().collect()
    }

    /// The first number of a parameter.
    pub(super) fn number(&self, group: &str, name: &str) -> Option<f64> {
        self.numbers(group, name).first().copied()
    }

    /// The parameters of a group that are one number each, by their names, which are in upper case.
    pub(super) fn single_numbers(&self, group: &str) -> Vec<(&str, f64)> {
        let mut found = Vec::new();
        for ((of, name), parameter) in &self.values {
            let value = match &parameter.values {
                Values::Floats(values) if of == group => values.first().filter(|_| values.len() == 1).map(|value| f64::from(*value)),
                Values::Integers(values) if of == group => values.first().filter(|_| values.len() == 1).map(|value| f64::from(*value)),
                _ => None,
            };
            found.extend(value.map(|value| (name.as_str(), value)));
        }
        found
    }

    /// Integers that count something, read as unsigned 16-bit words.
    pub(super) fn counts(&self, group: &str, name: &str) -> Vec<usize> {
        let unsigned = |value: f64| if value < 0.0 { (value + 65536.0) as usize } else { value as usize };
        self.numbers(group, name).into_iter().map(unsigned).collect()
    }
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.position.saturating_add(count);
        let taken = self.bytes.get(self.position..end);
        let taken =
            taken.ok_or_else(|| format!("the parameter section is cut off: {count} bytes at byte {} are missing", self.position))?;
        self.position = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn integer(&mut self) -> Result<i16, String> {
        let bytes = self.take(2)?;
        Ok(self.processor.integer([bytes[0], bytes[1]]))
    }

    /// Type, dimensions and data of a parameter.
    fn parameter(&mut self) -> Result<Parameter, String> {
        let element = self.byte()?.cast_signed();
        let dimensions = self.byte()?;
        let dimensions: Vec<usize> = self.take(dimensions.into())?.iter().map(|dimension| usize::from(*dimension)).collect();
        let count = dimensions.iter().try_fold(1usize, |product, dimension| product.checked_mul(*dimension));
        let count = count.ok_or("its dimensions are too large")?;
        let width = dimensions.first().copied().unwrap_or(1);
        Ok(Parameter { width, values: self.values(element, width, count)? })
    }

    /// `count` elements of a type.
    fn values(&mut self, element: i8, width: usize, count: usize) -> Result<Values, String> {
        let processor = self.processor;
        match element {
            -1 => {
                let bytes = self.take(count)?;
                Ok(Values::Text(if width == 0 { Vec::new() } else { bytes.chunks(width).map(text).collect() }))
            }
            1 => Ok(Values::Bytes(self.take(count)?.to_vec())),
            2 => {
                let words = self.take(count.saturating_mul(2))?.as_chunks().0;
                Ok(Values::Integers(words.iter().map(|word| processor.integer(*word)).collect()))
            }
            4 => {
                let words = self.take(count.saturating_mul(4))?.as_chunks().0;
                Ok(Values::Floats(words.iter().map(|word| processor.float(*word)).collect()))
            }
            other => Err(format!("{other} is no type of a parameter; -1, 1, 2 and 4 are")),
        }
    }
}

/// Text without the padding at its end; bytes that are no UTF-8 are read as Latin-1.
fn text(bytes: &[u8]) -> String {
    let latin = || bytes.iter().map(|byte| char::from(*byte)).collect();
    let text = std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned);
    text.trim_end_matches(['\0', ' ']).trim_start().to_owned()
}
