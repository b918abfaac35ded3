"""A simple weakly-supervised localizer to compare with: what the generative part has to beat.

The foreground and background modelling of Nguyen et al., ICCV 2019, without clustering, is
``DGAMLocalizer(gamma1=0)``.
"""

from numbers import Integral, Real
from typing import Self

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn import functional as F

from skdgam._base import ActivationMixin
from skdgam._batches import HostFeatures, in_context
from skdgam._features import check_features
from skdgam._typing import Indexed, keeps_type
from skdgam._validation import check_weak_labels
from skdgam.localization import Activation

__all__ = ["MILLocalizer"]

CPU = torch.device("cpu")


class MILLocalizer(ActivationMixin, BaseEstimator):
    r"""Multiple-instance learning: the logits of a video are pooled from those of its snippets.

    They are trained by the cross-entropy of each label. The logits, and with `pooling="attention"`
    an attention, come from one hidden layer, or with ``hidden=None`` from the features themselves.
    Intervals are found as :class:`DGAMLocalizer` finds them with ``localization="tcam"``.

    Parameters
    ----------
    pooling : {"topk", "attention"}, default="topk"
        "topk" is the mean of a class's highest logits, those of one snippet in `topk` [1]_;
        attention is then the probability of the surest class. "attention" is the mean of all,
        weighted by attention, which a penalty makes sparse [2]_.
    topk : int, default=8
        One snippet in so many counts, and at least one.
    sparsity : float, default=0.1
        Weight of the mean attention in the loss.
    hidden : int or None, default=128
        Units of the hidden layer; None is a linear classifier.
    temporal_context : int, default=0
        Snippets to each side that are looked at.
    dropout : float, in [0, 1), default=0.5
        Of features and hidden units, in training.
    max_epochs : int, default=150
    batch_size : int, default=32
        Videos in each step.
    learning_rate : float, default=2e-3
        Of Adam.
    proposal_threshold, class_threshold, eta, nms_threshold
        As for :class:`DGAMLocalizer`.
    snippet_seconds, snippet_offset, tiou_thresholds, random_state
        As for :class:`DGAMLocalizer`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    weights_ : dict of ndarrays

    References
    ----------
    .. [1] S. Paul, S. Roy, A. K. Roy-Chowdhury: W-TALC: Weakly-supervised Temporal Activity
       Localization and Classification. ECCV 2018.
    .. [2] P. Nguyen, T. Liu, G. Prasad, B. Han: Weakly Supervised Action Localization by Sparse
       Temporal Pooling Network. CVPR 2018.

    Examples
    --------
    >>> from skdgam.baselines import MILLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> MILLocalizer(max_epochs=5, random_state=0).fit(X, y).predict(X).shape
    (20,)
    """

    _parameter_constraints: dict = {
        "pooling": [StrOptions({"topk", "attention"})],
        "topk": [Interval(Integral, 1, None, closed="left")],
        "sparsity": [Interval(Real, 0, None, closed="left")],
        "hidden": [Interval(Integral, 1, None, closed="left"), None],
        "temporal_context": [Interval(Integral, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "proposal_threshold": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "class_threshold": [Interval(Real, 0, 1, closed="both")],
        "eta": [Interval(Real, 0, None, closed="left")],
        "nms_threshold": [Interval(Real, 0, 1, closed="both")],
        "snippet_seconds": [Interval(Real, 0, None, closed="neither")],
        "snippet_offset": [Interval(Real, None, None, closed="neither")],
        "tiou_thresholds": [Interval(Real, 0, 1, closed="right"), "array-like"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        pooling="topk",
        topk=8,
        sparsity=0.1,
        hidden=128,
        temporal_context=0,
        dropout=0.5,
        max_epochs=150,
        batch_size=32,
        learning_rate=2e-3,
        proposal_threshold=0.1,
        class_threshold=0.1,
        eta=0.3,
        nms_threshold=0.5,
        snippet_seconds=0.64,
        snippet_offset=0.0,
        tiou_thresholds=0.5,
        random_state=None,
    ):
        self.pooling = pooling
        self.topk = topk
        self.sparsity = sparsity
        self.hidden = hidden
        self.temporal_context = temporal_context
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.proposal_threshold = proposal_threshold
        self.class_threshold = class_threshold
        self.eta = eta
        self.nms_threshold = nms_threshold
        self.snippet_seconds = snippet_seconds
        self.snippet_offset = snippet_offset
        self.tiou_thresholds = tiou_thresholds
        self.random_state = random_state

    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def fit(self, X: Indexed, y: Indexed) -> Self:
        """Learn from video-level labels.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            As for ``DGAMLocalizer.fit``: nothing but labels is read.

        Returns
        -------
        self : object
        """
        videos = check_features(X)
        classes, is_labelled = check_weak_labels(y, len(videos))
        features = HostFeatures(videos, CPU, torch.float32)
        target = torch.from_numpy(is_labelled.astype(np.float32))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._network(videos.n_features, len(classes))
            optimizer = torch.optim.Adam(network.parameters(), self.learning_rate)
            for _ in range(self.max_epochs):
                for batch in torch.randperm(len(videos)).split(self.batch_size):
                    loss = self._loss(network, features, batch.numpy(), target[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        self.classes_, self.n_features_in_ = classes, videos.n_features
        self.weights_ = {k: v.numpy().copy() for k, v in network.state_dict().items()}
        return self

    def attention(self, X: Indexed) -> list[np.ndarray]:
        """Attention of every snippet, in [0, 1].

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,)
        """
        return [each.attention for each in self._activations(self._check(X))]

    def class_activation(self, X: Indexed) -> list[np.ndarray]:
        """Probability of each class in every snippet.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
        """
        return [expit(each.tcam) for each in self._activations(self._check(X))]

    def _network(self, n_features, n_classes):
        width = (2 * self.temporal_context + 1) * n_features
        dropout = nn.Dropout(self.dropout)
        body = [nn.Linear(width, self.hidden), nn.ReLU(), dropout] if self.hidden else []
        n_inputs = self.hidden or width
        layers = {
            "dropout": dropout,
            "body": nn.Sequential(*body),
            "classifier": nn.Linear(n_inputs, n_classes),
            "attention": nn.Linear(n_inputs, 1),
        }
        return nn.ModuleDict(layers)

    def _heads(self, network, rows, lengths):
        """Attention (n_rows,) and logits (n_rows, n_classes) of the snippets of some videos."""
        rows = network["dropout"](rows)
        hidden = network["body"](in_context(rows, lengths, self.temporal_context))
        return network["attention"](hidden)[:, 0].sigmoid(), network["classifier"](hidden)

    def _loss(self, network, features, batch, target):
        lengths = features.lengths[batch]
        rows = features.rows(batch, [slice(None)] * len(features.lengths))
        attention, logits = (
            part[: lengths.sum()].split(lengths.tolist())
            for part in self._heads(network, rows, lengths)
        )
        pooled = torch.stack([self._pool(a, x) for a, x in zip(attention, logits, strict=True)])
        loss = F.binary_cross_entropy_with_logits(pooled, target, reduction="none")
        loss = loss.sum(dim=1).mean()
        if self.pooling == "attention":
            loss = loss + self.sparsity * torch.stack([a.mean() for a in attention]).mean()
        return loss

    def _pool(self, attention, logits):
        """Logits (n_classes,) of one video."""
        if self.pooling == "topk":
            return logits.topk(max(len(logits) // self.topk, 1), dim=0).values.mean(dim=0)
        return attention @ logits / attention.sum().clamp_min(torch.finfo(torch.float32).tiny)

    def _activations(self, videos):
        with torch.device("meta"):  # where nothing is drawn for weights that are known
            network = self._network(self.n_features_in_, len(self.classes_)).eval()
        weights = {name: torch.tensor(value) for name, value in self.weights_.items()}
        network.load_state_dict(weights, assign=True)
        for video in videos:
            with torch.inference_mode():
                attention, logits = self._heads(
                    network, torch.tensor(video), np.array([len(video)])
                )
                probability = self._pool(attention, logits).sigmoid().numpy()
                if self.pooling == "topk":
                    attention = logits.amax(dim=1).sigmoid()
            no_bias = np.zeros(len(self.classes_))
            yield Activation(attention.numpy(), logits.numpy(), no_bias, probability)
