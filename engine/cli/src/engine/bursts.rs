//! What went wrong with samples, named in the log once per burst instead of once per sample.

use std::collections::BTreeMap;

use proprio_core::TimeNs;
use proprio_runtime::worker::SourceCounts;

/// Quiet after which the next trouble of the same kind is a new burst.
const QUIET_NS: i64 = 5_000_000_000;

/// Counts that were last logged.
#[derive(Debug, Default)]
pub struct Bursts {
    seen: BTreeMap<(String, &'static str), (i64, TimeNs)>,
}

impl Bursts {
    /// Logs each kind of trouble that a sensor newly has.
    pub fn watch(&mut self, name: &str, counts: &SourceCounts, now_ns: TimeNs) {
        let troubles = [
            ("lost", counts.lost),
            ("late", counts.late as i64),
            ("rejected", counts.rejected as i64),
            ("duplicate", counts.duplicates as i64),
            ("overflowed", counts.overflowed as i64),
        ];
        for (trouble, count) in troubles {
            let (before, last_ns) = self.seen.get(&(name.to_owned(), trouble)).copied().unwrap_or((0, i64::MIN));
            if count == before {
                continue;
            }
            self.seen.insert((name.to_owned(), trouble), (count, now_ns));
            if count > before && now_ns.saturating_sub(last_ns) > QUIET_NS {
                let new = count - before;
                match trouble {
                    "lost" | "overflowed" => tracing::error!(sensor = name, trouble, new, total = count, "samples are missing"),
                    _ => tracing::warn!(sensor = name, trouble, new, total = count, "samples were not accepted"),
                }
            }
        }
    }
}
