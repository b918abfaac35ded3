"""THUMOS14 with I3D features, as two projects distribute it."""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skdgam.datasets.features import FeatureFolder
from skdgam.intervals import make_intervals

__all__ = ["load_thumos14"]

STREAMS = ("rgb", "flow")
TEST_LIST = "THUMOS14_test_vid_list.txt"
SNIPPET_SECONDS = 16 / 25  # 16 frames at 25 frames a second

# Columns of the label matrices of the DGAM distribution.
CLASSES = np.array(
    [
        "BaseballPitch",
        "BasketballDunk",
        "Billiards",
        "CleanAndJerk",
        "CliffDiving",
        "CricketBowling",
        "CricketShot",
        "Diving",
        "FrisbeeCatch",
        "GolfSwing",
        "HammerThrow",
        "HighJump",
        "JavelinThrow",
        "LongJump",
        "PoleVault",
        "Shotput",
        "SoccerPenalty",
        "TennisSwing",
        "ThrowDiscus",
        "VolleyballSpiking",
    ]
)

DESCR = """THUMOS14, the detection task: untrimmed sports videos of 20 classes.

I3D features (RGB and optical flow) of snippets of 16 frames at 25 frames a second, without
overlap. Training uses the 200 annotated videos of THUMOS14's validation set, testing those of
its test set: 213 have annotations, and distributions leave out up to three of them.

Y.-G. Jiang, J. Liu, A. Roshan Zamir, G. Toderici, I. Laptev, M. Shah, R. Sukthankar: THUMOS
Challenge: Action Recognition with a Large Number of Classes, 2014.
"""

LAYOUTS = """the DGAM distribution has
    {subset}_data/<stream>_features/<i>.npy   with i = 1, 2, ...
    {subset}_data/{subset}_labels.npy
    test_data/gt.json                         for testing
    test_data/THUMOS14_test_vid_list.txt      for testing; may lie at the top
and that of BaS-Net and CoLA has
    features/{subset}/<stream>/<video>.npy
    gt.json
    split_{subset}.txt                        optional"""


def load_thumos14(
    root: str | os.PathLike[str], *, subset: str = "train", streams: Sequence[str] = STREAMS
) -> Bunch:
    """Load THUMOS14's features, which stay on disk, and its annotations.

    The files are those that the authors of DGAM, or those of BaS-Net and CoLA, hand out; which
    of the two layouts it is shows in what is there. Nothing is downloaded.

    Parameters
    ----------
    root : path
        The folder that was unpacked.
    subset : {"train", "test"}, default="train"
    streams : sequence of {"rgb", "flow"}, default=("rgb", "flow")
        Their features stand side by side in this order.

    Returns
    -------
    data : Bunch
        features : FeatureFolder of shape (n,)
            Item i of shape (n_snippets_i, n_features), float32.
        labels : list of n lists of str
            Sorted classes of each video.
        annotations : list of n interval arrays, or None
            In seconds. The DGAM distribution has none for training.
        names : ndarray of str of shape (n,)
            Of the videos, as in the files.
        durations : ndarray of shape (n,), or None
            In seconds, where the annotations tell them.
        streams : dict of str to slice
            Feature columns of each stream.
        snippet_seconds, snippet_offset : float
            0.64 and 0.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If `root` holds neither layout, or a file is missing in it.
    ValueError
        If `subset` or one of `streams` is unknown, or the files contradict each other.

    Examples
    --------
    >>> from skdgam.datasets import load_thumos14
    >>> train = load_thumos14("data/THUMOS14")  # doctest: +SKIP
    >>> train.features.shape, train.streams  # doctest: +SKIP
    ((200,), {'rgb': slice(0, 1024, None), 'flow': slice(1024, 2048, None)})
    """
    if subset not in ("train", "test"):
        raise ValueError(f'subset is {subset!r}; it must be "train" or "test".')
    if not streams or sorted(streams) != sorted(set(streams) & set(STREAMS)):
        raise ValueError(
            f'streams is {streams!r}; it must be a list of "rgb" and "flow", each once.'
        )
    root = Path(root)
    if (root / f"{subset}_data").is_dir():
        found = _load_single_streams(root, subset, streams)
    elif (root / "features" / subset).is_dir() and (root / "gt.json").is_file():
        found = _load_joint_streams(root, subset, streams)
    else:
        raise FileNotFoundError(
            f"{root} has neither layout of THUMOS14: " + LAYOUTS.format(subset=subset)
        )
    return Bunch(
        **found,
        streams=dict(zip(streams, found["features"].columns(), strict=True)),
        snippet_seconds=SNIPPET_SECONDS,
        snippet_offset=0.0,
        DESCR=DESCR,
    )


