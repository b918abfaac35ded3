"""Every method on the data sets of suite.py: how well it localizes, and at what cost.

    python benchmarks/methods.py results.json --shared ../shared/data --seeds 3 --picture FILE.png

Each has its default arguments, which for networks, losses and localization are the published ones,
but for the time of a snippet: nothing is chosen on these data. Prints, and draws if asked, the mean
mAP of each method over seeds, and the processor time of its training in relation to ``mil``.
"""

from pathlib import Path

import numpy as np
from suite import arguments_of, run

from skdgam.methods import METHODS

SIMPLEST = "mil"


def summary(results):
    """Mean mAP (data sets, methods), its deviation over seeds, and the relative cost (methods,)."""
    of_data = results.values()
    maps, deviation = (
        np.array(
            [[of([fit[0] for fit in fits.values()]) for fits in by.values()] for by in of_data]
        )
        for of in (np.mean, np.std)
    )
    cost = [
        [np.log([fits[s][1] / by[SIMPLEST][s][1] for s in fits]).mean() for fits in by.values()]
        for by in of_data
    ]
    return maps, deviation, np.exp(np.mean(cost, axis=0))


def table(results):
    """Print a row for each method, by falling mean; and the mean deviation, if there are seeds."""
    methods = [*next(iter(results.values()))]
    maps, deviation, cost = summary(results)
    several = [len(next(iter(by.values()))) > 1 for by in results.values()]
    columns = ["method", "mean", *["±"] * any(several), "cost", *results]
    print("|", " | ".join(columns), "|\n|---|" + "--:|" * (len(columns) - 1))
    for k in np.argsort(-maps.mean(axis=0)):
        cells = [f"`{methods[k]}`", f"**{maps[:, k].mean():.1f}**"]
        if any(several):
            cells.append(f"{deviation[several, k].mean():.1f}")
        cells += [f"{cost[k]:.2g}", *(f"{value:.1f}" for value in maps[:, k])]
        print("|", " | ".join(cells), "|")


def draw(results, path):
    """Draw the mean over the data sets against the cost."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.transforms import Bbox

    methods = [*next(iter(results.values()))]
    maps, _, cost = summary(results)
    figure, axes = plt.subplots(figsize=(3.35, 4.2), layout="constrained", dpi=200)
    axes.scatter(cost, maps.mean(axis=0), s=12, color="0.2")
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.36 * cost.min(), 2 * cost.max())
    axes.set_xlabel(f"processor time of training, {SIMPLEST} = 1", fontsize=8)
    axes.set_ylabel(f"mean mAP over {len(results)} data sets (%)", fontsize=8)
    axes.tick_params(labelsize=7)
    figure.draw_without_rendering()
    points = axes.transData.transform(np.column_stack([cost, maps.mean(axis=0)]))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in points]
    places = [
        (x, y, side) for y in (2, -2, -6, 6, -10, 10) for x, side in ((4, "left"), (-4, "right"))
    ]
    for method, x, y in zip(methods, cost, maps.mean(axis=0), strict=True):
        for right, up, side in places:  # the first one that is free
            label = axes.annotate(
                method, (x, y), (right, up), textcoords="offset points", fontsize=6, ha=side
            )
            box = label.get_window_extent()
            if (
                axes.bbox.x0 < box.x0
                and box.x1 < axes.bbox.x1
                and not any(map(box.overlaps, taken))
            ):
                break
            label.remove()
        taken.append(box)
    figure.savefig(path)


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
