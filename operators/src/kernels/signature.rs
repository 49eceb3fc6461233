//! What is usual for a person, session by session, and how far is a movement or a session from it?
//!
//! A signature is the set of its sessions' summaries, sorted by their beginning, and nothing else: merging is the union, so that the order
//! of merging shows in no byte. All statistics are folded over the sorted set when they are asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most features of one side of the body.
pub const MAX_FEATURES: usize = 32;
/// Most movements of a session that its summary stands on: the first ones.
pub const MAX_MOVEMENTS: usize = 512;
/// Of more sessions, so many of the oldest are kept
pub const OLDEST: usize = 16;
/// and so many of the newest.
pub const NEWEST: usize = 8;
/// The form of a signature's text.
const VERSION: u32 = 1;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SD: f64 = 1.482_602_218_505_602;
/// Values further from the median count as being here, in standard deviations.
const CLIP: f64 = 3.0;
/// The quantile of the normal distribution beyond which a distance is a change: 1 % of usual ones are.
const Z_99: f64 = 2.326_347_874_040_841;

/// A feature of one session's movements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Mean, with those far off drawn near.
    pub location: f64,
    /// Median absolute deviation, as a standard deviation.
    pub scatter: f64,
    /// Movements.
    pub count: u32,
}

/// A session's features by side, then by name.
pub type Summary = BTreeMap<String, BTreeMap<String, Feature>>;

/// The sessions of one person, by their beginning in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    version: u32,
    /// Which features these are: signatures of others don't compare.
    pub definition: String,
    /// Summaries by the time of the session's first movement.
    pub sessions: BTreeMap<i64, Summary>,
}

impl Signature {
    /// Of no session yet.
    pub fn new(definition: impl Into<String>) -> Self {
        Self { version: VERSION, definition: definition.into(), sessions: BTreeMap::new() }
    }

    /// Of one session.
    pub fn of(definition: impl Into<String>, start_ns: i64, summary: Summary) -> Self {
        Self { sessions: [(start_ns, summary)].into(), ..Self::new(definition) }
    }

    /// The union with another one, or nothing where it is of other features. A session that both have, in different forms, is the
    /// one whose text is greater; of too many, the oldest and the newest are kept.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Option<Self> {
        if (self.version, &self.definition) != (other.version, &other.definition) {
            return None;
        }
        let mut merged = self.clone();
        for (start, summary) in &other.sessions {
            let kept = merged.sessions.entry(*start).or_insert_with(|| summary.clone());
            if text(summary) > text(kept) {
                kept.clone_from(summary);
            }
        }
        let surplus = merged.sessions.len().saturating_sub(OLDEST + NEWEST);
        let dropped: Vec<i64> = merged.sessions.keys().skip(OLDEST).take(surplus).copied().collect();
        dropped.iter().for_each(|start| drop(merged.sessions.remove(start)));
        Some(merged)
    }

    /// Its one canonical text, in JSON.
    pub fn text(&self) -> String {
        text(self)
    }

    /// From its text; nothing where it is none of this version.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|signature: &Self| signature.version == VERSION)
    }

    /// A name for these very bytes (FNV-1a).
    pub fn id(&self) -> String {
        let hash =
            self.text().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// One side's features in the oldest `count` sessions that have the side.
    pub fn oldest(&self, side: &str, count: usize) -> Vec<&BTreeMap<String, Feature>> {
        self.sessions.values().filter_map(|summary| summary.get(side)).take(count).collect()
    }

    /// As [`oldest`](Self::oldest), of the newest `count`, but none of the oldest `before`; fewer where there are no more.
    pub fn newest(&self, side: &str, count: usize, before: usize) -> Vec<&BTreeMap<String, Feature>> {
        let all: Vec<_> = self.sessions.values().filter_map(|summary| summary.get(side)).skip(before).collect();
        all[all.len().saturating_sub(count)..].to_vec()
    }
}

/// The centre of a feature's values and what they scatter by, rounded to six digits; nothing of none.
pub fn summarise(values: &[f64]) -> Option<Feature> {
    let centred = Centred::of(values)?;
    Some(Feature { location: rounded(centred.mean), scatter: rounded(centred.scatter), count: values.len() as u32 })
}

/// Values about their centre: the mean, in which those further than three standard deviations from the median count as being there. It
/// is nearly as sharp as a mean, which a median is not, and as little moved by a few that are far off.
struct Centred {
    mean: f64,
    /// The median absolute deviation, as a standard deviation.
    scatter: f64,
    /// From the mean, those far off drawn near.
    deviations: Vec<f64>,
}

