"""What kernels of our own are worth: an epoch of DGAM with them, and with the plain form instead.

    python benchmarks/kernels.py

A kernel stays in the package if it saves at least 20 % of an epoch. Both forms are timed in turn,
in one process, and the best of several counts.
"""

import argparse
import platform
from contextlib import contextmanager
from datetime import date

import torch
from speed import ANNOTATIONS, REAL, SETTINGS, SHAPES, as_thumos14, best_of, epoch, precisions
from torch.nn import functional as F

from skdgam import __version__
from skdgam.dgam import objective

RULE = 0.2  # of an epoch, that a kernel has to save


def plain(hidden, weight, bias, x, shares):
    """``skdgam.dgam.kernels.reconstruction_error`` as its equation is written."""
    reconstruction = F.linear(hidden, weight.to(x.dtype), bias.to(x.dtype))
    return (x - reconstruction).square().mean(dim=1, dtype=torch.float32) @ shares


@contextmanager
def in_place_of_kernel(function):
    """Let the losses compute the reconstruction error by another function."""
    kernel = objective.reconstruction_error
    objective.reconstruction_error = function
    try:
        yield
    finally:
        objective.reconstruction_error = kernel


def compare(name, shape, precision, device):
    """Print the time of an epoch in both forms, and return the share that the kernel saves."""
    with_kernel, without = (
        epoch(shape, precision=precision, device=device, **SETTINGS) for _ in range(2)
    )

    def in_plain_form():
        with in_place_of_kernel(plain):
            without()

    ours, plainly = best_of(5, with_kernel, in_plain_form)
    saved = 1 - ours / plainly
    print(
        f"{name}, {precision}, {torch.get_num_threads()} threads".ljust(48),
        f"{ours:8.3f} s, plain {plainly:8.3f} s, saved {saved:7.1%}",
        flush=True,
    )
    return saved


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one after another")
    arguments = parser.parse_args()
    print(
        f"skdgam {__version__}, torch {torch.__version__}, {platform.machine()}, {date.today()}, "
        f"device {arguments.device}\n",
        flush=True,
    )
    shapes = SHAPES | ({REAL: as_thumos14(ANNOTATIONS)} if ANNOTATIONS.exists() else {})
    saved = []
    for n_threads in arguments.threads:
        torch.set_num_threads(n_threads)
        for precision in precisions(arguments.device):
            for name, shape in shapes.items():
                saved.append(compare(name, shape, precision, arguments.device))
    kept = sum(share >= RULE for share in saved)
    print(f"\nreconstruction_error saves {RULE:.0%} or more in {kept} of {len(saved)} cases.")


if __name__ == "__main__":
    main()
