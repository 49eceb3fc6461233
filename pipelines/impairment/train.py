#!/usr/bin/env python3
"""Trains the model of pipelines/impairment on simulated subjects, or checks how well the one that lies there knows others.

Every subject has a pace, a placement of the sensors and a severity of its own, and walks through the running engine, whose tables are asked.

    python train.py PROPRIO            needs numpy and onnx; writes impairment.onnx
    python train.py PROPRIO --check    needs nothing else; exits with 1 where less than 90 % of the strides are known
"""
import contextlib, csv, io, pathlib, random, socket, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
# By class: the impairment, with the range that its severity is drawn from.
CLASSES = {
    "none": None,
    "pelvic_drop_left": ("pelvic-drop={}deg:left", 5, 12),
    "pelvic_drop_right": ("pelvic-drop={}deg:right", 5, 12),
    "late_gluteus_medius_left": ("gluteus-medius-delay={}ms:left", 45, 110),
    "late_gluteus_medius_right": ("gluteus-medius-delay={}ms:right", 45, 110),
}
COLUMNS = ["angles_pelvis_obliquity_deg", "envelope_gluteus_medius_left_envelope_v", "envelope_gluteus_medius_right_envelope_v"]
EVERY, POINTS, HIDDEN = 5, 21, 12
# Subjects a class, and their seeds: those who are learned from, and those who are asked about and choose nothing.
LEARNED, ASKED = (8, range(1, 800)), (6, range(1000, 2000))
# The share of the strides of others that must be known.
KNOWN = 0.9


