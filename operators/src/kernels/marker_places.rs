//! Which marker sits where on trunk and legs: a place such as `left_knee`, by the labels that common marker sets use.

use std::collections::BTreeMap;

use proprio_core::{Findings, PlanFinding, StreamSchema};

use super::foot_markers::{self, Axes};

/// A place, its labels best first, and whether there is one on each side: then labels go after `L` or `R`.
const PLACES: [(&str, &[&str], bool); 13] = [
    ("asis", &["ASI", "ASIS"], true),
    ("psis", &["PSI", "PSIS"], true),
    ("sacrum", &["SACR", "VSAC"], false),
    ("c7", &["C7"], false),
    ("t10", &["T10"], false),
    ("clavicle", &["CLAV"], false),
    ("sternum", &["STRN"], false),
    ("thigh", &["THI"], true),
    ("knee", &["KNE", "KNEE"], true),
    ("shank", &["TIB", "SHA"], true),
    ("ankle", &["ANK"], true),
    ("heel", &["HEE", "CAL"], true),
    ("toe", &["TOE", "MT2"], true),
];

/// The columns of the markers that a stream has, by place.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Axes>);

impl Places {
    /// By the labels of common sets, and those of `labels` in their place.
    pub fn of(schema: &StreamSchema, labels: &BTreeMap<String, String>, findings: &mut Findings) -> Self {
        let mut places = BTreeMap::new();
        for (name, candidates, sided) in PLACES {
            let sides: &[(&str, &str)] = if sided { &[("left_", "L"), ("right_", "R")] } else { &[("", "")] };
            for (side, letter) in sides {
                let found = candidates.iter().find_map(|label| foot_markers::find(schema, &format!("{letter}{label}")));
                places.extend(found.map(|axes| (format!("{side}{name}"), axes)));
            }
        }
        let known = known();
        for (place, label) in labels {
            let at = format!("/labels/{place}");
            if !known.contains(place) {
                findings.push(PlanFinding::config(at, format!("`{place}` is no place")).help(format!("places are {}", known.join(", "))));
                continue;
            }
            match foot_markers::find(schema, label) {
                Some(axes) => drop(places.insert(place.clone(), axes)),
                None => {
                    findings.push(PlanFinding::config(at, format!("there is no marker `{label}`")).help(foot_markers::known_labels(schema)))
                }
            }
        }
        Self(places)
    }

    /// The columns of the marker at a place.
    pub fn get(&self, place: &str) -> Option<Axes> {
        self.0.get(place).copied()
    }

    /// The columns of all these places, or none.
    pub fn all<const N: usize>(&self, places: [&str; N]) -> Option<[Axes; N]> {
        let found = places.map(|place| self.get(place));
        found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
    }
}

/// All places.
fn known() -> Vec<String> {
    let of = |(name, _, sided): (&str, &[&str], bool)| {
        if sided { vec![format!("left_{name}"), format!("right_{name}")] } else { vec![name.to_owned()] }
    };
    PLACES.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proprio_core::schema::float;

    #[test]
    fn labels_are_recognised_and_replaced() {
        let labels = ["LASI", "RKNE", "VSAC", "spot"];
        let fields = labels.iter().flat_map(|label| ["x", "y", "z"].map(|axis| float(format!("{label}_{axis}_m"), "m")));
        let schema = StreamSchema::new(fields.collect(), &[], None);
        let mut findings = Findings::new();
        let own =
            [("right_asis", "spot"), ("left_toe", "LTOE"), ("nose", "spot")].map(|(place, label)| (place.to_owned(), label.to_owned()));
        let places = Places::of(&schema, &own.into(), &mut findings);
        assert_eq!(places.all(["left_asis", "right_asis", "sacrum"]), Some([[1, 2, 3], [10, 11, 12], [7, 8, 9]]));
        assert_eq!((places.get("right_knee"), places.get("left_knee")), (Some([4, 5, 6]), None));
        let said: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(said, ["there is no marker `LTOE`", "`nose` is no place"]);
    }
}
