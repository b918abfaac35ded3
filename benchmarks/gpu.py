"""Everything that a CUDA device has to show, in one command that needs no network.

    make bench-gpu                                          # with whatever torch is installed
    PYTHONPATH=. python3 benchmarks/gpu.py --device cpu     # the same parts, small, without a GPU

Runs the tests for GPUs, compares losses, gradients and predictions with those of the CPU, and
measures training, prediction, a search and memory. Each part is a process of its own, so that none
takes another one down; the last line tells how many have failed. It ends within seven minutes.
"""

import argparse
import copy
import importlib.util
import os
import platform
import subprocess
import sys
import time
import traceback
import warnings
from datetime import date
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from speed import BATCH, SETTINGS, Shape, best_of, made_up, precisions, trainer_on, two_streams
from torch.nn import functional as F

from skdgam import DGAMLocalizer, losses
from skdgam.datasets import make_untrimmed
from skdgam.features.i3d import I3D, random_i3d_weights
from skdgam.methods import METHODS
from skdgam.training.batches import Batch, Deviates

ROOT = Path(__file__).parents[1]
PACKAGES = ["torch", "triton", "numpy", "scipy", "scikit-learn", "joblib", "pytest", "hypothesis"]
SECONDS = 420  # for all parts
SECONDS_EACH = 120
# Largest differences from the CPU that are no failure: relative ones of losses and gradients in
# float32, and absolute ones of what is predicted, which lies in [0, 1].
TOLERANCE = {"losses": 1e-4, "gradients": 1e-2, "predictions": 1e-3}
NOTHING = 1e-3  # of the largest gradient of a network: what is less may be rounding of a 0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CONFIGURATIONS = {  # of DGAM, trained on the same snippets
    "the default": {"n_snippets": None, "batch_size": BATCH},
    "the paper's method": SETTINGS,
}


class Skipped(Exception):  # noqa: N818
    """A part that says nothing here; the message is the reason."""


def on_cuda(device):
    return torch.device(device).type == "cuda"


def say(what, value):
    print(f"  {what}".ljust(70), value, flush=True)


def timed(device, *functions, n=5):
    """Best time of each function, called in turn, after what it has to prepare."""

    def synchronized(function):
        function()
        if on_cuda(device):
            torch.cuda.synchronize(device)

    calls = [partial(synchronized, function) for function in functions]
    for call in calls:
        call()
    return best_of(n, *calls)


def attempt(what, function, *arguments):
    """Call a function, and say what became of it: whether it failed."""
    try:
        function(*arguments)
    except Skipped as reason:
        say(what, f"skipped: {reason}")
    except Exception:
        say(what, "FAILED")
        traceback.print_exc(file=sys.stdout)
        return True
    return False


def thumos14(device):
    """THUMOS14's shape, on a CPU a part of it."""
    return Shape(np.full(200 if on_cuda(device) else 32, 400), 1024, 20)


# --- tests ---


def tests(device):
    if importlib.util.find_spec("pytest") is None:
        raise Skipped("pytest is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/test_gpu.py"]
    command += ["-p", "no:cacheprovider"]
    if importlib.util.find_spec("hypothesis") is None:
        say("hypothesis is not installed, so that conftest.py is left out", "")
        command.append("--noconftest")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


# --- equality ---


def equality(device):
    """Compare losses, gradients and predictions with those of the CPU."""
    methods = METHODS | {"dgam, the paper's method": partial(DGAMLocalizer, **SETTINGS)}
    return sum(
        attempt(f"{name}, {what.__name__}", what, name, method, device)
        for name, method in methods.items()
        for what in (gradients, predictions)
    )