def _load_single_streams(root: Path, subset: str, streams: Sequence[str]) -> dict[str, Any]:
    folder = root / f"{subset}_data"
    path = folder / f"{subset}_labels.npy"
    is_labelled = np.load(path, allow_pickle=False) > 0
    if is_labelled.ndim != 2 or is_labelled.shape[1] != len(CLASSES):
        raise ValueError(
            f"{path} has shape {is_labelled.shape}; expected (n_videos, {len(CLASSES)}), a "
            "column for each class."
        )
    files = np.arange(1, len(is_labelled) + 1).astype(str)
    features = FeatureFolder([folder / f"{stream}_features" for stream in streams], files)
    if subset == "train":
        labels = [CLASSES[row].tolist() for row in is_labelled]
        return {
            "features": features,
            "names": files,
            "labels": labels,
            "annotations": None,
            "durations": None,
        }
    listing = folder / TEST_LIST
    # The released code reads no line past its videos.
    names = _lines(listing if listing.is_file() else root / TEST_LIST)[: len(files)]
    if len(names) < len(files):
        raise ValueError(
            f"{TEST_LIST} names {len(names)} videos, but {path} has {len(files)} rows; line i "
            "must name the video of row i."
        )
    annotated = _annotated(_database(folder / "gt.json"), names)
    return {"features": features, "names": names, **annotated}


def _load_joint_streams(root: Path, subset: str, streams: Sequence[str]) -> dict[str, Any]:
    database = _database(root / "gt.json")
    folders = [root / "features" / subset / stream for stream in streams]
    split = root / f"split_{subset}.txt"
    if split.is_file():
        names = _lines(split)
    else:
        listed = [name for name, video in database.items() if video["subset"] == subset]
        missing = [
            name for name in listed if not all((f / f"{name}.npy").is_file() for f in folders)
        ]
        names = np.array([name for name in listed if name not in missing])
        if not len(names):
            raise FileNotFoundError(
                f"None of the {len(listed)} {subset} videos in gt.json has features in "
                f"{' and '.join(map(str, folders))}."
            )
        if missing:
            warnings.warn(
                f"{len(missing)} of {len(listed)} {subset} videos in gt.json have no features "
                f"and are left out: {', '.join(missing)}.",
                UserWarning,
                stacklevel=3,
            )
    features = FeatureFolder(folders, names)
    return {"features": features, "names": names, **_annotated(database, names)}


def _lines(path: Path) -> np.ndarray:
    return np.array(path.read_text().split())


def _database(path: Path) -> dict[str, Any]:
    """Videos of an ActivityNet-style annotation file by name."""
    return json.loads(path.read_text())["database"]


def _annotated(database: dict[str, Any], names: np.ndarray) -> dict[str, Any]:
    """Labels, annotations and durations of the named videos."""
    unknown = [name for name in names if name not in database]
    if unknown:
        raise ValueError(f"gt.json says nothing of {', '.join(unknown)}; it must name every video.")
    videos = [database[name] for name in names]
    annotations = [_intervals(video["annotations"]) for video in videos]
    durations = None
    if all("duration" in video for video in videos):
        durations = np.array([video["duration"] for video in videos], dtype=np.float64)
    return {
        "labels": [np.unique(annotation["label"]).tolist() for annotation in annotations],
        "annotations": annotations,
        "durations": durations,
    }


def _intervals(items: list[dict[str, Any]]) -> np.ndarray:
    # The DGAM distribution writes times as text.
    segments = np.array([item["segment"] for item in items]).astype(np.float64).reshape(-1, 2)
    labels = np.array([item["label"] for item in items], dtype=str)
    return make_intervals(segments[:, 0], segments[:, 1], labels)
