"""ProposalScorer: multiple-instance learning on proposals, as P-MIL does it."""

import math
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam import losses
from skdgam._features import Scaling, Videos
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals, soft_non_maximum_suppression
from skdgam.layers import Linear
from skdgam.localization import Activation, select_classes
from skdgam.methods._settings import SHARE, THUMOS14, WEIGHT
from skdgam.proposals import align
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["ProposalScorer", "describe_proposals"]

TOP = 8  # one proposal in so many is pooled
N_SIDE = 2  # of the parts of a proposal and its surroundings, those on each side
VIDEO_SHARE = 0.2  # weight of the probability of a class in the video, in scores


def describe_proposals(video: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    r"""Describe proposals for a :class:`ProposalScorer`: contrast features, and where they are.

    With the greatest values inside, :math:`i`, and on each side, :math:`l` and :math:`r`, of the
    parts that :func:`skdgam.proposals.align` makes, the features are
    :math:`[i - l;\ i;\ i - r]`. Behind them are start and end.

    Parameters
    ----------
    video : ndarray of shape (n_snippets, n_features)
    start, end : ndarrays of shape (n_proposals,)
        In snippets from the start of the video.

    Returns
    -------
    rows : ndarray of float32 of shape (n_proposals, 3 * n_features + 2)

    Examples
    --------
    >>> import numpy as np
    >>> video = np.array([[0.0], [0.0], [4.0], [4.0], [4.0], [4.0], [1.0], [1.0]])
    >>> describe_proposals(video, np.array([2.0]), np.array([6.0]))
    array([[3.  , 4.  , 2.25, 2.  , 6.  ]], dtype=float32)
    """
    bins = align(video, start, end)
    left, right = bins[:, :N_SIDE].max(axis=1), bins[:, -N_SIDE:].max(axis=1)
    inner = bins[:, N_SIDE:-N_SIDE].max(axis=1)
    return np.column_stack([inner - left, inner, inner - right, start, end]).astype(np.float32)


class ProposalScorer(BaseLocalizer):
    r"""The network of P-MIL [1]_: classifies the proposals of a video, and says how whole they are.

    :class:`skdgam.ProposalRefiner` makes its proposals by any localizer. Here a video has a row for
    each proposal in place of snippets (:func:`describe_proposals`), and so has all that ``fit`` and
    the other methods take and return.

    Two networks each give every proposal logits s of C + 1 classes, an attention α and a
    completeness ρ, by a hidden layer and three heads. Both are trained by the labels of the videos,
    which the mean of the highest logits has to tell, with background, and of the highest α s,
    without. And they learn from each other: the ranking of the proposals around each one
    (:func:`skdgam.losses.rank_inconsistency`), where the other's attention is above its mean, and
    ρ, the overlap with the best proposals by the other's attention
    (:func:`skdgam.losses.completeness_target`).

    Parameters
    ----------
    streams : sequence of int or None, default=None
        Numbers of features of each stream, side by side, such as (1024, 1024) for RGB and optical
        flow. Each has a network that learns from that of the stream before it, and the first from
        the last. None is two networks of all features, that differ in their initial weights.
    hidden : int or None, default=None
        Units of the hidden layer, and twice those of each head; None is as many as a stream has
        features.
    dropout : float, in [0, 1), default=0.5
        Share of the hidden units that training leaves out.
    consistency, completeness : float, default=2.0 and 20.0
        Weights of what the networks learn from each other.
    warmup_epochs : int, default=30
        Epochs over which these weights rise.
    {shared}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Columns of the rows of proposals.
    n_epochs_ : int
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification``, ``attention``, ``consistency`` and
        ``completeness``.
    weights_ : dict of ndarrays

    Notes
    -----
    Published are two streams. For one kind of features, two networks were compared on held-out
    training videos of five of the project's data sets, added to the default localizer with weight 1
    (:class:`skdgam.ProposalRefiner`): mean mAP was 77.4. It was 77.8 with one network that learns
    from itself, ``streams=(n_features,)``, which takes half the time, and 76.3 with two and neither
    of these losses. With another seed and without dropout, one network was 2 points worse than two.

    ``predict`` scores every proposal for each class of the video, by softmax(s) α ρ and 0.2 of the
    probability of the class in the video, as released. A class is searched for if that probability
    reaches `class_threshold`. `n_snippets` is the greatest number of proposals; published is 1,000.
    Standardized are the features alone. `localization`, `proposal_threshold`,
    `proposal_smoothing`, `eta`, `nms_threshold`, `min_snippets`, `max_snippets` and `stream_weight`
    have no effect. Times would not survive bfloat16, so that `precision` is float32.

    References
    ----------
    .. [1] H. Ren, W. Yang, T. Zhang, Y. Zhang: Proposal-based Multiple Instance Learning for
       Weakly-supervised Temporal Action Localization. CVPR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skdgam.methods import ProposalScorer
    >>> from skdgam.methods.pmil import describe_proposals
    >>> videos = np.random.default_rng(0).normal(size=(4, 30, 8))
    >>> start, end = np.arange(0, 20, 5), np.arange(8, 28, 5)
    >>> rows = [describe_proposals(video, start, end) for video in videos]
    >>> scorer = ProposalScorer(max_epochs=2, random_state=0).fit(rows, ["run", "jump"] * 2)
    >>> scorer.predict_proba(rows).shape
    (4, 2)
    """

    _architecture = ("streams", "hidden")
    _remedies = {}  # noqa: RUF012  # proposals may all be attended to
    presets = {  # noqa: RUF012
        "PMIL_THUMOS14": {
            **THUMOS14,
            "streams": (1024, 1024),
            "max_epochs": 200,
            "learning_rate": 5e-5,
        }
    }

    streams: Any = None
    hidden: int | None = None
    dropout: float = 0.5
    consistency: float = 2.0
    completeness: float = 20.0
    warmup_epochs: int = 30
    n_snippets: int | None = 1000
    max_epochs: int | None = None
    batch_size: int = 10
    learning_rate: float = 1e-3
    class_threshold: float = 0.2
    precision: str = "float32"

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "streams": [list, tuple, None],
        "hidden": [Interval(Integral, 2, None, closed="left"), None],
        "dropout": SHARE,
        "consistency": WEIGHT,
        "completeness": WEIGHT,
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
        "precision": [StrOptions({"float32"})],
    }

    class _network(nn.Module):  # noqa: N801
        """A network for each stream, which together say what proposals are."""

        reach = 0

        def __init__(self, n_features: int, n_classes: int, *, streams: Any, hidden: int | None):
            super().__init__()
            n_columns = n_features
            n_features, n_odd = divmod(n_columns - 2, 3)
            if n_odd or n_features < 1:
                raise ValueError(
                    f"The rows of proposals have {n_columns} columns, but they must be those of "
                    "describe_proposals: three for each feature, start and end."
                )
            sizes = [n_features] * 2 if streams is None else [*streams]
            if streams is not None and sum(sizes) != n_features:
                raise ValueError(
                    f"streams is {streams!r}, which are {sum(sizes)} features, but there are "
                    f"{n_features}; give the number of features of each stream."
                )
            stops = np.tile(n_features, 2) if streams is None else np.cumsum(sizes)
            self.columns = [
                slice(stop - n, stop) for n, stop in zip(sizes, stops.tolist(), strict=True)
            ]
            self.of_streams = nn.ModuleList(
                StreamNetwork(n, n_classes, hidden or max(n, 2)) for n in sizes
            )

        def of_each(self, batch: Batch, dropout: float = 0.0) -> list[tuple[Tensor, ...]]:
            """Logits, attention and completeness by each network."""
            contrasts = batch.x[:, :-2].unflatten(1, (3, -1))
            return [
                network(contrasts[:, :, columns].flatten(1), batch, dropout)
                for network, columns in zip(self.of_streams, self.columns, strict=True)
            ]

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Attention; and probabilities with background, completeness, start and end."""
            logits, *of_rows = map(torch.stack, zip(*self.of_each(batch), strict=True))
            attention, completeness = (values.mean(dim=0) for values in of_rows)
            probability = logits.softmax(dim=2).mean(dim=0)
            return attention, torch.column_stack([probability, completeness, batch.x[:, -2:]])

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses, weight_decay=1e-3)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        of_streams = network.of_each(batch, self.dropout)
        overlap = [losses.overlaps(*x[:, -2:].T) for x in batch.of_videos(batch.x)]
        terms = [
            self._of_stream(batch, own, of_streams[k - 1], overlap)
            for k, own in enumerate(of_streams)
        ]
        share = min(batch.epoch + 1, self.warmup_epochs) / max(self.warmup_epochs, 1)
        ramp = math.exp(-5 * (1 - share) ** 2)
        weights = {
            "classification": 2.0,
            "attention": 1.0,
            "consistency": ramp * self.consistency,
            "completeness": ramp * self.completeness,
        }
        return {
            name: (weight, torch.stack([of_stream[name] for of_stream in terms]).mean())
            for name, weight in weights.items()
        }

    def _of_stream(
        self,
        batch: Batch,
        own: tuple[Tensor, ...],
        other: tuple[Tensor, ...],
        overlap: list[Tensor],
    ) -> dict[str, Tensor]:
        """Each loss of one network, which learns from another one."""
        logits, attention, completeness = own
        terms = {}
        for name, values, background in (
            ("classification", logits, 1.0),
            ("attention", attention[:, None] * logits, 0.0),
        ):
            loss = losses.multiple_instance_loss(
                batch.of_videos(values), batch.labels, TOP, background
            )
            terms[name] = batch.mean_of_videos(loss)
        theirs, their_attention = (batch.of_videos(values.detach()) for values in other[:2])
        by_video = zip(
            batch.of_videos(logits), theirs, their_attention, overlap, batch.labels, strict=True
        )
        terms["consistency"] = batch.mean_of_videos(
            torch.stack([_inconsistency(*of_video) for of_video in by_video])
        )
        target = torch.cat([*map(losses.completeness_target, their_attention, overlap)])
        target = F.pad(target, (0, len(completeness) - len(target)))
        terms["completeness"] = batch.mean((completeness - target).square())
        return terms

    def _scaling_of(self, videos: Videos) -> Scaling | None:
        if not self.standardize:
            return None
        scaling = Scaling.of(videos)
        scaling.mean[-2:], scaling.scale[-2:] = 0, 1  # start and end stay as they are
        return scaling

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        probability = logits[:, :-4]
        in_video = attention @ probability / (attention.sum() + 1e-6)
        return Activation(attention, logits, np.zeros(len(in_video)), in_video)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, :-4]

    def _of_rows(self, videos: Iterable[np.ndarray]) -> Iterator[Activation]:
        """Yield what the network says of the proposals of each video, which may have none."""
        self._check_settings()  # parameters may have been set since fit
        network = self._fitted_network()

        def heads(network: nn.Module, batch: Batch) -> Tensor:
            return torch.column_stack(network(batch))

        for values in self._map_snippets(heads, videos, network):
            yield self._activation(network, values[:, 0], values[:, 1:])

    def _detect(self, videos: Videos, clocks: list[SnippetClock]) -> Iterator[np.ndarray]:
        for activation, clock in zip(self._of_rows(videos), clocks, strict=True):
            start, end = clock.to_seconds(activation.tcam[:, -2:].astype(np.float64)).T
            none = np.zeros(len(start), dtype=int)
            proposals = make_intervals(start, end, self.classes_[none], none.astype(float))
            found = self._of_all_classes(proposals, activation)
            yield soft_non_maximum_suppression(found, margin=clock.seconds)

    def _of_all_classes(self, proposals: np.ndarray, activation: Activation) -> np.ndarray:
        """Each of the proposals of a video for each of its classes, with scores."""
        columns = select_classes(activation.probability, self.class_threshold)
        found = np.repeat(proposals, len(columns))
        found["label"] = np.tile(self.classes_[columns], len(proposals))
        score = self._evidence(activation) + VIDEO_SHARE * activation.probability
        found["score"] = score[:, columns].ravel()
        return found

    def _evidence(self, activation: Activation) -> np.ndarray:
        """Probability of each class times attention and completeness, (n_proposals, n_classes)."""
        probability, completeness = activation.tcam[:, :-4], activation.tcam[:, -3]
        evidence = probability * (activation.attention * completeness)[:, None]
        return evidence.astype(np.float64)


class StreamNetwork(nn.Module):
    """What one stream says of proposals."""

    def __init__(self, n_features: int, n_classes: int, hidden: int):
        super().__init__()
        self.body = Linear(3 * n_features, hidden)
        self.classifier, self.attention, self.completeness = (
            nn.Sequential(Linear(hidden, hidden // 2), nn.ReLU(), Linear(hidden // 2, n_outputs))
            for n_outputs in (n_classes + 1, 1, 1)
        )

    def forward(self, x: Tensor, batch: Batch, dropout: float) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n_rows, n_classes + 1), attention and completeness (n_rows,)."""
        hidden = batch.dropout(self.body(x).relu(), dropout)
        attention, completeness = (
            head(hidden)[:, 0].float().sigmoid() for head in (self.attention, self.completeness)
        )
        return self.classifier(hidden).float(), attention, completeness


def _inconsistency(
    logits: Tensor, theirs: Tensor, their_attention: Tensor, overlap: Tensor, labels: Tensor
) -> Tensor:
    """Mean inconsistency of the classes of a video, at the proposals that the other attends to."""
    is_class, is_chosen = labels > 0, their_attention > their_attention.mean()
    own, target = (values[:, :-1][:, is_class] for values in (logits, theirs))
    divergence = losses.rank_inconsistency(own, target, overlap[is_chosen] > 0)
    return divergence.sum() / max(divergence.numel(), 1)
