"""The public face as a type checker sees it; `make lint` checks it, and nothing runs it."""

from typing import Any, assert_type

import numpy as np

from skdgam import DGAMLocalizer, MultiStreamLocalizer, ProposalRefiner, load
from skdgam.base import BaseLocalizer
from skdgam.datasets import FeatureFolder, make_untrimmed
from skdgam.formats import read_intervals
from skdgam.metrics import mean_average_precision
from skdgam.model_selection import WeakLabelKFold, weak_label_scorer


def example() -> None:
    X, y = make_untrimmed(n_videos=24, random_state=0)
    model = DGAMLocalizer(alpha=0.1, max_epochs=5, proposal_threshold=[0.1, 0.3], random_state=0)
    assert_type(model.fit(X, y, checkpoint="training"), DGAMLocalizer)
    assert_type(model.fit(FeatureFolder("features"), [{"jump"}, "run", []]).predict(X), np.ndarray)
    assert_type(model.fit(np.zeros((3, 5, 8)), np.eye(3)).predict_proba(tuple(X)), np.ndarray)
    assert_type(model.score(X, y, durations=[10.0, 20.0]), float)
    assert_type(model.attention(X), list[np.ndarray])
    model.save("model.skdgam")
    assert_type(load("model.skdgam"), BaseLocalizer | MultiStreamLocalizer | ProposalRefiner)

    streams = MultiStreamLocalizer([("rgb", model, slice(0, 16)), ("flow", model, slice(16, 32))])
    assert_type(streams.partial_fit(X, y, classes=["jump", "run"]), MultiStreamLocalizer)

    folds = WeakLabelKFold(3, random_state=0)
    assert_type(folds.get_n_splits(), Any)
    assert_type(weak_label_scorer(model, X, y), float)
    assert_type(mean_average_precision(y, [*model.predict(X)], [0.3, 0.5]), np.ndarray)
    assert_type(read_intervals("annotations.json"), dict[str, np.ndarray])

    # A type checker finds what is wrong here, or else that it need not be ignored.
    model.fit(X)  # type: ignore[call-arg]
    DGAMLocalizer(alpha="large")  # type: ignore[arg-type]
    model.save(3)  # type: ignore[arg-type]
