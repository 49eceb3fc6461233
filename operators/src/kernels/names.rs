//! Which name was probably meant.

/// The candidate most like `name`, when it is like enough to be worth offering.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best =
        scored.fold(None, |best: Option<(f64, &str)>, next| if best.is_some_and(|best| best.0 >= next.0) { best } else { Some(next) });
    best.filter(|(likeness, _)| *likeness > 0.75).map(|(_, candidate)| candidate)
}

/// What to write instead of an unknown name: the nearest one, or the whole list when it is short.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(name, candidates.clone()) {
        return Some(format!("write `{near}`"));
    }
    let all: Vec<&str> = candidates.into_iter().take(21).collect();
    (!all.is_empty() && all.len() <= 20).then(|| format!("there are `{}`", all.join("`, `")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_the_nearest_and_else_the_list() {
        let names = ["pelvis_tilt_deg", "pelvis_obliquity_deg"];
        assert_eq!(nearest("pelvis_obliqity_deg", names), Some("pelvis_obliquity_deg"));
        assert_eq!(nearest("zz", names), None);
        assert_eq!(suggest("zz", names).as_deref(), Some("there are `pelvis_tilt_deg`, `pelvis_obliquity_deg`"));
        assert_eq!(suggest("zz", []), None);
    }
}
