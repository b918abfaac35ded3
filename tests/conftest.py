"""Data beside the project, as fixtures: what is absent skips its tests."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from skdgam.intervals import make_intervals
from skdgam.methods import METHODS

# The same examples each time, so that a failure is that of a change; `make fuzz` tries others.
settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=20_000, print_blob=True)
settings.load_profile("default")


def pytest_addoption(parser):
    parser.addoption(
        "--methods",
        type=lambda names: names.split(","),
        default=[*METHODS],
        help="methods, with commas between, that alone take the tests which all methods share",
    )


def pytest_collection_modifyitems(config, items):
    others = set(METHODS).difference(config.getoption("--methods"))
    kept, left_out = [], []
    for item in items:
        is_of_other = hasattr(item, "callspec") and item.callspec.params.get("method") in others
        (left_out if is_of_other else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


SHARED = Path(__file__).parents[2] / "shared"


def shared(name):
    """A file that lies beside the project but is no part of it."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def shared_file():
    return shared


@pytest.fixture(scope="session")
def make_video():
    """Write videos whose frames are of one grey each, at given times in seconds."""
    av = pytest.importorskip("av")

    def make(path, times, size=(48, 64), codec="libx264", levels=None, sound=False, **options):
        with av.open(str(path), "w", **options) as container:
            stream = container.add_stream(codec, rate=1000, options={"g": "5", "bf": "2"})
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            heard = container.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
            for i, time in enumerate(times):
                level = (10 * i) % 250 if levels is None else levels[i]
                image = np.full((*size, 3), level, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if heard is not None:
                silence = np.zeros((1, 800), dtype=np.int16)
                tenth = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
                tenth.rate = 8000
                container.mux([*heard.encode(tenth), *heard.encode()])
        return path

    return make


@pytest.fixture(scope="session")
def to_intervals():
    """Turn a list of ActivityNet-style dicts into an interval array."""

    def convert(items):
        start, end = np.array([item["segment"] for item in items]).reshape(-1, 2).T
        labels = np.array([item["label"] for item in items], dtype=str)
        scores = [item["score"] for item in items if "score" in item]
        return make_intervals(start, end, labels, scores if len(scores) == len(items) else None)

    return convert


@pytest.fixture(scope="session")
def thumos14_test(to_intervals):
    """Annotations of THUMOS14's test videos, by name."""
    database = json.loads(shared("data/thumos14_annotations.json").read_text())["database"]
    return {
        name: to_intervals(video["annotations"])
        for name, video in database.items()
        if video["subset"] == "test"
    }


class Released:
    """Outputs of the released implementation with the settings of one benchmark."""

    def __init__(self, benchmark):
        self.benchmark = benchmark
        with np.load(shared(f"reference/released_{benchmark}.npz")) as file:
            self.arrays = dict(file)

    def __getitem__(self, name):
        return self.arrays[name]

    def weights(self, prefix):
        return {
            name.removeprefix(prefix): self[name] for name in self.arrays if name.startswith(prefix)
        }

    @property
    def ground_truth(self):
        return json.loads(str(self["ground_truth"]))


@pytest.fixture(scope="session", params=["thumos14", "activitynet12"])
def released(request):
    return Released(request.param)
