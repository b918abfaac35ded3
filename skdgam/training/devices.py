"""Devices: which there are, what they can do, and how many threads to use."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["has_bfloat16", "limited_threads", "resolve_device", "resolve_precision", "shielded"]

# Multiplications in one batch that occupy a thread. With less, threads wait for each other most of
# the time, and on a machine that is busy with other work they wait for very long.
PER_THREAD = 2**28


def resolve_device(device: str, fallback: bool = False) -> torch.device:
    """Find the device that a user's string names.

    Without CUDA, a CUDA device is an error, or with `fallback` the CPU and a warning.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = torch.device("meta")
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f'device={device!r}, but it must be "auto", "cpu" or "cuda", "cuda:1", ….')
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        message = (
            f"device={device!r}, but this machine has {torch.cuda.device_count()} CUDA devices "
            "that torch can use"
        )
        if not fallback:
            raise ValueError(f'{message}; use device="auto" or "cpu".')
        warnings.warn(f"{message}; the CPU is used instead.", UserWarning, stacklevel=2)
        return torch.device("cpu")
    return resolved


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Find the dtype of products in training.

    "auto" is bfloat16 where the device has units for it, else float32.
    """
    supported = precision != "float32" and has_bfloat16(device)
    if precision == "bfloat16" and not supported:
        raise ValueError(
            f'precision="bfloat16", but the device {device} has no units for it and would be '
            'slower with it; use "float32" or "auto".'
        )
    return torch.bfloat16 if supported else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has units for products in bfloat16.

    This alone asks the machine. On CPUs these are AMX, and the instructions of AVX-512 for
    bfloat16.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))


class _Threads:
    """The number of threads before the first of several users limited it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_users = 0
        self.before = 1
        self.here = threading.local()  # whether this thread of Python is such a user


_threads = _Threads()


# A fork lacks the threads of its parent, for which OpenMP would wait without end.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@contextmanager
def limited_threads(n_multiplications: float) -> Iterator[None]:
    """Use no more of torch's threads than a computation has work for, and give the setting back.

    The number follows from the size of the computation alone. torch keeps it for each thread of
    Python, so that each gives back its own; several may compute at a time, and one computation
    within another.

    Parameters
    ----------
    n_multiplications : float
        For the rows that go through the network at once: rows times weights.
    """
    with _threads.lock:
        is_within = getattr(_threads.here, "is_limited", False)
        if not _threads.n_users:
            _threads.before = torch.get_num_threads()
        outer = torch.get_num_threads() if is_within else _threads.before
        _threads.n_users += 1
        _threads.here.is_limited = True
        n_useful = max(int(n_multiplications // PER_THREAD), 1)
        torch.set_num_threads(min(n_useful, _threads.before))
    try:
        yield
    finally:
        with _threads.lock:
            _threads.n_users -= 1
            _threads.here.is_limited = is_within
            torch.set_num_threads(outer)


@contextmanager
def shielded() -> Iterator[None]:
    """Compute as if nobody had set a default dtype or autocast in torch, or inference mode."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with (
            torch.inference_mode(False),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
