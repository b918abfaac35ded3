"""Localization quality: the paper's ablation, its extensions and baselines, on several data sets.

    python benchmarks/quality.py                     # synthetic videos with context
    python benchmarks/quality.py --hapt hapt.zip     # HAPT, split by user
    python benchmarks/quality.py --thumos14 FILE     # synthetic, laid out as THUMOS14's annotations

Prints one table a data set, rows as in the paper's Table 4 and more: mAP at tIoU 0.1, 0.2, …, 0.7,
its mean over these and over 0.5, 0.55, …, 0.95, all averaged over seeds; ± is the deviation of the
former mean between seeds. Nothing here is chosen on test data.
"""

import argparse
import json
import platform
from collections import defaultdict
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import sklearn
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer, MultiStreamLocalizer, __version__
from skdgam.datasets import load_hapt, make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.methods import MILLocalizer
from skdgam.metrics import mean_average_precision
from skdgam.presets import PAPER, SENSORS

TIOU = np.arange(1, 8) / 10
STRICT = np.arange(10, 20) / 20
ABLATION = {
    "L_fg": {"alpha": 0.0, "gamma2": 0.0, "gamma1": 0.0},
    "+ L_bg": {"gamma2": 0.0, "gamma1": 0.0},
    "+ L_guide": {"gamma1": 0.0},
    "+ L_re (full)": {},
}
WITH_DROPOUT = {
    "full, dropout 0.3": {"dropout": 0.3},
    "full, dropout 0.3, without L_re": {"dropout": 0.3, "gamma1": 0.0},
}
SENSORS_ABLATION = {
    "SENSORS without L_re": {"gamma1": 0.0},
    "SENSORS without context": {"temporal_context": 0},
    "SENSORS with softmax": {"classification": "softmax"},
    "SENSORS without dropout": {"dropout": 0.0},
}
CONTEXT = SENSORS["temporal_context"]
BASELINES = {
    "top-k, linear": MILLocalizer(hidden=None),
    "top-k": MILLocalizer(),
    "attention pooling": MILLocalizer(pooling="attention"),
    f"top-k, context {CONTEXT}": MILLocalizer(temporal_context=CONTEXT),
    f"attention pooling, context {CONTEXT}": MILLocalizer(
        pooling="attention", temporal_context=CONTEXT
    ),
}
DIFFICULTIES = {
    "no context": {"context": 0.0},
    "context as strong as actions": {},
    "context that looks more like actions": {"appearance": 1.5},
}
# With a third of the training users held out, more epochs brought nothing.
HAPT_EPOCHS = 200


def synthetic(seed, **difficulty):
    """80 training and 80 test videos whose context carries the evidence of its action."""
    X, y = make_untrimmed(n_videos=160, n_classes=5, random_state=seed, **difficulty)
    return X[:80], y[:80], X[80:], y[80:], {}, {}, None


def as_thumos14(path, seed):
    """Synthetic videos with the intervals and durations of THUMOS14, split as they are."""
    videos = json.loads(Path(path).read_text(encoding="utf-8"))["database"].values()
    intervals = [[(*a["segment"], a["label"]) for a in video["annotations"]] for video in videos]
    X, y = make_untrimmed(
        annotations=intervals,
        durations=[video["duration"] for video in videos],
        random_state=seed,
    )
    is_test = np.array([video["subset"].lower().startswith("test") for video in videos])
    parts = [
        [part[i] for i in np.flatnonzero(mask)] for mask in (~is_test, is_test) for part in (X, y)
    ]
    return *parts, {}, {}, None


def hapt(path):
    """Real accelerometer and gyroscope; test users are none of the training users."""
    train, test = (load_hapt(path, subset=subset) for subset in ("train", "test"))
    scaler = StandardScaler().fit(np.concatenate(train.features))
    X, X_test = ([scaler.transform(x) for x in data.features] for data in (train, test))
    time = {name: train[name] for name in ("snippet_seconds", "snippet_offset")}
    epochs = {"max_epochs": HAPT_EPOCHS}
    return X, train.annotations, X_test, test.annotations, time, epochs, train.streams


def random_detections(X, classes, snippet_seconds, rng):
    """What chance finds: five intervals a video, of any place, length, class and score."""
    detections = []
    for video in X:
        start = rng.uniform(0, len(video) * snippet_seconds, 5)
        end = start + rng.exponential(8.0, 5) + snippet_seconds
        detections.append(make_intervals(start, end, rng.choice(classes, 5), rng.random(5)))
    return detections


