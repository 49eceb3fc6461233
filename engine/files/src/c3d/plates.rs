//! What the force plates measured: ground reaction force, free moment and centre of pressure, in the lab frame.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use proprio_core::Kind;
use proprio_core::rows::nan_as_null;

use super::axes::LabFrame;
use super::layout::C3d;
use crate::recording::{FileSensor, entry};

type Vector = [f64; 3];

/// Below this upward force there is no centre of pressure and the free moment is zero: the quotient would be noise.
const MIN_FORCE_N: f64 = 10.0;
/// Force above which a sample shows which way a plate is wired and in which unit its moments are.
const LOADED_N: f64 = 50.0;

/// The plates of a file, and the analog channels that they use, from 0.
#[derive(Debug, Default)]
pub(super) struct Plates {
    pub(super) sensors: Vec<FileSensor>,
    pub(super) channels: BTreeSet<usize>,
}

/// Where a plate lies in the lab, and how its channels become forces.
#[derive(Debug)]
struct Plate {
    kind: usize,
    channels: Vec<usize>,
    /// The plate's axes in the lab frame.
    axes: [Vector; 3],
    /// Middle of the surface, metres in the lab frame.
    centre: Vector,
    /// Half the plate's extent along its x and y, metres.
    half: [f64; 2],
    /// From the transducer's origin to the surface, in the plate's frame, metres; for type 3 the sensors' offsets.
    origin: Vector,
    /// Type 4: six by six, output row running fastest.
    calibration: Option<Vec<f64>>,
    /// Newton metres in the file's unit of moment.
    moment_scale: f64,
    /// Metres in the file's unit of length.
    metres: f64,
}

/// One sample in the plate's frame, at the middle of its surface.
#[derive(Clone, Copy, Debug)]
struct Wrench {
    force: Vector,
    moment: Vector,
}

/// Reads the plates of types 1 to 4; others, and those that the file describes incompletely, are left out with a warning.
///
/// The forces are reactions on the subject, as the C3D format wants them; a plate that records actions instead is turned
/// over, with a warning. `FORCE_PLATFORM:ZERO` is not applied: the forces are what was recorded, offsets included.
pub(super) fn read(file: &C3d, lab: &LabFrame, warnings: &mut Vec<String>) -> Plates {
    let parameters = &file.parameters;
    let used = parameters.counts("FORCE_PLATFORM", "USED").first().copied().unwrap_or(0).min(255);
    let mut plates = Plates::default();
    let all_channels = parameters.counts("FORCE_PLATFORM", "CHANNEL");
    plates.channels.extend(all_channels.iter().filter_map(|channel| channel.checked_sub(1)));
    for index in 0..used {
        let name = format!("plate_{}", index + 1);
        let plate = Plate::describe(file, lab, index);
        match plate.and_then(|plate| plate.sensor(file, &name, warnings)) {
            Ok(sensor) => plates.sensors.push(sensor),
            Err(what) => warnings.push(format!("force plate {} is left out: {what}", index + 1)),
        }
    }
    if let [first, last, ..] = parameters.counts("FORCE_PLATFORM", "ZERO")[..]
        && first > 0
        && last > first
        && used > 0
    {
        warnings.push(format!("FORCE_PLATFORM:ZERO names frames {first} to {last} as baseline; the forces are left as recorded"));
    }
    plates
}

