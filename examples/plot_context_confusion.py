"""
What the generative part is for
===============================

A classifier is content with any evidence of a class, also with the context beside an action: the
pool, the run-up, the crowd. The conditional VAE asks whether snippets *look* as snippets of such
attention do, and context does not look like action.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed

# %%
# The same method without (γ₁ = 0) and with its generative part.

X, y = make_untrimmed(n_videos=120, n_classes=3, random_state=1)
X_train, y_train, X_test, y_test = X[:80], y[:80], X[80:], y[80:]
without = DGAMLocalizer(gamma1=0.0, max_epochs=100, warmup_epochs=20, random_state=0).fit(
    X_train, y_train
)
model = DGAMLocalizer(max_epochs=100, warmup_epochs=20, random_state=0).fit(X_train, y_train)
for name, localizer in {"without": without, "with": model}.items():
    print(f"{name} the generative part: mAP {localizer.score(X_test, y_test):.2f}")

# %%
# What each snippet is, is known here: action, context (as long as the action, on either side of it
# half), or background.


def kind(n_snippets, intervals, hop=0.64):
    """0 for background, 1 for context, 2 for action."""
    middle = (np.arange(n_snippets) + 0.5) * hop
    kinds = np.zeros(n_snippets, dtype=int)
    for start, end, _ in intervals:
        beside = (end - start) / 2
        near = (middle > start - beside) & (middle < end + beside)
        kinds[near] = np.maximum(kinds[near], 1)
    for start, end, _ in intervals:
        kinds[(middle > start) & (middle < end)] = 2
    return kinds


kinds = [kind(len(video), intervals) for video, intervals in zip(X_test, y_test, strict=True)]

# %%
# Attention over one video. Grey is the true action, light grey its surroundings.

video = 2
figure, axes = plt.subplots(2, sharex=True, figsize=(9, 4), layout="constrained")
seconds = (np.arange(len(X_test[video])) + 0.5) * model.snippet_seconds
for ax, (name, localizer) in zip(axes, {"without": without, "with": model}.items(), strict=True):
    for at_least, shade in ((1, "0.92"), (2, "0.75")):
        ax.fill_between(seconds, kinds[video] >= at_least, step="mid", color=shade)
    (attention,) = localizer.attention(X_test[video : video + 1])
    ax.step(seconds, attention, where="mid", color="#0072B2")
    ax.set(ylabel="attention λ", ylim=(0, 1.02))
    ax.set_title(f"{name} the generative part", loc="left", fontsize=10)
axes[-1].set(xlabel="time (s)", xlim=(0, seconds[-1]))

# %%
# What the trained CVAE sees: the error of reconstructing each snippet from its attention alone.

error = np.concatenate(model.reconstruction_error(X_test))
attention = np.concatenate(model.attention(X_test))
of_kind = np.concatenate(kinds)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for value, (name, color) in enumerate(
    [("background", "0.7"), ("context", "#E69F00"), ("action", "#0072B2")]
):
    chosen = of_kind == value
    ax.scatter(attention[chosen], error[chosen], 5, color, label=name, alpha=0.5, linewidths=0)
ax.set(xlabel="attention λ", ylabel="reconstruction error")
ax.legend(markerscale=3, frameon=False)

# %%
# Where attention is high, context is reconstructed worse than action. To raise its attention costs,
# and so it is given less of it:

for name, value in {"context": 1, "action": 2}.items():
    of_high = error[(of_kind == value) & (attention > 0.9)]
    print(f"{name} with λ > 0.9: mean error {of_high.mean():.2f}")
print("\nmean attention   background  context  action")
for name, localizer in {"without": without, "with": model}.items():
    attention = np.concatenate(localizer.attention(X_test))
    means = [attention[of_kind == value].mean() for value in range(3)]
    print(f"{name:<16} {means[0]:10.2f} {means[1]:8.2f} {means[2]:7.2f}")
