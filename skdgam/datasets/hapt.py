"""HAPT: what people do, from the phone on their waist."""

import os
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from skdgam.features import describe, snippet_times
from skdgam.intervals import make_intervals

__all__ = ["load_hapt"]

SENSORS = ("acc", "gyro")
TEST_USERS = (2, 4, 9, 10, 12, 13, 18, 20, 24)
# Sitting, standing and lying (4, 5 and 6), and unlabelled time, are the background.
ACTIONS = {
    1: "walking",
    2: "walking upstairs",
    3: "walking downstairs",
    7: "stand to sit",
    8: "sit to stand",
    9: "sit to lie",
    10: "lie to sit",
    11: "stand to lie",
    12: "lie to stand",
}

RATE = 50  # samples a second
WINDOWS = {"rate": RATE, "window": 1.28, "hop": 0.32}  # of snippets, in seconds
PIECE = 55 * RATE  # samples of a piece that recordings are cut into, about
MARGIN = 32  # samples between a cut and an action, at least

DESCR = """HAPT: smartphone-based recognition of human activities and postural transitions.

30 people with a phone on the waist, 61 recordings of accelerometer (g) and gyroscope (rad/s) at
50 Hz. Here they are cut into pieces of about 55 s. Actions are three ways of walking and six
postural transitions; sitting, standing, lying and unlabelled time are background. Training and
test set are of different people.

J.-L. Reyes-Ortiz, L. Oneto, A. Sama, X. Parra, D. Anguita: Transition-Aware Human Activity
Recognition Using Smartphones. Neurocomputing 171, 754-767, 2016.

Its licence asks for this citation and prohibits any commercial use.
"""


def load_hapt(
    path: str | os.PathLike[str], *, subset: str = "train", streams: Sequence[str] = SENSORS
) -> Bunch:
    """Load HAPT as snippet features with annotated actions.

    Nothing of the data set comes with this package, and nothing is downloaded: get "Smartphone-
    Based Recognition of Human Activities and Postural Transitions" from the UCI Machine Learning
    Repository. Its licence prohibits any commercial use, and asks to cite [1]_.

    A recording lasts minutes. It is cut into pieces of about 55 s, each of them what elsewhere is
    a video, and in the background only: every labelled action is whole. A snippet is a window of
    1.28 s, one every 0.32 s, and its features are those of :func:`skdgam.features.describe`.

    Parameters
    ----------
    path : path
        The zip archive as published, or the folder that it unpacks to.
    subset : {"train", "test"}, default="train"
        Test: users 2, 4, 9, 10, 12, 13, 18, 20 and 24; training: the others.
    streams : sequence of {"acc", "gyro"}, default=("acc", "gyro")
        Sensors; their features stand side by side in this order.

    Returns
    -------
    data : Bunch
        features : list of n float32 ndarrays of shape (n_snippets_i, n_features)
            44 features for each sensor.
        labels : list of n lists of str
            Sorted classes of each piece.
        annotations : list of n interval arrays
            In seconds from the start of the piece.
        names : ndarray of str of shape (n,)
            Recording, user and number of the piece.
        groups : ndarray of int of shape (n,)
            User, for splits that keep a person together.
        durations : ndarray of shape (n,)
            In seconds. Windows overlap, so that predicting needs `snippet_seconds` and
            `snippet_offset` instead.
        streams : dict of str to slice
            Feature columns of each sensor.
        snippet_seconds, snippet_offset : float
            0.32, and 0.48: snippet i stands for the middle of its window.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist, or a recording is missing in it.
    ValueError
        If `path` is not HAPT, the sensors of a recording differ in length, or `subset` or one
        of `streams` is unknown.

    References
    ----------
    .. [1] J.-L. Reyes-Ortiz, L. Oneto, A. Samà, X. Parra, D. Anguita: Transition-Aware Human
       Activity Recognition Using Smartphones. Neurocomputing 171, 754-767, 2016.

    Examples
    --------
    >>> from skdgam.datasets import load_hapt
    >>> train = load_hapt("hapt.zip")  # doctest: +SKIP
    >>> train.features[0].shape, train.labels[0]  # doctest: +SKIP
    ((180, 88), ['sit to stand', 'stand to sit'])
    """
    if subset not in ("train", "test"):
        raise ValueError(f'subset is {subset!r}; it must be "train" or "test".')
    if not streams or sorted(streams) != sorted(set(streams) & set(SENSORS)):
        raise ValueError(
            f'streams is {streams!r}; it must be a list of "acc" and "gyro", each once.'
        )
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; it must be HAPT's zip archive or folder.")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _load(zipfile.Path(archive), subset, streams)
    return _load(Path(path), subset, streams)


