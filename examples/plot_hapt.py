"""
Real recordings: a phone at the waist
=====================================

HAPT: thirty people walk, climb stairs, sit down, lie down and get up, with a phone at the waist. Of
each recording of a minute it is known what its person does, not when; the test is on people that
training has not seen. The data may not be used commercially, and are no part of skdgam: get them
from https://doi.org/10.24432/C54G7M, and say in the environment where they are,
``HAPT=hapt.zip python plot_hapt.py``.
"""

import os
import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer
from skdgam.datasets import load_hapt
from skdgam.plotting import ErrorAnalysisDisplay, LocalizationDisplay
from skdgam.preprocessing import SnippetTransformer
from skdgam.presets import SENSORS

if not os.environ.get("HAPT"):
    sys.exit("HAPT is not here: set the environment variable HAPT to its path.")

# %%
# A snippet is a window of 1.28 s, one every 0.32 s, described by statistics of the accelerometer
# and the gyroscope.

train, test = (load_hapt(os.environ["HAPT"], subset=subset) for subset in ("train", "test"))
print(f"{len(train.features)} recordings, {len(np.unique(train.groups))} people to train on")
print(f"{len(test.features)} recordings, {len(np.unique(test.groups))} people to test")
train.features[0].shape, train.labels[0]

# %%
# Features of different scale are standardised. A second of a sensor says little by itself: the
# preset for sensors looks at ten snippets to each side.

model = make_pipeline(
    SnippetTransformer(StandardScaler()),
    DGAMLocalizer(
        **SENSORS,
        snippet_seconds=train.snippet_seconds,
        snippet_offset=train.snippet_offset,
        random_state=0,
    ),
).fit(train.features, train.labels)

# %%

detections = model.predict(test.features)
print(f"mAP at tIoU 0.5: {model.score(test.features, test.annotations):.2f}")
chosen = [0, len(test.names) // 2, len(test.names) - 1]
LocalizationDisplay.from_predictions(
    detections[chosen],
    [test.annotations[i] for i in chosen],
    names=[test.names[i] for i in chosen],
)

# %%
# What the errors are: mostly actions that are missed, and boundaries.

ErrorAnalysisDisplay.from_predictions(test.annotations, detections)
plt.show()
