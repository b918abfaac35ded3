"""
Search for the weights of the losses
====================================

A grid search over α, γ₁, r and η of the method as the paper has it. Training uses labels only,
scoring uses annotated intervals, and each fold has its share of every class.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.model_selection import WeakLabelKFold
from skdgam.presets import PAPER

# %%
# The context in these videos is easily taken for action. ``fit`` reads only the labels of the
# annotations; the score of a candidate is its mAP on the videos of the fold that it has not seen.

X, y = make_untrimmed(n_videos=40, n_classes=3, n_features=16, random_state=0)
settings = {"gamma2": 0.05, "max_epochs": 60, "warmup_epochs": 20, "n_snippets": 50}
model = DGAMLocalizer(**PAPER | settings | {"latent_dim": 16}, random_state=0)
grid = {
    "alpha": [0.01, 0.1],
    "gamma1": [0.1, 0.5, 2.0],
    "r": [0.3, 1.0, 2.0],
    "eta": [0.1, 0.3, 0.9],
}

# %%
# α, γ₁ and r are weights of the losses. η matters only for localization: it is the weight of what
# lies beside a proposal in the proposal's score. With ``memory``, the three candidates that differ
# only in η share one training, so that 54 candidates need 18 trainings in each fold.

with tempfile.TemporaryDirectory() as folder:
    model.set_params(memory=folder)
    search = GridSearchCV(model, grid, cv=WeakLabelKFold(2, random_state=0), refit=False)
    search.fit(X, y)
results = pd.DataFrame(search.cv_results_["params"])
results["mAP"] = 100 * search.cv_results_["mean_test_score"]
results.sort_values("mAP", ascending=False, ignore_index=True).head(8).round(1)

# %%
# The generative part has two parameters of its own: γ₁, its weight in the loss of attention, and r,
# the distance between the latent priors of action and background. The upper panel shows them,
# averaged over the other parameters. The lower panels show α and η, averaged likewise.

surface = results.pivot_table("mAP", "gamma1", "r")
figure, axes = plt.subplot_mosaic("rr;αη", figsize=(5.5, 5), layout="constrained")
top = axes["r"]
top.imshow(surface, cmap="viridis", origin="lower", aspect="auto")
top.set_xticks(range(len(surface.columns)), surface.columns)
top.set_yticks(range(len(surface)), surface.index)
top.set_xlabel("distance of the priors, r")
top.set_ylabel("weight of reconstruction, γ₁", labelpad=8)
top.set_title("mAP at tIoU 0.5 (%)", loc="left", fontsize="medium")
middle = (surface.min(axis=None) + surface.max(axis=None)) / 2
for (i, j), value in np.ndenumerate(surface.to_numpy()):
    color = "white" if value < middle else "black"
    top.text(j, i, f"{value:.0f}", ha="center", va="center", color=color)
axes["η"].sharey(axes["α"])
for name, symbol, meaning in [("alpha", "α", "of background"), ("eta", "η", "of what lies beside")]:
    ax, mean = axes[symbol], results.groupby(name)["mAP"].mean()
    ax.plot(mean.index.astype(str), mean, "o-", color="black")
    ax.set(xlabel=f"weight {meaning}, {symbol}", xmargin=0.3)
    ax.spines[["top", "right"]].set_visible(False)
axes["α"].set(ylabel="mAP at tIoU 0.5 (%)", ylim=(0, None))

# %%
# Which candidate is best differs from fold to fold, so a plateau is worth more than a peak. If
# videos belong to people, places or sessions, ``WeakLabelKFold`` keeps these groups together:
# ``search.fit(X, y, groups=person)``.