@contextlib.contextmanager
def walked(proprio: str, pipeline: str, who: tuple[int, range]):
    """Has subjects of every class walk through a pipeline; gives a function that asks the tables."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "pipeline.yaml").write_text(pipeline)
        for name in ["rig.yaml", "impairment.onnx"]:
            if (HERE / name).exists():
                (folder / name).write_bytes((HERE / name).read_bytes())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            endpoint = f"tcp/127.0.0.1:{free.getsockname()[1]}"
        data = folder / "data"
        log = open(folder / "log", "w+")
        engine = subprocess.Popen([proprio, "run", folder / "pipeline.yaml", "--data", data, "--listen", endpoint, "--no-serve"], stderr=log)
        try:
            while not (data / "running.json").exists():
                assert engine.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            walk(proprio, endpoint, *who)
        finally:
            engine.terminate()
            engine.wait()

        def ask(sql: str) -> list[dict]:
            answer = subprocess.run([proprio, "sql", "--data", data, sql, "--format", "csv"], check=True, capture_output=True, text=True).stdout
            return list(csv.DictReader(io.StringIO(answer)))

        yield ask


def walk(proprio: str, endpoint: str, count: int, seeds: range) -> None:
    chance = random.Random(seeds.start)
    for number in range(count):
        for label, impairment in CLASSES.items():
            cadence = chance.uniform(98, 122)
            # Step length follows the pace as people's does.
            speed = 0.0115 * cadence * chance.uniform(0.92, 1.08)
            command = [proprio, "simulate", "--connect", endpoint, "--layout", "walking", "--duration", "12 s", "--speed", "max"]
            command += ["--subject", f"{label}.{number}", "--seed", str(chance.choice(seeds)), "--placement", "5deg"]
            command += ["--cadence", f"{cadence:.1f}", "--walking-speed", f"{speed:.3f}"]
            if impairment:
                command += ["--impair", impairment[0].format(round(chance.uniform(*impairment[1:])))]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"{number + 1} of {count} subjects a class", file=sys.stderr)


def without(text: str, *tables: str) -> str:
    """A pipeline that keeps no table of these names."""
    return text + "\ntables: { " + ", ".join(f"{table}: false" for table in tables) + " }\n"


def strides(proprio: str) -> dict:
    """Whole strides by (class, subject): lists of stride, point and column."""
    text = (HERE / "pipeline.yaml").read_text()
    # Up to the model, which is yet to be made.
    text = text[: text.index("  # `train.py` made the file")]
    out = without(text, "imu", "emg", "force", "markers", "orientation", "fused", "angles", "envelope", "signals")
    found: dict = {}
    with walked(proprio, out, LEARNED) as ask:
        rows = ask(f"""SELECT s.subject, c.time_ns, {", ".join("c." + column for column in COLUMNS)}
                       FROM strides c JOIN sessions_latest s ON c.session = s.session
                       WHERE s.subject IS NOT NULL AND c.phase_percent % {EVERY} = 0 ORDER BY s.subject, c.time_ns, c.phase_percent""")
    for row in rows:
        values = [float(row[column] or "nan") for column in COLUMNS]
        found.setdefault(tuple(row["subject"].rsplit(".", 1)), {}).setdefault(int(row["time_ns"]), []).append(values)
    is_whole = lambda stride: len(stride) == POINTS and all(value == value for point in stride for value in point)
    return {subject: [stride for stride in by_time.values() if is_whole(stride)] for subject, by_time in found.items()}


def train(x, y) -> list:
    """Weights of two layers, by Adam on the cross entropy with weight decay."""
    import numpy as np

    chance = np.random.default_rng(2)
    shapes = [(x.shape[1], HIDDEN), (HIDDEN,), (HIDDEN, len(CLASSES)), (len(CLASSES),)]
    weights = [chance.normal(0, (2 / shape[0]) ** 0.5, shape) if len(shape) == 2 else np.zeros(shape) for shape in shapes]
    first, second = [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    for step in range(1, 3001):
        hidden = np.maximum(x @ weights[0] + weights[1], 0)
        scores = hidden @ weights[2] + weights[3]
        parts = np.exp(scores - scores.max(1, keepdims=True))
        off = (parts / parts.sum(1, keepdims=True) - np.eye(len(CLASSES))[y]) / len(x)
        back = (off @ weights[2].T) * (hidden > 0)
        gradients = [x.T @ back + 2e-3 * weights[0], back.sum(0), hidden.T @ off + 2e-3 * weights[2], off.sum(0)]
        for n, gradient in enumerate(gradients):
            first[n] = 0.9 * first[n] + 0.1 * gradient
            second[n] = 0.999 * second[n] + 0.001 * gradient**2
            weights[n] -= 0.01 * (first[n] / (1 - 0.9**step)) / (np.sqrt(second[n] / (1 - 0.999**step)) + 1e-8)
    return weights


def write(mean, scale, weights: list) -> None:
    """The model: scaling, one hidden layer, scores."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {"mean": mean, "scale": scale, "w1": weights[0], "b1": weights[1], "w2": weights[2], "b2": weights[3]}
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.array([1, POINTS * len(COLUMNS)], np.int64), "flat"))
    nodes = [
        helper.make_node("Sub", ["window", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["row"]),
        helper.make_node("Gemm", ["row", "w1", "b1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["scores"]),
    ]
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, [1, POINTS, len(COLUMNS)])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(CLASSES)])
    model = helper.make_model(helper.make_graph(nodes, "impairment", [window], [scores], tensors), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    (HERE / "impairment.onnx").write_bytes(model.SerializeToString())


def learn(proprio: str) -> None:
    import numpy as np

    found = sorted((subject, np.array(own)) for subject, own in strides(proprio).items() if own)
    x = np.concatenate([own for _, own in found])
    y = np.concatenate([[list(CLASSES).index(subject[0])] * len(own) for subject, own in found])
    mean, scale = x.mean((0, 1)), 1 / x.std((0, 1))
    write(mean, scale, train(((x - mean) * scale).reshape(len(x), -1), y))
    print(f"learned from {len(x)} strides of {len(found)} subjects")


def check(proprio: str) -> bool:
    text = (HERE / "pipeline.yaml").read_text()
    text = text[: text.index("\ntests:")]
    out = without(text, "imu", "emg", "force", "markers", "orientation", "fused", "angles", "envelope", "signals", "strides")
    with walked(proprio, out, ASKED) as ask:
        rows = ask("""SELECT s.subject, r.class, r.probability FROM resembles r JOIN sessions_latest s ON r.session = s.session
                      WHERE s.subject IS NOT NULL AND r.class IS NOT NULL""")
    for label in CLASSES:
        own = [row for row in rows if row["subject"].startswith(label + ".")]
        share = lambda name: 100 * sum(row["class"] == name for row in own) / len(own)
        print(f"{label}: {share(label):.1f} % of {len(own)} strides known, {share('unsure'):.1f} % unsure")
    known = sum(row["subject"].startswith(row["class"] + ".") for row in rows) / len(rows)
    subjects = {row["subject"] for row in rows}
    print(f"{100 * known:.1f} % of {len(rows)} strides of {len(subjects)} subjects who were not learned from are known")
    return known >= KNOWN and len(subjects) == ASKED[0] * len(CLASSES)


if sys.argv[2:] == ["--check"]:
    sys.exit(0 if check(sys.argv[1]) else 1)
learn(sys.argv[1])
