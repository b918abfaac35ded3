"""
The paper's ablation
====================

What each term of the loss adds, as in Table 4 of the paper, on videos whose context looks like
action to a classifier.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.metrics import mean_average_precision
from skdgam.plotting import ErrorAnalysisDisplay

# %%
# Weights of 0 take terms away: classification of the foreground alone; with that of the background;
# with the guide, which draws attention to where the classifier sees the class; and the full method,
# with the conditional VAE.

ABLATION = {
    "$L_{fg}$": {"alpha": 0.0, "gamma2": 0.0, "gamma1": 0.0},
    "+ $L_{bg}$": {"gamma2": 0.0, "gamma1": 0.0},
    "+ $L_{guide}$": {"gamma1": 0.0},
    "+ $L_{re}$ (full)": {},
}
SETTINGS = {"max_epochs": 100, "warmup_epochs": 20, "random_state": 0}
X, y = make_untrimmed(n_videos=160, n_classes=5, random_state=0)
X_train, y_train, X_test, y_test = X[:80], y[:80], X[80:], y[80:]
detections = {
    name: DGAMLocalizer(**SETTINGS, **changes).fit(X_train, y_train).predict(X_test)
    for name, changes in ABLATION.items()
}

# %%

TIOU = np.arange(1, 8) / 10
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
colors = ["0.75", "#56B4E9", "#E69F00", "black"]
for (name, found), color, marker in zip(detections.items(), colors, "v^so", strict=True):
    curve = 100 * mean_average_precision(y_test, found, TIOU)
    ax.plot(TIOU, curve, f"{marker}-", color=color, label=f"{name}: mean {curve.mean():.0f}")
ax.set(xlabel="tIoU", ylabel="mAP (%)", ylim=(0, None))
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))

# %%
# Where mAP is lost: how much there would be to gain if all errors of one kind were mended, and
# beside each bar how many there are. Without the generative part, and with it:

figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharex=True, layout="constrained")
for ax, name in zip(axes, list(ABLATION)[2:], strict=True):
    ErrorAnalysisDisplay.from_predictions(y_test, detections[name], ax=ax)
    ax.set_title(name, loc="left")
    ax.set_xlabel("points of mAP at tIoU 0.5")
