"""ThreeCNetLocalizer: two streams, and a center for each class."""

import math
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skdgam import losses
from skdgam._features import Videos
from skdgam._labels import UNKNOWN, count_labels
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.layers import ColumnwiseConv, Linear, xavier_uniform
from skdgam.localization import Activation, check_proposal_thresholds
from skdgam.methods._localization import logit_proposals, top_k_of_video
from skdgam.methods._settings import ACTIVITYNET12, COUNT, SHARE, THUMOS14, WEIGHT
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["ThreeCNetLocalizer"]

TOP = 8  # one snippet in so many is pooled
TAPS, DILATION = 13, 2  # of the convolution over time
CENTER_RATE = 0.1  # learning rate of the centers, by the gradient of their own loss
SINGLE_UNTIL = 0.1  # share of the training in which only videos of one label have a center loss


class ThreeCNetLocalizer(BaseLocalizer):
    r"""3C-Net of Narayan, Cholakkal, Khan and Shao [1]_: category count and center loss.

    The two halves of the features are two streams, RGB and flow. Two hidden layers of each give
    features h and logits s, and the class activation is :math:`A_t = m_r s^r_t + m_f s^f_t` with
    learnt weights of each class. The loss is the sum of three cross-entropies, of the pooled
    :math:`s^r`, :math:`s^f` and A, and :math:`\alpha (L^r_{center} + L^f_{center})`: what a video
    looks like where a class is shall be near a learnt center of the class
    (:func:`skdgam.losses.center_distances`). Where it is known how often a video shows each class,
    :math:`\delta L_{count}` is added (:func:`skdgam.losses.count_loss`).

    Parameters
    ----------
    hidden : int or None, default=None
        Units of each hidden layer; None is as many as a stream has features.
    center : float, default=1e-3
        α: weight of the center losses.
    count : float, default=0.0
        δ: weight of the count loss, published as 1 for THUMOS14 and 0.1 for ActivityNet. Above 0,
        ``fit`` counts how often `y` names each class of a video: ``["jump", "jump", "run"]``, or
        an annotation, of which it reads no times. Sets, single labels and indicator matrices do not
        say how often. At 0, which classes a video shows is all that it learns from.
    temporal_conv : bool, default=False
        Whether the class activation goes through a convolution over time of each class by itself,
        which has 13 taps, two snippets apart, and through a rectifier; released for ActivityNet.
    dropout : float, in [0, 1), default=0.7
        Share of the units of the last hidden layer that training leaves out, for all losses.
    class_share : float, in [0, 1], default=0.5
        A class is searched for if its logit exceeds this share of the highest one of the video.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification``, ``first_stream``,
        ``second_stream`` and ``center``, the sum of both streams, and ``count`` with `count`,
        to which videos of unknown counts add 0.

    Notes
    -----
    Counts are what labels of a video usually lack, so that presets have ``count=0.0``, other than
    published. A video that is longer than `n_snippets` has no count loss: training sees a part of
    it, but counts are of the whole. The release has the count loss in every second step, on up to
    2,800 snippets. As there, a class that happens as often as there are snippets, or more often,
    is taken for absent. The command line hands on no counts.

    Network, losses and localization are by default as released, but for the center loss: in the
    released code the *number* of a class is the weight of its distances, so that the first class
    has none. Here all count alike, and the labels of a video share its weight. Adam trains the
    network, and plain gradient descent the centers.

    Beside `class_share`, the sigmoid of a pooled logit must exceed `class_threshold`, which at 0.5
    is a positive logit. A video may yield nothing. `proposal_threshold` is a share of the range of
    the activation, from 0 with `temporal_conv`. `proposal_smoothing`, `eta` and `stream_weight`
    have no effect. Attention is the probability of the surest class.

    References
    ----------
    .. [1] S. Narayan, H. Cholakkal, F. S. Khan, L. Shao: 3C-Net: Category Count and Center Loss
       for Weakly-Supervised Action Localization. ICCV 2019.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import ThreeCNetLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, n_features=(8, 8), random_state=0)
    >>> ThreeCNetLocalizer(max_epochs=3, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "temporal_conv")
    _crops = True
    presets = {  # noqa: RUF012
        "THREECNET_THUMOS14": {
            **THUMOS14,
            "n_snippets": 750,
            "max_epochs": 1613,  # 50,000 steps on 1,010 videos
            "learning_rate": 1e-4,
        },
        "THREECNET_ACTIVITYNET12": {
            **ACTIVITYNET12,
            "n_snippets": 200,
            "max_epochs": 333,  # 50,000 steps on 4,819 videos
            "learning_rate": 1e-4,
            **{"temporal_conv": True, "class_share": 0.0, "proposal_threshold": 0.0},
        },
    }

    hidden: int | None = None
    center: float = 1e-3
    count: float = 0.0
    temporal_conv: bool = False
    dropout: float = 0.7
    class_share: float = 0.5
    n_snippets: int | None = 750
    batch_size: int = 32
    learning_rate: float = 1e-3
    proposal_threshold: Any = 0.5
    class_threshold: float = 0.5

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "hidden": [*COUNT, None],
        **dict.fromkeys(("center", "count"), WEIGHT),
        "temporal_conv": ["boolean"],
        "dropout": SHARE,
        "class_share": [Interval(Real, 0, 1, closed="both")],
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """Two perceptrons, the weights of their logits, centers, and maybe a convolution."""

        def __init__(
            self, n_features: int, n_classes: int, *, hidden: int | None, temporal_conv: bool
        ):
            super().__init__()
            half = n_features // 2
            self.columns = slice(0, max(half, 1)), slice(half, n_features)
            streams, centers = nn.ModuleList(), nn.ParameterList()
            for columns in self.columns:
                n_inputs = columns.stop - columns.start
                width = hidden or n_inputs
                layers = Linear(n_inputs, width), Linear(width, width), Linear(width, n_classes)
                streams.append(nn.ModuleList(layers))
                centers.append(nn.Parameter(torch.empty(n_classes, width)))
            self.streams: Sequence[Sequence[Linear]] = streams  # type: ignore[assignment]
            self.centers = centers
            self.scales = nn.Parameter(torch.empty(2, n_classes))
            self.taps = ColumnwiseConv(n_classes, TAPS, DILATION) if temporal_conv else None
            self.reach = 0 if self.taps is None else self.taps.radius

        def initialize(self, generator: torch.Generator) -> None:
            """Draw all weights by the rule of Glorot, and centers from a normal distribution."""
            xavier_uniform(self, generator)
            for centers in self.centers:
                nn.init.normal_(centers, generator=generator)
            nn.init.ones_(self.scales)
            if self.taps is not None:
                bound = math.sqrt(6 / (TAPS * (1 + len(self.taps.weight))))
                nn.init.uniform_(self.taps.weight, -bound, bound, generator=generator)

        def describe(
            self, batch: Batch, dropout: float = 0.0
        ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
            """Class activation (n_rows, n_classes), and features and logits of each stream."""
            of_streams = []
            for columns, (first, second, last) in zip(self.columns, self.streams, strict=True):
                features = second(first(batch.x[:, columns]).relu()).relu()
                features = batch.dropout(features, dropout)
                of_streams.append((features.float(), last(features).float()))
            logits = torch.stack([logits for _, logits in of_streams], dim=1)
            activation = (self.scales * logits).sum(dim=1)
            if self.taps is not None:
                activation = self.taps(activation, batch).relu()
            return activation, of_streams

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Probability (n_rows,) of the surest class; activation and logits of both streams."""
            activation, of_streams = self.describe(batch)
            columns = [activation, *(logits for _, logits in of_streams)]
            return activation.amax(dim=1).sigmoid(), torch.cat(columns, dim=1)

    def _tell(self, videos: Videos, y: Any, classes: np.ndarray, clock: SnippetClock) -> Videos:
        if not self.count:
            return videos
        counts = count_labels(y, classes, len(videos)).astype(np.float32)
        if self.n_snippets is not None:
            counts[videos.lengths > self.n_snippets] = UNKNOWN
        return videos.counted(counts)

    def _check_told(self, videos: Videos) -> None:
        if videos.counts is None or videos.counts.max() > 1:
            return
        given = f"count={self.count} learns how often each class happens, but"
        if videos.counts.max() < 1:
            raise ValueError(
                f"{given} y tells that of no video that n_snippets={self.n_snippets} leaves whole. "
                "In Python, give annotations, or for each video a list with a label as often as it "
                "happens; or set count=0.0."
            )
        warnings.warn(
            f"{given} y names no class of a video twice, as if each happened once. Name a class as "
            "often as it happens, or set count=0.0.",
            UserWarning,
            stacklevel=4,
        )

    def _stages(self) -> list[Stage]:
        # The gradient of the whole loss is that of the centers' own loss, times its weight.
        plain = {"centers.": CENTER_RATE / self.center if self.center else 0.0}
        return [Stage("network", ("",), self._losses, weight_decay=5e-4, plain=plain)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        activation, of_streams = network.describe(batch, self.dropout)
        shares = losses.equal_shares(batch.labels)

        def classification(logits: Tensor) -> Tensor:
            pooled = losses.top_k_mean(batch.of_videos(logits), TOP, round_up=True)
            return batch.mean_of_videos(losses.classification_loss(pooled, shares))

        is_used = batch.labels.sum(dim=1) <= (1 if batch.progress < SINGLE_UNTIL else math.inf)
        distances = torch.zeros_like(shares)
        for (features, logits), centers in zip(of_streams, network.centers, strict=True):
            of_videos = zip(batch.of_videos(features), batch.of_videos(logits), strict=True)
            distances = distances + torch.stack(
                [losses.center_distances(h, s, centers) for h, s in of_videos]
            )
        center = is_used * (shares * distances).sum(dim=1)
        terms = {
            "classification": (1.0, classification(activation)),
            "first_stream": (1.0, classification(of_streams[0][1])),
            "second_stream": (1.0, classification(of_streams[1][1])),
            "center": (self.center, batch.mean_of_videos(center)),
        }
        if batch.counts is not None:
            of_videos = zip(batch.of_videos(activation), batch.counts, strict=True)
            count = torch.stack([losses.count_loss(a, counts) for a, counts in of_videos])
            is_known = (batch.counts != UNKNOWN).all(dim=1)
            terms["count"] = (self.count, batch.mean_of_videos(is_known * count))
        return terms

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        pooled = top_k_of_video(logits, TOP, round_up=True)
        probability = softmax(pooled.reshape(3, -1), axis=1).mean(axis=0)
        tcam = logits[:, : len(probability)]
        return Activation(attention, tcam, np.zeros(len(probability)), probability)

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, : logits.shape[1] // 3].sigmoid()

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        # Here the number of snippets that are pooled is rounded down, as released.
        pooled = top_k_of_video(activation.tcam, TOP)
        is_there = expit(pooled) > self.class_threshold
        proposals = logit_proposals(
            activation,
            np.flatnonzero(is_there & (pooled > self.class_share * pooled.max())),
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            pooled,
            video_weight=1.0,
            least=0.0 if self._fitted_architecture()["temporal_conv"] else None,
        )
        return self._in_seconds(proposals, clock)
