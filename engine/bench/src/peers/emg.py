"""Band-pass, rectify, envelope and onsets, muscle by muscle."""

import neurokit2
import numpy
from scipy import signal

from bench_peer import inputs, serve

RATE_HZ = 2000
muscles = inputs()
raw = numpy.stack(list(muscles.values()))
band = signal.butter(2, [20, 450], "band", fs=RATE_HZ, output="sos")
smooth = signal.butter(2, 6, fs=RATE_HZ, output="sos")


def run():
    clean = signal.sosfilt(band, raw - raw[:, :1], axis=1)
    envelopes = signal.sosfilt(smooth, numpy.abs(clean), axis=1).clip(0)
    answer = {}
    for muscle, filtered, envelope in zip(muscles, clean, envelopes):
        _, info = neurokit2.emg_activation(emg_cleaned=filtered, sampling_rate=RATE_HZ, method="biosppy")
        answer[f"{muscle}_envelope"] = envelope
        answer[f"{muscle}_onsets"] = numpy.array(info["EMG_Onsets"]) / RATE_HZ
    return answer


serve(run)
