"""Attention of one model with the classifier of another, the paper's Table 1."""

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skdgam.dgam.localizer import DGAMLocalizer

__all__ = ["swap_attention"]


def swap_attention(model: DGAMLocalizer, other: DGAMLocalizer) -> DGAMLocalizer:
    """Join the classifier of one model and the attention of another, as in the paper's Table 1.

    Shows which of the two a better localization is owed to.

    Parameters
    ----------
    model : DGAMLocalizer
        Fitted: its parameters and classifier are taken.
    other : DGAMLocalizer
        Fitted to the same features and classes: its attention is taken, and its CVAE.

    Returns
    -------
    swapped : DGAMLocalizer
        Fitted. Nothing is shared with the two.

    Raises
    ------
    ValueError
        If their features or classes differ, or attention and classifier share a layer, which they
        do with `temporal_context` and with ``attention_source="classes"``.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.dgam import swap_attention
    >>> from skdgam.presets import PAPER
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> settings = PAPER | {"max_epochs": 20, "random_state": 0}
    >>> new = DGAMLocalizer(**settings).fit(X, y)
    >>> old = DGAMLocalizer(**settings | {"gamma1": 0}).fit(X, y)
    >>> detections = swap_attention(old, new).predict(X)
    """
    for each in (model, other):
        check_is_fitted(each)
        if each.attention_source != "head" or each.temporal_context:
            raise ValueError(
                'swap_attention needs models with attention_source="head" and temporal_context=0, '
                f"but one has {each.attention_source!r} and {each.temporal_context}: its attention "
                "and classifier share a layer."
            )
    if model.n_features_in_ != other.n_features_in_:
        raise ValueError(
            f"One model takes {model.n_features_in_} features, the other {other.n_features_in_}."
        )
    if model.classes_.tolist() != other.classes_.tolist():
        raise ValueError(
            f"One model has the classes {model.classes_.tolist()}, the other "
            f"{other.classes_.tolist()}."
        )
    if not np.array_equal(model._scaling() or (), other._scaling() or ()):
        raise ValueError("The models standardize their features differently; fit both on the same.")
    classifier = {k: v for k, v in model.weights_.items() if k.startswith("classifier.")}
    weights = {k: v.copy() for k, v in (other.weights_ | classifier).items()}
    classification = model._fitted_architecture()["classification"]
    architecture = other._fitted_architecture() | {"classification": classification}
    return clone(model)._set_weights(
        model.classes_.copy(), weights, model.n_features_in_, architecture, model._scaling()
    )
