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


def test_methods_are_compared_by_their_means_and_by_the_cost_of_the_simplest(benchmark_of):
    results = {  # of each data set, method and seed: mean mAP, seconds, and separability
        "one": {"mil": {"0": [20, 1, 0.5], "1": [40, 3, 0.5]}, "other": {"0": [50, 4, 1]}},
        "two": {"mil": {"0": [60, 5, 0.5]}, "other": {"0": [50, 10, 1]}},
    }
    maps, deviation, cost = benchmark_of("methods").summary(results)
    assert maps.tolist() == [[30, 50], [60, 50]]
    assert deviation.tolist() == [[10, 0], [0, 0]]
    np.testing.assert_allclose(cost, [1, np.sqrt(8)])  # 4 by 1 second of that seed, and 10 by 5


def test_the_table_of_methods_says_how_far_seeds_are_apart(benchmark_of, capsys):
    results = {
        "one": {"mil": {"0": [20, 1, 0.5], "1": [40, 3, 0.5]}},
        "two": {"mil": {"0": [60, 5, 0.5]}},
    }
    benchmark_of("methods").table(results)
    assert (
        capsys.readouterr().out.splitlines()[2] == "| `mil` | **45.0** | 10.0 | 1 | 30.0 | 60.0 |"
    )
