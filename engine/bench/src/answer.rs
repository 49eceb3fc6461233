//! What did a program find? Named columns of numbers, which are compared and which files carry between programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::BenchError;

/// Named columns of numbers; NaN where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer(pub BTreeMap<String, Vec<f64>>);

impl Answer {
    /// Adds a column.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, values: Vec<f64>) -> Self {
        self.0.insert(name.into(), values);
        self
    }

    /// A column; empty where there is none of that name.
    pub fn column(&self, name: &str) -> &[f64] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Writes each column as `<name>.f64`: its values, little-endian, and nothing else.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), BenchError> {
        for (name, values) in &self.0 {
            let path = folder.join(format!("{name}.f64"));
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            fs::write(&path, bytes).map_err(|source| BenchError::File { path, source })?;
        }
        Ok(())
    }

    /// Reads what [`write`](Self::write) wrote, or another program did.
    ///
    /// # Errors
    /// When the folder or a file can't be read.
    pub fn read(folder: &Path) -> Result<Self, BenchError> {
        let failed = |path: &Path, source| BenchError::File { path: path.to_owned(), source };
        let mut answer = Self::default();
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, error))? {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            if let (Some("f64"), Some(name)) =
                (path.extension().and_then(|end| end.to_str()), path.file_stem().and_then(|stem| stem.to_str()))
            {
                let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
                let (words, _) = bytes.as_chunks::<8>();
                answer.0.insert(name.to_owned(), words.iter().map(|word| f64::from_le_bytes(*word)).collect());
            }
        }
        Ok(answer)
    }
}

/// The greatest difference of two columns over the greatest size in `due`; infinite where they differ in length, or where one has a
/// value and the other none.
pub fn apart(found: &[f64], due: &[f64]) -> f64 {
    if found.len() != due.len() {
        return f64::INFINITY;
    }
    let size = due.iter().filter(|value| !value.is_nan()).fold(0.0, |size: f64, value| size.max(value.abs()));
    let difference = |(found, due): (&f64, &f64)| match (found.is_nan(), due.is_nan()) {
        (true, true) => 0.0,
        (false, false) => (found - due).abs(),
        _ => f64::INFINITY,
    };
    let worst = found.iter().zip(due).map(difference).fold(0.0, f64::max);
    if worst == 0.0 { 0.0 } else { worst / size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let answer = Answer::default().with("a", vec![1.5, f64::INFINITY, -0.0]).with("b", Vec::new());
        answer.write(folder.path()).expect("it is written");
        assert_eq!(Answer::read(folder.path()).expect("it is read"), answer);
    }

    #[test]
    fn what_only_one_has_is_far_apart() {
        assert_eq!(apart(&[1.0, 2.0], &[1.0, 4.0]), 0.5);
        assert_eq!(apart(&[f64::NAN, 2.0], &[f64::NAN, 2.0]), 0.0);
        assert_eq!(apart(&[f64::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(apart(&[1.0], &[1.0, 1.0]), f64::INFINITY);
    }
}
