"""Speed and memory: training, searches, localization and evaluation.

    python benchmarks/speed.py                      # ours
    python benchmarks/speed.py --released DIR       # beside a clone of the released implementation
    python benchmarks/speed.py --device cuda        # training on another device

Each figure is the best of several, for machines drift; those to compare are taken in turn, in one
process. The released implementation is run unchanged but for staying on the CPU, and only its
training. It trains on 400 snippets of every video: of a shorter one it repeats some.
"""

import argparse
import json
import logging
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import types
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from torch import nn

from skdgam import DGAMLocalizer, MultiStreamLocalizer, __version__, presets
from skdgam._features import check_features
from skdgam.datasets import FeatureFolder, make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.methods import METHODS
from skdgam.metrics import mean_average_precision
from skdgam.training.batches import place
from skdgam.training.devices import has_bfloat16
from skdgam.training.inference import to_arrays

BATCH, N_SNIPPETS = 32, 400
SETTINGS = presets.PAPER | {
    "batch_size": BATCH,
    "n_snippets": N_SNIPPETS,
    "learning_rate": 1e-3,
}
SNIPPET_SECONDS = 0.64
# THUMOS14's annotations, where they lie beside the project.
ANNOTATIONS = Path(__file__).parents[2] / "shared/data/thumos14_annotations.json"
# Convolutions as wide as the features take up to fifty times as long as the networks of DGAM.
N_VIDEOS = {"basnet": 16, "hamnet": 20, "acmnet": 16, "co2net": 20, "delu": 20, "asmloc": 16}


class Shape(NamedTuple):
    """What decides how long an epoch takes."""

    lengths: np.ndarray  # snippets of each video
    n_features: int
    n_classes: int


SHAPES = {
    "THUMOS14's shape": Shape(np.full(200, 400), 1024, 20),
    "HAPT's shape": Shape(np.random.default_rng(0).integers(140, 200, 290), 90, 9),
}
REAL = "THUMOS14's lengths"


def as_thumos14(path):
    """Shape of THUMOS14's training videos, by their durations in the annotations."""
    videos = json.loads(Path(path).read_text(encoding="utf-8"))["database"].values()
    durations = [video["duration"] for video in videos if video["subset"] == "train"]
    return Shape((np.array(durations) / SNIPPET_SECONDS).astype(int), 1024, 20)


def best_of(n, *functions):
    """Best time of each function, called in turn, in seconds."""
    times = np.empty((n, len(functions)))
    for row in times:
        for k, function in enumerate(functions):
            start = time.perf_counter()
            function()
            row[k] = time.perf_counter() - start
    return times.min(axis=0)


def matrix_product():
    """Time of the float32 product that figures of other machines are told beside."""
    a, b = torch.randn(12_800, 1024), torch.randn(1024, 256)
    return best_of(12, lambda: a @ b)[0]


