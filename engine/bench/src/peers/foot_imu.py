"""gaitmap's own chain: Rampp's event detection, then the trajectory of each stride."""

import os

import pandas
from gaitmap.event_detection import RamppEventDetection
from gaitmap.parameters import SpatialParameterCalculation
from gaitmap.trajectory_reconstruction import StrideLevelTrajectory
from gaitmap.utils.coordinate_conversion import convert_to_fbf

from bench_peer import serve

RATE_HZ = 204.8
folder = f"{os.environ['PROPRIO_DATA']}/imu/gaitmap"
imu = pandas.read_csv(f"{folder}/imu_sample.csv", header=[0, 1], index_col=0)
borders = pandas.read_csv(f"{folder}/stride_borders_sample.csv")
listed = {f"{foot}_sensor": rows.set_index("s_id")[["start", "end"]] for foot, rows in borders.groupby("foot")}


def run():
    body = convert_to_fbf(imu, left_like="left_", right_like="right_")
    found = RamppEventDetection().detect(data=body, stride_list=listed, sampling_rate_hz=RATE_HZ).min_vel_event_list_
    walked = StrideLevelTrajectory().estimate(data=imu, stride_event_list=found, sampling_rate_hz=RATE_HZ)
    spatial = SpatialParameterCalculation().calculate(found, walked.position_, walked.orientation_, sampling_rate_hz=RATE_HZ).parameters_
    answer = {}
    for foot in ("left", "right"):
        events, strides = found[f"{foot}_sensor"], spatial[f"{foot}_sensor"]
        answer |= {f"{foot}_initial_contact": events.ic / RATE_HZ, f"{foot}_final_contact": events.tc / RATE_HZ}
        answer |= {f"{foot}_stride": events.ic.loc[strides.index] / RATE_HZ, f"{foot}_length_m": strides.stride_length}
    return answer


serve(run)
