"""Boxes that are predicted, and how well they stand out of heat."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdgam.intervals import make_intervals, survivors

__all__ = [
    "Boxes",
    "Evaluation",
    "box_loss",
    "edge_contrast",
    "lengths_of_anchors",
    "outer_inner_contrast",
    "select_boxes",
]

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


# Scores (n_snippets, n_anchors) of all boxes, and their gradient by the first and last positions.
Evaluation = tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]
Evaluator = Callable[[np.ndarray, Boxes], Evaluation]  # from heat (n_snippets,)


def lengths_of_anchors(n_anchors: int, shortest: int, device: torch.device | None = None) -> Tensor:
    """Lengths (n_anchors,) in snippets, each twice the one before."""
    return shortest * 2.0 ** torch.arange(n_anchors, dtype=torch.float64, device=device)


def outer_inner_contrast(heat: np.ndarray, boxes: Boxes) -> Evaluation:
    r"""Score boxes by how much hotter they are than their surroundings: as AutoLoc does.

    The score is :math:`(1 + L_i - L_o) / 2`, with the mean heat inside :math:`L_i` and in the
    surroundings :math:`L_o`, or 0 without any. Its gradient is that of means over a step function.

    Parameters
    ----------
    heat : ndarray of shape (n_snippets,), in [0, 1]
        Of one class.
    boxes : Boxes

    Returns
    -------
    score : ndarray of shape (n_snippets, n_anchors), in [0, 1]
    gradient : pair of ndarrays of shape (n_snippets, n_anchors)
    """
    n, (x1, x2), (o1, o2) = len(heat), boxes.inner, boxes.outer
    sums = np.cumsum(heat)

    def total(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        upper = np.where(b > 0, sums[np.clip(b, 0, n - 1)], 0)  # as released, also for b = 0
        return upper - np.where(a > 0, sums[np.clip(a - 1, 0, n - 1)], 0)

    n_inner, n_outer = x2 - x1 + 1, (o2 - o1) - (x2 - x1)
    inside = total(x1, x2) / n_inner
    n_beside = np.maximum(n_outer, 1)
    outside = (total(o1, o2) - total(x1, x2)) / n_beside
    score = np.where(n_outer > 0, (1 + inside - outside) / 2, 0.0)
    h1, h2, g1, g2 = (_at(heat, x) for x in (x1, x2, o1, o2))
    first = (outside - h1) / n_beside + (inside - h1) / n_inner + (g1 - outside) / n_beside
    last = (h2 - outside) / n_beside + (h2 - inside) / n_inner + (outside - g2) / n_beside
    return score, (np.where(n_outer > 0, first, 0) / 2, np.where(n_outer > 0, last, 0) / 2)


def edge_contrast(heat: np.ndarray, boxes: Boxes) -> Evaluation:
    r"""Score boxes by their heat, and by how it rises and falls at their edges.

    The score is :math:`E_a + (E_s + E_e) / 2`: the mean heat inside, and the differences at both
    edges between the mean over a quarter of the length inside, rounded up, and over as much
    outside. Beyond the video nothing is hot. Its gradient is that of means over a step function,
    which at a step has the mean of both sides; a quarter of the length counts as constant.

    Parameters and returns are those of :func:`outer_inner_contrast`; the score is in [-1, 2].
    """
    start, stop = boxes.inner[0], boxes.inner[1] + 1
    sums = np.append(0.0, np.cumsum(heat, dtype=np.float64))
    side = -(-(stop - start) // 4)

    def mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (sums[np.clip(b, 0, len(heat))] - sums[np.clip(a, 0, len(heat))]) / (b - a)

    def between(x: np.ndarray) -> np.ndarray:
        return (_at(heat, x - 1) + _at(heat, x)) / 2

    def bend(x: np.ndarray) -> np.ndarray:
        return (between(x - side) - 2 * between(x) + between(x + side)) / side

    inside, length = mean(start, stop), stop - start
    rise = mean(start, start + side) - mean(start - side, start)
    fall = mean(stop - side, stop) - mean(stop, stop + side)
    first = (inside - between(start)) / length + bend(start) / 2
    last = (between(stop) - inside) / length - bend(stop) / 2
    return inside + (rise + fall) / 2, (first, last)


def _at(heat: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Heat of snippets x, and 0 beyond the video."""
    return np.where((x >= 0) & (x < len(heat)), heat[np.clip(x, 0, len(heat) - 1)], 0)


def select_boxes(
    heat: np.ndarray, boxes: Boxes, evaluate: Evaluator, nms_threshold: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Boxes of one class that stand out of heat.

    Of each snippet that is hot, the box of the best anchor is taken, and of those that overlap, the
    best.

    Parameters
    ----------
    heat : ndarray of shape (n_snippets,), in [0, 1]
    boxes : Boxes
    evaluate : callable
        :func:`outer_inner_contrast` or :func:`edge_contrast`.
    nms_threshold : float

    Returns
    -------
    chosen : pair of ndarrays of int of shape (n_kept,)
        Snippets and anchors.
    score : ndarray of shape (n_kept,)
    gradient : pair of ndarrays of shape (n_kept,)
        Of the score, by the first and the last position.
    """
    score, gradient = evaluate(heat, boxes)
    hot = np.flatnonzero(heat > LEAST_HEAT)
    anchor = score[hot].argmax(axis=1)
    is_good = score[hot, anchor] > LEAST_SCORE
    hot, anchor = hot[is_good], anchor[is_good]
    first, last = (edge[hot, anchor] for edge in boxes.inner)
    found = make_intervals(first, last, 0, score[hot, anchor])
    kept = survivors(found[::-1], nms_threshold)  # of equals the last one stays, as released
    chosen = hot[::-1][kept], anchor[::-1][kept]
    return chosen, score[chosen], (gradient[0][chosen], gradient[1][chosen])


def box_loss(
    heat: np.ndarray,
    classes: Sequence[int],
    boxes: Boxes,
    evaluate: Evaluator,
    nms_threshold: float,
) -> Tensor:
    """1 less the mean score of the boxes of all these classes that are kept; 1 if none is.

    Its gradient by the ends of the boxes is that of the evaluator.
    """
    kept = [select_boxes(heat[:, column], boxes, evaluate, nms_threshold) for column in classes]
    n_kept = sum(len(score) for _, score, _ in kept)
    total = boxes.ends[0].sum() * 0
    for chosen, score, gradients in kept:
        total = total + score.sum()
        for end, gradient in zip(boxes.ends, gradients, strict=True):
            position = end[chosen]
            slope = torch.from_numpy(gradient).to(position)
            total = total + (slope * (position - position.detach())).sum()
    return (1 - total / max(n_kept, 1)).float()
