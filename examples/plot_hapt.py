"""
Real recordings of a phone
==========================

In the HAPT data set, 30 people wear a phone at the waist. Its accelerometer and gyroscope record
how they walk, climb stairs, sit down, lie down and get up. A model is trained on the labels of each
recording of about 55 s, and tested on people whom it has not seen.

The package does not contain the data: get "Smartphone-Based Recognition of Human Activities and
Postural Transitions" from the UCI Machine Learning Repository (https://doi.org/10.24432/C54G7M; not
for commercial use), and set the environment variable ``HAPT`` to the path of its zip archive.
"""

import os

import matplotlib.pyplot as plt
import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import load_hapt
from skdgam.metrics import average_precision
from skdgam.plotting import LocalizationDisplay

path = os.environ.get("HAPT")
if not path:
    print("Set HAPT to the path of the zip archive to run this example.")

# %%
# A snippet is a window of 1.28 s, one every 0.32 s, with 44 features of each sensor.

if path:
    train, test = (load_hapt(path, subset=subset) for subset in ("train", "test"))
    for name, data in {"train": train, "test": test}.items():
        people = np.unique(data.groups)
        print(f"{name:<5}  {len(data.features)} recordings of {len(people)} people")
    print("labels of the first recording:", ", ".join(train.labels[0]))

# %%
# All that the model has to be told is the time of a snippet. Everything else is at its default.

if path:
    model = DGAMLocalizer(
        snippet_seconds=train.snippet_seconds,
        snippet_offset=train.snippet_offset,
        random_state=0,
    )
    model.fit(train.features, train.labels)
    detections = model.predict(test.features)

# %%
# The picture shows how well each action is found. Bars are average precision at a tIoU of 0.5, dots
# at 0.1. Where a dot is far from its bar, an action is found, but its start or end is not. *Stand
# to sit* is the worst.

if path:
    actions = model.classes_
    loose, strict = average_precision(test.annotations, detections, [0.1, 0.5], classes=actions).T
    print(f"mAP at tIoU 0.1: {loose.mean():.2f}, at 0.5: {strict.mean():.2f}")

    figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
    order = np.argsort(strict)
    ax.barh(actions[order], 100 * strict[order], color="#56B4E9", label="tIoU 0.5")
    ax.plot(100 * loose[order], actions[order], "o", color="black", label="tIoU 0.1")
    ax.set(xlabel="average precision (%)", xlim=(0, 100))
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# The last picture shows two recordings of a test person. What was found with a high score is dark;
# light ones are guesses at actions that look alike, such as *sit to lie* where somebody sits up.

if path:
    display = LocalizationDisplay.from_estimator(
        model, test.features, test.annotations, videos=[8, 9], names=test.names
    )
