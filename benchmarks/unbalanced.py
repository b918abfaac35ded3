"""Classes of unequal frequency: what ``class_weight="balanced"`` is worth.

    python benchmarks/unbalanced.py

48, 8 and 4 synthetic videos with context, of one class each, to train on, and 25 of each class to
test on. Prints average precision at tIoU 0.5 and the share of videos that are classified right, of
each class, in percent, mean ± standard deviation over seeds.
"""

import argparse
from functools import partial

import numpy as np

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.methods import MILLocalizer
from skdgam.metrics import average_precision

N_TRAIN, N_TEST = (48, 8, 4), 25
SNIPPET = 1.28
METHODS = {
    "DGAM": DGAMLocalizer,
    "MIL attention": partial(MILLocalizer, pooling="attention"),
}


def made(seed):
    """Videos of three classes, the annotations, and indices to train and to test on."""
    X, y = make_untrimmed(
        n_videos=400,
        n_classes=len(N_TRAIN),
        max_labels=1,
        noise=1.5,
        snippet_seconds=SNIPPET,
        random_state=seed,
    )
    label = np.array([video["label"][0] for video in y])
    of_classes = [np.flatnonzero(label == name) for name in np.unique(label)]
    train = [of[:n] for of, n in zip(of_classes, N_TRAIN, strict=True)]
    test = [of[n : n + N_TEST] for of, n in zip(of_classes, N_TRAIN, strict=True)]
    return X, y, np.concatenate(train), np.concatenate(test)


def measured(make, class_weight, seed):
    """Average precision of each class, and the share of its videos that are classified right."""
    X, y, train, test = made(seed)
    model = make(class_weight=class_weight, snippet_seconds=SNIPPET, random_state=seed)
    model.fit([X[i] for i in train], [y[i] for i in train])
    X, y = [X[i] for i in test], [y[i] for i in test]
    ap = average_precision(y, [*model.predict(X)])[:, 0]
    found = model.predict_proba(X).argmax(axis=1).reshape(len(N_TRAIN), N_TEST)
    return [*ap, *(found == np.arange(len(N_TRAIN))[:, None]).mean(axis=1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    for name, make in METHODS.items():
        for class_weight in (None, "balanced"):
            runs = [measured(make, class_weight, seed) for seed in range(arguments.seeds)]
            mean, spread = 100 * np.mean(runs, axis=0), 100 * np.std(runs, axis=0, ddof=1)
            cells = " | ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(mean, spread, strict=True))
            print(f"| {name}, {class_weight} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
