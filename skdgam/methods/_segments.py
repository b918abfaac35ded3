"""Pseudo segments of ASM-Loc: what a model finds, and how the next model looks at it."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam.intervals import survivors
from skdgam.layers import BatchNorm, Linear
from skdgam.localization import Activation, select_classes
from skdgam.methods._branches import BranchNetwork, branch_activation, branch_proposals
from skdgam.training.batches import Batch

__all__ = [
    "ASMLocNetwork",
    "RefinedNetwork",
    "labels_of",
    "members_of",
    "memberships",
    "pseudo_labels",
    "pseudo_segments",
]

THRESHOLDS = np.linspace(0.4, 0.9, 21)  # of attention
CLASS_THRESHOLD, SIDE, OVERLAP = 0.25, 0.2, 0.45  # of the way of localization
SECOND = 25 / 16  # snippets that intervals are longer by when they are compared
N_HEADS = 8


def pseudo_segments(
    activation: Activation, labels: np.ndarray | None = None, second: float = SECOND
) -> np.ndarray:
    """Segments of one video where attention is high.

    Parameters
    ----------
    activation : Activation
        As :func:`~skdgam.methods._branches.branch_proposals` takes it.
    labels : ndarray of shape (n_classes,), of 0 and 1, optional
        Classes that the video shows. Only those have segments, if the activation says so, too.
    second : float, default=1.5625
        Snippets in a second.

    Returns
    -------
    segments : interval array of shape (n_segments,)
        Times in snippets from the start of the video, labels as column indices, with scores.
    """
    classes = select_classes(activation.probability, CLASS_THRESHOLD)
    if labels is not None:
        classes = classes[labels[classes] > 0]
    found = branch_proposals(activation, classes, [], THRESHOLDS, eta=1.0, side=SIDE)
    longer = found.copy()
    longer["end"] += second
    return found[survivors(longer, np.nextafter(OVERLAP, 0))]


def memberships(segments: np.ndarray, n_snippets: int) -> np.ndarray:
    """Which snippets (n_proposals, n_snippets) belong to each segment, widened to twice its length.

    Both ends are rounded to whole snippets. Of segments inside others, the outer ones stay.
    """
    ordered = segments[np.lexsort((segments["score"], segments["start"]))]
    last = np.maximum.accumulate(np.concatenate([[-np.inf], ordered["end"]]))[:-1]
    ordered = ordered[ordered["end"] > last]
    length = ordered["end"] - ordered["start"]
    first, last = np.rint([ordered["start"] - length / 2, ordered["end"] + length / 2])[..., None]
    snippet = np.arange(n_snippets)
    return (np.minimum(first, n_snippets - 1) <= snippet) & (snippet <= last)


def pseudo_labels(segments: np.ndarray, n_snippets: int, n_classes: int) -> np.ndarray:
    """Classes of each snippet (n_snippets, n_classes + 1) in equal shares; else background."""
    labels = np.zeros((n_snippets, n_classes + 1))
    ends = np.rint(segments["end"]).astype(int) + 1
    for first, stop, column in zip(
        np.rint(segments["start"]).astype(int), ends, segments["label"], strict=True
    ):
        labels[max(first, 0) : stop, column] = 1
    labels[:, -1] = ~labels.any(axis=1)
    return labels / labels.sum(axis=1, keepdims=True)


class SegmentAttention(nn.Module):
    """Residual self-attention, of several heads, within or among proposals.

    Parameters
    ----------
    width : int
    among : bool
        Whether the means of proposals attend to one another, and each snippet gets the mean of
        those that contain it. Otherwise snippets attend to those that share a proposal with them.
    """

    def __init__(self, width: int, among: bool):
        super().__init__()
        self.among, self.n_heads = among, math.gcd(N_HEADS, width)
        self.query, self.key, self.value, self.out = (Linear(width, width) for _ in range(4))
        self.norm = BatchNorm(width)

    def initialize(self, generator: torch.Generator) -> None:
        """Begin as the identity."""
        nn.init.zeros_(self.norm.scale)

    def forward(self, x: Tensor, batch: Batch, members: list[Tensor], learns: bool) -> Tensor:
        """Map features (n_rows, width); members (n_proposals_i, n_snippets_i) is of each video."""
        attended = [*map(self._of_video, batch.of_videos(x), members)]
        rows = torch.zeros_like(x)
        rows[: batch.lengths.sum()] = torch.cat(attended)
        return x + self.norm(self.out(rows), batch, learns)

    def _of_video(self, x: Tensor, member: Tensor) -> Tensor:
        if not len(member):
            return torch.zeros_like(x)
        member = member.to(x.dtype)
        if self.among:
            means = member @ x / member.sum(dim=1, keepdim=True)
            return member.T @ self._attend(means) / member.sum(dim=0)[:, None].clamp_min(1)
        inside = member.any(dim=0)
        member = member[:, inside]
        attended = torch.zeros_like(x)
        attended[inside] = self._attend(x[inside], member.T @ member > 0)
        return attended

    def _attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = (
            layer(x).unflatten(1, (self.n_heads, -1)).transpose(0, 1)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, mask)
        return attended.transpose(0, 1).flatten(1)


class RefinedNetwork(BranchNetwork):
    """A network of foreground and background that sees proposals, and how sure it is of labels."""

    def __init__(self, n_features: int, n_classes: int, *, hidden: int | None, topk: int):
        super().__init__(n_features, n_classes, 2, hidden=hidden, topk=topk)
        width = self.classifier.in_features
        self.within = SegmentAttention(width, among=False)
        self.among = SegmentAttention(width, among=True)
        self.uncertainty = Linear(width, 1, bias=False)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights of uncertainty from a normal distribution of deviation 1e-4."""
        nn.init.normal_(self.uncertainty.weight, std=1e-4, generator=generator)

    def refine(self, batch: Batch, members: list[Tensor], learns: bool = False) -> Tensor:
        """Features (n_rows, hidden)."""
        features = self.within(self.embed(batch), batch, members, learns)
        return self.among(features, batch, members, learns)