impl Plate {
    /// Reads one plate's description.
    fn describe(file: &C3d, lab: &LabFrame, index: usize) -> Result<Self, String> {
        let parameters = &file.parameters;
        let kind = *parameters.counts("FORCE_PLATFORM", "TYPE").get(index).ok_or("FORCE_PLATFORM:TYPE doesn't name its type")?;
        let count = match kind {
            1 | 2 | 4 => 6,
            3 => 8,
            other => return Err(format!("type {other} is not known; 1 to 4 are")),
        };
        let channel_numbers = parameters.counts("FORCE_PLATFORM", "CHANNEL");
        let width = parameters.width("FORCE_PLATFORM", "CHANNEL").max(1);
        let numbers = channel_numbers.chunks(width).nth(index).and_then(|numbers| numbers.get(..count));
        let channels: Option<Vec<usize>> =
            numbers.and_then(|numbers| numbers.iter().map(|n| n.checked_sub(1).filter(|channel| *channel < file.channels)).collect());
        let channels = channels.ok_or_else(|| format!("FORCE_PLATFORM:CHANNEL doesn't name its {count} channels"))?;

        let corners = parameters.numbers("FORCE_PLATFORM", "CORNERS");
        let corners = corners.as_chunks::<3>().0.as_chunks::<4>().0.get(index).ok_or("FORCE_PLATFORM:CORNERS lacks it")?;
        let corners = corners.map(|corner| lab.place(corner));
        let origin = *parameters.numbers("FORCE_PLATFORM", "ORIGIN").as_chunks::<3>().0.get(index).unwrap_or(&[0.0; 3]);
        let origin = origin.map(|value| value * lab.metres);
        // The surface is above the transducers and the plate's z points down: a positive third value is a sign error that
        // many writers make, in all three of them.
        let origin = if kind != 3 && origin[2] > 0.0 { origin.map(|value| -value) } else { origin };
        let calibration = parameters.numbers("FORCE_PLATFORM", "CAL_MATRIX").as_chunks::<36>().0.get(index).map(|matrix| matrix.to_vec());
        if kind == 4 && calibration.is_none() {
            return Err("FORCE_PLATFORM:CAL_MATRIX lacks it, and its type is 4".to_owned());
        }
        let unit = parameters.texts("ANALOG", "UNITS").get(channels[3]).cloned().unwrap_or_default();
        let moment_scale = match unit.to_ascii_lowercase().as_str() {
            "nm" | "n.m" | "n*m" if kind != 4 => 1.0,
            "nmm" | "n.mm" | "n*mm" if kind != 4 => 1e-3,
            _ => lab.metres,
        };
        let (axes, half) = surface(corners)?;
        let centre = [0, 1, 2].map(|axis| corners.iter().map(|corner| corner[axis]).sum::<f64>() / 4.0);
        Ok(Self {
            kind,
            channels,
            axes,
            centre,
            half,
            origin,
            calibration: calibration.filter(|_| kind == 4),
            moment_scale,
            metres: lab.metres,
        })
    }

    /// Reads the plate's channels and reduces them.
    fn sensor(mut self, file: &C3d, name: &str, warnings: &mut Vec<String>) -> Result<FileSensor, String> {
        let channels: Vec<Vec<f64>> = self.channels.iter().map(|channel| file.channel(*channel)).collect();
        let samples = file.frames * file.samples_per_frame;
        let mut wrenches: Vec<Wrench> = (0..samples).map(|sample| self.wrench(&channels, sample)).collect();
        if self.moments_are_too_large(&wrenches) {
            warnings.push(format!("{name}: its moments are in N·mm, whatever ANALOG:UNITS says: else the pressure lies off the plate"));
            self.moment_scale *= 1e-3;
            wrenches = (0..samples).map(|sample| self.wrench(&channels, sample)).collect();
        }
        let up = |wrench: &Wrench| self.to_lab(wrench.force)[2];
        let (lowest, highest) =
            wrenches.iter().map(up).fold((0.0, 0.0), |(low, high): (f64, f64), force| (low.min(force), high.max(force)));
        if lowest < -LOADED_N && -lowest > 2.0 * highest {
            warnings.push(format!("{name}: it records the force on the plate; turned over to the force on the subject"));
            wrenches.iter_mut().for_each(Wrench::turn_over);
        }
        let columns = self.columns(&wrenches);
        let rate = file.analog_rate()?;
        FileSensor::on_grid(name.to_owned(), entry(Kind::Force, Some(rate)), rate, samples, columns)
    }

    /// Force and moment at the middle of the surface.
    fn wrench(&self, channels: &[Vec<f64>], sample: usize) -> Wrench {
        let value = |channel: usize| channels[channel][sample];
        if self.kind == 3 {
            return self.wrench_of_eight(value);
        }
        let mut six = [0, 1, 2, 3, 4, 5].map(value);
        if let Some(matrix) = &self.calibration {
            six = [0, 1, 2, 3, 4, 5].map(|row| (0..6).map(|column| matrix[column * 6 + row] * six[column]).sum());
        }
        let [fx, fy, fz, a, b, c] = six;
        let force = [fx, fy, fz];
        if self.kind == 1 {
            // Type 1 gives the centre of pressure and the free moment instead of the moments.
            let (x, y) = (a * self.metres, b * self.metres);
            let lever = cross([x, y, 0.0], force);
            return Wrench { force, moment: [lever[0], lever[1], lever[2] + c * self.moment_scale] };
        }
        let moment = [a, b, c].map(|value| value * self.moment_scale);
        Wrench { force, moment: add(moment, cross(force, self.origin)) }
    }

