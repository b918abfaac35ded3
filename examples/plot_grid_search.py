"""Search for the best weights of the losses.

Labels train, annotated intervals score: ``GridSearchCV`` over α, β, γ₁, γ₂ and r, in folds that
have their share of every class. The surface shows what the generative part does with two of them.

    python examples/plot_grid_search.py                     # synthetic videos, some two minutes
    python examples/plot_grid_search.py --hapt hapt.zip     # 3 × 3 on HAPT, folds by person
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer
from skdgam.datasets import load_hapt, make_untrimmed
from skdgam.model_selection import WeakLabelKFold
from skdgam.preprocessing import SnippetTransformer

SYMBOLS = {"alpha": "α", "beta": "β", "gamma2": "γ₂"}


def synthetic():
    """Videos whose context is easily taken for action, and a grid over all five parameters."""
    X, y = make_untrimmed(n_videos=40, n_classes=3, n_features=16, random_state=0)
    model = DGAMLocalizer(
        max_epochs=100, warmup_epochs=20, n_snippets=50, latent_dim=16, random_state=0
    )
    grid = {
        "alpha": [0.01, 0.1],
        "beta": [0.03, 0.3],
        "gamma1": [0.1, 0.5, 2.0],
        "gamma2": [0.05, 0.2],
        "r": [0.3, 1.0, 2.0],
    }
    return X, y, None, model, grid


def hapt(path):
    """Training recordings of HAPT; people are the groups that folds keep together."""
    data = load_hapt(path)
    time = {name: data[name] for name in ("snippet_seconds", "snippet_offset")}
    model = DGAMLocalizer(max_epochs=60, warmup_epochs=20, n_snippets=64, random_state=0, **time)
    # What scale features have is learned in each fold, from its training part alone.
    pipeline = make_pipeline(SnippetTransformer(StandardScaler()), model)
    grid = {"dgamlocalizer__gamma1": [0.1, 0.5, 2.0], "dgamlocalizer__r": [0.3, 1.0, 2.0]}
    return data.features, data.annotations, data.groups, pipeline, grid


def results_of(search):
    """Make a frame of ``cv_results_``: parameters by their names, mAP@0.5 in percent."""
    results = pd.DataFrame(search.cv_results_["params"])
    results.columns = results.columns.str.removeprefix("dgamlocalizer__")
    results["mAP"] = 100 * search.cv_results_["mean_test_score"]
    results["deviation"] = 100 * search.cv_results_["std_test_score"]
    results["seconds"] = search.cv_results_["mean_fit_time"]
    return results.sort_values("mAP", ascending=False, ignore_index=True)


def draw(results):
    """Draw mAP over γ₁ and r, and over each other parameter, as means over all others."""
    others = [name for name in SYMBOLS if name in results]
    figure, axes = plt.subplots(
        1,
        1 + len(others),
        figsize=(5 + 2.2 * len(others), 3.6),
        width_ratios=[2] + [1] * len(others),
        layout="constrained",
        squeeze=False,
    )
    surface = results.pivot_table("mAP", "gamma1", "r")
    ax, *rest = axes[0]
    image = ax.imshow(surface, cmap="viridis", origin="lower")
    ax.set_xticks(range(len(surface.columns)), surface.columns)
    ax.set_yticks(range(len(surface)), surface.index)
    ax.set(xlabel="r", ylabel="γ₁", title="mAP@0.5 (%)" + ", mean over the others" * bool(others))
    middle = (surface.min(axis=None) + surface.max(axis=None)) / 2
    for (i, j), value in np.ndenumerate(surface.to_numpy()):
        color = "white" if value < middle else "black"
        ax.text(j, i, f"{value:.0f}", ha="center", va="center", color=color)
    figure.colorbar(image, ax=ax)
    for ax, name in zip(rest, others, strict=True):
        mean = results.groupby(name)["mAP"].mean()
        ax.plot(mean.index.astype(str), mean, "o-", color="black")
        ax.set(xlabel=SYMBOLS[name], ylim=(0, results["mAP"].max()))
        ax.tick_params(labelleft=ax is rest[0])
    return figure


def main():
    """Search, print the best candidates, draw the surface."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hapt", metavar="PATH", help="HAPT's zip archive or folder")
    parser.add_argument("--n-jobs", type=int, default=2, help="processes; default: 2")
    parser.add_argument("--output", metavar="PNG", default="grid_search.png")
    arguments = parser.parse_args()

    X, y, groups, model, grid = hapt(arguments.hapt) if arguments.hapt else synthetic()
    folds = WeakLabelKFold(3, random_state=0)
    search = GridSearchCV(model, grid, cv=folds, n_jobs=arguments.n_jobs, verbose=1)
    results = results_of(search.fit(X, y, groups=groups))
    print(results.head(9).to_string(float_format="{:.2f}".format))
    draw(results).savefig(arguments.output, dpi=150)
    print(f"The surface: {arguments.output}")


if __name__ == "__main__":
    main()
