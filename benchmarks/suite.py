"""Localization on many data sets with the same arguments: the default beside other methods.

    python benchmarks/suite.py results.json --shared ../shared/data --seeds 5 --jobs 2

Every result is written to the file as it comes, and what is in the file is not done again. The
table is printed at the end; ``--only`` takes some data sets or methods. Features are standardized
by the localizers. Everything else is at its default but for the time of a snippet, so that nothing
is chosen on these data; ``--dev`` holds out a third of the training recordings in place of the
test recordings, and is what defaults are to be chosen by.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed, parallel_config
from quality import TIOU, as_thumos14
from scipy.signal import butter, sosfilt
from sklearn.base import clone

from skdgam import DGAMLocalizer, ProposalRefiner
from skdgam.datasets import load_hapt, load_myo, make_untrimmed
from skdgam.features import snippet_times, windows
from skdgam.methods import MILLocalizer, ProposalScorer, SupervisedLocalizer
from skdgam.metrics import mean_average_precision
from skdgam.model_selection import separability_scorer
from skdgam.presets import PAPER, SENSORS

METHODS = {
    "default": DGAMLocalizer(),
    "without L_re": DGAMLocalizer(gamma1=0.0),
    "one start": DGAMLocalizer(n_starts=1),
    "PAPER": DGAMLocalizer(**PAPER | {"standardize": True}),
    "SENSORS": DGAMLocalizer(**SENSORS),
    "MIL top-k": MILLocalizer(),
    "MIL attention": MILLocalizer(pooling="attention"),
    "refined": ProposalRefiner(DGAMLocalizer(), ProposalScorer()),
    "supervised": SupervisedLocalizer(),  # the yardstick, which is told the intervals
}


SEPARABLE, GOOD = 0.6, 50  # what separability_scorer is to tell: whether mean mAP is half or more


class Data(NamedTuple):
    """Training and test recordings with annotations, and the time of their snippets."""

    X: list
    y: list
    X_test: list
    y_test: list
    times: dict
    groups: np.ndarray | None = None


def published(load, path):
    """A data set that has a loader."""
    train, test = (load(path, subset=subset) for subset in ("train", "test"))
    times = {name: train[name] for name in ("snippet_seconds", "snippet_offset")}
    return Data(
        train.features, train.annotations, test.features, test.annotations, times, train.groups
    )


def prepared(path):
    """Features that were made beforehand: one of the files in the folder suite."""
    parts = []
    with np.load(path) as file:
        for part in ("train", "test"):
            stops = np.cumsum(file[f"{part}_lengths"])[:-1]
            parts.append(np.split(file[f"{part}_features"].astype(np.float32), stops))
            rows = zip(*(file[f"{part}_{name}"] for name in ("start", "end", "label")), strict=True)
            intervals = [[] for _ in parts[-1]]
            for i, (start, end, label) in zip(file[f"{part}_recording"], rows, strict=True):
                intervals[i].append((float(start), float(end), str(label)))
            parts.append(intervals)
        times = {name: float(file[name]) for name in ("snippet_seconds", "snippet_offset")}
    return Data(*parts, times)


def synthetic(seed, **difficulty):
    """80 training and 80 test videos."""
    X, y = make_untrimmed(n_videos=160, random_state=seed, **difficulty)
    return Data(X[:80], y[:80], X[80:], y[80:], {"snippet_seconds": 0.64})


RATE = 8000  # samples a second of sounds
SOUNDS = ("beep", "chirp", "hiss", "knock", "warble")


def sounds(seed, n_recordings=120):
    """Tones and noises of half a second to two and a half, over hum, noise and clicks."""
    rng = np.random.default_rng(seed)
    features, annotations = [], []
    frame = {"rate": RATE, "window": 0.1, "hop": 0.05}
    for _ in range(n_recordings):
        signal, intervals = _recording(rng)
        cut = windows(signal, **frame)
        power = np.abs(np.fft.rfft(cut * np.hanning(cut.shape[1]))) ** 2
        bands = np.unique(np.geomspace(4, power.shape[1] - 1, 41).astype(int))[:-1]
        features.append(np.log(np.add.reduceat(power, bands, axis=1) + 1e-2))
        annotations.append(intervals)
    half = n_recordings // 2
    times = snippet_times(**frame)
    return Data(features[:half], annotations[:half], features[half:], annotations[half:], times)


def _recording(rng):
    seconds = rng.uniform(20, 40)
    t = np.arange(int(seconds * RATE)) / RATE
    band = butter(2, [rng.uniform(50, 300), rng.uniform(500, 3000)], "band", fs=RATE, output="sos")
    signal = sosfilt(band, rng.standard_normal(len(t)))
    signal *= (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.05, 0.3) * t)) / signal.std()
    signal += 0.5 * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * t)
    for click in np.cumsum(rng.exponential(2.0, 40)):  # of no class
        part = signal[int(click * RATE) :][:400]
        part += 3 * rng.standard_normal(len(part)) * np.exp(-np.arange(len(part)) / 80)
    present = rng.choice(len(SOUNDS), rng.integers(1, 4), replace=False)
    intervals, start = [], rng.uniform(0.5, 4)
    while (end := start + rng.uniform(0.4, 2.5)) < seconds - 0.3:
        kind = rng.choice(present)
        part = signal[int(start * RATE) : int(end * RATE)]
        fade = np.minimum(np.arange(1, len(part) + 1) / 200, 1)
        part += rng.uniform(0.8, 2.0) * fade * fade[::-1] * _sound(kind, len(part), rng)
        intervals.append((start, end, SOUNDS[kind]))
        start = end + 0.3 + rng.exponential(2.5)
    return signal, intervals


def _sound(kind, n, rng):
    t = np.arange(n) / RATE
    if SOUNDS[kind] == "beep":
        return np.sin(2 * np.pi * rng.uniform(900, 1100) * t)
    if SOUNDS[kind] == "chirp":
        return np.sin(2 * np.pi * (600 + 900 * t / t[-1]) * t)
    if SOUNDS[kind] == "hiss":
        high = butter(2, 2500, "high", fs=RATE, output="sos")
        return 2 * sosfilt(high, rng.standard_normal(n))
    if SOUNDS[kind] == "knock":
        return 3 * rng.standard_normal(n) * np.exp(-8 * ((6 * t) % 1))
    return np.sin(2 * np.pi * 1500 * t + 8 * np.sin(2 * np.pi * 7 * t))


def thumos14(path, seed):
    """Synthetic videos with the intervals and durations of THUMOS14."""
    X, y, X_test, y_test, *_ = as_thumos14(path, seed)
    return Data(X, y, X_test, y_test, {"snippet_seconds": 0.64})


def data_sets(shared):
    """Functions of a seed that give each data set; made ones are others for each seed."""
    shared = Path(shared)
    real = {
        "HAPT": partial(published, load_hapt, shared / "hapt.zip"),
        "smartwatch": partial(prepared, shared / "suite/stand_walk_sit.npz"),
        "finch": partial(prepared, shared / "suite/finch_bird0.npz"),
        "arm gestures": partial(prepared, shared / "suite/actrectut.npz"),
        "muscles": partial(published, load_myo, shared / "myo.zip"),
    }
    return {name: partial(_any_seed, load) for name, load in real.items()} | {
        "synthetic, context": synthetic,
        "synthetic, look-alike": partial(synthetic, appearance=1.5),
        "synthetic, no context": partial(synthetic, context=0.0),
        "sounds": sounds,
        "THUMOS14's layout": partial(thumos14, shared / "thumos14_annotations.json"),
    }


def _any_seed(load, seed):
    return load()


def held_out(data, seed):
    """A third of the training recordings in place of the test recordings, people kept together."""
    groups = np.arange(len(data.X)) if data.groups is None else data.groups
    chosen = np.random.default_rng(seed).permutation(np.unique(groups))
    is_test = np.isin(groups, chosen[: len(chosen) // 3])
    X, y, X_test, y_test = (
        [part[i] for i in np.flatnonzero(mask)]
        for mask in (~is_test, is_test)
        for part in (data.X, data.y)
    )
    known = {label for video in y for *_, label in video}
    y_test = [[v for v in video if v[2] in known] for video in y_test]
    return data._replace(X=X, y=y, X_test=X_test, y_test=y_test)


def with_settings(model, **settings):
    """A clone that has these parameters, as have the estimators that it is made of."""
    model = clone(model)
    leaves = {name: name.rpartition("__")[2] for name in model.get_params()}
    return model.set_params(
        **{name: settings[leaf] for name, leaf in leaves.items() if leaf in settings}
    )


def result(load, seed, model, dev):
    """Mean mAP of one fit, its seconds of processor time, and what labels alone say of it."""
    data = load(seed)
    if dev:
        data = held_out(data, seed)
    begun = time.process_time()
    model = with_settings(model, **data.times, random_state=seed, verbose=0)
    model.fit(data.X, data.y)
    seconds = time.process_time() - begun
    detections = [*model.predict(data.X_test)]
    separability = None
    if not getattr(model, "learns_from_intervals", False):
        separability = separability_scorer(model, data.X_test, data.y_test)
    return 100 * mean_average_precision(data.y_test, detections, TIOU).mean(), seconds, separability


def table(results):
    """Print mean and deviation over seeds of each data set and method, and seconds of a fit."""
    methods = [*next(iter(results.values()))]
    print("| data |", " | ".join(methods), "|")
    print("|---|" + "--:|" * len(methods))
    for data_name, of_data in results.items():
        cells = []
        for by_seed in of_data.values():
            maps, seconds, _ = zip(*by_seed.values(), strict=True)
            deviation = f" ± {np.std(maps):.1f}" if len(maps) > 1 else ""
            cells.append(f"{np.mean(maps):.1f}{deviation} ({np.mean(seconds):.0f} s)")
        print(f"| {data_name} |", " | ".join(cells), "|")
    fits = [fit for of_data in results.values() for by in of_data.values() for fit in by.values()]
    told = np.reshape(
        [(mean_ap, score) for mean_ap, _, score in fits if score is not None], (-1, 2)
    )
    is_high, is_good = told[:, 1] >= SEPARABLE, told[:, 0] >= GOOD
    print(
        f"\nOf {np.sum(~is_high)} fits with a separability below {SEPARABLE}, "
        f"{np.sum(~is_high & ~is_good)} have a mean mAP below {GOOD}; of {np.sum(is_high)} others, "
        f"{np.sum(is_high & is_good)} have that or more."
    )


def arguments_of(description):
    """What the command line takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path, help="JSON file that results are kept in")
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time, a thread each")
    parser.add_argument("--dev", action="store_true", help="hold out training recordings")
    parser.add_argument("--only", nargs="*", default=[], help="some data sets or methods")
    return parser