def gradients(name, method, device):
    """Compare the losses and gradients of every stage, of the same network and batch."""
    network = method()._fresh_network(1024, 20, seed=0)
    there = copy.deepcopy(network).to(device)
    worst = {}
    for precision, dtype in DTYPES.items():
        deviates = Deviates(0, torch.device("cpu"), dtype)
        for stage in method()._stages():
            of_cpu, of_device = (
                differentiated(stage, of, batch_on(where, dtype, deviates))
                for of, where in ((network, "cpu"), (there, device))
            )
            for kind, values in of_device.items():
                least = NOTHING * max(v.abs().max() for v in of_cpu[kind].values()).item()
                differences = {
                    key: difference(v, of_cpu[kind][key], least) for key, v in values.items()
                }
                key = max(differences, key=differences.get)
                say(
                    f"{name}, {precision}, {stage.name}, {kind}: largest relative difference",
                    f"{differences[key]:.1e} ({key})",
                )
                worst[precision, kind] = max(worst.get((precision, kind), 0), differences[key])
    for kind in ("losses", "gradients"):
        assert worst["float32", kind] <= TOLERANCE[kind], f"more than {TOLERANCE[kind]} apart"


def batch_on(device, dtype, deviates):
    """The same batch of videos on any device, with the same noise."""
    there = copy.copy(deviates)
    there._drawn = deviates._drawn.to(device)
    lengths = np.array([50, 64, 90, 120])
    X, y = made_up(Shape(lengths, 1024, 20))
    return Batch(
        x=torch.from_numpy(np.concatenate(X)).to(device, dtype),
        lengths=lengths,
        labels=torch.from_numpy(y).to(device, torch.float32),
        n_snippets=np.full(4, 100),
        n_videos=4,
        epoch=100,
        progress=0.5,
        snippet_labels=torch.from_numpy(np.repeat(y, lengths, axis=0)).to(device, torch.float32),
        deviates=there,
        rng=np.random.default_rng(0),
    )


