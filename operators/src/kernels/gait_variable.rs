//! Which angles make a gait profile score, and in which columns are they and the cycles?

use arrow_schema::DataType;
use proprio_core::{Findings, PlanFinding, Port, StreamSchema};

/// Variable, its column with `*` for the side, and whether the left side counts the other way (Baker et al. 2009).
const VARIABLES: [(&str, &str, bool); 9] = [
    ("pelvis_tilt", "pelvis_tilt_deg", false),
    ("pelvis_obliquity", "pelvis_obliquity_deg", true),
    ("pelvis_rotation", "pelvis_rotation_deg", true),
    ("hip_flexion", "hip_*_flexion_deg", false),
    ("hip_adduction", "hip_*_adduction_deg", false),
    ("hip_rotation", "hip_*_rotation_deg", false),
    ("knee_flexion", "knee_*_flexion_deg", false),
    ("ankle_dorsiflexion", "ankle_*_dorsiflexion_deg", false),
    ("foot_progression", "foot_*_progression_deg", false),
];
/// The parameters whose symmetry is given by default, where they are there.
const SYMMETRIC: [&str; 5] = ["step_time_s", "stance_percent", "single_support_s", "step_length_m", "stride_length_m"];
/// Units at the end of a parameter's name, longest first.
const UNITS: [&str; 6] = ["_steps_per_min", "_m_per_s", "_percent", "_deg", "_m", "_s"];

/// An angle that is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Such as `knee_flexion`.
    pub name: &'static str,
    /// Of the left and of the right; the pelvis has one for both.
    pub columns: [usize; 2],
    /// Whether the left side counts the other way.
    pub is_mirrored: bool,
    /// Whether it is of the pelvis, which both sides share.
    pub is_pelvis: bool,
    /// Whether it counts from the lab's axes.
    pub is_heading: bool,
}

/// The variables that a stream of angles has for both sides.
pub fn variables(schema: &StreamSchema) -> Vec<Variable> {
    let variable = |(name, column, is_mirrored): (&'static str, &str, bool)| {
        let of = |side: &str| schema.index(&column.replace('*', side));
        let columns = [of("left")?, of("right")?];
        Some(Variable { name, columns, is_mirrored, is_pelvis: !column.contains('*'), is_heading: name == "pelvis_rotation" })
    };
    VARIABLES.into_iter().filter_map(variable).collect()
}

/// The columns `side` and `start_ns` of cycles.
pub fn cycle_columns(schema: &StreamSchema) -> Option<[usize; 2]> {
    let of = |name: &str, data_type: DataType| schema.index(name).filter(|index| *schema.columns.field(*index).data_type() == data_type);
    Some([of("side", DataType::Utf8)?, of("start_ns", DataType::Int64)?])
}

/// Column and name of the parameters of cycles whose symmetry is given: those that `symmetry` names, or the usual ones.
pub fn symmetric(port: &Port, index: usize, symmetry: Option<&[String]>, findings: &mut Findings) -> Vec<(usize, String)> {
    let schema = &port.schema;
    let is_number = |column: &usize| *schema.columns.field(*column).data_type() == DataType::Float64;
    let Some(names) = symmetry else {
        let found = SYMMETRIC.iter().filter_map(|name| Some((schema.index(name).filter(is_number)?, (*name).to_owned())));
        return found.collect();
    };
    let mut parameters = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match schema.index(name).filter(is_number) {
            Some(column) if !parameters.iter().any(|(other, _)| *other == column) => parameters.push((column, name.clone())),
            Some(_) => findings.push(PlanFinding::config(format!("/symmetry/{at}"), format!("`{name}` stands there twice"))),
            None => {
                let message = format!("`{}` (input {}) has no number `{name}`", port.stream, index + 1);
                findings.push(PlanFinding::config(format!("/symmetry/{at}"), message));
            }
        }
    }
    parameters
}

/// A parameter's name without the unit at its end.
pub fn without_unit(name: &str) -> &str {
    UNITS.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proprio_core::schema::float;

    #[test]
    fn variables_need_both_sides_and_the_pelvis_has_one_column_for_them() {
        let names = ["pelvis_rotation_deg", "knee_left_flexion_deg", "hip_right_flexion_deg", "knee_right_flexion_deg"];
        let schema = StreamSchema::new(names.map(|name| float(name, "deg")).to_vec(), &[], None);
        let found: Vec<_> = variables(&schema).iter().map(|variable| (variable.name, variable.columns, variable.is_mirrored)).collect();
        assert_eq!(found, [("pelvis_rotation", [1, 1], true), ("knee_flexion", [2, 4], false)]);
        assert_eq!(["step_time_s", "speed_m_per_s", "x"].map(without_unit), ["step_time", "speed", "x"]);
    }
}
