"""Shared fixtures."""

import json
from pathlib import Path

import numpy as np
import pytest

from skdgam.intervals import make_intervals

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


def load_annotations(database, subset=None):
    """Interval arrays, by video, of an ActivityNet-style database."""
    return {
        name: make_intervals(
            [a["segment"][0] for a in video["annotations"]],
            [a["segment"][1] for a in video["annotations"]],
            np.array([a["label"] for a in video["annotations"]], dtype=str),
        )
        for name, video in database.items()
        if subset in (None, video["subset"])
    }


@pytest.fixture(scope="session")
def thumos14_database():
    return json.loads(shared("data/thumos14_annotations.json").read_text())["database"]


class Released:
    """Outputs of the released implementation on one benchmark's settings."""

    def __init__(self, benchmark):
        self.benchmark = benchmark
        self.arrays = np.load(shared(f"reference/released_{benchmark}.npz"))

    def __getitem__(self, name):
        return self.arrays[name]

    def weights(self, prefix):
        return {
            name.removeprefix(prefix): self[name]
            for name in self.arrays.files
            if name.startswith(prefix)
        }


@pytest.fixture(scope="session", params=["thumos14", "activitynet12"])
def released(request):
    return Released(request.param)
