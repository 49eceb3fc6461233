"""The official VQF over whole arrays, as its own authors call it from Python."""

import numpy
import vqf

from bench_peer import inputs, serve

data = inputs()
stack = lambda instrument, unit: numpy.ascontiguousarray(numpy.stack([data[f"{instrument}_{axis}_{unit}"] for axis in "xyz"], axis=1))
gyro, accel, mag = stack("gyro", "rad_per_s"), stack("accel", "m_per_s2"), stack("mag", "ut")
truth = {name: values for name, values in data.items() if name.startswith("truth_")}


def run():
    rotation = vqf.VQF(7 / 2000).updateBatch(gyro, accel, mag)["quat9D"]
    return truth | {f"q_{part}": rotation[:, index] for index, part in enumerate("wxyz")}


serve(run)
