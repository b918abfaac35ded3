"""Every method on the data sets of suite.py: how well it localizes, and at what cost.

    python benchmarks/methods.py results.json --shared ../shared/data --seeds 3 --picture FILE.png

Each has its default arguments, which for networks, losses and localization are the published ones,
but for the time of a snippet: nothing is chosen on these data. Prints, and draws if asked, the mean
mAP of each method, and the processor time of its training in relation to that of ``mil``.
"""

from pathlib import Path

import numpy as np
from suite import arguments_of, run

from skdgam.methods import METHODS

SIMPLEST = "mil"


def summary(results):
    """Mean mAP (data sets, methods), its deviation over seeds, and the relative cost (methods,)."""
    fits = [[[*by_seed.values()] for by_seed in of_data.values()] for of_data in results.values()]
    maps, deviation, seconds = (
        np.array([[of([fit[k] for fit in by_seed]) for by_seed in of_data] for of_data in fits])
        for of, k in ((np.mean, 0), (np.std, 0), (np.mean, 1))
    )
    simplest = [*next(iter(results.values()))].index(SIMPLEST)
    cost = np.exp(np.log(seconds / seconds[:, [simplest]]).mean(axis=0))
    return maps, deviation, cost


def table(results):
    """Print a row for each method, by falling mean."""
    methods = [*next(iter(results.values()))]
    maps, deviation, cost = summary(results)
    print("| method |", " | ".join(results), "| mean | ± | cost |")
    print("|---|" + "--:|" * (len(results) + 3))
    for k in np.argsort(-maps.mean(axis=0)):
        cells = [*(f"{value:.1f}" for value in maps[:, k]), f"**{maps[:, k].mean():.1f}**"]
        cells += [f"{deviation[:, k].mean():.1f}", f"{cost[k]:.2g}"]
        print(f"| `{methods[k]}` |", " | ".join(cells), "|")


def draw(results, path):
    """Draw the mean over the data sets against the cost."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    methods = [*next(iter(results.values()))]
    maps, _, cost = summary(results)
    figure, axes = plt.subplots(figsize=(3.35, 3.0), layout="constrained")
    axes.scatter(cost, maps.mean(axis=0), s=14, color="0.2")
    for method, x, y in zip(methods, cost, maps.mean(axis=0), strict=True):
        axes.annotate(method, (x, y), (3, 2), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel(f"time of training, in times that of {SIMPLEST}", fontsize=8)
    axes.set_ylabel(f"mean mAP over {len(results)} data sets (%)", fontsize=8)
    axes.tick_params(labelsize=7)
    figure.savefig(path, dpi=200)


def main():
    parser = arguments_of(__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, help="file for a picture of accuracy and cost")
    arguments = parser.parse_args()
    results = run({name: method() for name, method in METHODS.items()}, arguments)
    table(results)
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
