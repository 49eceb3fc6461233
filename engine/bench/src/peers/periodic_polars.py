"""Columns in polars, on one thread: windows are groups of a sorted key, the join is on time."""

import numpy
import polars

from bench_peer import inputs, serve

WINDOW_MS = 60_000
frames = {}
for name, values in inputs().items():
    step_ms = {"abp": 8, "ecg": 2}[name]
    times = polars.Series("time", numpy.arange(len(values)) * step_ms)
    frames[name] = polars.DataFrame([times, polars.Series(name, values).fill_nan(None)])
window = polars.col("time") // WINDOW_MS


def filled(frame, name):
    return frame.with_columns(polars.col(name).fill_null(polars.col(name).mean().over(window)))


def scored(frame, name):
    value = polars.col(name)
    return frame.with_columns((value - value.mean().over(window)) / value.std(ddof=0).over(window))


def run():
    abp = filled(frames["abp"].lazy(), "abp")
    grid = polars.LazyFrame({"time": polars.int_range(0, frames["abp"]["time"][-1] + 1, 2, eager=True)})
    even = grid.join(abp, on="time", how="left", maintain_order="left").with_columns(polars.col("abp").interpolate())
    ecg = scored(filled(frames["ecg"].lazy(), "ecg"), "ecg")
    joined = scored(even, "abp").join(ecg, on="time", maintain_order="left").collect()
    return {name: joined[name].to_numpy() for name in ("abp", "ecg")}


serve(run)
