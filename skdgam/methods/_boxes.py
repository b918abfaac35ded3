"""Boxes that are predicted, and the contrast of heat inside and outside of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdgam.intervals import make_intervals, survivors

__all__ = ["Boxes", "contrast_loss", "select_boxes"]

LEAST_HEAT, LEAST_SCORE = 0.1, 0.3  # where boxes are looked for, and of those that are kept
SCALE_BOUND = 8.0  # of δw: boxes of e⁸ anchors are longer than any video


class Boxes(NamedTuple):
    """Boxes at each snippet, one for each anchor, all (n_snippets, n_anchors).

    Attributes
    ----------
    ends : pair of Tensors
        First and last position inside, in snippets, before they are cut and rounded down.
    inner, outer : pairs of ndarrays of int
        First and last snippet inside, and with the surroundings.
    """

    ends: tuple[Tensor, Tensor]
    inner: tuple[np.ndarray, np.ndarray]
    outer: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, delta: Tensor, anchors: Tensor) -> "Boxes":
        """Boxes of δx and δw side by side, (n_snippets, 2 * n_anchors), and lengths of anchors."""
        n = len(delta)
        shift, scale = delta.double().chunk(2, dim=1)
        center = shift * anchors + torch.arange(n, device=delta.device)[:, None]
        length = scale.clamp(-SCALE_BOUND, SCALE_BOUND).exp() * anchors
        ends = center - length / 2, center + length / 2
        x1, x2 = (np.nan_to_num(end.detach().cpu().numpy()) for end in ends)
        side = np.maximum((x2 - x1) / 4, 1)
        inner = (x1, x2), (-1, n)
        outer = (x1 - side, x2 + side), (-2, n + 1)
        cut = (
            tuple(np.floor(np.clip(x, *bounds)).astype(int) for x in of_ends)
            for of_ends, bounds in (inner, outer)
        )
        return cls(ends, *cut)


def select_boxes(
    heat: np.ndarray, boxes: Boxes, nms_threshold: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
    r"""Boxes of one class in which heat is higher than around them.

    The outer-inner contrast of a box is :math:`(L_o - L_i + 1) / 2`, with the mean heat inside
    :math:`L_i` and in the surroundings :math:`L_o`; its score is 1 less that. Of each snippet that
    is hot, the box of the best anchor is taken, and of those that overlap, the best.

    Parameters
    ----------
    heat : ndarray of shape (n_snippets,), in [0, 1]
    boxes : Boxes
    nms_threshold : float

    Returns
    -------
    chosen : pair of ndarrays of int of shape (n_kept,)
        Snippets and anchors.
    contrast : ndarray of shape (n_kept,), in [0, 1]
    gradient : pair of ndarrays of shape (n_kept,)
        Of the contrast, by the first and the last position, as if heat were a step function.
    """
    n, (x1, x2), (o1, o2) = len(heat), boxes.inner, boxes.outer
    sums = np.cumsum(heat)

    def total(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        upper = np.where(b > 0, sums[np.clip(b, 0, n - 1)], 0)  # as released, also for b = 0
        return upper - np.where(a > 0, sums[np.clip(a - 1, 0, n - 1)], 0)

    def at(x: np.ndarray) -> np.ndarray:
        return np.where((x >= 0) & (x < n), heat[np.clip(x, 0, n - 1)], 0)

    n_inner, n_outer = x2 - x1 + 1, (o2 - o1) - (x2 - x1)
    inside = total(x1, x2) / n_inner
    n_beside = np.maximum(n_outer, 1)
    outside = (total(o1, o2) - total(x1, x2)) / n_beside
    contrast = np.where(n_outer > 0, (outside - inside + 1) / 2, 1.0)
    hot = np.flatnonzero(heat > LEAST_HEAT)
    anchor = contrast[hot].argmin(axis=1)
    is_good = 1 - contrast[hot, anchor] > LEAST_SCORE
    hot, anchor = hot[is_good], anchor[is_good]
    found = make_intervals(x1[hot, anchor], x2[hot, anchor], 0, 1 - contrast[hot, anchor])
    kept = survivors(found[::-1], nms_threshold)  # of equals the last one stays, as released
    t, a = hot[::-1][kept], anchor[::-1][kept]
    first = (
        (at(x1) - outside) / n_beside + (at(x1) - inside) / n_inner + (outside - at(o1)) / n_beside
    )
    last = (
        (outside - at(x2)) / n_beside - (at(x2) - inside) / n_inner + (at(o2) - outside) / n_beside
    )
    gradient = (np.where(n_outer > 0, g, 0)[t, a] / 2 for g in (first, last))
    return (t, a), contrast[t, a], tuple(gradient)


def contrast_loss(
    heat: np.ndarray, classes: Sequence[int], boxes: Boxes, nms_threshold: float
) -> Tensor:
    """Mean contrast of the boxes of all these classes that are kept; 1 if none is.

    Its gradient by the ends of the boxes is that of :func:`select_boxes`.
    """
    kept = [select_boxes(heat[:, column], boxes, nms_threshold) for column in classes]
    n_kept = sum(len(contrast) for _, contrast, _ in kept)
    if not n_kept:
        return boxes.ends[0].sum().float() * 0 + 1
    loss = boxes.ends[0].new_zeros(())
    for chosen, contrast, gradients in kept:
        loss = loss + contrast.sum()
        for end, gradient in zip(boxes.ends, gradients, strict=True):
            position = end[chosen]
            slope = torch.from_numpy(gradient).to(position)
            loss = loss + (slope * (position - position.detach())).sum()
    return (loss / n_kept).float()