impl Centred {
    fn of(values: &[f64]) -> Option<Self> {
        let middle = median(values)?;
        let scatter = MAD_TO_SD * median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())?;
        let limit = if scatter > 0.0 { CLIP * scatter } else { f64::INFINITY };
        let near: Vec<f64> = values.iter().map(|value| (value - middle).clamp(-limit, limit)).collect();
        let off = near.iter().sum::<f64>() / near.len() as f64;
        Some(Self { mean: middle + off, scatter, deviations: near.iter().map(|value| value - off).collect() })
    }
}

/// What is usual on one side.
#[derive(Clone, Debug, PartialEq)]
pub struct Usual {
    /// Names of the features that every session has.
    pub features: Vec<String>,
    /// Sessions.
    pub sessions: usize,
    mean: Vec<f64>,
    /// Standard deviation between sessions.
    between: Vec<f64>,
    /// Root mean square of the sessions' scatters.
    within: Vec<f64>,
    /// Correlation between sessions, shrunk.
    correlation: Vec<Vec<f64>>,
}

/// What is known of a feature before any session is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Features of different groups, such as times and angles, are taken to vary independently from session to session.
    pub group: usize,
    /// Standard deviation; none where nothing is known.
    pub sd: Option<f64>,
    /// How many sessions this is worth.
    pub sessions: f64,
}

impl Usual {
    /// Of sessions, three at least.
    ///
    /// A feature's mean is that of the sessions, those further than three standard deviations (by the median absolute deviation) taken as
    /// being there. Its variance is that about it, together with the prior's as so many sessions more (the conjugate prior of a normal
    /// variance). Correlations are shrunk towards none by as much as they are uncertain (Schäfer and Strimmer 2005).
    pub fn of(sessions: &[&BTreeMap<String, Feature>], prior: impl Fn(&str) -> Prior) -> Option<Self> {
        let first = sessions.first().filter(|_| sessions.len() >= 3)?;
        let features: Vec<String> =
            first.keys().filter(|name| sessions.iter().all(|session| session.contains_key(*name))).cloned().collect();
        if features.is_empty() || features.len() > MAX_FEATURES {
            return None;
        }
        let count = sessions.len() as f64;
        let (mut mean, mut between, mut within, mut scores) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let groups: Vec<usize> = features.iter().map(|name| prior(name).group).collect();
        for name in &features {
            let locations: Vec<f64> = sessions.iter().map(|session| session[name].location).collect();
            let Centred { mean: centre, deviations, .. } = Centred::of(&locations)?;
            let squares = sessions.iter().map(|session| session[name].scatter * session[name].scatter).sum::<f64>() / count;
            let prior = prior(name);
            let (known, weight) = prior.sd.map_or((0.0, 0.0), |sd| (sd * sd, prior.sessions));
            let variance = (deviations.iter().map(|value| value * value).sum::<f64>() + weight * known) / (count - 1.0 + weight);
            // A feature that never moved is known no better than its median within a session.
            let movements = sessions.iter().map(|session| f64::from(session[name].count)).sum::<f64>() / count;
            let sd = variance.max(squares / movements).max(f64::MIN_POSITIVE).sqrt();
            mean.push(centre);
            between.push(sd);
            within.push(squares.sqrt());
            let spread = (deviations.iter().map(|value| value * value).sum::<f64>() / (count - 1.0)).sqrt();
            scores.push(deviations.iter().map(|value| if spread > 0.0 { value / spread } else { 0.0 }).collect::<Vec<f64>>());
        }
        Some(Self { correlation: shrunk(&scores, &groups), features, sessions: sessions.len(), mean, between, within })
    }
}

/// How far something is from what is usual.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// Root of the mean square of the decorrelated deviations (Mahalanobis' distance over the root of the number of features): about one
    /// where all is usual.
    pub distance: f64,
    /// Whether only one in a hundred usual ones is as far.
    pub is_changed: bool,
    /// By feature that was known.
    pub parts: Vec<Part>,
}

/// One feature's part in a deviation.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name.
    pub feature: String,
    /// What it was.
    pub value: f64,
    /// What is usual.
    pub usual: f64,
    /// The standard deviation of what is usual.
    pub sd: f64,
    /// Its part of the squared distance: they sum up to one, and one that the others explain may be negative.
    pub share: f64,
}

impl Part {
    /// In standard deviations.
    pub fn z(&self) -> f64 {
        (self.value - self.usual) / self.sd
    }
}

