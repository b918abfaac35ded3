"""
Search for the weights of the losses
====================================

Labels train, annotated intervals score: a grid search over α, β, γ₁ and r, in folds that have
their share of every class.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.model_selection import StackedGridSearchCV, WeakLabelKFold

# %%
# Videos whose context is easily taken for action. ``fit`` reads the labels of the annotations
# alone; the score of a candidate is the mAP on the videos of the fold that it has not seen.

X, y = make_untrimmed(n_videos=40, n_classes=3, n_features=16, random_state=0)
model = DGAMLocalizer(
    gamma2=0.05, max_epochs=80, warmup_epochs=20, n_snippets=50, latent_dim=16, random_state=0
)
grid = {
    "alpha": [0.01, 0.1],
    "beta": [0.03, 0.3],
    "gamma1": [0.1, 0.5, 2.0],
    "r": [0.3, 1.0, 2.0],
}

# %%
# ``GridSearchCV`` would do. ``StackedGridSearchCV`` finds the same, and trains the 36 candidates of
# each fold side by side.

search = StackedGridSearchCV(model, grid, cv=WeakLabelKFold(2, random_state=0), refit=False)
results = pd.DataFrame(search.fit(X, y).cv_results_["params"])
results["mAP"] = 100 * search.cv_results_["mean_test_score"]
results.sort_values("mAP", ascending=False, ignore_index=True).head(8).round(1)

# %%
# The generative part has two weights of its own: γ₁, how much attention listens to it, and r, how
# far it holds action and background apart. The other parameters are averaged over here; right of
# it, each of them over all others.

surface = results.pivot_table("mAP", "gamma1", "r")
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), width_ratios=[2.5, 1, 1], layout="constrained")
image = axes[0].imshow(surface, cmap="viridis", origin="lower", aspect="auto")
axes[0].set_xticks(range(len(surface.columns)), surface.columns)
axes[0].set_yticks(range(len(surface)), surface.index)
axes[0].set(xlabel="r", ylabel="γ₁", title="mAP@0.5 (%)")
middle = (surface.min(axis=None) + surface.max(axis=None)) / 2
for (i, j), value in np.ndenumerate(surface.to_numpy()):
    color = "white" if value < middle else "black"
    axes[0].text(j, i, f"{value:.0f}", ha="center", va="center", color=color)
figure.colorbar(image, ax=axes[0])
for ax, name, symbol in zip(axes[1:], ["alpha", "beta"], "αβ", strict=True):
    mean = results.groupby(name)["mAP"].mean()
    ax.plot(mean.index.astype(str), mean, "o-", color="black")
    ax.set(xlabel=symbol, ylim=(0, results["mAP"].max()), xmargin=0.3)
    ax.tick_params(labelleft=ax is axes[1])

# %%
# Which candidate is best differs from fold to fold; a plateau says more than a peak. On people,
# places or sessions, ``WeakLabelKFold`` keeps groups together: ``search.fit(X, y, groups=person)``.
