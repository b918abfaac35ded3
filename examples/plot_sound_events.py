"""
Sound events in a folder of recordings
======================================

Somebody has noted what can be heard in each recording: a beep, a bird, knocks, or none of them. A
model that is told no more finds when each of them sounds.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from scipy.signal import lfilter

from skdgam import DGAMLocalizer
from skdgam.features.sound import SoundFeatures
from skdgam.metrics import event_f1
from skdgam.plotting import LocalizationDisplay

# %%
# The recordings are made up. A beep is a row of short tones, a bird repeats a syllable that rises
# or falls by an octave, and knocks are low and die away. No two are the same. A recording is noise,
# in which up to two of the three kinds occur, up to three times each.

RATE = 16_000
SECONDS = 10.0
rng = np.random.default_rng(0)


def repeated(sound, pause, n):
    return np.concatenate([sound, np.zeros(round(pause * RATE))] * n)[: -round(pause * RATE)]


def beep():
    time = np.arange(rng.uniform(0.15, 0.3) * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * rng.uniform(900, 1300) * time)
    return repeated(tone, pause=0.1, n=rng.integers(2, 5))


def bird():
    progress = np.linspace(0, 1, round(rng.uniform(0.08, 0.15) * RATE))
    hertz = rng.uniform(2000, 3000) * 2 ** (progress if rng.random() < 0.5 else 1 - progress)
    syllable = np.sin(2 * np.pi * hertz.cumsum() / RATE) * np.sin(np.pi * progress)
    return repeated(syllable, pause=rng.uniform(0.05, 0.12), n=rng.integers(3, 7))


def knock():
    time = np.arange(0.15 * RATE) / RATE
    blow = np.sin(2 * np.pi * rng.uniform(150, 300) * time) * np.exp(-time / 0.04)
    return repeated(blow, pause=0.05, n=rng.integers(2, 5))


def record(path):
    """Write a recording, and return what is in it."""
    hiss = rng.uniform(0.003, 0.01) * rng.normal(size=round(SECONDS * RATE))
    signal = hiss + lfilter([0.2], [1, -0.95], hiss)  # the louder the lower
    events = []
    for make in rng.choice([beep, bird, knock], rng.integers(0, 3), replace=False):
        for _ in range(rng.integers(1, 4)):
            sound = rng.uniform(0.05, 0.3) * make()
            first = rng.integers(len(signal) - len(sound))
            start, end = first / RATE, (first + len(sound)) / RATE
            if all(end + 0.2 < other[0] or start > other[1] + 0.2 for other in events):
                signal[first : first + len(sound)] += sound
                events.append((start, end, make.__name__))
    soundfile.write(path, signal, RATE)
    return events


folder = Path(tempfile.mkdtemp())
events = [record(folder / f"{i:03d}.wav") for i in range(100)]

# %%
# From here on, all is as for recordings of your own: a folder of .wav, .flac, .ogg or .mp3, and the
# labels of each. :func:`skdgam.formats.read_labels` reads them from a table.

files = sorted(folder.glob("*.wav"))
labels = [sorted({label for _, _, label in recording}) for recording in events]
for file, heard in zip(files[:4], labels[:4], strict=True):
    print(file.name, *heard)

# %%
# A snippet is a tenth of a second: the power in 64 mel bands, from low to high. ``fmin``, ``rate``
# and ``snippet_seconds`` fit this to your sounds.

sounds = SoundFeatures()
X = sounds.transform(files)

shown = next(i for i, heard in enumerate(labels) if len(heard) == 2)
figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
ax.imshow(X[shown].T, origin="lower", aspect="auto", cmap="magma", extent=(0, SECONDS, 0, 64))
for start, end, label in events[shown]:
    ax.axvspan(start, end, ymin=0.94, color="white")
    ax.text(start, 57, label, color="white", va="top")
ax.set(xlabel="time (s)", ylabel="mel band")

# %%
# The model trains on labels alone. ``snippet_times`` tells it when a snippet is. By default it also
# looks at three snippets to each side, and so may hear a sound 0.3 s too early. These sounds are
# short, and a snippet of them can be told by itself: ``temporal_context=0`` finds where they start
# and end. It is worth a try wherever events last about a second. ``max_epochs=60`` is only here to
# be quick; leave it out.

model = DGAMLocalizer(**sounds.snippet_times(), temporal_context=0, max_epochs=60, random_state=0)
model.fit(X[:60], labels[:60])

# %%
# In forty other recordings, an event counts as found if both its start and its end are right to 0.2
# s, or the end to a fifth of its length: F1 of events, as sound event detection is evaluated. mAP
# asks for half of the time in common, and how well detections are ranked. Among recordings that
# other random numbers make, F1 was 0.76 to 0.92.

detections = model.predict(X[60:])
scores = event_f1(events[60:], detections)
print(f"F1 of events: {scores.f1:.2f}")
print(*(f"  {label}: {f1:.2f}" for label, f1 in scores.class_f1.items()), sep="\n")
print(f"mAP at tIoU 0.5: {model.score(X[60:], events[60:]):.2f}")

# %%
# Two of them, with what is found below what is true:

both = [i for i in range(60, 100) if len(labels[i]) == 2][:2]
display = LocalizationDisplay.from_estimator(
    model,
    [X[i] for i in both],
    [events[i] for i in both],
    videos=[0, 1],
    names=[files[i].stem for i in both],
)