def made_up(shape):
    """Features and labels of no meaning."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, shape.n_features), dtype=np.float32) for n in shape.lengths]
    return X, np.eye(shape.n_classes, dtype=bool)[rng.integers(shape.n_classes, size=len(X))]


def precisions(device):
    """The precisions that a device has units for."""
    return ["float32", "bfloat16"] if has_bfloat16(torch.device(device)) else ["float32"]


def trainer_on(shape, method=DGAMLocalizer, **params):
    """Return a trainer, and the features and labels that its ``run_epoch`` is called with."""
    X, y = made_up(shape)
    videos = check_features(X)
    if method.learns_from_intervals:
        of_snippets = [np.tile(labels, (n, 1)) for labels, n in zip(y, shape.lengths, strict=True)]
        videos = videos.labelled(of_snippets)
    trainer = method(**params)._trainer(videos, shape.n_classes, seed=0)
    return trainer, place(videos, trainer.device, trainer.dtype), y


def epoch(shape, method=DGAMLocalizer, **params):
    """Return a function that trains an epoch."""
    trainer, features, y = trainer_on(shape, method, **params)
    return partial(trainer.run_epoch, features, y)


def released(root, shape):
    """Return a function that trains an epoch with the released implementation."""
    train, create_model, create_cvae = import_released(root, shape.n_features, shape.n_classes)
    labels = torch.eye(shape.n_classes + 1)
    batches = [
        (
            torch.randn(BATCH, N_SNIPPETS, shape.n_features),
            labels[torch.randint(shape.n_classes, (BATCH,))],
        )
        for _ in range(len(shape.lengths) // BATCH)
    ]
    model, cvae = nn.DataParallel(create_model()), create_cvae()
    optimizers = [
        torch.optim.Adam(part.parameters(), 1e-3, betas=(0.8, 0.999)) for part in (model, cvae)
    ]
    return partial(train, batches, model, cvae, *optimizers, 300, 1, modality="rgb")


def import_released(root, n_features, n_classes):
    """Import its parts where there is no CUDA, and without what only its other parts need."""
    keep = os.getcwd()
    os.chdir(root)
    sys.path[:0] = [root, f"{root}/lib", f"{root}/lib/core"]
    torch.Tensor.cuda = nn.Module.cuda = lambda self, *_, **__: self
    randn = torch.randn
    torch.randn = lambda *size, device=None, **options: randn(
        *size, device=None if device == "cuda" else device, **options
    )

    class Settings(dict):
        __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__

    for name, parts in {
        "easydict": {"EasyDict": Settings},
        "torchvision": {},
        "torchvision.transforms": {"ToTensor": None},
        "torchvision.ops": {"nms": None},
        "torch._six": dict.fromkeys(["container_abcs", "string_classes", "int_classes"]),
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(parts)
    from core.config import config

    config.DATASET.FEATURE_DIM, config.DATASET.CLF_DIM = n_features, n_classes + 1
    from core.function import train
    from models.model import create_cvae, create_model

    logging.getLogger().setLevel(logging.WARNING)
    os.chdir(keep)
    return train, create_model, create_cvae


def report(what, seconds, more=""):
    print(what.ljust(54), f"{seconds:8.3f} s", more, flush=True)


def training(name, shape, device, root=None):
    """Print the time of an epoch of one stream."""
    functions = {
        precision: epoch(shape, precision=precision, device=device, **SETTINGS)
        for precision in precisions(device)
    }
    if root:
        functions["released"] = released(root, shape)
    times = dict(zip(functions, best_of(6, *functions.values()), strict=True))
    for kind, seconds in times.items():
        ratio = f"{times['released'] / seconds:8.1f} ×" if root else ""
        report(f"an epoch, {name}, {kind}", seconds, ratio)


def methods(device):
    """Print the time of an epoch of each method, at its defaults, in float32."""
    shape = SHAPES["THUMOS14's shape"]
    for name, method in METHODS.items():
        n_videos = N_VIDEOS.get(name, len(shape.lengths))
        of_some = shape._replace(lengths=shape.lengths[:n_videos])
        one = epoch(of_some, method, precision="float32", device=device)
        seconds = best_of(2, one)[0]
        trained = n_videos // method().batch_size * method().batch_size
        more = f"{1e3 * seconds / trained:8.1f} ms a video"
        report(f"an epoch, {n_videos} videos as THUMOS14, {name}", seconds, more)


def search(device):
    """Print the time of a search over localization alone, with and without `memory`."""
    X, y = make_untrimmed(n_videos=60, random_state=0)
    grid = {"proposal_threshold": [0.02, 0.05, 0.1, 0.2]}

    def run(memory):
        model = DGAMLocalizer(max_epochs=20, device=device, memory=memory, random_state=0)
        GridSearchCV(model, grid, cv=2).fit(X, y)

    def remembering():
        with tempfile.TemporaryDirectory() as folder:
            run(folder)

    without, with_memory = best_of(3, partial(run, None), remembering)
    report("a search of 4 candidates, 2 folds, trained each time", without)
    more = f"{without / with_memory:8.1f} × as fast"
    report("the same with memory=, in an empty folder", with_memory, more)


def growth(device):
    """Print how the time of an epoch grows over a factor 16, and that of one very long video."""
    factors = np.array([1, 2, 4, 8, 16])
    for what, shapes in {
        "videos": [Shape(np.full(64 * k, 100), 256, 10) for k in factors],
        "snippets": [Shape(np.full(64, 100 * k), 256, 10) for k in factors],
    }.items():
        functions = [
            epoch(shape, device=device, **SETTINGS | {"n_snippets": None}) for shape in shapes
        ]
        times = best_of(3, *functions)
        exponent = np.polyfit(np.log(factors), np.log(times), 1)[0]
        report(f"an epoch, 16 times the {what}", times[-1], f"{times[-1] / times[0]:8.1f} × one,")
        print(" " * 65, f"growing with the power {exponent:.2f}")
    X, y = made_up(Shape(np.full(8, 100), 64, 4))
    model = DGAMLocalizer(max_epochs=1, device=device, random_state=0).fit(X, y)
    video = np.random.default_rng(0).standard_normal((1_000_000, 64), dtype=np.float32)
    report("predict, a video of 1,000,000 snippets", best_of(2, lambda: model.predict([video]))[0])


def two_streams(n_videos=210, **params):
    """Return a localizer of two streams of 1024 features, untrained, and recordings for it."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 2048), dtype=np.float32) for n in rng.integers(50, 900, n_videos)]
    streams = []
    for k, name in enumerate(["RGB", "FLOW"]):
        localizer = DGAMLocalizer(**getattr(presets, f"THUMOS14_{name}") | params)
        weights = to_arrays(localizer._fresh_network(1024, 20, seed=k))
        localizer._set_weights(np.array([f"{c:02d}" for c in range(20)]), weights, 1024)
        streams.append((name, localizer, slice(1024 * k, 1024 * (k + 1))))
    return MultiStreamLocalizer.from_fitted(streams), X


