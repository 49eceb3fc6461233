//! How the file's axes and lengths become the lab frame: metres, Z up.

use super::parameters::Parameters;

/// From the file's frame and length unit to the lab's.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabFrame {
    up: Up,
    /// Metres in the file's unit of length.
    pub(super) metres: f64,
}

/// Which of the file's axes points up, and how it is turned onto Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    X,
    Y,
    Z,
    MinusX,
    MinusY,
    MinusZ,
}

impl LabFrame {
    /// `POINT:Y_SCREEN` names the axis that points up on a screen; without it Z is up. `POINT:UNITS` is millimetres where
    /// the file says nothing.
    pub(super) fn of(parameters: &Parameters, warnings: &mut Vec<String>) -> Result<Self, String> {
        let unit = parameters.text("POINT", "UNITS");
        let metres = match unit.as_deref() {
            None | Some("mm") => 1e-3,
            Some("cm") => 1e-2,
            Some("dm") => 1e-1,
            Some("m") => 1.0,
            Some("in") => 0.0254,
            Some(other) => return Err(format!("POINT:UNITS is `{other}`; known are m, dm, cm, mm and in")),
        };
        let screen = parameters.text("POINT", "Y_SCREEN").unwrap_or_else(|| "+Z".to_owned()).to_ascii_uppercase();
        let up = match screen.as_str() {
            "+Z" | "Z" => Up::Z,
            "+Y" | "Y" => Up::Y,
            "+X" | "X" => Up::X,
            "-Z" => Up::MinusZ,
            "-Y" => Up::MinusY,
            "-X" => Up::MinusX,
            other => return Err(format!("POINT:Y_SCREEN is `{other}`, no axis")),
        };
        if up != Up::Z {
            warnings.push(format!("POINT:Y_SCREEN says that {screen} is up: everything is turned so that Z is"));
        }
        Ok(Self { up, metres })
    }

    /// A direction of the file in the lab frame: the rotation by a quarter or half turn that brings up onto Z.
    pub(super) fn turn(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        match self.up {
            Up::Z => [x, y, z],
            Up::MinusZ => [x, -y, -z],
            Up::Y => [x, -z, y],
            Up::MinusY => [x, z, -y],
            Up::X => [-z, y, x],
            Up::MinusX => [z, y, -x],
        }
    }

    /// A position of the file in the lab frame, in metres.
    pub(super) fn place(&self, position: [f64; 3]) -> [f64; 3] {
        self.turn(position).map(|value| value * self.metres)
    }
}