impl Usual {
    /// The deviation of the mean of `sessions` new sessions, or of one movement of a new session where there are none.
    pub fn deviation(&self, values: &BTreeMap<String, f64>, sessions: usize) -> Option<Deviation> {
        let known: Vec<(usize, f64)> = self
            .features
            .iter()
            .enumerate()
            .filter_map(|(n, name)| Some((n, values.get(name).copied().filter(|value| value.is_finite())?)))
            .collect();
        if known.is_empty() {
            return None;
        }
        let spread = 1.0 / sessions.max(1) as f64 + 1.0 / self.sessions as f64;
        let covariance: Vec<Vec<f64>> = known
            .iter()
            .map(|(a, _)| {
                let with = |b: &usize| {
                    let alone = if a == b && sessions == 0 { self.within[*a] * self.within[*a] } else { 0.0 };
                    self.correlation[*a][*b] * self.between[*a] * self.between[*b] * spread + alone
                };
                known.iter().map(|(b, _)| with(b)).collect()
            })
            .collect();
        let off: Vec<f64> = known.iter().map(|(n, value)| value - self.mean[*n]).collect();
        let solved = solve(&covariance, &off)?;
        let square: f64 = off.iter().zip(&solved).map(|(off, solved)| off * solved).sum();
        let part = |(at, (n, value)): (usize, &(usize, f64))| Part {
            feature: self.features[*n].clone(),
            value: *value,
            usual: self.mean[*n],
            sd: covariance[at][at].sqrt(),
            share: if square > 0.0 { off[at] * solved[at] / square } else { 0.0 },
        };
        let count = known.len() as f64;
        Some(Deviation {
            distance: (square / count).sqrt(),
            is_changed: square > chi_square_99(count),
            parts: known.iter().enumerate().map(part).collect(),
        })
    }
}

/// Correlations of standardised scores by feature and session, within each group shrunk towards none (Schäfer and Strimmer 2005, equations
/// 7 to 10) and none between groups: few sessions can't tell both from chance, and what they say of one group is sharper alone.
fn shrunk(scores: &[Vec<f64>], groups: &[usize]) -> Vec<Vec<f64>> {
    let count = scores[0].len() as f64;
    let size = scores.len();
    let mut correlation = vec![vec![0.0; size]; size];
    // By group: how uncertain its correlations are, and their squares.
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for a in 0..size {
        for b in (0..a).filter(|b| groups[*b] == groups[a]) {
            let products: Vec<f64> = scores[a].iter().zip(&scores[b]).map(|(a, b)| a * b).collect();
            let mean = products.iter().sum::<f64>() / count;
            let spread: f64 = products.iter().map(|product| (product - mean) * (product - mean)).sum();
            let found = mean * count / (count - 1.0);
            let (uncertain, squares) = sums.entry(groups[a]).or_default();
            *uncertain += spread * count / ((count - 1.0) * (count - 1.0) * (count - 1.0));
            *squares += found * found;
            (correlation[a][b], correlation[b][a]) = (found, found);
        }
    }
    let kept = |group: usize| match sums.get(&group) {
        Some((uncertain, squares)) if *squares > 0.0 => (1.0 - uncertain / squares).clamp(0.0, 0.99),
        _ => 0.0,
    };
    for (a, row) in correlation.iter_mut().enumerate() {
        let kept = kept(groups[a]);
        row.iter_mut().enumerate().for_each(|(b, value)| *value = if a == b { 1.0 } else { kept * *value });
    }
    correlation
}

/// The solution of a symmetric, positive definite system (Cholesky); nothing where it isn't.
fn solve(matrix: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    let size = right.len();
    let mut lower = vec![vec![0.0; size]; size];
    for a in 0..size {
        for b in 0..=a {
            let known: f64 = (0..b).map(|c| lower[a][c] * lower[b][c]).sum();
            let left = matrix[a][b] - known;
            lower[a][b] = if a == b { if left > 0.0 { left.sqrt() } else { return None } } else { left / lower[b][b] };
        }
    }
    let mut solution = right.to_vec();
    for a in 0..size {
        let known: f64 = (0..a).map(|c| lower[a][c] * solution[c]).sum();
        solution[a] = (solution[a] - known) / lower[a][a];
    }
    for a in (0..size).rev() {
        let known: f64 = (a + 1..size).map(|c| lower[c][a] * solution[c]).sum();
        solution[a] = (solution[a] - known) / lower[a][a];
    }
    Some(solution)
}

