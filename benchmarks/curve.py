"""The paper's recipe here, and in the released implementation: mAP as training goes on.

    python benchmarks/curve.py --released DIR                     # synthetic videos with context
    python benchmarks/curve.py --released DIR --hapt hapt.zip     # HAPT, split by user

DIR is a clone of the released implementation; it trains unchanged but for staying on the CPU, and
what it has learned localizes here, as everything does that is compared. Prints the mean mAP over
tIoU 0.1, 0.2, …, 0.7 in percent, mean ± standard deviation over seeds.
"""

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from quality import TIOU, add_options, data_from, heading, in_processes
from sklearn.preprocessing import MultiLabelBinarizer
from speed import import_released
from torch import nn

from skdgam import DGAMLocalizer
from skdgam.metrics import mean_average_precision
from skdgam.presets import THUMOS14_RGB

# Features narrower than the paper's need larger steps.
RECIPE = THUMOS14_RGB | {"learning_rate": 3e-3}
EPOCHS, SHOWN_EVERY = 300, 50
BATCH, N_SNIPPETS, KEPT = (RECIPE[name] for name in ("batch_size", "n_snippets", "refresh_every"))


def ours(data, seed):
    """Yield a fitted localizer every few epochs."""
    X, y, _, _, time, *_ = data
    model = DGAMLocalizer(**(RECIPE | time), warm_start=True, random_state=seed)
    model.set_params(max_epochs=SHOWN_EVERY)
    for _ in range(EPOCHS // SHOWN_EVERY):
        yield model.fit(X, y)


def released(root, data, seed):
    """Yield the same of the released implementation."""
    X, y, _, _, time, *_ = data
    labels = MultiLabelBinarizer().fit([set(video["label"].tolist()) for video in y])
    is_labelled = labels.transform([set(video["label"].tolist()) for video in y])
    is_labelled = torch.from_numpy(np.pad(is_labelled, ((0, 0), (0, 1))))  # background
    n_classes = len(labels.classes_)
    train, create_model, create_cvae = import_released(root, X[0].shape[1], n_classes)
    from utils.utils import random_perturb  # theirs

    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the released sampling draws from it

    def drawn(video):
        return video[random_perturb(len(video), N_SNIPPETS)]

    model, cvae = nn.DataParallel(create_model()), create_cvae()
    optimizers = [
        torch.optim.Adam(part.parameters(), RECIPE["learning_rate"], betas=(0.8, 0.999))
        for part in (model, cvae)
    ]
    for epoch in range(0, EPOCHS, KEPT):
        order = np.random.permutation(len(X))[: len(X) // BATCH * BATCH].reshape(-1, BATCH)  # noqa: NPY002
        batches = [
            (torch.from_numpy(np.stack([drawn(X[i]) for i in batch])), is_labelled[batch])
            for batch in order
        ]
        train(batches, model, cvae, *optimizers, epoch, KEPT, modality="rgb")
        if (epoch + KEPT) % SHOWN_EVERY == 0:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "rgb.pth")
                torch.save(model.module.state_dict(), path)
                yield DGAMLocalizer.from_released(path, labels.classes_, **(RECIPE | time))


def curve(models, data):
    """Mean mAP (n_shown,) in percent."""
    _, _, X_test, y_test, *_ = data
    return [
        100 * mean_average_precision(y_test, model.predict(X_test), TIOU).mean() for model in models
    ]


def curves(root, data_of, seed):
    """Both curves of one seed: (2, n_shown)."""
    data = data_of(seed)
    return [curve(ours(data, seed), data), curve(released(root, data, seed), data)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--released", required=True, help="clone of the released implementation")
    arguments = parser.parse_args()
    print(heading(arguments))
    data_of = data_from(arguments)
    with in_processes(arguments):
        found = Parallel()(
            delayed(curves)(arguments.released, data_of, seed) for seed in range(arguments.seeds)
        )
    print("| epochs |", " | ".join(map(str, range(SHOWN_EVERY, EPOCHS + 1, SHOWN_EVERY))), "|")
    print("|---|" + "--:|" * (EPOCHS // SHOWN_EVERY))
    for name, values in zip(("here", "released"), np.swapaxes(found, 0, 1), strict=True):
        means, deviations = values.mean(axis=0), values.std(axis=0)
        cells = [f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True)]
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
