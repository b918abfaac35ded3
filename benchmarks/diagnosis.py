"""Where mAP is lost, and what attention has to do with it.

    python benchmarks/diagnosis.py                    # synthetic videos with context
    python benchmarks/diagnosis.py --hapt hapt.zip    # HAPT, split by user

For the paper's method without and with its generative part, and for the preset for sensors, prints
what each kind of error costs (points of mAP at tIoU 0.5), the average precision of each class, and
the statistics of attention of the paper's Table 2; and, as its Table 1, the mAP of attention and
classifier taken from different ones of the first two. All are means over seeds.
"""

import argparse

import numpy as np
from joblib import Parallel, delayed
from quality import add_options, data_from, heading, in_processes

from skdgam import DGAMLocalizer
from skdgam.dgam import swap_attention
from skdgam.inspection import attention_statistics
from skdgam.metrics import average_precision, error_analysis, mean_average_precision
from skdgam.presets import PAPER, SENSORS

TIOU = 0.5


def trained(data, seed):
    """Models by name, and the test videos."""
    X, y, X_test, y_test, time, epochs, _ = data
    settings = {
        "without L_re": PAPER | epochs | {"gamma1": 0.0},
        "with L_re": PAPER | epochs,
        "SENSORS": SENSORS,
    }
    models = {
        name: DGAMLocalizer(**time, **changes, random_state=seed).fit(X, y)
        for name, changes in settings.items()
    }
    return models, X_test, y_test


def diagnosis(data_of, seed):
    """Tables by title, each a dict of rows, which are dicts of numbers."""
    models, X, y = trained(data_of(seed), seed)
    costs, classes, attention = {}, {}, {}
    for name, model in models.items():
        detections = model.predict(X)
        analysis = error_analysis(y, detections, TIOU)
        costs[name] = {"mAP": 100 * analysis.mean_ap} | {
            kind: 100 * cost for kind, cost in analysis.cost.items()
        }
        ap = 100 * average_precision(y, detections, TIOU, classes=model.classes_)[:, 0]
        classes[name] = dict(zip(model.classes_.tolist(), ap, strict=True))
        attention[name] = attention_statistics(model, X, y)
    old, new = models["without L_re"], models["with L_re"]
    swaps = {"attention without L_re": old, "attention with L_re": new}
    swaps = {
        name: {
            f"classifier {of}": 100
            * mean_average_precision(y, swap_attention(classifier, other).predict(X), TIOU).item()
            for of, classifier in (("without", old), ("with", new))
        }
        for name, other in swaps.items()
    }
    return {
        "Points of mAP that each kind of error costs": costs,
        "Average precision of each class": classes,
        "Attention, relative to the snippets of actions": attention,
        "mAP of swapped attention and classifier": swaps,
    }


def show(title, of_seeds):
    """Print the means over seeds of one table."""
    rows = of_seeds[0]
    print(f"\n{title}\n")
    print("| |", " | ".join(next(iter(rows.values()))), "|")
    print("|---|" + "--:|" * len(next(iter(rows.values()))))
    digits = 3 if title.startswith("Attention") else 1
    for name, row in rows.items():
        means = [np.mean([tables[name][column] for tables in of_seeds]) for column in row]
        print(f"| {name} |", " | ".join(f"{mean:.{digits}f}" for mean in means), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    arguments = parser.parse_args()
    print(heading(arguments))
    data_of = data_from(arguments)
    with in_processes(arguments):
        found = Parallel()(delayed(diagnosis)(data_of, seed) for seed in range(arguments.seeds))
    for title in found[0]:
        show(title, [tables[title] for tables in found])


if __name__ == "__main__":
    main()
