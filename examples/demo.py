"""Tell a model which actions occur in each recording, and see it find when they happen.

    python examples/demo.py                     # synthetic videos
    python examples/demo.py --hapt hapt.zip     # a phone's accelerometer and gyroscope

Two models are trained on labels alone: the full method, and the same without its generative
part. Compared are their mAP on recordings that they have not seen; a picture shows three of them.
"""

import argparse
import time

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skdgam import DGAMLocalizer
from skdgam.datasets import load_hapt, make_untrimmed
from skdgam.metrics import mean_average_precision
from skdgam.plotting import LocalizationDisplay

TIOU = np.arange(1, 8) / 10


def synthetic():
    """Videos in which what surrounds an action looks a bit like it."""
    X, y = make_untrimmed(n_videos=160, n_classes=5, random_state=0)
    names = [f"synthetic video {i}" for i in range(160)]
    train, test = (
        Bunch(features=X[half], annotations=y[half], names=names[half])
        for half in (slice(0, 80), slice(80, 160))
    )
    return train, test, {}


def hapt(path):
    """Real recordings; the people of the test set are not those of the training set."""
    train, test = (load_hapt(path, subset=subset) for subset in ("train", "test"))
    # Columns differ in scale; what that is, only training recordings say.
    scaler = StandardScaler().fit(np.concatenate(train.features))
    for data in (train, test):
        data.features = [scaler.transform(x) for x in data.features]
    # Windows overlap, so a snippet stands for the middle of its window.
    timing = {name: train[name] for name in ("snippet_seconds", "snippet_offset")}
    return train, test, timing


def with_progress(model):
    """Let fit show how far it is."""
    try:
        from sklearn.callback import ProgressBar

        return model.set_callbacks(ProgressBar())
    except ImportError:  # scikit-learn before 1.9, or no rich
        return model.set_params(verbose=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hapt", metavar="PATH", help="HAPT's zip archive or folder")
    parser.add_argument("--output", metavar="PNG", default="demo.png", help="default: demo.png")
    arguments = parser.parse_args()

    begin = time.perf_counter()
    train, test, timing = hapt(arguments.hapt) if arguments.hapt else synthetic()
    settings = {"max_epochs": 100, "batch_size": 16, "random_state": 0} | timing
    source = "HAPT, real recordings of a phone" if arguments.hapt else "synthetic videos"
    n_classes = len({label for video in train.annotations for label in video["label"]})
    print(
        f"Data: {source}; {len(train.features)} recordings to train on, "
        f"{len(test.features)} to test; {n_classes} actions."
    )
    print("Settings:", ", ".join(f"{name}={value}" for name, value in settings.items()))

    # Of the annotations, fit would read nothing but the labels; here it is given nothing else.
    labels = [set(video["label"].tolist()) for video in train.annotations]
    models = {
        "gamma1=0, not generative": DGAMLocalizer(**settings, gamma1=0.0),
        "full method": DGAMLocalizer(**settings),
    }
    print(f"\n{'mAP (%) at tIoU':<26}", *(f"{tiou:5.1f}" for tiou in TIOU), " mean  seconds")
    for name, model in models.items():
        start = time.perf_counter()
        with_progress(model).fit(train.features, labels)
        seconds = time.perf_counter() - start
        scores = 100 * mean_average_precision(test.annotations, model.predict(test.features), TIOU)
        cells = (f"{score:5.1f}" for score in [*scores, scores.mean()])
        print(f"{name:<26}", *cells, f"{seconds:8.0f}")

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
