"""Localization quality: the paper's ablation on synthetic and on real recordings.

    python benchmarks/quality.py                     # synthetic videos with context
    python benchmarks/quality.py --hapt hapt.zip     # and HAPT, split by user

Prints one table a data set, rows as in the paper's Table 4: mAP at tIoU 0.1, 0.2, …, 0.7 and
its mean over tIoU, both averaged over seeds; ± is the deviation of that mean between seeds.
Nothing here is chosen on test data.
"""

import argparse
import platform
from collections import defaultdict
from datetime import date

import numpy as np
import sklearn
import torch
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer, MultiStreamLocalizer, __version__
from skdgam.datasets import load_hapt, make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.metrics import mean_average_precision

TIOU = np.arange(1, 8) / 10
ABLATION = {
    "L_fg": {"alpha": 0.0, "gamma2": 0.0, "gamma1": 0.0},
    "+ L_bg": {"gamma2": 0.0, "gamma1": 0.0},
    "+ L_guide": {"gamma1": 0.0},
    "+ L_re (full)": {},
}
# With a third of the training users held out, more epochs brought nothing.
HAPT_SETTINGS = {"max_epochs": 200}


def synthetic(seed):
    """80 training and 80 test videos whose context carries the evidence of its action."""
    X, y = make_untrimmed(n_videos=160, n_classes=5, random_state=seed)
    return X[:80], y[:80], X[80:], y[80:], {}, None


def hapt(path):
    """Real accelerometer and gyroscope; test users are none of the training users."""
    train, test = (load_hapt(path, subset=subset) for subset in ("train", "test"))
    scaler = StandardScaler().fit(np.concatenate(train.features))
    X, X_test = ([scaler.transform(x) for x in data.features] for data in (train, test))
    time = {name: train[name] for name in ("snippet_seconds", "snippet_offset")}
    return X, train.annotations, X_test, test.annotations, HAPT_SETTINGS | time, train.streams


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
    X, y, X_test, _, settings, streams = data
    for name, changes in ABLATION.items():
        model = DGAMLocalizer(**(settings | changes), random_state=seed).fit(X, y)
        yield name, model.predict(X_test)
    stopped = DGAMLocalizer(**settings, early_stopping=True, random_state=seed).fit(X, y)
    yield "full, stopped early", stopped.predict(X_test)
    yield "full, by attention", model.set_params(localization="attention").predict(X_test)
    if streams:
        localizers = [
            (name, DGAMLocalizer(**settings, random_state=seed), columns)
            for name, columns in streams.items()
        ]
        fused = MultiStreamLocalizer(localizers).fit(X, y)
        yield f"full, {' and '.join(streams)} fused", fused.predict(X_test)
    rng = np.random.default_rng(seed)
    yield "random", random_detections(X_test, model.classes_, model.snippet_seconds, rng)


def table(title, data_of, n_seeds):
    """Print mean and standard deviation over seeds of every row."""
    results = defaultdict(list)
    for seed in range(n_seeds):
        data = data_of(seed)
        for name, detections in rows(data, seed):
            results[name].append(mean_average_precision(data[3], detections, TIOU))
            print(f"  seed {seed}: {name}: {results[name][-1].mean():.3f}", flush=True)
    print(f"\n### {title}\n")
    print("| mAP@tIoU |", " | ".join(f"{t:.1f}" for t in TIOU), "| mean | ± |")
    print("|---|" + "--:|" * (len(TIOU) + 2))
    for name, maps in results.items():
        cells = " | ".join(
            f"{100 * value:.1f}" for value in [*np.mean(maps, axis=0), np.mean(maps)]
        )
        print(f"| {name} | {cells} | {100 * np.std(np.mean(maps, axis=1)):.1f} |")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hapt", help="hapt.zip as published, or its unpacked folder")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"skdgam {__version__}, torch {torch.__version__} with {torch.get_num_threads()} threads, "
        f"scikit-learn {sklearn.__version__}, {platform.machine()}, {date.today()}, "
        f"{arguments.seeds} seeds\n"
    )
    table("Synthetic videos with context", synthetic, arguments.seeds)
    if arguments.hapt:
        data = hapt(arguments.hapt)
        table("HAPT, split by user", lambda seed: data, arguments.seeds)


if __name__ == "__main__":
    main()
