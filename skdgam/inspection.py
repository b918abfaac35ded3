"""What attention has learned: statistics against annotations, and attention of another model."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skdgam._features import check_features
from skdgam._validation import check_annotations

__all__ = ["attention_statistics", "swap_attention"]


def attention_statistics(model, X, y, threshold=0.5):
    r"""How attention and classifier share the work, as in the paper's Table 2.

    Of the snippets of all videos, *gt* are those whose middle lies in an action, *att* those with
    attention above the threshold, *cls* those where the T-CAM of any class is above it.

    Parameters
    ----------
    model : DGAMLocalizer
        Fitted.
    X : sequence of n arrays of shape (n_snippets_i, n_features)
    y : sequence of n annotations
        The true intervals of each video: a list of ``(start, end, label)`` or an interval array, in
        seconds.
    threshold : float, in [0, 1], default=0.5

    Returns
    -------
    statistics : Bunch of float, not negative
        Sizes of sets of snippets, relative to that of gt.

        false_attention
            :math:`|att - gt|`: attended to, but no action.
        missed_attention
            :math:`|gt - att|`: actions that attention leaves out.
        filtered
            :math:`|(cls - gt) \cap \overline{att}|`: what the classifier takes for an action, and
            attention does not.
        recovered
            :math:`|(att \cap gt) - cls|`: actions that attention has and the classifier has not.

    Raises
    ------
    ValueError
        If no snippet lies in an action, or `y` is not of the length of `X`.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.inspection import attention_statistics
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> model = DGAMLocalizer(max_epochs=20, random_state=0).fit(X, y)
    >>> sorted(attention_statistics(model, X, y))
    ['false_attention', 'filtered', 'missed_attention', 'recovered']
    """
    check_is_fitted(model)
    videos = check_features(X, model.n_features_in_)
    annotations = check_annotations(y, len(videos))
    gt = np.concatenate(
        [
            _is_action(
                annotation, model.snippet_offset + model.snippet_seconds * (np.arange(n) + 0.5)
            )
            for annotation, n in zip(annotations, videos.lengths, strict=True)
        ]
    )
    if not gt.any():
        raise ValueError("No snippet of X has its middle in an action of y; check their times.")
    att = np.concatenate(model.attention(X)) > threshold
    cls = np.concatenate(model.class_activation(X)).max(axis=1) > threshold
    sets = {
        "false_attention": att & ~gt,
        "missed_attention": gt & ~att,
        "filtered": cls & ~gt & ~att,
        "recovered": att & gt & ~cls,
    }
    return Bunch(**{name: float(members.sum() / gt.sum()) for name, members in sets.items()})


def swap_attention(model, other):
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
        do with `temporal_context`.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.inspection import swap_attention
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> new = DGAMLocalizer(max_epochs=20, random_state=0).fit(X, y)
    >>> old = DGAMLocalizer(max_epochs=20, gamma1=0, random_state=0).fit(X, y)
    >>> detections = swap_attention(old, new).predict(X)
    """
    for each in (model, other):
        check_is_fitted(each)
        if each.temporal_context:
            raise ValueError(
                "swap_attention needs models with temporal_context=0, but one has "
                f"{each.temporal_context}: its attention and classifier share a layer."
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
    classifier = {k: v for k, v in model.weights_.items() if k.startswith("classifier.")}
    weights = {k: v.copy() for k, v in (other.weights_ | classifier).items()}
    return clone(model)._set_weights(model.classes_.copy(), weights)


def _is_action(annotation, times):
    """Which of some times (n_times,) lie in an action."""
    inside = (annotation["start"] <= times[:, None]) & (times[:, None] < annotation["end"])
    return inside.any(axis=1)
