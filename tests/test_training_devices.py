"""Which device, precision and number of threads; the machine is another one in each test."""

import threading

import pytest
import torch

from skdgam.training import devices
from skdgam.training.devices import (
    PER_THREAD,
    has_bfloat16,
    limited_threads,
    resolve_device,
    resolve_precision,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def n_gpus(monkeypatch):
    """Sets how many CUDA devices the machine has."""

    def has(n):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)

    return has


@pytest.mark.parametrize(("n", "expected"), [(0, "cpu"), (1, "cuda")])
def test_auto_is_cuda_where_there_is_one(n_gpus, n, expected):
    n_gpus(n)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there_is_taken_by_its_name(n_gpus, device):
    n_gpus(2)
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["tpu", "", "meta", "cuda:one", "gpu"])
def test_other_names_are_refused(device):
    with pytest.raises(ValueError, match=f'^device={device!r}, but it must be "auto", "cpu" or'):
        resolve_device(device)


@pytest.mark.parametrize(("device", "n"), [("cuda", 0), ("cuda:1", 1)])
def test_a_cuda_device_that_is_missing_is_an_error(n_gpus, device, n):
    n_gpus(n)
    told = f"^device='{device}', but this machine has {n} CUDA devices that torch can use; use dev"
    with pytest.raises(ValueError, match=told):
        resolve_device(device)


def test_a_cuda_device_that_is_missing_may_fall_back_to_the_cpu(n_gpus):
    n_gpus(0)
    with pytest.warns(UserWarning, match="this machine has 0 CUDA devices .*; the CPU is used"):
        assert resolve_device("cuda", fallback=True) == CPU


# --- precision ---


@pytest.mark.parametrize(
    ("precision", "has", "expected"),
    [
        ("float32", True, torch.float32),
        ("float32", False, torch.float32),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("bfloat16", True, torch.bfloat16),
    ],
)
def test_precision_follows_from_what_the_device_has(monkeypatch, precision, has, expected):
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: has)
    assert resolve_precision(precision, CPU) == expected


def test_bfloat16_that_would_be_slower_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)
    with pytest.raises(ValueError, match='^precision="bfloat16", but the device cpu has no units'):
        resolve_precision("bfloat16", CPU)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx2": True, "avx512_f": True, "amx_bf16": False, "avx512_bf16": False}, False),
        ({}, False),  # another architecture
    ],
)
def test_units_of_a_cpu_for_bfloat16(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16(CPU) is expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_units_of_a_gpu_for_bfloat16(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_bfloat16(CUDA) is expected


# --- threads ---


@pytest.fixture(autouse=True)
def four_threads():
    """A setting of four threads, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("n_multiplications", "expected"),
    [
        (0, 1),
        (PER_THREAD - 1, 1),
        (2 * PER_THREAD - 1, 1),
        (2 * PER_THREAD, 2),
        (3.5 * PER_THREAD, 3),
        (100 * PER_THREAD, 4),
    ],
)
def test_threads_follow_from_the_size_alone(n_multiplications, expected):
    for _ in range(3):
        with limited_threads(n_multiplications):
            assert torch.get_num_threads() == expected


def test_the_setting_is_given_back():
    with limited_threads(0):
        pass
    assert torch.get_num_threads() == 4


def test_the_setting_is_given_back_after_an_error():
    with pytest.raises(RuntimeError), limited_threads(0):
        raise RuntimeError
    assert torch.get_num_threads() == 4


def test_the_setting_is_given_back_after_an_error_within_another():
    with limited_threads(2 * PER_THREAD), pytest.raises(RuntimeError), limited_threads(0):
        raise RuntimeError
    assert torch.get_num_threads() == 4


def test_a_setting_that_was_changed_between_is_the_one_that_is_given_back():
    with limited_threads(0):
        pass
    torch.set_num_threads(3)
    with limited_threads(0):
        pass
    assert torch.get_num_threads() == 3


def test_within_another_user_the_outer_one_goes_on_with_its_threads():
    with limited_threads(3 * PER_THREAD):
        with limited_threads(0):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with limited_threads(0):
            pass
        assert torch.get_num_threads() == 3


class Worker:
    """A thread of Python that limits its threads until it is told to end."""

    def __init__(self, n_multiplications):
        self._n_multiplications = n_multiplications
        self._is_in, self._may_leave = threading.Event(), threading.Event()
        self.n_threads = None
        self._thread = threading.Thread(target=self._work)

    def _work(self):
        with limited_threads(self._n_multiplications):
            self.n_threads = torch.get_num_threads()
            self._is_in.set()
            self._may_leave.wait(60)

    def __enter__(self):
        self._thread.start()
        assert self._is_in.wait(60)
        return self

    def __exit__(self, *error):
        self._may_leave.set()
        self._thread.join(60)


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_a_user_beside_another_one_is_limited_by_its_own_size():
    with limited_threads(0), Worker(3 * PER_THREAD) as worker:
        assert worker.n_threads == 3
        assert torch.get_num_threads() == 1


def test_after_a_user_that_came_later_and_left_earlier_the_setting_is_given_back():
    with limited_threads(0), Worker(0):
        pass
    assert torch.get_num_threads() == 4
    assert threads_of_a_new_thread() == 4


def test_after_a_user_that_left_later_new_threads_have_the_setting():
    with Worker(0), limited_threads(0):
        pass
    assert threads_of_a_new_thread() == 4


def test_after_a_user_that_left_later_the_setting_is_given_back():
    worker = Worker(0)
    with limited_threads(0):
        worker.__enter__()
    worker.__exit__()
    assert torch.get_num_threads() == 4
    assert threads_of_a_new_thread() == 4


def test_after_many_users_at_a_time_new_threads_have_the_setting():
    def work():
        for _ in range(20):
            with limited_threads(0):
                pass

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert threads_of_a_new_thread() == 4
