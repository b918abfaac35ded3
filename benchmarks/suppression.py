"""What becomes of overlapping detections: hard and soft suppression, and scores by density.

    python benchmarks/suppression.py --shared ../shared/data
    python benchmarks/suppression.py --shared ../shared/data --suite "finch" "arm gestures"

Density is the sum of tIoU of a detection with all of its video and class, itself among them, in
relation to the highest such sum; scores are multiplied by its square root before suppression.
Without ``--suite``, it is about the detections of P-MIL's base system: on the training videos,
where they are before any suppression, and with ``--test`` on the test videos, where they have been
through soft suppression. With ``--suite``, the default is trained on these data sets, and the third
of the training recordings that is held out is detected in. Prints mean mAP over tIoU 0.1, 0.2, …,
0.7 in percent.
"""

import argparse
import gzip
import json
from functools import partial
from pathlib import Path

import numpy as np
from quality import TIOU
from sklearn.base import clone
from suite import METHODS, data_sets, held_out

from skdgam.formats import read_intervals
from skdgam.intervals import (
    make_intervals,
    non_maximum_suppression,
    soft_non_maximum_suppression,
    tiou,
)
from skdgam.metrics import mean_average_precision

SUPPRESSION = {"none": np.copy}
SUPPRESSION |= {f"hard {t}": partial(non_maximum_suppression, threshold=t) for t in (0.3, 0.4, 0.5)}
SUPPRESSION |= {
    f"soft {sigma}": partial(soft_non_maximum_suppression, sigma=sigma) for sigma in (0.1, 0.3, 0.5)
}
SUPPRESSION["soft 0.3, 1 s longer"] = partial(soft_non_maximum_suppression, margin=1.0)
SUPPRESSION["linear"] = partial(soft_non_maximum_suppression, decay="linear")


def by_density(detections, power=0.5):
    """Detections of a video whose scores are multiplied by a power of their relative density."""
    detections = detections.copy()
    for label in np.unique(detections["label"]):
        rows = np.flatnonzero(detections["label"] == label)
        density = tiou(detections[rows], detections[rows]).sum(axis=1)
        detections["score"][rows] *= (density / density.max()) ** power
    return detections


def published(shared, subset):
    """True intervals of THUMOS14's videos, and detections of P-MIL's base system in them."""
    truth = read_intervals(shared / "thumos14_annotations.json", subset)
    with gzip.open(shared / f"pmil_base_{subset}.json.gz") as file:
        results = json.load(file)["results"]
    rows = [
        [(*d["segment"], d["label"], d["score"]) for d in results.get(name, [])] for name in truth
    ]
    empty = make_intervals([], [], np.array([], dtype=str), [])
    found = [make_intervals(*zip(*video, strict=True)) if video else empty for video in rows]
    return [*truth.values()], found


def detected(load, seed):
    """True intervals of recordings held out, and all that the default proposes in them."""
    data = held_out(load(seed), seed)
    model = clone(METHODS["default"]).set_params(**data.times, random_state=seed, verbose=0)
    model.fit(data.X, data.y).set_params(nms_threshold=1.0)  # which keeps everything
    return data.y_test, [*model.predict(data.X_test)]


def row(name, y_true, found, ways=(*SUPPRESSION,)):
    cells = []
    for way, suppress in SUPPRESSION.items():
        if way not in ways:
            cells.append("")
            continue
        pair = [found, [by_density(video) for video in found]]
        means = [
            100 * mean_average_precision(y_true, [suppress(v) for v in videos], TIOU).mean()
            for videos in pair
        ]
        cells.append("{:.1f}, {:.1f}".format(*means))
    print(f"| {name} |", " | ".join(cells), "|", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--test", action="store_true", help="P-MIL's test videos, too")
    parser.add_argument("--suite", nargs="*", default=[], help="data sets of suite.py")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    print("As they are, and scored by density:")
    print("| data |", " | ".join(SUPPRESSION), "|")
    print("|---|" + "--:|" * len(SUPPRESSION))
    if not arguments.suite:
        row("P-MIL's base, train", *published(arguments.shared, "train"))
    if arguments.test:
        row("P-MIL's base, test", *published(arguments.shared, "test"), ways=["none"])
    loads = data_sets(arguments.shared)
    for name in arguments.suite:
        for seed in range(arguments.seeds):
            row(f"{name}, seed {seed}", *detected(loads[name], seed))


if __name__ == "__main__":
    main()
