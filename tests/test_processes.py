"""Threads, processes and interruptions: each fit is by itself, and the world is as it was."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.methods import MILLocalizer

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
        assert_same(pool.apply_async(fit).get(timeout=600), fit())


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork"
)
def test_a_fork_of_a_process_that_used_threads_does_not_hang(tmp_path):
    script = tmp_path / "fork.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, torch
            import numpy as np
            from skdgam import DGAMLocalizer
            from skdgam.training import devices

            devices.PER_THREAD = 1  # threads for whatever little work there is
            torch.set_num_threads(4)
            X = list(np.random.default_rng(0).normal(size=(8, 500, 64)))
            model = DGAMLocalizer(max_epochs=2, random_state=0, precision="float32")
            model.fit(X, ["jump", "run"] * 4).predict(X)

            def work(_):
                return len(model.fit(X, ["jump", "run"] * 4).predict(X))

            with multiprocessing.get_context("fork").Pool(1) as pool:
                print(pool.map(work, [0]))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert done.stdout == "[8]\n", done.stderr


def wait_until(is_so, *arguments):
    """Wait for a state; only a machine that stands still runs into the last resort."""
    last_resort = time.monotonic() + 600
    while not is_so(*arguments):
        assert time.monotonic() < last_resort
        time.sleep(0.1)


def has_ended(worker):
    """Tell whether a process is gone, or waits for nothing but to be buried."""
    try:
        os.kill(int(worker), 0)
    except ProcessLookupError:
        return True
    status = Path("/proc", worker, "stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_an_interrupted_search_ends_with_its_workers(tmp_path):
    """Ctrl-C reaches a search whose fits are in processes of joblib: all of them end."""
    script = tmp_path / "search.py"
    script.write_text(
        textwrap.dedent("""
            import os
            import sys
            from pathlib import Path

            from sklearn.model_selection import GridSearchCV
            from skdgam import DGAMLocalizer
            from skdgam.datasets import make_untrimmed

            class Telling(DGAMLocalizer):
                def _stages(self):
                    Path(sys.argv[1], str(os.getpid())).touch()  # in a worker, and about to train
                    return super()._stages()

            if __name__ == "__main__":
                X, y = make_untrimmed(n_videos=12, n_features=5, n_classes=2, random_state=0)
                model = Telling(max_epochs=100_000, random_state=0)
                GridSearchCV(model, {"r": [0.5, 1.0]}, cv=2, n_jobs=2).fit(X, y)
        """)
    )
    workers = tmp_path / "workers"
    workers.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(workers)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # Where the tests run in the background, Ctrl-C is ignored, and so by their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        wait_until(lambda: len(os.listdir(workers)) == 2 or process.poll() is not None)
        assert process.poll() is None, "it ended before it could be interrupted"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(600) != 0
        for worker in os.listdir(workers):
            wait_until(has_ended, worker)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


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
