"""
What the generative part sees
=============================

The context of an action often shows its class as clearly as the action does, so a classifier
confuses the two. But they look different, and a conditional VAE (CVAE) notices the difference.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed

# %%
# In these videos each action has context on both sides, with the same evidence of the class, but
# without an appearance that all actions share. One model is trained without the generative part
# (γ₁ = 0), one with it. (Batches are smaller than usual, which saves time here.)

X, y = make_untrimmed(n_videos=100, n_classes=3, random_state=0)
X_train, y_train, X_test, y_test = X[:50], y[:50], X[50:], y[50:]
without = DGAMLocalizer(gamma1=0.0, batch_size=8, random_state=0).fit(X_train, y_train)
full = DGAMLocalizer(batch_size=8, random_state=0).fit(X_train, y_train)
models = {"without CVAE": without, "with CVAE": full}
for name, model in models.items():
    print(f"{name:<12}  mAP {model.score(X_test, y_test):.2f}")

# %%
# In made-up videos we know what each snippet shows. Only the length of the context is not certain:
# it is between 0.3 times and once the length of the action. Snippets in this range are left out.


def kinds_of(n_snippets, intervals):
    """Name what each snippet shows by its distance from the actions; "" is not certain."""
    middle = full.clock.seconds * (np.arange(n_snippets)[:, None] + 0.5)
    distance = np.maximum(intervals["start"] - middle, middle - intervals["end"])
    length = intervals["end"] - intervals["start"]
    is_kind = {
        "action": (distance < 0).any(axis=1),
        "context": (distance < 0.3 * length).any(axis=1),
        "background": (distance > length).all(axis=1),
    }
    return np.select(list(is_kind.values()), list(is_kind), default="")


kinds = np.concatenate([kinds_of(len(x), i) for x, i in zip(X_test, y_test, strict=True)])
print(f"{'mean attention':<16} {'action':>8} {'context':>8} {'background':>11}")
for name, model in models.items():
    attention = np.concatenate(model.attention(X_test))
    of_kind = [attention[kinds == kind].mean() for kind in ("action", "context", "background")]
    print("{:<16} {:8.2f} {:8.2f} {:11.2f}".format(name, *of_kind))

# %%
# Both attend to actions equally. Without the CVAE, most of the context is taken for action; with
# it, hardly any.
#
# The picture shows one test video. The third row shows how far each snippet is from what the
# decoder expects for its attention. A single snippet says little here; the last picture shows many.
# (Without γ₁ the decoder is not trained.)

video = 2
x, intervals = X_test[video], y_test[video]
curves = {f"attention,\n{name}": model.attention([x])[0] for name, model in models.items()}
curves["reconstruction\nerror"] = full.reconstruction_error([x])[0]
seconds = full.clock.seconds * np.arange(len(x) + 1)

figure, axes = plt.subplots(3, figsize=(5.5, 4.5), sharex=True, layout="constrained")
for ax, (name, values) in zip(axes, curves.items(), strict=True):
    spans = {}
    for start, end, _ in intervals:
        beside = 0.3 * (end - start)
        for a, b in [(start - beside, start), (end, end + beside)]:
            spans["the nearest context"] = ax.axvspan(a, b, color="#F6DDA8", linewidth=0)
        spans["action"] = ax.axvspan(start, end, color="#8FBBDD", linewidth=0)
    ax.stairs(values, seconds, color="black")
    ax.set(ylabel=name, xlim=(0, seconds[-1]), ylim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)
axes[-1].set_xlabel("time (s)")
figure.legend(spans.values(), spans, loc="outside upper center", ncols=2, frameon=False)
figure.align_ylabels()

# %%
# The last picture shows all snippets of the test videos; attention that is nearer to 0 or 1 than
# 0.0001 is drawn there, on a line at the edge. Where attention is high, the decoder
# expects an action, and its error is lower for actions than for context. So the reconstruction loss
# draws attention away from context.

attention = np.concatenate(full.attention(X_test)).clip(1e-4, 1 - 1e-4)
error = np.concatenate(full.reconstruction_error(X_test))
figure, axes = plt.subplots(3, figsize=(5.5, 5.5), sharex=True, sharey=True, layout="constrained")
for ax, kind in zip(axes, ["action", "context", "background"], strict=True):
    chosen = kinds == kind
    ax.scatter(attention[chosen], error[chosen], s=4, color="#0072B2", linewidths=0)
    ax.set_title(kind, loc="left", fontsize="medium")
    ax.set(xscale="logit", xlim=(5e-5, 1 - 5e-5))
    ax.set_xticks([0.001, 0.1, 0.9, 0.999], ["0.001", "0.1", "0.9", "0.999"])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[1].set_ylabel("reconstruction error")
axes[2].set_xlabel("attention λ (logit scale)")

print(f"{'mean error':<16} {'action':>8} {'context':>8}")
for name, chosen in {
    "attention < 0.1": attention < 0.1,
    "attention > 0.9": attention > 0.9,
}.items():
    of_kind = [error[chosen & (kinds == kind)] for kind in ("action", "context")]
    cells = [f"{errors.mean():.2f}" if len(errors) else "none" for errors in of_kind]
    print("{:<16} {:>8} {:>8}".format(name, *cells))
