"""
Actions in a folder of videos
=============================

Somebody has noted what can be seen in each video: a bounce, a spin, both, or neither. A model that
is told no more finds when it happens, although some of what is seen beside it is always the same.
"""

import tempfile
from pathlib import Path

import av
import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import FeatureFolder
from skdgam.features.backbones import Backbone
from skdgam.features.frames import read_frames
from skdgam.features.video import VideoFeatures
from skdgam.plotting import LocalizationDisplay

# %%
# The videos are made up: a ball rests on the ground. Now and then it bounces up and down, or turns
# around its place. Before and after a bounce a lamp is lit, which is context: it goes with the
# action, and is no part of it.

FPS, SECONDS, SIDE = 25, 16.0, 64
rng = np.random.default_rng(0)
rows, columns = np.mgrid[:SIDE, :SIDE]


def film(path):
    """Write a video, and return what is in it."""
    n = round(SECONDS * FPS)
    x, y, lamp = np.full(n, 32.0), np.full(n, 48.0), np.zeros(n, dtype=bool)
    events = []
    for name in rng.choice(["bounce", "spin"], rng.integers(0, 3), replace=False):
        for _ in range(rng.integers(1, 3)):
            first, length = rng.integers(30, n - 110), rng.integers(40, 80)
            last = first + length
            if any(first < other[1] * FPS + 40 and last > other[0] * FPS - 40 for other in events):
                continue
            phase = np.arange(length) / FPS * 2 * np.pi * rng.uniform(0.8, 1.2)
            if name == "bounce":
                y[first:last] -= 30 * np.abs(np.sin(phase))
                lamp[max(first - 25, 0) : first] = lamp[last : last + 25] = True
            else:
                x[first:last] += 16 * np.sin(phase)
                y[first:last] -= 16 * (1 - np.cos(phase)) / 2
            events.append((first / FPS, last / FPS, str(name)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for i in range(n):
            image = rng.integers(0, 30, (SIDE, SIDE, 3), dtype=np.uint8)
            image[(columns - x[i]) ** 2 + (rows - y[i]) ** 2 < 36] = (220, 160, 40)
            if lamp[i]:
                image[4:12, 4:12] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return events


folder = Path(tempfile.mkdtemp())
events = [film(folder / f"{i:02d}.mp4") for i in range(48)]
labels = [sorted({label for _, _, label in video}) for video in events]

# %%
# A few frames of one, 0.4 s apart. :func:`skdgam.features.frames.read_frames` shows any
# video at a steady rate, by the times that its file gives to its frames.

files = sorted(folder.glob("*.mp4"))
shown = next(i for i, seen in enumerate(labels) if seen == ["bounce"])
frames = list(read_frames(files[shown], fps=2.5, resize=None))
first = round(events[shown][0][0] * 2.5) - 2
figure, axes = plt.subplots(1, 8, figsize=(8, 1.4), layout="constrained")
for i, ax in enumerate(axes, start=first):
    ax.imshow(frames[i])
    ax.set(title=f"{i / 2.5:.1f} s", xticks=[], yticks=[])

# %%
# What describes a snippet here is a function of ten lines: how bright each part of the picture is,
# and how much it changes from frame to frame. For videos of your own take a network instead, such
# as ``VideoFeatures(weights="rgb_imagenet.pt")``, which is I3D, as in the paper; `Features
# <../features.html>`_ has more.


def describe(snippets):
    """Features (n, 128) of uint8 snippets (n, frames, 64, 64, 3)."""
    grey = snippets.mean(axis=4) / 255
    parts = grey.reshape(len(grey), -1, 8, 8, 8, 8).mean(axis=(3, 5))  # (n, frames, 8, 8)
    change = np.abs(np.diff(parts, axis=1)).mean(axis=1)
    return np.concatenate([parts.mean(axis=1), change], axis=1).reshape(len(grey), -1)


videos = VideoFeatures(Backbone(describe, frames=8, fps=FPS, resize=None, crop=SIDE), n_jobs=2)

# %%
# Features stay on disk, beside a file that says how they were made. So the model knows that a
# snippet is 0.32 s long.

videos.to_folder(files, folder / "features")
X = FeatureFolder(folder / "features")
model = DGAMLocalizer(max_epochs=60, random_state=0).fit(X[:32], labels[:32])
print(model.clock)

# %%
# In sixteen other videos, of which the model has seen nothing. Among videos that other random
# numbers make, mAP was 0.89 to 0.99.

print(f"mAP at tIoU 0.5: {model.score(X[32:], events[32:]):.2f}")
both = [i for i in range(32, 48) if len(labels[i]) == 2][:2]
display = LocalizationDisplay.from_estimator(
    model,
    X[both],
    [events[i] for i in both],
    videos=[0, 1],
    names=[files[i].stem for i in both],
)
