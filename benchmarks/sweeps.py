"""The paper's sweeps: mAP over r, the latent dimension and β, one at a time.

    python benchmarks/sweeps.py                    # synthetic videos with context
    python benchmarks/sweeps.py --hapt hapt.zip    # HAPT, split by user

Prints mAP at tIoU 0.5 in percent, mean ± standard deviation over seeds, and draws it. The other
parameters are at their defaults.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from quality import add_options, data_from, heading, in_processes

from skdgam import DGAMLocalizer
from skdgam.metrics import mean_average_precision
from skdgam.presets import PAPER

SWEEPS = {
    "r": [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5],
    "latent_dim": [16, 32, 64, 128, 256, 512],
    "beta": [0.01, 0.03, 0.07, 0.1, 0.3, 0.7],
}
SHOWN = {"r": "r", "latent_dim": "latent dimension", "beta": "β"}


def result(data_of, parameter, value, seed):
    """Train and score: mAP at tIoU 0.5, in percent."""
    X, y, X_test, y_test, time, epochs, _ = data_of(seed)
    model = DGAMLocalizer(**time, **(PAPER | epochs | {parameter: value}), random_state=seed)
    detections = model.fit(X, y).predict(X_test)
    return 100 * mean_average_precision(y_test, detections, 0.5).item()


def draw(axis, parameter, of_values):
    """One sweep: the mean, and a bar of the deviation between seeds."""
    x = np.arange(of_values.shape[0])
    axis.errorbar(x, of_values.mean(axis=1), of_values.std(axis=1), fmt="o-", capsize=3)
    default = DGAMLocalizer(**PAPER).get_params()[parameter]
    axis.axvline(SWEEPS[parameter].index(default), color="0.8", zorder=0, label="default")
    axis.set_xticks(x, SWEEPS[parameter])
    axis.set_xlabel(SHOWN[parameter])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--output", default="sweeps.png", help="where the picture goes")
    arguments = parser.parse_args()
    print(heading(arguments))
    data_of = data_from(arguments)
    cases = [(name, value) for name, values in SWEEPS.items() for value in values]
    seeds = range(arguments.seeds)
    with in_processes(arguments):
        found = Parallel()(delayed(result)(data_of, *case, s) for case in cases for s in seeds)
    found = np.reshape(found, (len(cases), arguments.seeds))
    figure, axes = plt.subplots(1, len(SWEEPS), figsize=(11, 3), sharey=True, layout="tight")
    first = 0
    for axis, (name, values) in zip(axes, SWEEPS.items(), strict=True):
        of_values = found[first : first + len(values)]
        first += len(values)
        print(f"\n| {SHOWN[name]} |", " | ".join(map(str, values)), "|")
        print("|---|" + "--:|" * len(values))
        cells = [f"{each.mean():.1f} ± {each.std():.1f}" for each in of_values]
        print("| mAP@0.5 |", " | ".join(cells), "|")
        draw(axis, name, of_values)
    axes[0].set_ylabel("mAP at tIoU 0.5, %")
    axes[0].legend(frameon=False)
    figure.suptitle("HAPT" if arguments.hapt else "synthetic videos")
    figure.savefig(arguments.output, dpi=150)
    print(f"\n{arguments.output}")


if __name__ == "__main__":
    main()
