"""
Two streams
===========

RGB and optical flow, or accelerometer and gyroscope: each stream gets a localizer, and what they
find is fused.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.presets import PAPER

# %%
# Streams stand side by side in the columns. Each has a name, a localizer of its own (hence
# ``clone``) and its columns. The localizers here are those of the paper, in a short training.

TIOU = np.arange(1, 8) / 10
COLUMNS = {"rgb": slice(0, 16), "flow": slice(16, 32)}
settings = {"max_epochs": 25, "warmup_epochs": 10, "n_snippets": 50}
single = DGAMLocalizer(**PAPER | settings, tiou_thresholds=TIOU)
fused = MultiStreamLocalizer(
    [(name, clone(single), columns) for name, columns in COLUMNS.items()], tiou_thresholds=TIOU
)

# %%
# Parameters of a stream have its name in front, in a grid search as well. These are the settings of
# the paper's authors for THUMOS14. ``stream_weight`` is the share of a stream's own activation in
# the score of its proposals; the other stream has the rest.

fused.set_params(flow__gamma1=0.3, flow__stream_weight=0.65, rgb__stream_weight=0.35)

# %%
# Both streams show the same events, each with its own noise. The example compares each stream by
# itself, the two fused, and one localizer on all columns, with little noise and with much. Results
# depend on the seed, so there are three. Each makes different videos and other models.

NAMES = ["rgb", "flow", "fused", "one for all"]
NOISE = [0.5, 1.0]
maps = np.empty((len(NOISE), len(NAMES), 3))
for seed in range(3):
    fused.set_params(rgb__random_state=seed, flow__random_state=seed)
    one = clone(single).set_params(random_state=seed)
    for row, noise in enumerate(NOISE):
        X, y = make_untrimmed(120, 3, n_features=(16, 16), noise=noise, random_state=seed)
        X_train, y_train, X_test, y_test = X[:60], y[:60], X[60:], y[60:]
        fused.fit(X_train, y_train)
        of_streams = [
            fused.localizers_[name].score([x[:, columns] for x in X_test], y_test)
            for name, columns in COLUMNS.items()
        ]
        of_all = one.fit(X_train, y_train).score(X_test, y_test)
        maps[row, :, seed] = [*of_streams, fused.score(X_test, y_test), of_all]

print("mAP (%) of each of three seeds, and their mean")
for noise, of_noise in zip(NOISE, 100 * maps, strict=True):
    for name, of_seeds in zip(NAMES, of_noise, strict=True):
        cells = (f"{value:5.0f}" for value in [*of_seeds, of_seeds.mean()])
        print(f"noise {noise}  {name:<12}", *cells)

# %%
# On these videos one localizer that sees all columns is the better choice, since both streams show
# the same events. Fusion combines what is found and not what is seen: where both streams find the
# actions, the fused detections are about as good as those of the better stream, or better. But each
# stream is trained alone, and this method's training fails for some seeds. For the first one, flow
# finds hardly anything, and its proposals push those of RGB aside. With much noise a stream by
# itself trains a poor localizer, and fusion comes too late.
#
# So look at the score of each stream before you fuse, and leave a bad one out. Fuse streams that
# cannot be trained together, such as the two checkpoints of a published model.

figure, axes = plt.subplots(
    1, 2, figsize=(5.5, 2.6), sharex=True, sharey=True, layout="constrained"
)
for ax, noise, of_noise in zip(axes, NOISE, 100 * maps, strict=True):
    ax.barh(NAMES, of_noise.mean(axis=1), color="#56B4E9", label="mean of three seeds")
    for seed, of_seed in enumerate(of_noise.T):
        label = None if seed else "one seed"
        ax.plot(of_seed, NAMES, "ok", markersize=4, label=label, clip_on=False)
    ax.set_title(f"noise {noise}", loc="left", fontsize="medium")
    ax.set_xlim(0, 100)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
figure.supxlabel("mAP (%), mean over tIoU 0.1 to 0.7", fontsize="medium")
_ = figure.legend(
    *ax.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False
)