def _load(root: Path | zipfile.Path, subset: str, sensors: Sequence[str]) -> Bunch:
    raw = root / "RawData"
    if not (raw / "labels.txt").is_file():
        raise ValueError(
            f"{root} is not HAPT: it has no RawData/labels.txt, beside which "
            "RawData/acc_expXX_userYY.txt and RawData/gyro_expXX_userYY.txt are expected."
        )
    table = _read_table(raw / "labels.txt", 5).astype(int)
    table = table[np.isin(table[:, 1], TEST_USERS) == (subset == "test")]
    features, annotations, names, groups, durations = [], [], [], [], []
    for experiment, user in np.unique(table[:, :2], axis=0):
        recording = f"exp{experiment:02d}_user{user:02d}"
        signals = _read_recording(raw, recording, sensors)
        actions = _actions(table[table[:, 0] == experiment])
        cuts = _cuts(len(signals[0]), actions)
        for k, (first, stop) in enumerate(pairwise(cuts)):
            features.append(
                np.concatenate(
                    [describe(signal[first:stop], **WINDOWS) for signal in signals], axis=1
                )
            )
            inside = actions[(actions["start"] >= first) & (actions["end"] <= stop)]
            inside["start"] = (inside["start"] - first) / RATE
            inside["end"] = (inside["end"] - first) / RATE
            annotations.append(inside)
            names.append(f"{recording}_{k}")
            groups.append(user)
            durations.append((stop - first) / RATE)
    width = features[0].shape[1] // len(sensors)
    return Bunch(
        features=features,
        labels=[np.unique(annotation["label"]).tolist() for annotation in annotations],
        annotations=annotations,
        names=np.array(names),
        groups=np.array(groups),
        durations=np.array(durations),
        streams={sensor: slice(i * width, (i + 1) * width) for i, sensor in enumerate(sensors)},
        DESCR=DESCR,
        **snippet_times(**WINDOWS),
    )


def _read_recording(
    raw: Path | zipfile.Path, recording: str, sensors: Sequence[str]
) -> list[np.ndarray]:
    """The signals of some sensors, each of shape (n_samples, 3)."""
    signals = [_read_table(raw / f"{sensor}_{recording}.txt", 3) for sensor in sensors]
    if len({len(signal) for signal in signals}) > 1:
        raise ValueError(
            f"{recording} has {' and '.join(str(len(signal)) for signal in signals)} samples "
            f"of {' and '.join(sensors)}; its sensors must have the same number."
        )
    return signals


def _read_table(path: Path | zipfile.Path, n_columns: int) -> np.ndarray:
    return np.fromstring(path.read_text(encoding="ascii"), sep=" ").reshape(-1, n_columns)


def _actions(table: np.ndarray) -> np.ndarray:
    """Labelled actions of one recording as intervals in samples."""
    table = table[np.isin(table[:, 2], list(ACTIONS))]
    labels = np.array([ACTIONS[activity] for activity in table[:, 2]], dtype=str)
    # Samples are counted from 1, and the last one belongs to the action: each posture ends one
    # sample before the transition that follows.
    return make_intervals(table[:, 3] - 1, table[:, 4], labels)


def _cuts(n_samples: int, actions: np.ndarray) -> np.ndarray:
    """Where a recording is cut: its start, points in the background, its end.

    They are as even as the actions let them. One that would be further than a third of a
    piece from its even place is left out, so that no piece is shorter than a third.
    """
    samples = np.arange(n_samples)
    is_free = np.ones(n_samples, dtype=bool)
    for action in actions:
        is_free &= (samples < action["start"] - MARGIN) | (samples > action["end"] + MARGIN)
    free = np.flatnonzero(is_free)
    even, length = np.linspace(0, n_samples, max(round(n_samples / PIECE), 1) + 1, retstep=True)
    cuts = [0]
    for place in even[1:-1]:
        near = free[abs(free - place) < length / 3]
        if len(near):
            cuts.append(near[abs(near - place).argmin()])
    return np.array([*cuts, n_samples])
