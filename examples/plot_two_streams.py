"""
Two streams
===========

RGB and optical flow, accelerometer and gyroscope: two looks at the same recording, with a
localizer each, that score each other's proposals.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.metrics import mean_average_precision

# %%
# The streams lie side by side in the columns. Here the same happens in both, under noise of their
# own.

X, y = make_untrimmed(n_videos=120, n_classes=3, n_features=(16, 16), random_state=3)
X_train, y_train, X_test, y_test = X[:80], y[:80], X[80:], y[80:]
columns = {"rgb": slice(0, 16), "flow": slice(16, 32)}
two_streams = MultiStreamLocalizer(
    [
        (name, DGAMLocalizer(max_epochs=100, warmup_epochs=20, random_state=0), of_stream)
        for name, of_stream in columns.items()
    ]
)

# %%
# Parameters of a stream are reached by its name, in a grid search as well. ``stream_weight`` (ρ) is
# the share of the stream itself in the score of its proposals.

two_streams.set_params(rgb__alpha=0.05, rgb__stream_weight=0.4)
two_streams.fit(X_train, y_train)

# %%
# After fitting, ``localizers_`` has each stream by itself.

TIOU = np.arange(1, 8) / 10
curves = {
    name: mean_average_precision(y_test, model.predict([x[:, columns[name]] for x in X_test]), TIOU)
    for name, model in two_streams.localizers_.items()
}
curves["both"] = mean_average_precision(y_test, two_streams.predict(X_test), TIOU)
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for (name, curve), color, marker in zip(
    curves.items(), ["#E69F00", "#56B4E9", "black"], "sdo", strict=True
):
    ax.plot(TIOU, 100 * curve, f"{marker}-", color=color, label=name)
    print(f"{name:<5} mean mAP {100 * curve.mean():.0f}")
ax.set(xlabel="tIoU", ylabel="mAP (%)", ylim=(0, None))
ax.legend(frameon=False)

# %%
# Which stream is the better one is not known beforehand, and differs from class to class. Together
# they come near the better one here, and spare the choice.