def rows(data, seed):
    """Yield the name and the detections of each row."""
    X, y, X_test, _, time, epochs, streams = data
    for name, changes in ABLATION.items():
        model = DGAMLocalizer(**time, **(PAPER | epochs | changes), random_state=seed).fit(X, y)
        yield name, model.predict(X_test)
    yield "full, by attention", model.set_params(localization="attention").predict(X_test)
    model.set_params(early_stopping=True, localization="tcam")
    yield "full, stopped early", model.fit(X, y).predict(X_test)
    for name, changes in WITH_DROPOUT.items():
        model = DGAMLocalizer(**time, **(PAPER | epochs | changes), random_state=seed).fit(X, y)
        yield name, model.predict(X_test)
    model = DGAMLocalizer(**time, **SENSORS, random_state=seed).fit(X, y)
    yield "SENSORS", model.predict(X_test)
    yield "SENSORS, by T-CAM", model.set_params(localization="tcam").predict(X_test)
    for name, changes in SENSORS_ABLATION.items():
        model = DGAMLocalizer(**time, **(SENSORS | changes), random_state=seed).fit(X, y)
        yield name, model.predict(X_test)
    if streams:
        localizers = [
            (name, DGAMLocalizer(**time, **SENSORS, random_state=seed), columns)
            for name, columns in streams.items()
        ]
        fused = MultiStreamLocalizer(localizers).fit(X, y)
        yield f"SENSORS, {' and '.join(streams)} fused", fused.predict(X_test)
    for name, baseline in BASELINES.items():
        baseline.set_params(**time, random_state=seed).fit(X, y)
        yield name, baseline.predict(X_test)
    rng = np.random.default_rng(seed)
    yield "random", random_detections(X_test, model.classes_, model.snippet_seconds, rng)


def results(data_of, seed):
    """Name of each row, and its mAP at all thresholds."""
    data = data_of(seed)
    thresholds = np.concatenate([TIOU, STRICT])
    found = []
    for name, detections in rows(data, seed):
        found.append((name, mean_average_precision(data[3], detections, thresholds)))
        print(f"  seed {seed}: {name}: {found[-1][1][: len(TIOU)].mean():.3f}", flush=True)
    return found


def table(title, data_of, n_seeds):
    """Print mean and standard deviation over seeds of every row."""
    of_rows = defaultdict(list)
    for of_seed in Parallel()(delayed(results)(data_of, seed) for seed in range(n_seeds)):
        for name, maps in of_seed:
            of_rows[name].append(maps)
    print(f"\n### {title}\n")
    print("| mAP@tIoU |", " | ".join(f"{t:.1f}" for t in TIOU), "| mean | ± | 0.5…0.95 |")
    print("|---|" + "--:|" * (len(TIOU) + 3))
    for name, maps in of_rows.items():
        of_tiou, strict = np.split(100 * np.array(maps), [len(TIOU)], axis=1)
        cells = " | ".join(f"{value:.1f}" for value in [*of_tiou.mean(axis=0), of_tiou.mean()])
        deviation = of_tiou.mean(axis=1).std()
        print(f"| {name} | {cells} | {deviation:.1f} | {strict.mean():.1f} |")
    print(flush=True)


def add_options(parser):
    """Options of every benchmark of quality."""
    parser.add_argument("--hapt", help="hapt.zip as published, or its unpacked folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, a thread each")


def data_from(arguments):
    """Return a function of a seed that gives HAPT's data if asked for, else synthetic ones."""
    if not arguments.hapt:
        return synthetic
    data = hapt(arguments.hapt)
    return lambda seed: data


def in_processes(arguments):
    """Context in which joblib runs what is delayed."""
    return parallel_config("loky", n_jobs=arguments.jobs, inner_max_num_threads=1)


def heading(arguments):
    """What figures have to be read with."""
    return (
        f"skdgam {__version__}, torch {torch.__version__}, scikit-learn {sklearn.__version__}, "
        f"{platform.machine()}, {date.today()}, {arguments.seeds} seeds\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--thumos14", help="THUMOS14's annotations in ActivityNet's JSON")
    arguments = parser.parse_args()
    print(heading(arguments))
    if arguments.hapt:
        cases = {"HAPT, split by user": data_from(arguments)}
    elif arguments.thumos14:
        cases = {"Synthetic videos as THUMOS14": partial(as_thumos14, arguments.thumos14)}
    else:
        cases = {
            f"Synthetic videos, {title}": partial(synthetic, **difficulty)
            for title, difficulty in DIFFICULTIES.items()
        }
    with in_processes(arguments):
        for title, data_of in cases.items():
            table(title, data_of, arguments.seeds)


if __name__ == "__main__":
    main()
