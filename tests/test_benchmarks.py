"""What benchmarks measure with still fits the package."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from skdgam.methods import METHODS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark_of(monkeypatch):
    """Import a benchmark by its name, as if it had been started in its folder."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield importlib.import_module
    for name in {path.stem for path in BENCHMARKS.glob("*.py")} - before:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_every_benchmark_can_be_imported(benchmark_of, name):
    if name == "features":
        pytest.importorskip("av")
        pytest.importorskip("cv2")
    assert callable(benchmark_of(name).main)


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_of_every_method_can_be_timed(benchmark_of, method):
    speed = benchmark_of("speed")
    shape = speed.Shape(np.full(4, 20), 8, 2)
    speed.epoch(shape, METHODS[method], precision="float32", device="cpu")()


def test_a_gpu_is_compared_by_stages_that_there_are(benchmark_of):
    gpu = benchmark_of("gpu")
    gpu.gradients("dgam", METHODS["dgam"], "cpu")
    gpu.predictions("dgam", METHODS["dgam"], "cpu")
