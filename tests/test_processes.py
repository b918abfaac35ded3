"""Threads, processes and interruptions: each fit is by itself, and the world is as it was."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.methods import MILLocalizer
from skdgam.datasets import make_untrimmed

Y = [["jump"], ["run"], ["jump", "run"], [], ["run"], ["jump"]]


def make(seed=0, **changes):
    settings = {"max_epochs": 3, "latent_dim": 2, "batch_size": 3, "precision": "float32"}
    return DGAMLocalizer(**(settings | changes), random_state=seed)


def make_X():
    return make_untrimmed(n_videos=6, n_features=5, n_classes=2, random_state=0)[0]


def fit(seed=0):
    torch.set_num_threads(1)
    return make(seed).fit(make_X(), Y).weights_


def assert_same(one, other):
    for name, weight in one.items():
        np.testing.assert_array_equal(weight, other[name], err_msg=name)


def test_fits_in_threads_do_not_meet():
    expected = [fit(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(fit, range(4)), expected, strict=True):
            assert_same(ours, theirs)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_fit_in_another_process_is_the_same(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method}")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert_same(pool.apply_async(fit).get(timeout=120), fit())


def test_an_interrupted_search_ends_with_its_workers(tmp_path):
    """Ctrl-C reaches a search whose fits are in processes of joblib: all of them end."""
    script = tmp_path / "search.py"
    script.write_text(
        textwrap.dedent("""
            import joblib
            from sklearn.model_selection import GridSearchCV
            from skdgam import DGAMLocalizer
            from skdgam.datasets import make_untrimmed

            if __name__ == "__main__":
                X, y = make_untrimmed(n_videos=12, n_features=5, n_classes=2, random_state=0)
                model = DGAMLocalizer(max_epochs=100_000, random_state=0)
                search = GridSearchCV(model, {"r": [0.5, 1.0]}, cv=2, n_jobs=2)
                print("begun", flush=True)
                search.fit(X, y)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def state_of_the_world():
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "errors": np.geterr(),
        "environment": dict(os.environ),
    }


def diverging():
    make(learning_rate=1e30).fit(make_X(), Y)


def with_bad_features():
    make().fit([*make_X()[:-1], np.full((5, 5), np.nan)], Y)


def through_a_life():
    X = make_X()
    model = make().fit(X, Y)
    model.predict(X)
    model.partial_fit(X, Y)
    model.reconstruction_error(X)
    MultiStreamLocalizer([("a", make(), slice(0, 2)), ("b", make(), [2, 3])]).fit(X, Y).predict(X)
    MILLocalizer(max_epochs=2, random_state=0).fit(X, Y).predict(X)


@pytest.mark.parametrize(
    ("work", "error"),
    [(through_a_life, None), (diverging, FloatingPointError), (with_bad_features, ValueError)],
)
def test_the_world_is_as_it_was(work, error):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = state_of_the_world()
    if error is None:
        work()
    else:
        with pytest.raises(error):
            work()
    after = state_of_the_world()
    assert {name for name in before if before[name] != after[name]} == set()
