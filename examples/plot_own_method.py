r"""
A method of your own
====================

You have an idea of how to learn from weak labels. Write it down as a class of 36 lines, and compare
it with other methods.
"""

import math
from numbers import Real

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.special import expit
from sklearn.base import clone
from sklearn.utils._param_validation import Interval
from torch import nn

from skdgam import DGAMLocalizer, losses
from skdgam.base import BaseLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.methods import MILLocalizer
from skdgam.training.protocol import Stage

# %%
# The idea of this example is about pooling: how the logits of all snippets become those of their
# video. The maximum learns from one snippet alone, so that it may find no more than that. The mean
# learns from all of them, also from background. The log-sum-exp of T snippets lies between both,
#
# .. math:: s_c = \frac{1}{r} \log \Bigl( \frac{1}{T} \sum_{t=1}^{T} e^{r s_{tc}} \Bigr),
#
# near the mean for a small r, and near the maximum for a large one.


def log_sum_exp(logits, r):
    """Pool the logits (n_snippets, n_classes) of a video."""
    return ((r * logits).logsumexp(dim=0) - math.log(len(logits))) / r


# %%
# A method is a class with a network, losses, and the probability of each class in a video. Its
# parameters are class attributes. :doc:`How to write one <../new_method>` explains each part. All
# the rest comes from the base class: checks, training, localization, files, the command line.


class LogSumExpLocalizer(BaseLocalizer):
    """Multiple-instance learning by log-sum-exp."""

    r: float = 2.0
    learning_rate: float = 4e-3
    localization: str = "activation"

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "r": [Interval(Real, 0, None, closed="neither")],
    }

    class _network(nn.Module):
        reach = 3  # snippets to each side that it looks at

        def __init__(self, n_features, n_classes):
            super().__init__()
            self.body = TemporalConv(n_features, 64, self.reach)
            self.classifier = Linear(64, n_classes)

        def forward(self, batch):
            hidden = batch.dropout(self.body(batch.x, batch).relu(), 0.5)
            logits = self.classifier(hidden).float()
            return logits.amax(dim=1).sigmoid(), logits  # attention, and logits of each snippet

    def _stages(self):
        return [Stage("network", ("",), self._losses)]

    def _losses(self, network, batch):
        _, logits = network(batch)
        pooled = [log_sum_exp(of_video, self.r) for of_video in batch.of_videos(logits)]
        loss = losses.multilabel_loss(torch.stack(pooled), batch.labels)
        return {"classification": (1.0, batch.mean_of_videos(loss))}

    def _activation(self, network, attention, logits):
        pooled = log_sum_exp(torch.from_numpy(logits), self.r).numpy()
        return Activation(attention, logits, np.zeros(len(pooled)), expit(pooled))


# %%
# It is compared with the default and with two ways of pooling that skdgam has. Results depend on
# the seed, so there are three. Each makes other videos, 20 to train on and 20 to test on. In these
# videos nothing but the action shows its class (``context=0``), since no pooling can tell an action
# from context that shows the class as well.

METHODS = {
    "default (DGAM)": DGAMLocalizer(),
    "top-k": MILLocalizer(),
    "attention": MILLocalizer(pooling="attention"),
    "log-sum-exp": LogSumExpLocalizer(),
}
SETTINGS = {
    "snippet_seconds": 1.28,
    "max_epochs": 32,
    "batch_size": 5,
    "tiou_thresholds": np.arange(1, 8) / 10,
}
maps = np.empty((len(METHODS), 3))
for seed in range(3):
    X, y = make_untrimmed(40, 3, 16, context=0.0, snippet_seconds=1.28, random_state=seed)
    for row, method in enumerate(METHODS.values()):
        model = clone(method).set_params(**SETTINGS, random_state=seed)
        maps[row, seed] = 100 * model.fit(X[:20], y[:20]).score(X[20:], y[20:])

print("mAP (%) of each of three seeds, and their mean")
for name, of_seeds in zip(METHODS, maps, strict=True):
    print(f"{name:<15}", *(f"{value:5.1f}" for value in [*of_seeds, of_seeds.mean()]))

# %%
# By their means, the idea does as well as the default, and better than top-k pooling. But seeds
# differ by more than methods do: top-k has the best result of all for one seed, and poor ones for
# the others. So look at every seed before you believe a mean. Before you choose, take more seeds,
# train longer, and take real recordings: :doc:`benchmarks <../benchmarks>` show another order.

figure, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
ax.barh([*METHODS], maps.mean(axis=1), height=0.6, color="#56B4E9", label="mean of three seeds")
for seed, of_seed in enumerate(maps.T):
    label = None if seed else "one seed"
    ax.plot(of_seed, [*METHODS], "ok", markersize=4, label=label, clip_on=False)
ax.set(xlabel="mAP (%), mean over tIoU 0.1 to 0.7", xlim=(0, 100))
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)
_ = figure.legend(loc="outside upper right", ncols=2, frameon=False)