/// 99 % quantile of χ² (Wilson and Hilferty 1931).
fn chi_square_99(freedom: f64) -> f64 {
    let part = 2.0 / (9.0 * freedom);
    let root = 1.0 - part + Z_99 * part.sqrt();
    freedom * root * root * root
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(0.5 * (sorted[middle - 1] + sorted[middle])),
    }
}

/// To six digits, which is what a text needs.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a number was just written")
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("maps of numbers by text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;

    fn session(noise: &mut Noise, shift: f64) -> Summary {
        let feature = |n: usize, noise: &mut Noise| {
            let offset = 10.0 * noise.gaussian() + if n == 0 { shift } else { 0.0 };
            let values: Vec<f64> = (0..20).map(|_| offset + 5.0 * noise.gaussian()).collect();
            (format!("latency_{n}_ms"), summarise(&values).expect("twenty values"))
        };
        [("left".to_owned(), (0..4).map(|n| feature(n, noise)).collect())].into()
    }

    fn prior(_: &str) -> Prior {
        Prior { group: 0, sd: Some(10.0), sessions: 8.0 }
    }

    #[test]
    fn the_order_of_merging_shows_in_no_byte() {
        let mut noise = Noise::new(4);
        // More than are kept, and one session in two forms.
        let mut single: Vec<Signature> =
            (0..40).map(|n| Signature { sessions: [(i64::from(n), session(&mut noise, 0.0))].into(), ..Signature::new("d") }).collect();
        single.push(Signature { sessions: [(7, session(&mut noise, 3.0))].into(), ..Signature::new("d") });
        let merge = |all: &[Signature]| all.iter().fold(Signature::new("d"), |merged, next| merged.merged(next).expect("one definition"));
        let due = merge(&single);
        assert_eq!(due.sessions.len(), OLDEST + NEWEST);
        for _ in 0..50 {
            for n in (1..single.len()).rev() {
                single.swap(n, (noise.uniform() * (n + 1) as f64) as usize);
            }
            let cut = (noise.uniform() * single.len() as f64) as usize;
            let halves = merge(&single[..cut]).merged(&merge(&single[cut..])).expect("one definition");
            assert_eq!((merge(&single).text(), halves.text()), (due.text(), due.text()));
        }
        assert_eq!(Signature::parse(&due.text()), Some(due.clone()));
        assert_eq!(Signature::parse(&due.text()).map(|read| read.id()), Some(due.id()));
        assert_eq!(due.merged(&Signature::new("other")), None);
    }

    #[test]
    fn a_shifted_feature_drives_the_distance() {
        let mut noise = Noise::new(9);
        let all: Vec<Summary> = (0..10).map(|_| session(&mut noise, 0.0)).collect();
        let usual = Usual::of(&all.iter().map(|summary| &summary["left"]).collect::<Vec<_>>(), prior).expect("ten sessions");
        let values = |summary: &Summary| summary["left"].iter().map(|(name, feature)| (name.clone(), feature.location)).collect();
        let same = usual.deviation(&values(&session(&mut noise, 0.0)), 1).expect("known features");
        let changed = usual.deviation(&values(&session(&mut noise, 60.0)), 1).expect("known features");
        assert!(changed.is_changed && !same.is_changed && changed.distance > 2.0 * same.distance, "{changed:?} {same:?}");
        let driver = changed.parts.iter().max_by(|a, b| a.share.total_cmp(&b.share)).expect("four parts");
        assert!(driver.feature == "latency_0_ms" && driver.z() > 3.0, "{changed:?}");
        assert!((changed.parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(usual.deviation(&BTreeMap::new(), 1).is_none());
        assert_eq!(Usual::of(&[&all[0]["left"], &all[1]["left"]], prior), None);
    }

    #[test]
    fn quantiles_and_solutions_are_those_of_the_tables() {
        for (freedom, due) in [(1.0, 6.635), (4.0, 13.277), (12.0, 26.217), (32.0, 53.486)] {
            assert!((chi_square_99(freedom) / due - 1.0).abs() < 0.02, "{freedom}: {}", chi_square_99(freedom));
        }
        let found = solve(&[vec![4.0, 2.0], vec![2.0, 3.0]], &[2.0, 5.0]).expect("positive definite");
        assert!((found[0] + 0.5).abs() < 1e-12 && (found[1] - 2.0).abs() < 1e-12);
        assert_eq!(solve(&[vec![1.0, 2.0], vec![2.0, 1.0]], &[1.0, 1.0]), None);
    }
}
