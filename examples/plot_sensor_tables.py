"""
A folder of tables from a wristband
===================================

Each recording of a wristband is a CSV file: a column of times, three of an accelerometer, three of
a gyroscope. It is noted which exercises were done in each, but not when. This example goes from the
files to a picture of when.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from skdgam import DGAMLocalizer
from skdgam.features.table import TableFeatures
from skdgam.plotting import LocalizationDisplay

# %%
# The recordings are made up. A wrist turns this way and that and fidgets; now and then it waves,
# twists, or lifts a weight for a while. Rows come about fifty times a second, but not evenly, and
# the gyroscope misses some.

rng = np.random.default_rng(0)
AXES = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]
# Cycles a second, and how much each axis takes part: in units of gravity, and turns a second.
EXERCISES = {
    "lift": (0.5, [0.1, 0.5, 0.3, 0.1, 0.0, 0.1]),
    "twist": (1.2, [0.1, 0.1, 0.1, 1.0, 0.1, 0.1]),
    "wave": (2.0, [0.6, 0.1, 0.2, 0.1, 0.1, 0.6]),
}


def swing(times, hertz, share):
    """Each axis swings to and fro, as much as its share."""
    phases = 2 * np.pi * (hertz * times[:, None] + rng.random(len(AXES)))
    return rng.uniform(0.3, 1.0, len(AXES)) * share * np.sin(phases)


def record(path, seconds=45.0):
    """Write a table, and return what is in it."""
    times = np.cumsum(rng.uniform(0.015, 0.025, round(seconds * 50)))
    knots = np.arange(0, times[-1] + 3, 3)  # where it turns to and moves to in between
    drift = [np.interp(times, knots, rng.normal(scale=0.3, size=len(knots))) for _ in AXES]
    signal = np.column_stack(drift) + rng.normal(scale=0.1, size=(len(times), len(AXES)))
    for start in rng.uniform(0, seconds, 6):
        fidgets = (times >= start) & (times < start + rng.uniform(0.5, 2))
        signal[fidgets] += swing(times[fidgets], rng.uniform(0.3, 4), rng.uniform(0, 1, len(AXES)))
    done = rng.choice(list(EXERCISES), rng.integers(0, 3), replace=False)
    intervals, start = [], rng.uniform(2, 10)
    while len(done) and (end := start + rng.uniform(4, 8)) < times[-1]:
        name = str(rng.choice(done))
        hertz, share = EXERCISES[name]
        during = (times >= start) & (times < end)
        signal[during] += swing(times[during], hertz * rng.uniform(0.8, 1.2), share)
        intervals.append((start, end, name))
        start = end + rng.uniform(3, 15)
    table = pd.DataFrame(signal.round(3), columns=AXES)
    table.loc[rng.random(len(table)) < 0.1, AXES[3:]] = np.nan
    table.insert(0, "time", times.round(4))
    table.to_csv(path, index=False)
    return intervals


folder = Path(tempfile.mkdtemp())
intervals = [record(folder / f"{i:02d}.csv") for i in range(70)]
files = sorted(folder.glob("*.csv"))
print(*files[0].read_text().splitlines()[:4], sep="\n")

# %%
# From here on, all is as for tables of your own; set the names of your columns, and ``time`` where
# it has another name. The axes of a sensor go together, so that ``columns`` is here
# ``[["acc_x", "acc_y", "acc_z"], ["gyro_x", "gyro_y", "gyro_z"]]``. A snippet is described by a
# window of 1.28 s, and there is one every 0.32 s.

sensors = TableFeatures(columns=[AXES[:3], AXES[3:]], rate=50, window=1.28, hop=0.32)
X = sensors.transform(files)
print("Shape of the first recording:", X[0].shape)

# %%
# Labels are all that training is told. :func:`skdgam.formats.read_labels` reads them from a table.
# ``max_epochs=60`` is only here to be quick; leave it out.

labels = [sorted({label for _, _, label in recording}) for recording in intervals]
for file, done in zip(files[:4], labels[:4], strict=True):
    print(file.name, *done)
model = DGAMLocalizer(**sensors.snippet_times(), max_epochs=60, random_state=0)
model.fit(X[:40], labels[:40])

# %%
# Thirty recordings are left to see how well it went: mAP at a tIoU of 0.5. Among recordings that
# other random numbers make, it was 0.67 to 0.75; what is missed is mostly what was done gently.

print(f"mAP: {model.score(X[40:], intervals[40:]):.2f}")

# %%
# Two of them, with what is found below what is true:

both = [i for i in range(40, 70) if len(labels[i]) == 2][:2]
display = LocalizationDisplay.from_estimator(
    model,
    [X[i] for i in both],
    [intervals[i] for i in both],
    videos=[0, 1],
    names=[files[i].stem for i in both],
)
