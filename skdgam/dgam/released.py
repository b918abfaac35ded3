"""Checkpoints of the released implementation: https://github.com/bfshi/DGAM-Weakly-Supervised-Action-Localization."""

import os

import numpy as np
import torch

from skdgam.dgam.networks import ATTENTION_WIDTH

__all__ = ["read_released"]

RELEASED_NAMES = {
    "att_head.fc1": "attention_head.0",
    "att_head.fc2": "attention_head.2",
    "clf_head.fc1": "classifier",
}


def read_released(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read attention and classifier of one stream from a released checkpoint.

    Parameters
    ----------
    path : path
        A ``.pth`` file. Names may stand behind ``module.``; others than those of the two heads
        are passed over.

    Returns
    -------
    weights : dict of float32 ndarrays
        By the names that :class:`skdgam.dgam.networks.DGAM` has for them.

    Raises
    ------
    OSError
        If `path` cannot be read.
    ValueError
        If it is no such checkpoint, or holds more than tensors and plain values.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch lets through whatever its parsers stumble over
        raise ValueError(
            f"{path} cannot be read as a checkpoint of tensors alone, and nothing else in a file "
            f"is trusted: {error}"
        ) from error
    tensors = checkpoint if isinstance(checkpoint, dict) else {}
    tensors = {str(name).removeprefix("module."): value for name, value in tensors.items()}
    names = {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in RELEASED_NAMES.items()
        for kind in ("weight", "bias")
    }
    missing = [name for name in names if not torch.is_tensor(tensors.get(name))]
    if missing:
        raise ValueError(
            f"{path} is no checkpoint of the released implementation: it lacks "
            f"{', '.join(missing)}, and has {', '.join([*tensors][:10]) or 'no tensor by name'}."
        )
    weights = {
        ours: tensors[theirs].detach().to_dense().float().numpy() for theirs, ours in names.items()
    }
    n_outputs = weights["classifier.bias"].size
    n_features = weights["classifier.weight"].size // max(n_outputs, 1)
    expected = {
        "attention_head.0.weight": (ATTENTION_WIDTH, n_features),
        "attention_head.0.bias": (ATTENTION_WIDTH,),
        "attention_head.2.weight": (1, ATTENTION_WIDTH),
        "attention_head.2.bias": (1,),
        "classifier.weight": (n_outputs, n_features),
        "classifier.bias": (n_outputs,),
    }
    for theirs, ours in names.items():
        found = weights[ours]
        if found.shape != expected[ours] or not np.isfinite(found).all():
            raise ValueError(
                f"{path} has a {theirs} of shape {found.shape}; it must have the shape "
                f"{expected[ours]} and finite values."
            )
    return weights