def differentiated(stage, network, batch):
    """Loss terms of a stage, and gradients of what it learns, by name."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(stage.learns)).grad = None
    terms = stage.losses(network, batch)
    total(terms).backward()
    return {
        "losses": {name: value.detach() for name, (_, value) in terms.items()},
        "gradients": {n: p.grad for n, p in network.named_parameters() if p.grad is not None},
    }


def total(terms):
    """The loss: the sum of its terms, each times its weight."""
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


def difference(value, expected, least=1e-12):
    """Largest difference, relative to the largest value, or to the least that means something."""
    apart = (value.cpu() - expected.cpu()).abs().max()
    return (apart / expected.abs().max().clamp_min(least)).item()


def predictions(name, method, device):
    """Compare what a model that was trained on the CPU says there and on the device."""
    narrow = {"hidden": 64} if name == "basnet" else {}
    X, y = make_untrimmed(n_videos=24, n_features=32, n_classes=3, random_state=0)
    model = method(**narrow, max_epochs=5, device="cpu", random_state=0).fit(X, y)
    there = copy.deepcopy(model).set_params(device=str(device))
    apart = {
        "attention": max(
            np.abs(a - b).max() for a, b in zip(there.attention(X), model.attention(X), strict=True)
        ),
        "predict_proba": np.abs(there.predict_proba(X) - model.predict_proba(X)).max(),
    }
    for what, largest in apart.items():
        say(f"{name}, {what}: largest difference", f"{largest:.1e}")
    found, expected = there.predict(X), model.predict(X)
    same = sum(
        len(a) == len(b) and all(np.allclose(a[f], b[f], atol=1e-2) for f in ("start", "end"))
        for a, b in zip(found, expected, strict=True)
    )
    say(f"{name}, predict: videos with the same detections", f"{same} of {len(X)}")
    assert max(apart.values()) <= TOLERANCE["predictions"]


# --- training ---


def training(device):
    """Print the time of an epoch of one stream."""
    return of_each(plainly, device)


def of_each(function, device):
    """Call a function for each configuration and precision, and count those that failed."""
    return sum(
        attempt(f"{name}, {precision}", function, name, precision, device)
        for name in CONFIGURATIONS
        for precision in precisions(device)
    )


def trainer_of(name, precision, device):
    params = CONFIGURATIONS[name]
    return trainer_on(thumos14(device), precision=precision, device=device, **params)


def plainly(name, precision, device):
    trainer, features, y = trainer_of(name, precision, device)
    (seconds,) = timed(device, partial(trainer.run_epoch, features, y))
    what = f"an epoch of {len(y)} videos of 400 snippets, {name}, {precision}"
    say(what, f"{1e3 * seconds:9.2f} ms")


def methods(device):
    """Print the time of an epoch of every method at its default, there and on the CPU."""
    return sum(attempt(name, of_method, name, device) for name in METHODS)


def of_method(name, device):
    shape = Shape(np.full(32, 400), 1024, 20)
    for where in dict.fromkeys((device, "cpu")):
        trainer, features, y = trainer_on(shape, METHODS[name], device=str(where))
        (seconds,) = timed(where, partial(trainer.run_epoch, features, y), n=2)
        say(f"an epoch of {len(y)} videos, {name}, on {where}", f"{1e3 * seconds:9.2f} ms")


class StaticBatch(Batch):
    """A batch that is always given the same noise, and takes to the device all but once."""

    def neighbours(self, radius):
        """Rows around each row, kept from the first call."""
        return self._kept(("neighbours", radius), super().neighbours, radius)

    def noise(self, width):
        """Deviates, kept from the first call."""
        return self._kept(("noise", width), super().noise, width)

    @cached_property
    def _pieces(self):
        return {}

    def _kept(self, key, make, argument):
        if key not in self._pieces:
            self._pieces[key] = make(argument)
        return self._pieces[key]


def with_background(labels, background):
    """The function of ``skdgam.losses``, which copies a number from the host, without that."""
    if isinstance(background, float):
        return F.pad(labels, (0, 1), value=background)
    return torch.cat([labels, background[:, None]], dim=1)


def captured(device):
    """Print the time of the steps of an epoch as CUDA graphs: what launching kernels costs."""
    losses.with_background = with_background
    return of_each(capturing, device)


def capturing(name, precision, device):
    network, steps, repeated = static_steps(name, precision, device)
    if not on_cuda(device):
        raise Skipped("graphs are a way of CUDA devices")
    try:
        replays = [graph_of(step, device).replay for step in steps]
        (seconds,) = timed(device, partial(repeated, replays))
    except Exception as error:
        raise Skipped(f"it failed: {in_a_line(error)}") from error
    assert all(weight.isfinite().all() for weight in network.parameters())
    say("  the same as CUDA graphs", f"{1e3 * seconds:9.2f} ms")


def compiled(device):
    """Print the time of the same steps with the losses of both stages compiled."""
    warnings.simplefilter("ignore")
    return of_each(compiling, device)


def compiling(name, precision, device):
    _, steps, repeated = static_steps(name, precision, device, torch.compile)
    start = time.perf_counter()
    try:
        for step in steps:
            step()
        say("  torch.compile took", f"{time.perf_counter() - start:9.2f} s")
        (seconds,) = timed(device, partial(repeated, steps))
    except Exception as error:
        raise Skipped(f"it failed: {in_a_line(error)}") from error
    say("  the same with torch.compile", f"{1e3 * seconds:9.2f} ms")


def static_steps(name, precision, device, wrap=None):
    """Print the time of the steps of an epoch on one batch, and return network, steps and loop.

    With `wrap`, the losses of the steps that are returned are wrapped by it.
    """
    trainer, features, y = trainer_of(name, precision, device)
    n_steps = len(y) // BATCH
    batches = [static_batch(trainer, stage, features, y) for stage in trainer.stages]
    steps = [static_step(trainer, *each) for each in zip(trainer.stages, batches, strict=True)]

    def repeated(calls):
        for call in calls:
            for _ in range(n_steps):
                call()

    (plain,) = timed(device, partial(repeated, steps))
    what = f"{n_steps} steps of each stage on a batch that stays, {name}, {precision}"
    say(what, f"{1e3 * plain:9.2f} ms")
    if wrap is not None:
        stages = [stage._replace(losses=wrap(stage.losses)) for stage in trainer.stages]
        steps = [static_step(trainer, *each) for each in zip(stages, batches, strict=True)]
    return trainer.network, steps, repeated


def static_batch(trainer, stage, features, y):
    """A batch of the first videos, which holds all that the losses of a stage ask for."""
    n = BATCH
    batch = StaticBatch(
        x=features.rows(np.arange(n), [slice(None)] * n),
        lengths=features.lengths[:n],
        labels=torch.from_numpy(y[:n]).to(trainer.device, torch.float32),
        n_snippets=features.lengths[:n],
        n_videos=n,
        epoch=100,
        progress=0.5,
        deviates=trainer._deviates,
        rng=np.random.default_rng(0),
    )
    with torch.no_grad():
        stage.losses(trainer.network, batch)
    return batch


def static_step(trainer, stage, batch):
    """Return a function that makes a step of one stage, always on the same batch."""
    learned = trainer._learned(stage)
    optimizer = torch.optim.Adam(
        learned.values(),
        lr=trainer.learning_rate,
        betas=stage.betas,
        fused=True,
        capturable=on_cuda(trainer.device),
    )

    def step():
        for name, parameter in trainer.network.named_parameters():
            parameter.requires_grad_(name in learned)
        optimizer.zero_grad(set_to_none=True)
        total(stage.losses(trainer.network, batch)).backward()
        optimizer.step()

    return step


def graph_of(step, device):
    """Capture a step that has been made before."""
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    return graph


def in_a_line(error):
    message = str(error).strip() or "no message"
    return f"{type(error).__name__}: {message.splitlines()[0][:200]}"


# --- prediction, search, memory ---


def prediction(device):
    """Print the time of finding intervals in recordings of two streams."""
    n_videos = 210 if on_cuda(device) else 12
    for precision in precisions(device):
        model, X = two_streams(n_videos, device=str(device), precision=precision)
        (seconds,) = timed(device, lambda model=model, X=X: model.predict(X), n=3)
        say(f"predict, {n_videos} videos, two streams, {precision}", f"{1e3 * seconds:9.2f} ms")


def search(device):
    """Print the time of a search over 32 candidates, one after the other."""
    big = on_cuda(device)
    X, y = make_untrimmed(
        n_videos=80 if big else 16, n_features=64, n_classes=5 if big else 2, random_state=0
    )
    grid = {"alpha": [0.01, 0.03, 0.1, 0.3], "gamma1": [0.2, 0.5, 1.0, 1.5], "r": [0.5, 1.0]}
    model = DGAMLocalizer(max_epochs=20 if big else 1, device=str(device), random_state=0)
    searching = GridSearchCV(model, grid, cv=2, refit=False)
    start = time.perf_counter()
    searching.fit(X, y)
    seconds = time.perf_counter() - start
    assert np.isfinite(searching.cv_results_["mean_test_score"]).all()
    what = f"32 candidates, 2 folds of {len(X)} videos, {model.max_epochs} epochs each"
    say(what, f"{seconds:9.2f} s, {1e3 * seconds / 64:.0f} ms a training")


def memory(device):
    """Print the greatest memory that was allocated on the device at one time."""
    if not on_cuda(device):
        raise Skipped("only the memory of CUDA devices is counted")
    failures = of_each(of_training, device)
    model, X = two_streams(device=str(device))
    torch.cuda.reset_peak_memory_stats(device)
    model.predict(X)
    peak = torch.cuda.max_memory_allocated(device)
    say("predict: memory allocated at the most", f"{peak / 2**20:9.0f} MB")
    return failures


def of_training(name, precision, device):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    trainer, features, y = trainer_of(name, precision, device)
    placed = torch.cuda.memory_allocated(device)
    trainer.run_epoch(features, y)
    peak = torch.cuda.max_memory_allocated(device)
    say(
        f"an epoch, {name}, {precision}: memory allocated at the most",
        f"{peak / 2**20:9.0f} MB, of which features and weights {placed / 2**20:.0f} MB",
    )


# --- what the device does, whole trainings, I3D ---


def profiled(device):
    """Print for how long the device works in an epoch, and in how many kernels."""
    if not on_cuda(device):
        raise Skipped("the work of CUDA devices is counted")
    return of_each(at_work, device)


def at_work(name, precision, device):
    trainer, features, y = trainer_of(name, precision, device)
    trainer.run_epoch(features, y)
    with torch.profiler.profile() as profile:
        trainer.run_epoch(features, y)
        torch.cuda.synchronize(device)
    kernels = [k for k in profile.key_averages() if k.device_type.name == "CUDA"]
    milliseconds = sum(k.self_device_time_total for k in kernels) / 1e3
    n = sum(k.count for k in kernels)
    say(f"an epoch, {name}, {precision}: the device works", f"{milliseconds:9.2f} ms, {n} kernels")


def trainings(device):
    """Print time and mAP of the default on synthetic videos, there and on the CPU."""
    n = 80 if on_cuda(device) else 8
    X, y = make_untrimmed(n_videos=n + 40, n_features=64, n_classes=5, random_state=1)
    for where in dict.fromkeys((device, "cpu")):
        epochs = None if on_cuda(device) else 2
        model = DGAMLocalizer(max_epochs=epochs, device=str(where), random_state=0)
        start = time.perf_counter()
        model.fit(X[:n], y[:n])
        seconds = time.perf_counter() - start
        mean_ap = model.score(X[n:], y[n:])
        say(f"the default, {n} videos, on {where}", f"{seconds:9.2f} s, mAP {mean_ap:.3f}")


def i3d(device):
    """Print how many frames a second go through I3D, and how far its features are from a CPU's."""
    weights, batch = random_i3d_weights(), 32 if on_cuda(device) else 1
    x = torch.rand(2, 3, 16, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = I3D(weights)(x)
        for dtype in [torch.float32, torch.bfloat16, torch.float16][: 3 if on_cuda(device) else 1]:
            network = I3D(weights).to(device, dtype).to(memory_format=torch.channels_last_3d)
            apart = difference(network(x.to(device, dtype)).float(), expected)
            frames = x[:1].to(device, dtype).expand(batch, *x.shape[1:])
            frames = frames.contiguous(memory_format=torch.channels_last_3d)
            (seconds,) = timed(device, partial(network, frames))
            rate = f"{16 * batch / seconds:9.0f} frames a second, {apart:.0e} apart"
            say(f"I3D, batches of {batch}, {dtype}".replace("torch.", ""), rate)


# --- all of it ---

PARTS = {
    "tests": tests,
    "equality": equality,
    "training": training,
    "methods": methods,
    "captured": captured,
    "prediction": prediction,
    "search": search,
    "memory": memory,
    "profiled": profiled,
    "trainings": trainings,
    "i3d": i3d,
    "compiled": compiled,
}
# Ways that the package does not go yet: that one of them fails is told, and counts for nothing.
PROSPECTS = {"captured", "compiled"}


def heading(device):
    """What figures have to be read with."""
    if on_cuda(device):
        of_device = torch.cuda.get_device_properties(device)
        name = (
            f"{of_device.name}, {of_device.total_memory / 2**30:.0f} GiB, compute capability "
            f"{of_device.major}.{of_device.minor}, CUDA {torch.version.cuda}"
        )
    else:
        name = f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"
    found = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    versions = ", ".join(f"{package} {version_of(package)}" for package in PACKAGES)
    return (
        f"{name}\n{date.today()}, commit {found.stdout.strip() or 'unknown'}, Python "
        f"{platform.python_version()}, {versions}"
    )


def version_of(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def run_apart(part, device, deadline):
    """Run one part in a process of its own, and tell whether it failed."""
    seconds = min(SECONDS_EACH, deadline - time.monotonic())
    print(f"\n{part}", flush=True)
    if seconds < 5:
        say("skipped: no time is left", "")
        return part not in PROSPECTS
    command = [sys.executable, __file__, "--device", device, "--part", part]
    begun = time.monotonic()
    try:
        failed = subprocess.run(command, timeout=seconds).returncode != 0
    except subprocess.TimeoutExpired:
        say(f"FAILED: not done after {seconds:.0f} s", "")
        failed = True
    say("this part took", f"{time.monotonic() - begun:9.1f} s")
    return failed and part not in PROSPECTS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--part", choices=PARTS, help="this alone, in this process")
    arguments = parser.parse_args()
    if on_cuda(arguments.device) and not torch.cuda.is_available():
        sys.exit(
            "torch finds no CUDA device here. --device cpu runs all that a CPU can, on small data."
        )
    if arguments.part:
        failures = []
        crashed = attempt(
            arguments.part, lambda: failures.append(PARTS[arguments.part](arguments.device))
        )
        sys.exit(1 if crashed or any(failures) else 0)
    print(heading(arguments.device), flush=True)
    deadline = time.monotonic() + SECONDS
    failed = [part for part in PARTS if run_apart(part, arguments.device, deadline)]
    print(f"\n{len(failed)} of {len(PARTS)} parts failed{': ' * bool(failed)}{', '.join(failed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
