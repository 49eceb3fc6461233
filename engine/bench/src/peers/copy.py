"""A copy of ten million float32 from one array to another, both in memory already."""

import numpy

from bench_peer import inputs, serve

due = inputs()
source = numpy.arange(10_000_000, dtype=numpy.float32)
target = numpy.zeros_like(source)


def run():
    numpy.copyto(target, source)
    return due | {"copied": [len(target)]}


serve(run)
