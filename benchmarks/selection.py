"""Choosing parameters without a single interval: scores by labels beside mAP.

    python benchmarks/selection.py                    # synthetic videos with context
    python benchmarks/selection.py --hapt hapt.zip    # HAPT, split by user

Trains random candidates, and scores them on the test videos by labels alone. Prints the rank
correlation (Spearman) of each score with the mean mAP over tIoU 0.1, 0.2, …, 0.7, and the mAP of
the candidate that it would choose, in percent; means over seeds.
"""

import argparse

import numpy as np
from joblib import Parallel, delayed
from quality import TIOU, add_options, data_from, heading, in_processes
from scipy.stats import spearmanr
from sklearn.model_selection import ParameterSampler

from skdgam import DGAMLocalizer
from skdgam.metrics import mean_average_precision
from skdgam.model_selection import separability_scorer, video_level_scorer
from skdgam.presets import PAPER

CANDIDATES = {
    "alpha": [0.0, 0.003, 0.01, 0.03, 0.1, 0.3],
    "gamma1": [0.0, 0.2, 0.5, 1.5, 3.0],
    "gamma2": [0.0, 0.03, 0.1, 0.3],
    "r": [0.5, 1.0, 2.0],
    "beta": [0.03, 0.1, 0.3],
    "temporal_context": [0, 0, 3, 10],
    "classification": ["softmax", "sigmoid"],
    "dropout": [0.0, 0.3, 0.7],
    "learning_rate": [1e-3, 2e-3, 5e-3],
    "max_epochs": [30, 80, 150],
    "localization": ["tcam", "attention"],
}
SCORES = {"separability_scorer": separability_scorer, "video_level_scorer": video_level_scorer}
PRODUCT = "weak_label_scorer"


def scored(data_of, candidate, seed):
    """Score one candidate: mean mAP in percent, then each of the scores by labels."""
    X, y, X_test, y_test, time, *_ = data_of(seed)
    settings = PAPER | {"batch_size": 32} | candidate
    model = DGAMLocalizer(**time, **settings, random_state=seed).fit(X, y)
    mean_ap = mean_average_precision(y_test, model.predict(X_test), TIOU).mean()
    labels = [set(video["label"].tolist()) for video in y_test]
    scores = [score(model, X_test, labels) for score in SCORES.values()]
    return [100 * mean_ap, *scores, np.prod(scores)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--candidates", type=int, default=30)
    arguments = parser.parse_args()
    print(heading(arguments))
    data_of = data_from(arguments)
    cases = [
        (candidate, seed)
        for seed in range(arguments.seeds)
        for candidate in ParameterSampler(CANDIDATES, arguments.candidates, random_state=seed)
    ]
    with in_processes(arguments):
        found = Parallel()(delayed(scored)(data_of, *case) for case in cases)
    found = np.reshape(found, (arguments.seeds, arguments.candidates, -1))
    mean_ap = found[..., 0]
    print("| | rank correlation | mAP of its choice |")
    print("|---|--:|--:|")
    for name, scores in zip([*SCORES, PRODUCT], np.moveaxis(found[..., 1:], -1, 0), strict=True):
        of_seeds = zip(scores, mean_ap, strict=True)
        correlation = np.mean([spearmanr(score, ap).statistic for score, ap in of_seeds])
        chosen = np.take_along_axis(mean_ap, scores.argmax(axis=1)[:, None], axis=1).mean()
        print(f"| `{name}` | {correlation:.2f} | {chosen:.1f} |")
    print(f"| the best candidate | 1 | {mean_ap.max(axis=1).mean():.1f} |")
    print(f"| the median candidate | | {np.median(mean_ap, axis=1).mean():.1f} |")


if __name__ == "__main__":
    main()
