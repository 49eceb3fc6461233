//! How does a frame stand on the wire? The layout is in the module above; `engine/console/src/lib/frame.ts` reads it.

use super::series::Bucket;

const MAGIC: &[u8; 4] = b"PRF1";

/// A frame that is being written.
pub struct Frame {
    bytes: Vec<u8>,
    series: u32,
}

/// Where the number of series stands.
const SERIES_AT: usize = 12;

impl Frame {
    /// Without any series yet.
    pub fn new(generation: u32, sequence: u32, bucket_ns: i64, dropped: u64) -> Self {
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend(MAGIC);
        bytes.extend([generation, sequence, 0].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(bucket_ns.to_le_bytes());
        bytes.extend(dropped.to_le_bytes());
        Self { bytes, series: 0 }
    }

    /// Adds a series' buckets. Those further than 2³¹ buckets from the first are left out: their time is another century's.
    pub fn add(&mut self, id: u32, buckets: &[Bucket]) {
        let Some(first) = buckets.first().map(|bucket| bucket.index) else { return };
        let near = |bucket: &&Bucket| i32::try_from(i128::from(bucket.index) - i128::from(first)).is_ok();
        let buckets: Vec<&Bucket> = buckets.iter().filter(near).collect();
        self.bytes.extend([id, buckets.len() as u32].into_iter().flat_map(u32::to_le_bytes));
        self.bytes.extend(first.to_le_bytes());
        self.bytes.extend(buckets.iter().flat_map(|bucket| ((bucket.index - first) as i32).to_le_bytes()));
        self.bytes.extend(buckets.iter().flat_map(|bucket| bucket.low.to_le_bytes()));
        self.bytes.extend(buckets.iter().flat_map(|bucket| bucket.high.to_le_bytes()));
        self.series += 1;
    }

    /// The bytes; none when there is nothing in it.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        self.bytes[SERIES_AT..SERIES_AT + 4].copy_from_slice(&self.series.to_le_bytes());
        (self.series > 0).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::Series;
    use super::*;

    /// The page's own test reads the same file, so the two can't drift apart.
    #[test]
    fn the_page_reads_what_is_written() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../console/test/frame.json");
        let text = std::fs::read_to_string(path).expect("the example that the page's test reads");
        let example: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let number = |value: &serde_json::Value| value.as_i64().expect("a whole number");
        let (generation, sequence) = (number(&example["generation"]) as u32, number(&example["sequence"]) as u32);
        let mut frame = Frame::new(generation, sequence, number(&example["bucketNs"]), number(&example["dropped"]) as u64);
        for told in example["series"].as_array().expect("series") {
            let mut series = Series::default();
            for row in told["rows"].as_array().expect("rows") {
                series.take(number(&row[0]), row[1].as_f64().map_or(f32::NAN, |value| value as f32));
            }
            frame.add(number(&told["id"]) as u32, &series.drain());
        }
        let hex: String = frame.finish().expect("a frame").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, example["hex"].as_str().expect("hexadecimal"), "what `test/frame.json` says");
    }

    #[test]
    fn nothing_is_sent_when_nothing_came() {
        assert_eq!(Frame::new(1, 1, 1, 0).finish(), None);
        let mut series = Series::default();
        for (index, value) in [(i64::MIN, 1.0), (i64::MAX, 2.0)] {
            series.take(index, value);
        }
        let mut frame = Frame::new(1, 1, 1, 0);
        frame.add(3, &series.drain());
        assert_eq!(frame.finish().map(|bytes| bytes.len()), Some(32 + 16 + 12), "the far one is left out");
    }
}