    /// Kistler's eight channels: x12 x34 y14 y23 z1 z2 z3 z4, whose sensors stand at `origin`'s offsets.
    fn wrench_of_eight(&self, value: impl Fn(usize) -> f64) -> Wrench {
        let [x12, x34, y14, y23, z1, z2, z3, z4] = [0, 1, 2, 3, 4, 5, 6, 7].map(value);
        let [a, b, below] = self.origin;
        let force = [x12 + x34, y14 + y23, z1 + z2 + z3 + z4];
        let moment = [b * (z1 + z2 - z3 - z4), a * (z2 + z3 - z1 - z4), b * (x34 - x12) + a * (y14 - y23)];
        Wrench { force, moment: add(moment, cross(force, [0.0, 0.0, -below.abs()])) }
    }

    /// Whether most loaded samples have their pressure on the plate only when the moments are a thousandth.
    fn moments_are_too_large(&self, wrenches: &[Wrench]) -> bool {
        let loaded = wrenches.iter().filter(|wrench| wrench.force[2].abs() > LOADED_N);
        let (mut all, mut on, mut on_if_smaller) = (0u32, 0u32, 0u32);
        for wrench in loaded {
            let [x, y] = wrench.pressure();
            let inside = |scale: f64| (x * scale).abs() <= self.half[0] * 1.1 && (y * scale).abs() <= self.half[1] * 1.1;
            all += 1;
            on += u32::from(inside(1.0));
            on_if_smaller += u32::from(inside(1e-3));
        }
        self.kind == 2 && self.moment_scale > 0.5 && 2 * on < all && 2 * on_if_smaller >= all
    }

    fn to_lab(&self, vector: Vector) -> Vector {
        [0, 1, 2].map(|row| (0..3).map(|axis| self.axes[axis][row] * vector[axis]).sum())
    }

    /// The measured columns of kind `force`.
    fn columns(&self, wrenches: &[Wrench]) -> Vec<ArrayRef> {
        let mut columns: [Vec<f64>; 6] = std::array::from_fn(|_| Vec::with_capacity(wrenches.len()));
        let upward = if self.axes[2][2] < 0.0 { -1.0 } else { 1.0 };
        for wrench in wrenches {
            let force = self.to_lab(wrench.force);
            let (free_moment, place) = if force[2] >= MIN_FORCE_N {
                let [x, y] = wrench.pressure();
                let place = add(self.centre, self.to_lab([x, y, 0.0]));
                (upward * wrench.free_moment(), [place[0], place[1]])
            } else {
                (0.0, [f64::NAN; 2])
            };
            let row = [force[0], force[1], force[2], free_moment, place[0], place[1]];
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        let [x, y, z, moment, cop_x, cop_y] = columns;
        let required = [x, y, z, moment].map(|values| Arc::new(Float64Array::from(values)) as ArrayRef);
        required.into_iter().chain([cop_x, cop_y].map(nan_as_null)).collect()
    }
}

impl Wrench {
    /// Where the force's line meets the surface, in the plate's frame.
    fn pressure(&self) -> [f64; 2] {
        [-self.moment[1] / self.force[2], self.moment[0] / self.force[2]]
    }

    /// The moment about the plate's z at the centre of pressure.
    fn free_moment(&self) -> f64 {
        let [x, y] = self.pressure();
        self.moment[2] - cross([x, y, 0.0], self.force)[2]
    }

    fn turn_over(&mut self) {
        self.force = self.force.map(|value| -value);
        self.moment = self.moment.map(|value| -value);
    }
}

/// The plate's axes and half its extents, from its corners: the first lies at +x +y, the second at −x +y, and so round.
fn surface(corners: [Vector; 4]) -> Result<([Vector; 3], [f64; 2]), String> {
    let [first, second, _, fourth] = corners;
    let (along_x, along_y) = (subtract(first, second), subtract(first, fourth));
    let normal = cross(along_x, along_y);
    let lengths = [along_x, along_y, normal].map(length);
    if !lengths.iter().all(|length| length.is_finite() && *length > 1e-4) {
        return Err("its corners span no surface".to_owned());
    }
    let x = along_x.map(|value| value / lengths[0]);
    let z = normal.map(|value| value / lengths[2]);
    Ok(([x, cross(z, x), z], [lengths[0] / 2.0, lengths[1] / 2.0]))
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn subtract(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn length(a: Vector) -> f64 {
    (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]).sqrt()
}
