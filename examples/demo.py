"""Tell a model which actions occur in each recording, and see it find when they happen.

    python examples/demo.py                     # synthetic videos
    python examples/demo.py --hapt hapt.zip     # a phone's accelerometer and gyroscope

Two models are trained on labels only: the full method, and the method without its generative part.
The demo compares their mAP on recordings that they have not seen, and draws three of these.
"""

import argparse
import time

import numpy as np
from sklearn.utils import Bunch

from skdgam import DGAMLocalizer
from skdgam.datasets import load_hapt, make_untrimmed
from skdgam.metrics import mean_average_precision
from skdgam.plotting import LocalizationDisplay

TIOU = np.arange(1, 8) / 10


def synthetic():
    """Make videos with context: what lies beside an action shows evidence of its class, too."""
    X, y = make_untrimmed(n_videos=160, n_classes=5, random_state=0)
    names = [f"synthetic video {i}" for i in range(len(X))]
    train, test = (
        Bunch(features=X[half], annotations=y[half], names=names[half])
        for half in (slice(0, 80), slice(80, 160))
    )
    return train, test, {}


def hapt(path):
    """Read real recordings; no person is in both the training set and the test set."""
    train, test = (load_hapt(path, subset=subset) for subset in ("train", "test"))
    # Windows overlap, so a snippet stands for the middle of its window.
    timing = {name: train[name] for name in ("snippet_seconds", "snippet_offset")}
    return train, test, timing


def with_progress(model):
    """Let fit show its progress."""
    try:
        from sklearn.callback import ProgressBar

        return model.set_callbacks(ProgressBar())
    except ImportError:  # scikit-learn before 1.9, or no rich
        return model.set_params(verbose=1)


def main():
    """Train, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hapt", metavar="PATH", help="HAPT's zip archive or folder")
    parser.add_argument("--output", metavar="PNG", default="demo.png", help="default: demo.png")
    arguments = parser.parse_args()

    begin = time.perf_counter()
    train, test, timing = hapt(arguments.hapt) if arguments.hapt else synthetic()
    settings = timing | {"random_state": 0}
    source = "HAPT, a phone at the waist of 30 people" if arguments.hapt else "synthetic videos"
    classes = np.unique(np.concatenate([video["label"] for video in train.annotations]))
    print(
        f"Data: {source}; {len(train.features)} recordings to train on, {len(test.features)} "
        f"to test, {len(classes)} actions."
    )
    print("Settings:", ", ".join(f"{name}={value}" for name, value in settings.items()))

    # fit would read only the labels of annotations; here it is given nothing else.
    labels = [set(video["label"].tolist()) for video in train.annotations]
    models = {
        "without generative part": DGAMLocalizer(**settings, gamma1=0.0),
        "full method": DGAMLocalizer(**settings),
    }
    rows = []
    for name, model in models.items():
        print(f"\nTraining {name}")
        start = time.perf_counter()
        with_progress(model).fit(train.features, labels)
        seconds = time.perf_counter() - start
        found = model.predict(test.features)
        scores = 100 * mean_average_precision(test.annotations, found, TIOU)
        cells = (f"{score:5.1f}" for score in [*scores, scores.mean()])
        rows.append(" ".join([f"{name:<24}", *cells, f"{seconds:11.0f}"]))
    print(f"\n{'mAP (%) at tIoU':<24}", *(f"{t:5.1f}" for t in TIOU), " mean  fit seconds")
    print(*rows, sep="\n")

    n = len(test.features)
    display = LocalizationDisplay.from_estimator(
        model, test.features, test.annotations, videos=[0, n // 2, n - 1], names=test.names
    )
    display.figure_.savefig(arguments.output, dpi=150)
    print(
        f"\nThree test recordings, as the full method sees them: {arguments.output}\n"
        f"{time.perf_counter() - begin:.0f} seconds in all."
    )


if __name__ == "__main__":
    main()
