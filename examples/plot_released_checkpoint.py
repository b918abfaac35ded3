"""
A checkpoint of the released implementation
===========================================

Weights that were trained by the paper's released code localize here as they do there.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.presets import THUMOS14_FLOW, THUMOS14_RGB

# %%
# Such a checkpoint is a ``.pth`` file of one stream. None can come with this package, so one of the
# same layout is written here, from a localizer that was trained on videos that are made up: 20
# epochs in each of two streams.

X, y = make_untrimmed(n_videos=40, n_classes=2, n_features=(16, 16), random_state=0)
columns = {"rgb": slice(0, 16), "flow": slice(16, 32)}
folder = Path(tempfile.mkdtemp())
names = {
    "attention_head.0": "att_head.fc1",
    "attention_head.2": "att_head.fc2",
    "classifier": "clf_head.fc1",
}
trained = {}
for stream, of_stream in columns.items():
    trained[stream] = DGAMLocalizer(max_epochs=20, warmup_epochs=5, random_state=0)
    weights = trained[stream].fit([x[:, of_stream] for x in X], y).weights_
    state = {
        f"{theirs}.{kind}": torch.tensor(weights[f"{ours}.{kind}"])
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }
    torch.save(state, folder / f"{stream}.pth")

# %%
# The file says nothing of classes: they are named in the order of the classifier's outputs, of
# which background is the last. Nothing but tensors is read from it, so that one from a stranger
# can do no harm. The preset holds how the released code localizes.

classes = ["action 0", "action 1"]
rgb = DGAMLocalizer.from_released(folder / "rgb.pth", classes, **THUMOS14_RGB)
flow = DGAMLocalizer.from_released(folder / "flow.pth", classes, **THUMOS14_FLOW)
rgb.predict([X[0][:, columns["rgb"]]])[0][:3]

# %%
# Streams that are fitted are put together without training.

two_streams = MultiStreamLocalizer.from_fitted(
    [("rgb", rgb, columns["rgb"]), ("flow", flow, columns["flow"])]
)
two_streams.predict(X[:1])[0][:3]

# %%
# Attention is, of course, what it was in the model that the file was made of.

np.testing.assert_array_equal(
    rgb.attention([X[0][:, columns["rgb"]]])[0],
    trained["rgb"].attention([X[0][:, columns["rgb"]]])[0],
)