def run(methods, arguments):
    """Results of the data sets and methods that the command line asks for, by seed."""
    loads = data_sets(arguments.shared)
    chosen = [d for d in loads if d in arguments.only] or [*loads]
    of_methods = [m for m in methods if m in arguments.only] or [*methods]
    results = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    todo = [
        (data_name, method, seed)
        for seed in range(arguments.seeds)
        for data_name in chosen
        for method in of_methods
        if str(seed) not in results.get(data_name, {}).get(method, {})
    ]
    tasks = (delayed(result)(loads[d], seed, methods[m], arguments.dev) for d, m, seed in todo)
    with parallel_config("loky", n_jobs=arguments.jobs, inner_max_num_threads=1):
        done = Parallel(return_as="generator")(tasks)
        for (data_name, method, seed), found in zip(todo, done, strict=True):
            results.setdefault(data_name, {}).setdefault(method, {})[str(seed)] = found
            arguments.results.write_text(json.dumps(results, indent=1))
            print(
                f"{data_name}, {method}, seed {seed}: {found[0]:.1f} ({found[1]:.0f} s)", flush=True
            )
    return {d: {m: results.get(d, {}).get(m, {}) for m in of_methods} for d in chosen}


def main():
    table(run(METHODS, arguments_of(__doc__.splitlines()[0]).parse_args()))


if __name__ == "__main__":
    main()
