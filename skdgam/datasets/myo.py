"""Myo: gestures of the wrist, from the muscles of the forearm."""

import os
import re
import zipfile
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from skdgam.features import describe, snippet_times
from skdgam.intervals import make_intervals, runs

__all__ = ["load_myo"]

GESTURES = {  # 0, hibernation, is the background
    1: "flexion",
    2: "extension",
    3: "radial deviation",
    4: "ulnar deviation",
    5: "pronation",
    6: "supination",
    7: "fist",
}
TEST_SHARE = 3  # one participant in three

N_CHANNELS = 8
RATE = 200  # samples a second
WINDOWS = {"rate": RATE, "window": 0.5, "hop": 0.25}  # of snippets, in seconds
N_TOGETHER = 3  # gestures of a recording

DESCR = """Gestures of the wrist in the readings of a Myo arm band: 8 channels of electromyography
at 200 Hz, from 16 people in one to three sessions each.

Participants rested and held a gesture in turn, five seconds each, a minute for each of seven
gestures. Here every gesture is cut out with half of the rest before and after it, and three of one
session, in random order, make a recording of about half a minute. Rest is the background. Training
and test set are of different people, on whose arms the band sits differently.

A. Francic: myo-readings-dataset, 2021. https://github.com/aljazfrancic/myo-readings-dataset (MIT)
"""


def load_myo(
    path: str | os.PathLike[str], *, subset: str = "train", curated: bool = False
) -> Bunch:
    """Load gestures of the wrist as snippet features of muscle signals.

    Nothing is downloaded: get the data from their repository [1]_, under the MIT licence. Each of
    its files is a minute of one gesture in turn with rest. The gestures are cut out with half of
    the rest on either side, and three of a session are put together to a recording.
    A snippet is a window of 0.5 s, one every 0.25 s, and its features are those of
    :func:`skdgam.features.describe`.

    Parameters
    ----------
    path : path
        A zip archive of the repository, or the folder that it unpacks to.
    subset : {"train", "test"}, default="train"
        Test: every third participant in the order of their numbers; training: the others.
    curated : bool, default=False
        Whether to take the sessions in ``curated.txt`` alone, on which the band sat properly.

    Returns
    -------
    data : Bunch
        features : list of n float32 ndarrays of shape (n_snippets_i, n_features)
            99 features: 11 of each channel, and of their magnitude.
        labels : list of n lists of str
            Sorted classes of each recording.
        annotations : list of n interval arrays
            In seconds from the start of the recording.
        names : ndarray of str of shape (n,)
            Session and number of the recording.
        groups : ndarray of str of shape (n,)
            Participant, for splits that keep a person together.
        durations : ndarray of shape (n,)
            In seconds. Windows overlap, so that predicting needs `snippet_seconds` and
            `snippet_offset` instead.
        snippet_seconds, snippet_offset : float
            0.25, and 0.125: snippet i stands for the middle of its window.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    ValueError
        If `path` holds no such sessions, a file in them has no complete line, or `subset` is
        unknown.

    References
    ----------
    .. [1] A. Francic: myo-readings-dataset. https://github.com/aljazfrancic/myo-readings-dataset

    Examples
    --------
    >>> from skdgam.datasets import load_myo
    >>> train = load_myo("myo.zip")  # doctest: +SKIP
    >>> train.features[0].shape[1], train.labels[0]  # doctest: +SKIP
    (99, ['extension', 'fist', 'pronation'])
    """
    if subset not in ("train", "test"):
        raise ValueError(f'subset is {subset!r}; it must be "train" or "test".')
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} does not exist; it must be Myo's zip archive or folder.")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _load(zipfile.Path(archive), subset, curated)
    return _load(Path(path), subset, curated)


def _load(root: Path | zipfile.Path, subset: str, curated: bool) -> Bunch:
    sessions = {
        session.name: session
        for side in root.iterdir()
        if re.fullmatch(r"_readings_(left|right)_hand", side.name)
        for session in side.iterdir()
        if re.fullmatch(r"\d+-\d+", session.name)
    }
    if not sessions:
        raise ValueError(
            f"{root} is not Myo: it has no folders _readings_left_hand and _readings_right_hand "
            "with a folder for each session in them, such as 12345-1."
        )
    people = sorted({name.partition("-")[0] for name in sessions})
    test = people[::TEST_SHARE]
    if curated:
        trusted = (root / "curated.txt").read_text(encoding="ascii").split()
        sessions = {name: session for name, session in sessions.items() if name in trusted}
    features, annotations, names, groups, durations = [], [], [], [], []
    for name, session in sorted(sessions.items()):
        person = name.partition("-")[0]
        if (person in test) != (subset == "test"):
            continue
        seed = int(name.replace("-", ""))  # so that sessions have different orders
        for k, parts in enumerate(_recordings(session, seed)):
            signal = np.concatenate([part for part, _, _ in parts])
            start = np.cumsum([0, *(len(part) for part, _, _ in parts[:-1])])
            first, stop = np.array([held for _, held, _ in parts]).T + start
            annotations.append(
                make_intervals(first / RATE, stop / RATE, np.array([label for *_, label in parts]))
            )
            features.append(describe(signal, **WINDOWS))
            names.append(f"{name}_{k}")
            groups.append(person)
            durations.append(len(signal) / RATE)
    return Bunch(
        features=features,
        labels=[np.unique(annotation["label"]).tolist() for annotation in annotations],
        annotations=annotations,
        names=np.array(names),
        groups=np.array(groups),
        durations=np.array(durations),
        DESCR=DESCR,
        **snippet_times(**WINDOWS),
    )


Part = tuple[np.ndarray, tuple[int, int], str]


def _recordings(session: Path | zipfile.Path, seed: int) -> list[list[Part]]:
    """The gestures of a session, some at a time: signal, samples of the gesture in it, label."""
    parts = []
    for gesture, label in GESTURES.items():
        file = session / f"{gesture}.txt"
        if file.is_file():
            parts += [(*part, label) for part in _gestures(_read(file))]
    order = np.random.RandomState(seed).permutation(len(parts))
    return [
        [parts[i] for i in order[first : first + N_TOGETHER]]
        for first in range(0, len(order) - N_TOGETHER + 1, N_TOGETHER)
    ]


def _read(file: Path | zipfile.Path) -> np.ndarray:
    """Complete lines of a file, (n_samples, channels and gesture); some end in broken ones."""
    lines = [line.split(",") for line in file.read_text(encoding="ascii").split()]
    rows = [line for line in lines if len(line) == N_CHANNELS + 1 and all(line)]
    if not rows:
        raise ValueError(
            f"{file} has no line of {N_CHANNELS + 1} numbers with commas between, readings and "
            "gesture."
        )
    return np.array(rows, dtype=np.float64)


def _gestures(table: np.ndarray) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Every gesture with half of the rest before and after it, and where in that it is held."""
    signal, held = table[:, :N_CHANNELS], table[:, N_CHANNELS] > 0
    first, stop = runs(held)
    begin = np.r_[0, (stop[:-1] + first[1:]) // 2]
    end = np.r_[begin[1:], len(signal)]
    return [
        (signal[a:b], (int(s - a), int(e - a)))
        for s, e, a, b in zip(first, stop, begin, end, strict=True)
    ]
