"""What ACM-Net and ASM-Loc share: attention of several branches, and their way of localization."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from skdgam.intervals import make_intervals, runs
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.methods._localization import ContrastLocalizer, top_k_of_video
from skdgam.methods._settings import COUNT, SHARE, WEIGHT
from skdgam.proposals import POINTS_PER_SNIPPET, interpolate, join_proposals, joint_contrast
from skdgam.training.batches import Batch

__all__ = ["BranchLocalizer", "BranchNetwork", "branch_activation", "branch_proposals"]


class BranchNetwork(nn.Module):
    """Features by a convolution over time, attention of several branches, and a classifier.

    Background is the last of the classifier's n_classes + 1 columns.
    """

    reach = 1

    def __init__(
        self, n_features: int, n_classes: int, n_branches: int, *, hidden: int | None, topk: int
    ):
        super().__init__()
        self.topk = topk
        width = hidden or n_features
        self.body = TemporalConv(n_features, width, 1, padding="zeros")
        self.attention = Linear(width, n_branches)
        self.classifier = Linear(width, n_classes + 1)

    def embed(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Features (n_rows, hidden)."""
        return self.body(batch.dropout(batch.x, dropout), batch).relu()

    def read(
        self, features: Tensor, batch: Batch, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Attention (n_rows, n_branches), which sums to 1, and logits (n_rows, n_classes + 1)."""
        attention = self.attention(batch.dropout(features, attention_dropout)).float().softmax(1)
        of_rows = batch.dropout(torch.ones_like(features[:, :1]), dropout)
        return attention, self.classifier(batch.dropout(of_rows * features, dropout)).float()

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Attention (n_rows,) of the first branch, and logits (n_rows, n_classes + 1)."""
        attention, logits = self.read(self.embed(batch), batch)
        return attention[:, 0], logits


def branch_proposals(
    activation: Activation,
    classes: np.ndarray,
    tcam_thresholds: Iterable[float],
    attention_thresholds: Iterable[float],
    *,
    eta: float,
    side: float,
    tcam_share: float = 1.0,
    video_share: float = 0.0,
) -> np.ndarray:
    r"""Proposals where the T-CAM is high, and others where attention is.

    The T-CAM :math:`\psi_t` is the softmax of logits, and attention :math:`a_t` the same for each
    class, both interpolated to 20 points a snippet. Runs of two points and more in which one of
    them reaches a threshold are proposals. Their score is the mean inside of
    :math:`\rho \psi_t + (1 - \rho) a_t`, in which points of that one below the threshold count 0,
    less η times one mean over both sides.

    Parameters
    ----------
    activation : Activation
        Of which the T-CAM are logits, with a last column for background.
    classes : ndarray of int of shape (n_selected,)
        Columns of the T-CAM.
    tcam_thresholds, attention_thresholds : sequences of float, in [0, 1)
        Each gives proposals of its own.
    eta : float
        Weight of the sides.
    side : float
        Length of each side, in lengths of the proposal.
    tcam_share : float, in [0, 1], default=1.0
        ρ.
    video_share : float, default=0.0
        Weight of the probability of the class in the video, in scores of those from attention.

    Returns
    -------
    proposals : interval array of shape (n_proposals,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    tcam = softmax(activation.tcam.astype(np.float64), axis=1)
    attention = activation.attention.astype(np.float64)
    shares = tcam_share, 1 - tcam_share
    found = []
    for column in classes:
        points = interpolate(np.column_stack([tcam[:, column], attention]))
        in_video = activation.probability[column]
        values = points @ shares
        for k, thresholds in enumerate((tcam_thresholds, attention_thresholds)):
            signal = points[:, k]
            is_high = (signal >= np.array([*thresholds])[:, None]) & (signal > 0)
            row, first, stop = _runs_of_rows(is_high)
            score = np.full(len(first), k * video_share * in_video)
            if shares[k]:
                for r in np.unique(row):
                    own = row == r
                    kept = np.where(is_high[r], values, values - shares[k] * signal)
                    score[own] += joint_contrast(kept, first[own], stop[own], eta, side)
            else:  # the values are the same for all thresholds
                score += joint_contrast(values, first, stop, eta, side)
            found.append((first, stop, column, score))
    first, stop, columns, scores = join_proposals(found)
    first, stop = first / POINTS_PER_SNIPPET, stop / POINTS_PER_SNIPPET
    return make_intervals(first, stop, columns, scores)


def _runs_of_rows(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first and stop of each run of two points and more in a mask (n_rows, n_points)."""
    apart = np.pad(mask, ((0, 0), (0, 1)))
    first, stop = runs(apart.ravel())
    row, first = np.divmod(first, apart.shape[1])
    stop = stop - row * apart.shape[1]
    is_long = stop - first > 1
    return row[is_long], first[is_long], stop[is_long]


def branch_activation(attention: np.ndarray, logits: np.ndarray, topk: int) -> Activation:
    """What logits (n_snippets, n_classes + 1) say of a video, each multiplied by its attention.

    The highest ones of each class, one in `topk`, are averaged. The T-CAM keeps the column of
    background, which is the last one.
    """
    tcam = attention[:, None] * logits
    pooled = top_k_of_video(tcam, topk)
    return Activation(attention, tcam, np.zeros(len(pooled) - 1), softmax(pooled)[:-1])


class BranchLocalizer(ContrastLocalizer):
    """A method whose attention has several branches, of which the first is that of actions."""

    _architecture: ClassVar[tuple[str, ...]] = ("hidden", "topk")

    hidden: int | None = None
    topk: int = 8
    dropout: float = 0.7
    weight_decay: float = 5e-5
    n_snippets: int | None = 750
    learning_rate: float = 1e-3
    class_threshold: float = 0.25
    max_snippets: int | None = 750

    _exclusive_classes = True
    _parameter_constraints = ContrastLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        "topk": COUNT,
        "dropout": SHARE,
        "weight_decay": WEIGHT,
    }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        return branch_activation(attention, logits, network.topk)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)[:, :-1]
