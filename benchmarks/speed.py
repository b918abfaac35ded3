"""Speed and memory: training, localization and evaluation.

    python benchmarks/speed.py                      # ours
    python benchmarks/speed.py --released DIR       # beside a clone of the released implementation
    python benchmarks/speed.py --device cuda        # training on another device

Each figure is the best of several, for machines drift; those to compare are taken in turn. The
released implementation is run unchanged but for staying on the CPU, and only its training.
"""

import argparse
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

import numpy as np
import torch
from torch import nn

from skdgam import DGAMLocalizer, MultiStreamLocalizer, __version__, presets
from skdgam._batches import place
from skdgam._features import check_features
from skdgam._inference import resolve_precision
from skdgam._stages import Objective
from skdgam._training import Schedule, Training
from skdgam.datasets import FeatureFolder
from skdgam.intervals import make_intervals
from skdgam.metrics import mean_average_precision
from skdgam.networks import DGAM

CPU = torch.device("cpu")
# Videos, snippets of each (fewest and most), features, classes.
SHAPES = {"THUMOS14": (200, (400, 401), 1024, 20), "HAPT": (290, (140, 200), 90, 9)}
BATCH, N_SNIPPETS = 32, 400


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


def made_up(n_videos, lengths, n_features, n_classes):
    rng = np.random.default_rng(0)
    sizes = rng.integers(*lengths, n_videos)
    X = [rng.standard_normal((n, n_features), dtype=np.float32) for n in sizes]
    return X, np.eye(n_classes, dtype=bool)[rng.integers(n_classes, size=n_videos)]


def ours(shape, dtype, device=CPU, n_models=1, n_snippets=N_SNIPPETS):
    """Return a function that trains an epoch of models side by side."""
    X, y = made_up(*shape)
    networks = [
        DGAM(shape[2], shape[3], generator=torch.Generator().manual_seed(0)).to(device)
        for _ in range(n_models)
    ]
    objectives = [Objective(alpha=0.01 * (k + 1), pooling="released") for k in range(n_models)]
    schedule = Schedule(n_snippets, 1, BATCH, 1e-3, 0, True, 1)
    training = Training(networks, objectives, schedule, 0, dtype)
    return partial(training.run_epoch, place(check_features(X), device, dtype), y)


