"""Arguments of DGAMLocalizer: for the benchmarks of the paper, stream by stream, and for sensors.

``THUMOS14_RGB``, ``THUMOS14_FLOW``, ``ACTIVITYNET12_RGB`` and ``ACTIVITYNET12_FLOW`` do what the
released implementation does with that stream: where the two differ, that is the released
behaviour, whose published numbers these are.

``PAPER`` is the method of the paper, as released, with a training for some hundred videos of a few
minutes in place of 6,000 epochs.

``SENSORS`` goes beyond the paper, for wearables and the like, whose single snippets say little:
attention and classifier look at ten snippets to each side, classes do not exclude each other, and
dropout keeps a few hundred recordings from being learned by heart. Chosen on HAPT, whose snippets
follow each other at 0.32 s, with a part of the training users held out. It says nothing of your
snippets: give `snippet_seconds` and `snippet_offset`.

Examples
--------
>>> from skdgam import DGAMLocalizer, MultiStreamLocalizer
>>> from skdgam.presets import THUMOS14_FLOW, THUMOS14_RGB
>>> model = MultiStreamLocalizer([
...     ("rgb", DGAMLocalizer(**THUMOS14_RGB), slice(0, 1024)),
...     ("flow", DGAMLocalizer(**THUMOS14_FLOW), slice(1024, 2048)),
... ])
>>> model.get_params()["flow__gamma1"]
0.3
"""

__all__ = ["PRESETS"]

PAPER = {
    "attention_source": "head",
    "standardize": False,
    "gamma1": 0.5,
    "latent_dim": 128,
    "temporal_context": 0,
    "dropout": 0.0,
    "n_snippets": 400,
    "max_epochs": 300,
    "learning_rate": 5e-3,
    "localization": "tcam",
}

_RELEASED = {
    "attention_source": "head",
    "standardize": False,
    "beta": 0.1,
    "gamma2": 0.1,
    "r": 1.0,
    "latent_dim": 128,
    "pooling": "released",
    "temporal_context": 0,
    "classification": "softmax",
    "dropout": 0.0,
    "n_snippets": 400,
    "max_epochs": 6000,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "warmup_epochs": 300,
    "refresh_every": 10,
    "localization": "tcam",
    "class_threshold": 0.1,
    "eta": 0.3,
    "nms_threshold": 0.5,
    "snippet_seconds": 0.64,
}

_THUMOS14 = _RELEASED | {
    "alpha": 0.03,
    "foreground_weight": 1.0,
    "warmup_gamma1": True,
    "proposal_smoothing": 0.0,
    "min_snippets": 50,
    "max_snippets": 400,
    "tiou_thresholds": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
THUMOS14_RGB = _THUMOS14 | {"gamma1": 0.5, "proposal_threshold": 0.03, "stream_weight": 0.35}
THUMOS14_FLOW = _THUMOS14 | {"gamma1": 0.3, "proposal_threshold": 0.08, "stream_weight": 0.65}

_ACTIVITYNET12 = _RELEASED | {
    "alpha": 1.0,
    "gamma1": 0.1,
    "warmup_gamma1": False,
    "proposal_threshold": 0.01,
    "proposal_smoothing": 25.0,
    "min_snippets": 2,
    "max_snippets": 200,
    "stream_weight": 0.5,
    "tiou_thresholds": (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
}
ACTIVITYNET12_RGB = _ACTIVITYNET12 | {"foreground_weight": 1.0}
ACTIVITYNET12_FLOW = _ACTIVITYNET12 | {"foreground_weight": 0.3}

SENSORS = {
    "attention_source": "head",
    "latent_dim": 128,
    "n_snippets": 400,
    "alpha": 0.01,
    "gamma1": 1.5,
    "temporal_context": 10,
    "classification": "sigmoid",
    "dropout": 0.7,
    "max_epochs": 150,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "localization": "attention",
}

PRESETS = {
    "PAPER": PAPER,
    "THUMOS14_RGB": THUMOS14_RGB,
    "THUMOS14_FLOW": THUMOS14_FLOW,
    "ACTIVITYNET12_RGB": ACTIVITYNET12_RGB,
    "ACTIVITYNET12_FLOW": ACTIVITYNET12_FLOW,
    "SENSORS": SENSORS,
}
