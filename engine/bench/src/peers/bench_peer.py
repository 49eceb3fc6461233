"""What every peer shares: its inputs, and the orders that it obeys (engine/bench/src/peer.rs)."""

import pathlib
import sys
import time

import numpy


def inputs():
    """The data, by name, as arrays of float64."""
    return {path.stem: numpy.fromfile(path, dtype="<f8") for path in pathlib.Path("inputs").glob("*.f64")}


def serve(run):
    """Does `run` at each order; it returns arrays by name. What counts is processor time."""
    answer = {}
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "run":
            begun = time.process_time()
            answer = run()
            print(time.process_time() - begun, flush=True)
        else:
            for name, values in answer.items():
                numpy.ascontiguousarray(values, dtype="<f8").tofile(f"answer/{name}.f64")
            print("written", flush=True)
