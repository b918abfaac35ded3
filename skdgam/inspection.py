"""What attention has learned: its statistics against annotations."""

import numpy as np
from sklearn.utils import Bunch

from skdgam._names import in_order
from skdgam._validation import check_annotations

__all__ = ["attention_statistics"]


def attention_statistics(model, X, y, threshold=0.5):
    r"""How attention and classifier share the work, as in the paper's Table 2.

    Of the snippets of all videos, *gt* are those whose middle lies in an action, *att* those with
    attention above the threshold, *cls* those where the T-CAM of any class is above it.

    Parameters
    ----------
    model : localizer
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
    videos = model._check(X)
    annotations = check_annotations(in_order(y, videos.names), len(videos))
    gt = np.concatenate(
        [
            _is_action(annotation, model.clock.middles(n))
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


def _is_action(annotation, times):
    """Which of some times (n_times,) lie in an action."""
    inside = (annotation["start"] <= times[:, None]) & (times[:, None] < annotation["end"])
    return inside.any(axis=1)
