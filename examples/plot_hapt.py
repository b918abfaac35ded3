"""
Real recordings of a phone
==========================

HAPT: 30 people with a phone at the waist, whose accelerometer and gyroscope are read as they walk,
climb stairs, sit down, lie down and get up. The labels of each recording, of about 55 s, train a
model; it is tested on people that it has not met.

The data do not come with the package: get "Smartphone-Based Recognition of Human Activities and
Postural Transitions" from the UCI Machine Learning Repository (https://doi.org/10.24432/C54G7M; not
for commercial use), and set the environment variable ``HAPT`` to the path of its zip archive.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer
from skdgam.datasets import load_hapt
from skdgam.metrics import average_precision
from skdgam.plotting import LocalizationDisplay
from skdgam.preprocessing import SnippetTransformer
from skdgam.presets import SENSORS

path = os.environ.get("HAPT")
if not path:
    print("HAPT is not set, so nothing is shown here: it would be the path of the zip archive.")

# %%
# A snippet is a window of 1.28 s, one every 0.32 s, with 44 features of each sensor.

if path:
    train, test = (load_hapt(path, subset=subset) for subset in ("train", "test"))
    for name, data in {"train": train, "test": test}.items():
        people = np.unique(data.groups)
        print(f"{name:<5}  {len(data.features)} recordings of {len(people)} people")
    print("labels of the first recording:", ", ".join(train.labels[0]))

# %%
# A snippet says little by itself. The preset ``SENSORS`` looks at ten more to each side; it has 150
# epochs, of which 20 will do here. Columns differ in scale, so they are standardised first.

if path:
    localizer = DGAMLocalizer(
        **SENSORS | {"max_epochs": 20, "warmup_epochs": 5},
        snippet_seconds=train.snippet_seconds,
        snippet_offset=train.snippet_offset,
        random_state=0,
    )
    model = make_pipeline(SnippetTransformer(StandardScaler()), localizer)
    model.fit(train.features, train.labels)
    detections = model.predict(test.features)

# %%
# How well each action is found: bars are average precision at a tIoU of 0.5, dots at 0.1. Where a
# dot is far from its bar, an action is found, but not where it begins and ends. *Lie to stand* is
# the worst: people walk off right after it, which is not labelled, and is taken for a part of it.

if path:
    actions = model.classes_
    loose, strict = average_precision(test.annotations, detections, [0.1, 0.5], classes=actions).T
    print(f"mAP at tIoU 0.1: {loose.mean():.2f}, at 0.5: {strict.mean():.2f}")

    figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    order = np.argsort(strict)
    ax.barh(actions[order], 100 * strict[order], color="#56B4E9", label="tIoU 0.5")
    ax.plot(100 * loose[order], actions[order], "o", color="black", label="tIoU 0.1")
    ax.set(xlabel="average precision (%)", xlim=(0, 100))
    ax.legend(loc="lower right", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Two recordings of a person in the test. In the second, *lie to stand* begins on time, and goes on
# too long. Attention and activation need the features as the first step of the pipeline makes them.

if path:
    display = LocalizationDisplay.from_estimator(
        model[-1],
        model[:-1].transform(test.features),
        test.annotations,
        videos=[8, 9],
        names=test.names,
    )
