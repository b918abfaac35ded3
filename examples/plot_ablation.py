"""
What each loss contributes
==========================

The paper's ablation adds the terms of the loss one by one. This example shows the mAP after each
step, and which kinds of errors the last term mends.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.metrics import error_analysis, mean_average_precision
from skdgam.plotting import ErrorAnalysisDisplay
from skdgam.presets import PAPER

# %%
# The first row classifies the foreground only. The second one also classifies the background. The
# third adds the guide, which draws attention to where the class is activated. The last one adds
# reconstruction by the conditional VAE and is the full method. A weight of 0 leaves a term out. The
# preset ``PAPER`` is the method as the paper has it.

ABLATION = {
    "L_fg": {"alpha": 0.0, "gamma2": 0.0, "gamma1": 0.0},
    "+ L_bg": {"gamma2": 0.0, "gamma1": 0.0},
    "+ L_guide": {"gamma1": 0.0},
    "+ L_re": {},
}
SETTINGS = {"max_epochs": 60, "warmup_epochs": 20, "n_snippets": 100}
TIOU = np.arange(1, 8) / 10

# %%
# Results depend on the seed, so there are three. Each makes different videos and another model.

maps = np.empty((len(ABLATION), 3))
analyses = {name: [] for name in ABLATION}
for seed in range(3):
    X, y = make_untrimmed(n_videos=120, n_classes=3, random_state=seed)
    X_train, y_train, X_test, y_test = X[:60], y[:60], X[60:], y[60:]
    for row, (name, weights) in enumerate(ABLATION.items()):
        model = DGAMLocalizer(**PAPER | SETTINGS | weights, random_state=seed)
        detections = model.fit(X_train, y_train).predict(X_test)
        maps[row, seed] = 100 * mean_average_precision(y_test, detections, TIOU).mean()
        analyses[name].append(error_analysis(y_test, detections))

print("mean mAP (%) of each of three seeds, and their mean")
for name, of_seeds in zip(ABLATION, maps, strict=True):
    print(f"{name:<9}", *(f"{value:5.1f}" for value in [*of_seeds, of_seeds.mean()]))

# %%
# What the terms of background and guide contribute
# differs from seed to seed, and may be a loss. Reconstruction adds much for every seed.

figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
terms = ["$L_{fg}$", "+ $L_{bg}$", "+ $L_{guide}$", "+ $L_{re}$"]
ax.bar(terms, maps.mean(axis=1), width=0.6, color="#56B4E9", label="mean of three seeds")
ax.plot(terms, maps[:, 0], "ok", markersize=4, label="one seed", clip_on=False)
ax.plot(terms, maps[:, 1:], "ok", markersize=4, clip_on=False)
ax.set(ylabel="mAP (%), mean over tIoU 0.1 to 0.7", ylim=(0, 100))
ax.legend(frameon=False, loc="upper left")
ax.spines[["top", "right"]].set_visible(False)

# %%
# A boundary error is a detection that is much longer than the action that it overlaps, or covers
# only some of it. With reconstruction there are fewer, and they cost less.

print("boundary errors of each seed, and the points of mAP that they cost")
for name in ("+ L_guide", "+ L_re"):
    print(
        f"{name:<9}",
        *(f"{a.count['boundary']:6}: {100 * a.cost['boundary']:.1f}" for a in analyses[name]),
    )

# %%
# The picture shows all kinds of errors for the first seed. Most false detections lie in the context
# or background. Their scores are low, so they cost little.

figure, axes = plt.subplots(2, figsize=(5.5, 5), sharex=True, layout="constrained")
for ax, name, term in zip(axes, ["+ L_guide", "+ L_re"], terms[2:], strict=True):
    ErrorAnalysisDisplay(analysis=analyses[name][0]).plot(ax)
    ax.set_title(f"{term}: {ax.get_title(loc='left')} at tIoU 0.5", loc="left")
axes[0].set_xlabel("")