def released(root, shape):
    """Return a function that trains an epoch with the released implementation."""
    n_videos, _, n_features, n_classes = shape
    train, create_model, create_cvae = import_released(root, n_features, n_classes)
    labels = torch.eye(n_classes + 1)
    batches = [
        (torch.randn(BATCH, N_SNIPPETS, n_features), labels[torch.randint(n_classes, (BATCH,))])
        for _ in range(n_videos // BATCH)
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
    print(what.ljust(52), f"{seconds:8.3f} s", more, flush=True)


def training(name, device, root=None):
    """Print the time of an epoch of one stream."""
    dtypes = dict.fromkeys([torch.float32, resolve_precision("auto", device)])
    functions = {
        str(dtype).removeprefix("torch."): ours(SHAPES[name], dtype, device) for dtype in dtypes
    }
    if root:
        functions["released"] = released(root, SHAPES[name])
    times = dict(zip(functions, best_of(4, *functions.values()), strict=True))
    for kind, seconds in times.items():
        ratio = f"{times['released'] / seconds:8.1f} ×" if root else ""
        report(f"an epoch, {name}'s shape, {kind}", seconds, ratio)


def stacked(device):
    """Print the time of an epoch of 32 models side by side, beside that of one."""
    dtype = resolve_precision("auto", device)
    one, many = (ours(SHAPES["HAPT"], dtype, device, n_models=n) for n in (1, 32))
    of_one, of_many = best_of(3, one, many)
    report("an epoch, HAPT's shape, 32 models", of_many, f"{of_many / of_one:8.1f} × one model")


def growth(device):
    """Print how the time of an epoch grows over a factor 16, and that of one very long video."""
    factors = np.array([1, 2, 4, 8, 16])
    dtype = resolve_precision("auto", device)
    for what, shapes in {
        "videos": [(64 * k, (100, 101), 256, 10) for k in factors],
        "snippets": [(64, (100 * k, 100 * k + 1), 256, 10) for k in factors],
    }.items():
        functions = [ours(shape, dtype, device, n_snippets=shape[1][0]) for shape in shapes]
        times = best_of(3, *functions)
        exponent = np.polyfit(np.log(factors), np.log(times), 1)[0]
        report(f"an epoch, 16 times the {what}", times[-1], f"{times[-1] / times[0]:8.1f} × one,")
        print(" " * 63, f"growing with the power {exponent:.2f}")
    X, y = made_up(8, (100, 101), 64, 4)
    model = DGAMLocalizer(max_epochs=1, random_state=0).fit(X, y)
    video = np.random.default_rng(0).standard_normal((1_000_000, 64), dtype=np.float32)
    report("predict, a video of 1,000,000 snippets", best_of(2, lambda: model.predict([video]))[0])


def localization():
    """Print the time of finding intervals in 210 videos of two streams."""
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 2048), dtype=np.float32) for n in rng.integers(50, 900, 210)]
    streams = []
    for k, name in enumerate(["RGB", "FLOW"]):
        localizer = DGAMLocalizer(**getattr(presets, f"THUMOS14_{name}"))
        network = DGAM(1024, 20, generator=torch.Generator().manual_seed(k))
        weights = {key: value.numpy() for key, value in network.state_dict().items()}
        localizer._set_weights(np.array([f"{c:02d}" for c in range(20)]), weights)
        streams.append((name, localizer, slice(1024 * k, 1024 * (k + 1))))
    model = MultiStreamLocalizer.from_fitted(streams)
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
    X, y = made_up(600, (400, 401), 1024, 20)
    size = sum(x.nbytes for x in X) / 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    settings = {"batch_size": BATCH, "n_snippets": N_SNIPPETS, "random_state": 0}
    DGAMLocalizer(max_epochs=1, **settings).fit(X, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"memory of fit, {size:.0f} MB of features".ljust(52), f"{peak - before:8.0f} MB more")


def mapped():
    """Print time and memory of a fit on 4 GB in files beside those of the same in memory."""
    n_videos = 2600
    X, y = made_up(40, (400, 401), 1024, 20)
    model = DGAMLocalizer(
        max_epochs=2, batch_size=BATCH, n_snippets=N_SNIPPETS, random_state=0, warmup_epochs=0
    )
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
        " " * 63, f"{max(peaks):.0f} MB more memory, the features' size by {size / max(peaks):.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--released", metavar="DIR", help="a clone of the released implementation")
    parser.add_argument("--device", default="cpu", type=torch.device, help="of training")
    parser.add_argument("--part", choices=[*SHAPES, *PARTS], help="this alone")
    arguments = parser.parse_args()
    if arguments.part in SHAPES:
        training(arguments.part, arguments.device, arguments.released)
    elif arguments.part:
        of_device = (arguments.device,) if arguments.part in ON_DEVICE else ()
        PARTS[arguments.part](*of_device)
    else:
        product = matrix_product()
        device = arguments.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        print(
            f"skdgam {__version__}, torch {torch.__version__} with {torch.get_num_threads()} "
            f"threads, {name}, {date.today()}; on the CPU a float32 product (12800 × 1024) · "
            f"(1024 × 256) takes {1e3 * product:.1f} ms "
            f"({2 * 12800 * 1024 * 256 / product / 1e9:.0f} GFLOP/s)\n",
            flush=True,
        )
        parts = [*SHAPES, *PARTS] if device.type == "cpu" else [*SHAPES, *ON_DEVICE]
        for part in parts:  # each in a fresh process
            subprocess.run([sys.executable, *sys.argv, "--part", part], check=True)


ON_DEVICE = {"stacked": stacked, "growth": growth}
PARTS = ON_DEVICE | {
    "localization": localization,
    "evaluation": evaluation,
    "memory": memory,
    "mapped": mapped,
}

if __name__ == "__main__":
    main()
