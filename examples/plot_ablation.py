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
# Bars are means, and dots are single seeds. What the terms of background and guide contribute
# differs from seed to seed, and may be a loss. Reconstruction adds much for every seed.

figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.bar(list(ABLATION), maps.mean(axis=1), width=0.6, color="#56B4E9")
ax.plot(list(ABLATION), maps, "o", color="black", markersize=4)
ax.set_ylabel("mean mAP (%)")
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

figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes, ["+ L_guide", "+ L_re"], strict=True):
    ErrorAnalysisDisplay(analysis=analyses[name][0]).plot(ax)
    ax.set_title(f"{name}: {ax.get_title(loc='left')}", loc="left")
    ax.set_xlabel("points of mAP that each kind costs,\nand how many there are")
