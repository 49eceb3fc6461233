//! How does a sensor sit on its segment, as a person can say it: which of its axes point forward and up?

use schemars::JsonSchema;
use serde::Deserialize;

use super::quaternion::{Quaternion, from_axes};

/// Which axes of a sensor point forward and up while its wearer stands.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mounting {
    /// The axis that points forward.
    pub forward: Axis,
    /// The axis that points up.
    pub up: Axis,
}

/// A sensor's axis, as printed on its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Axis {
    /// Along x.
    #[serde(rename = "x")]
    X,
    /// Against x.
    #[serde(rename = "-x")]
    MinusX,
    /// Along y.
    #[serde(rename = "y")]
    Y,
    /// Against y.
    #[serde(rename = "-y")]
    MinusY,
    /// Along z.
    #[serde(rename = "z")]
    Z,
    /// Against z.
    #[serde(rename = "-z")]
    MinusZ,
}

impl Axis {
    const fn vector(self) -> [f64; 3] {
        match self {
            Self::X => [1.0, 0.0, 0.0],
            Self::MinusX => [-1.0, 0.0, 0.0],
            Self::Y => [0.0, 1.0, 0.0],
            Self::MinusY => [0.0, -1.0, 0.0],
            Self::Z => [0.0, 0.0, 1.0],
            Self::MinusZ => [0.0, 0.0, -1.0],
        }
    }
}

impl Mounting {
    /// X forward, Y up: the axes of the segment itself.
    pub const DEFAULT: Self = Self { forward: Axis::X, up: Axis::Y };

    /// The rotation from the segment's axes (X forward, Y up, Z to the right) to the sensor's.
    pub fn sensor_from_segment(&self) -> Quaternion {
        let (forward, up) = (self.forward.vector(), self.up.vector());
        from_axes(forward, up, cross(forward, up))
    }

    /// Whether both axes lie along one line, which says nothing.
    pub fn is_flat(&self) -> bool {
        cross(self.forward.vector(), self.up.vector()) == [0.0; 3]
    }
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