def localization():
    """Print the time of finding intervals in 210 videos of two streams."""
    model, X = two_streams(device="cpu")
    report("predict, 210 videos, two streams", best_of(3, lambda: model.predict(X))[0])


def evaluation():
    """Print the time of mAP at nine thresholds: 5,900 detections, 3,378 intervals."""
    rng = np.random.default_rng(0)

    def some(n, **scores):
        video = np.sort(rng.integers(213, size=n))
        start = rng.uniform(0, 200, n)
        found = make_intervals(start, start + rng.exponential(4, n) + 0.2, video // 11, **scores)
        return np.split(found, np.searchsorted(video, np.arange(1, 213)))

    y_true, y_pred = some(3378), some(5900, score=rng.random(5900))
    thresholds = np.arange(1, 10) / 10
    seconds = best_of(10, lambda: mean_average_precision(y_true, y_pred, thresholds))[0]
    report("mAP, 5,900 detections, 9 thresholds", seconds)


def allocated():
    """Memory that this process has taken itself, without files that are mapped, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 2**10


def memory():
    """Print the peak memory of a fit beside its features, and with features in files."""
    X, y = made_up(Shape(np.full(600, 400), 1024, 20))
    size = sum(x.nbytes for x in X) / 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    DGAMLocalizer(max_epochs=1, device="cpu", random_state=0, **SETTINGS).fit(X, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"memory of fit, {size:.0f} MB of features".ljust(54), f"{peak - before:8.0f} MB more")


def mapped():
    """Print time and memory of a fit on 4 GB in files beside those of the same in memory."""
    n_videos = 2600
    X, y = made_up(Shape(np.full(40, 400), 1024, 20))
    model = DGAMLocalizer(max_epochs=2, device="cpu", random_state=0, warmup_epochs=0, **SETTINGS)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n_videos):
            np.save(Path(folder) / f"{i:04d}", X[i % len(X)])
        features, labels = FeatureFolder(folder), y[np.arange(n_videos) % len(X)]
        model.fit(features[:BATCH], labels[:BATCH])  # what is loaded and prepared once
        before, peaks = allocated(), []
        done = threading.Event()

        def watch():
            while not done.wait(0.02):
                peaks.append(allocated() - before)

        watcher = threading.Thread(target=watch)
        watcher.start()
        in_files = best_of(1, lambda: model.fit(features, labels))[0]
        done.set()
        watcher.join()
        size = n_videos * X[0].nbytes / 2**20
        in_memory = best_of(1, lambda: model.fit([x.copy() for x in features], labels))[0]
    report(
        f"two epochs, {size:.0f} MB in files", in_files, f"{in_files / in_memory:8.1f} × in memory,"
    )
    print(
        " " * 65, f"{max(peaks):.0f} MB more memory, the features' size by {size / max(peaks):.0f}"
    )


def heading(device):
    """What figures have to be read with."""
    product = matrix_product()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return (
        f"skdgam {__version__}, torch {torch.__version__} with {torch.get_num_threads()} "
        f"threads, {name}, {date.today()}; on the CPU a float32 product (12800 × 1024) · "
        f"(1024 × 256) takes {1e3 * product:.1f} ms "
        f"({2 * 12800 * 1024 * 256 / product / 1e9:.0f} GFLOP/s)\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--released", metavar="DIR", help="a clone of the released implementation")
    parser.add_argument("--device", default="cpu", type=torch.device, help="of training")
    parser.add_argument(
        "--thumos14",
        metavar="FILE",
        default=ANNOTATIONS if ANNOTATIONS.exists() else None,
        help="THUMOS14's annotations in ActivityNet's JSON, for the lengths of its videos",
    )
    parser.add_argument("--part", choices=[*SHAPES, REAL, *PARTS], help="this alone")
    arguments = parser.parse_args()
    device = str(arguments.device)
    if arguments.part in PARTS:
        PARTS[arguments.part](*([device] if arguments.part in ON_DEVICE else []))
    elif arguments.part:
        shape = SHAPES.get(arguments.part) or as_thumos14(arguments.thumos14)
        training(arguments.part, shape, device, arguments.released)
    else:
        print(heading(arguments.device), flush=True)
        parts = [*SHAPES, *([REAL] if arguments.thumos14 else []), *ON_DEVICE]
        if arguments.device.type == "cpu":
            parts += [part for part in PARTS if part not in ON_DEVICE]
        for part in parts:  # each in a fresh process
            subprocess.run([sys.executable, *sys.argv, "--part", part], check=True)


ON_DEVICE = {"methods": methods, "search": search, "growth": growth}
PARTS = ON_DEVICE | {
    "localization": localization,
    "evaluation": evaluation,
    "memory": memory,
    "mapped": mapped,
}

if __name__ == "__main__":
    main()