class ASMLocNetwork(nn.Module):
    """A base network, and others that each look at the segments of the one before."""

    reach = None  # segments are of whole videos

    def __init__(
        self, n_features: int, n_classes: int, *, hidden: int | None, topk: int, n_refinements: int
    ):
        super().__init__()
        self.topk = topk
        self.base = BranchNetwork(n_features, n_classes, 2, hidden=hidden, topk=topk)
        refinements = (
            RefinedNetwork(n_features, n_classes, hidden=hidden, topk=topk)
            for _ in range(n_refinements)
        )
        self.refinements: Sequence[RefinedNetwork] = nn.ModuleList(refinements)  # type: ignore[assignment]
        # How many of them take part in predictions: a weight, for model files to have it.
        self.n_refined = nn.Parameter(torch.empty(1))

    def initialize(self, generator: torch.Generator) -> None:
        """Begin with the base network alone."""
        nn.init.zeros_(self.n_refined)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Attention (n_rows,) and logits (n_rows, n_classes + 1) of the last trained network."""
        return self.run(batch, int(self.n_refined))

    def run(
        self, batch: Batch, n_refined: int, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As forward, of so many refinements, each on the segments of the network before it."""
        attention, logits = self.base(batch)
        for network in self.refinements[:n_refined]:
            members = members_of(batch, self.find(batch, attention, logits, labels))
            of_branches, logits = network.read(network.refine(batch, members), batch)
            attention = of_branches[:, 0]
        return attention, logits

    def find(
        self, batch: Batch, attention: Tensor, logits: Tensor, labels: Tensor | None
    ) -> list[np.ndarray]:
        """Pseudo segments of each video; with labels (n_videos, n_classes), of these alone."""
        shown = [None] * len(batch.lengths) if labels is None else labels.cpu().numpy()
        return [
            pseudo_segments(branch_activation(a.cpu().numpy(), x.cpu().numpy(), self.topk), row)
            for a, x, row in zip(
                batch.of_videos(attention), batch.of_videos(logits), shown, strict=True
            )
        ]


def members_of(batch: Batch, segments: list[np.ndarray]) -> list[Tensor]:
    """Which snippets (n_proposals_i, n_snippets_i) belong to the segments of each video."""
    of_videos = map(memberships, segments, batch.lengths.tolist())
    return [torch.from_numpy(members).to(batch.x.device) for members in of_videos]


def labels_of(batch: Batch, segments: list[np.ndarray]) -> Tensor:
    """Pseudo labels (n_rows, n_classes + 1)."""
    target = np.zeros((len(batch.x), batch.labels.shape[1] + 1), dtype=np.float32)
    first = 0
    for found, n in zip(segments, batch.lengths.tolist(), strict=True):
        target[first : first + n] = pseudo_labels(found, n, batch.labels.shape[1])
        first += n
    return torch.from_numpy(target).to(batch.x.device)
