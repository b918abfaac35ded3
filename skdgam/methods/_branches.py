"""What ACM-Net and ASM-Loc share: attention of several branches, and their way of localization."""

from collections.abc import Iterable

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from skdgam.intervals import make_intervals, runs
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation
from skdgam.proposals import POINTS_PER_SNIPPET, interpolate, join_proposals, joint_contrast
from skdgam.training.batches import Batch

__all__ = ["BranchNetwork", "branch_proposals"]


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
    found = []
    for column in classes:
        points = interpolate(np.column_stack([tcam[:, column], attention]))
        in_video = activation.probability[column]
        for k, thresholds in enumerate((tcam_thresholds, attention_thresholds)):
            for threshold in thresholds:
                is_high = (points[:, k] >= threshold) & (points[:, k] > 0)
                first, stop = runs(is_high)
                is_long = stop - first > 1
                first, stop = first[is_long], stop[is_long]
                kept = points.copy()
                kept[~is_high, k] = 0
                values = kept @ [tcam_share, 1 - tcam_share]
                score = joint_contrast(values, first, stop, eta, side)
                found.append((first, stop, column, score + k * video_share * in_video))
    first, stop, columns, scores = join_proposals(found)
    first, stop = first / POINTS_PER_SNIPPET, stop / POINTS_PER_SNIPPET
    return make_intervals(first, stop, columns, scores)
