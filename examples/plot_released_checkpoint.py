"""
Open a checkpoint of the released implementation
================================================

skdgam can localize with weights that the program of the paper's authors has trained.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.plotting import LocalizationDisplay
from skdgam.presets import THUMOS14_FLOW, THUMOS14_RGB

# %%
# A released checkpoint is a ``.pth`` file of one stream with 1,024 features. This package contains
# none. So this example first writes two files of the same layout, with 16 features each. They hold
# the weights of a small model that was trained on made-up videos.

X, y = make_untrimmed(n_videos=120, n_classes=3, n_features=(16, 16), random_state=0)
X_train, y_train, X_test, y_test = X[:60], y[:60], X[60:], y[60:]
COLUMNS = {"rgb": slice(0, 16), "flow": slice(16, 32)}
settings = {"max_epochs": 60, "warmup_epochs": 20, "n_snippets": 100, "learning_rate": 5e-3}
trained = MultiStreamLocalizer(
    [
        ("rgb", DGAMLocalizer(**THUMOS14_RGB | settings, random_state=1), COLUMNS["rgb"]),
        ("flow", DGAMLocalizer(**THUMOS14_FLOW | settings, random_state=1), COLUMNS["flow"]),
    ]
).fit(X_train, y_train)

LAYERS = {
    "att_head.fc1": "attention_head.0",
    "att_head.fc2": "attention_head.2",
    "clf_head.fc1": "classifier",
}
folder = tempfile.TemporaryDirectory()
for name, localizer in trained.localizers_.items():
    state = {
        f"{theirs}.{part}": torch.from_numpy(localizer.weights_[f"{ours}.{part}"])
        for theirs, ours in LAYERS.items()
        for part in ("weight", "bias")
    }
    torch.save(state, Path(folder.name) / f"{name}.pth")
for name, value in state.items():
    print(f"{name:<19} {tuple(value.shape)}")

# %%
# From here on, everything works as with a real checkpoint. The file contains no labels: give them
# in the order of the classifier's outputs, without the last one, which is background. It contains
# no settings for localization either; the presets hold those of the authors. Opening the file
# executes nothing in it.

CLASSES = ["action 0", "action 1", "action 2"]
rgb, flow = (
    DGAMLocalizer.from_released(Path(folder.name) / f"{name}.pth", CLASSES, **preset)
    for name, preset in {"rgb": THUMOS14_RGB, "flow": THUMOS14_FLOW}.items()
)
folder.cleanup()

# %%
# ``from_fitted`` combines fitted streams without training.

two_streams = MultiStreamLocalizer.from_fitted(
    [("rgb", rgb, COLUMNS["rgb"]), ("flow", flow, COLUMNS["flow"])]
)
detections = two_streams.predict(X_test)
same = all(map(np.array_equal, detections, trained.predict(X_test)))
print(f"All detections equal those of the original model: {same}")
print(f"mAP at tIoU 0.5: {two_streams.score(X_test, y_test):.2f}")
scores = np.concatenate(detections)["score"]
print(f"scores: {scores.min():.2f} to {scores.max():.2f}")

# %%
# The score of the authors' localization is a contrast: class activation within the interval, less η
# times the activation right beside it. It ranks detections, and is no probability. Where what lies
# beside an interval is as active as the interval, the score is near 0 or negative. The picture
# shows two videos; the lightest bars are such guesses.

display = LocalizationDisplay.from_estimator(two_streams, X_test, y_test, videos=[0, 2])

# %%
# Only training needs the generative part, and ``from_released`` does not read it, so
# ``reconstruction_error`` is not available. With ``warm_start=True``, ``fit`` continues from these
# weights with a new generative part; otherwise it starts anew.
