"""ProposalRefiner: better scores for what any localizer finds."""

import copy
import os
from collections.abc import Iterator
from itertools import tee
from numbers import Real
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skdgam._features import Scaling, Videos, check_features
from skdgam._localizer import LocalizerMixin
from skdgam._typing import Indexed, PathOrName, keeps_type
from skdgam._weights import check_sample_weight
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.intervals import soft_non_maximum_suppression
from skdgam.localization import Activation
from skdgam.methods import METHODS
from skdgam.methods.pmil import ProposalScorer, describe_proposals
from skdgam.multi_stream import MultiStreamLocalizer

__all__ = ["ProposalRefiner"]


class ProposalRefiner(LocalizerMixin, BaseEstimator):
    r"""Score what a localizer finds anew, by a network on whole proposals: as P-MIL does [1]_.

    A localizer judges snippets. Whether an interval holds an action, and the whole of it, is better
    seen from the interval: from what it shows in contrast to its surroundings. ``fit`` trains the
    localizer, takes what it finds in the training videos before non-maximum suppression, and trains
    a :class:`skdgam.methods.ProposalScorer` on these proposals, by the same labels of whole videos.
    ``predict`` scores the localizer's proposals anew, and lowers scores of those that overlap
    better ones (:func:`skdgam.intervals.soft_non_maximum_suppression`). Start and end stay as they
    are, and nothing is dropped.

    Parameters
    ----------
    localizer : localizer
        Any of skdgam, such as a :class:`skdgam.MultiStreamLocalizer`. ``fit`` trains a clone, and
        takes a fitted one as it is from ``sklearn.frozen.FrozenEstimator(localizer)``. Its
        parameters are reached as ``localizer__parameter``. Several proposal thresholds give the
        scorer something to choose from.
    scorer : ProposalScorer or None, default=None
        ``fit`` trains a clone. None is ``ProposalScorer()``; given, its parameters are reached as
        ``scorer__parameter``. `standardize` of it also brings the features of snippets to mean 0
        and standard deviation 1.
    scorer_weight : float or None, default=0.25
        A proposal keeps its class, and to the localizer's score is added, with this weight, what
        the scorer says of this class, softmax(s) α ρ, which is in [0, 1]. None is as published:
        every proposal is scored for each class of the video, by the scorer alone.
    tiou_thresholds : float or sequence of float, default=0.5
        Where ``score`` evaluates mAP.

    Attributes
    ----------
    localizer_ : localizer
        Fitted.
    scorer_ : ProposalScorer
        Fitted. Its ``history_`` holds its losses.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int

    Notes
    -----
    Published is ``scorer_weight=None``. On nine of ten data sets of the project's benchmarks it was
    worse than the default localizer alone, since labels of videos say little of which proposal
    shows which class. The default was chosen on held-out training videos of ten data sets: 0.5
    is as good in the mean, and 1 loses 10 points of mAP on sounds. For a localizer whose scores are
    far from [0, 1], another weight may be right. The features of all proposals of the training
    videos are in memory at once.

    References
    ----------
    .. [1] H. Ren, W. Yang, T. Zhang, Y. Zhang: Proposal-based Multiple Instance Learning for
       Weakly-supervised Temporal Action Localization. CVPR 2023.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer, ProposalRefiner
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import ProposalScorer
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> localizer = DGAMLocalizer(max_epochs=20, random_state=0)
    >>> scorer = ProposalScorer(max_epochs=10, random_state=0)
    >>> model = ProposalRefiner(localizer, scorer).fit(X, y)  # of y, labels only
    >>> model.predict(X).shape
    (24,)
    """

    _parameter_constraints: dict = {
        "localizer": [BaseLocalizer, MultiStreamLocalizer, FrozenEstimator],
        "scorer": [ProposalScorer, None],
        "scorer_weight": [Interval(Real, 0, None, closed="left"), None],
        "tiou_thresholds": BaseLocalizer._parameter_constraints["tiou_thresholds"],
    }

    def __init__(self, localizer, scorer=None, *, scorer_weight=0.25, tiou_thresholds=0.5):
        self.localizer = localizer
        self.scorer = scorer
        self.scorer_weight = scorer_weight
        self.tiou_thresholds = tiou_thresholds

    @keeps_type(_fit_context(prefer_skip_nested_validation=False))
    def fit(
        self,
        X: Indexed,
        y: Indexed,
        checkpoint: PathOrName | None = None,
        checkpoint_every: int = 10,
        sample_weight: Indexed | None = None,
    ) -> Self:
        """Fit a clone of the localizer, and a clone of the scorer to what it finds.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            As for ``BaseLocalizer.fit``: nothing but labels is read.
        checkpoint, checkpoint_every
            As for ``BaseLocalizer.fit``; localizer and scorer have a file each, with ``.localizer``
            and ``.scorer`` behind its name.
        sample_weight : array-like of shape (n,), optional
            As for ``BaseLocalizer.fit``, for both.

        Returns
        -------
        self : ProposalRefiner

        Raises
        ------
        ValueError
            If the localizer finds nothing in any video, or a frozen one has other classes. Also as
            ``BaseLocalizer.fit``. The estimator stays as it was.
        """
        videos = check_features(X)
        scorer = ProposalScorer() if self.scorer is None else clone(self.scorer)

        def options(part):
            path = None if checkpoint is None else f"{os.fspath(checkpoint)}.{part}"
            return {"checkpoint": path, "checkpoint_every": checkpoint_every}

        if isinstance(self.localizer, FrozenEstimator):
            localizer = self.localizer.estimator
            check_is_fitted(localizer)
            videos = localizer._check(videos)
        else:
            localizer = clone(self.localizer)
            localizer.fit(videos, y, sample_weight=sample_weight, **options("localizer"))
        scaling = Scaling.of(videos) if scorer.standardize else None
        clocks = localizer._clocks(videos, None)
        found = _proposals(localizer, videos, clocks)
        rows = [*map(_rows, videos.scaled(scaling), found, clocks)]
        n_found = np.array([*map(len, rows)])
        if not n_found.any():
            raise ValueError(
                f"The {type(localizer).__name__} finds nothing in any of the {len(videos)} videos; "
                "train it longer, or lower its proposal_threshold or class_threshold."
            )
        # A video needs a row, but without any proposal it counts for its labels alone.
        nothing = np.zeros((1, rows[0].shape[1]), dtype=np.float32)
        proposals = Videos([row if len(row) else nothing for row in rows], names=videos.names)
        weights = check_sample_weight(sample_weight, len(videos), videos.names) * (n_found > 0)
        scorer.fit(proposals, y, sample_weight=weights, **options("scorer"))
        return self._set_fitted(localizer, scorer, scaling)

    def _set_fitted(self, localizer, scorer, scaling):
        if not np.array_equal(localizer.classes_, scorer.classes_):
            raise ValueError(
                f"The frozen localizer knows the classes {localizer.classes_.tolist()}, but y has "
                f"{scorer.classes_.tolist()}; both must be the same."
            )
        self.localizer_, self.scorer_ = localizer, scorer
        self.mean_, self.scale_ = scaling or (None, None)
        self.classes_, self.n_features_in_ = localizer.classes_, localizer.n_features_in_
        self.about_features_ = getattr(localizer, "about_features_", None)
        return self

    def predict_proba(self, X: Indexed) -> np.ndarray:
        """Probability that each action occurs in each video, by the localizer.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        probability : ndarray of shape (n, n_classes), in [0, 1]
            Columns as in ``classes_``.
        """
        return self.localizer_.predict_proba(self._check(X))

    def attention(self, X: Indexed) -> list[np.ndarray]:
        """Attention of every snippet, by the localizer.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,), in [0, 1]
        """
        return self.localizer_.attention(self._check(X))

    def class_activation(self, X: Indexed) -> list[np.ndarray]:
        """T-CAM of every snippet, by the localizer.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
        """
        return self.localizer_.class_activation(self._check(X))

    @property
    def clock(self) -> SnippetClock:
        """Which seconds of a recording each snippet stands for."""
        return self.localizer_.clock

    def _detect(self, videos: Videos, clocks: list[SnippetClock]) -> Iterator[np.ndarray]:
        """Yield the detections of each video, best first."""
        self._validate_params()  # scorer_weight may have been set since fit
        scaling = None if self.mean_ is None else Scaling(self.mean_, self.scale_)
        found, again = tee(_proposals(self.localizer_, videos, clocks))
        rows = map(_rows, videos.scaled(scaling), found, clocks)
        for activation, proposals, clock in zip(
            self.scorer_._of_rows(rows), again, clocks, strict=True
        ):
            yield self._rescored(proposals, activation, clock)

    def _rescored(self, proposals, activation: Activation, clock: SnippetClock) -> np.ndarray:
        """Proposals with their new scores."""
        if self.scorer_weight is None:
            proposals = self.scorer_._of_all_classes(proposals, activation)
        else:
            columns = np.searchsorted(self.classes_, proposals["label"])
            evidence = self.scorer_._evidence(activation)[np.arange(len(columns)), columns]
            proposals["score"] += self.scorer_weight * evidence
        return soft_non_maximum_suppression(proposals, margin=clock.seconds)

    # --- files ---

    def _describe(self):
        """Describe a fitted refiner by a dict that JSON can hold, and arrays."""
        params = {name: getattr(self, name) for name in ("scorer_weight", "tiou_thresholds")}
        is_frozen = isinstance(self.localizer, FrozenEstimator)
        description = {"params": params, "is_frozen": is_frozen, "parts": {}}
        arrays = {}
        if self.mean_ is not None:
            arrays = {"scaling.mean": self.mean_, "scaling.scale": self.scale_}
        for name, part in (("localizer", self.localizer_), ("scorer", self.scorer_)):
            fitted, of_part = part._describe()
            description["parts"][name] = {"class": type(part).__name__} | fitted
            arrays |= {f"{name}.{key}": array for key, array in of_part.items()}
        return description, arrays

    @classmethod
    def _from_description(cls, description, arrays):
        """Rebuild what ``_describe`` has described; whatever is wrong with it is an error."""
        known = [*METHODS.values(), MultiStreamLocalizer, ProposalScorer]
        kinds = {kind.__name__: kind for kind in known}
        of_part = {name: {} for name in (*description["parts"], "scaling")}
        for name, array in arrays.items():
            part, _, name = name.partition(".")
            of_part[part][name] = array
        fitted = {
            name: kinds[part["class"]]._from_description(part, of_part[name])
            for name, part in description["parts"].items()
        }
        scaling = Scaling(**of_part["scaling"]) if of_part["scaling"] else None
        localizer, scorer = fitted["localizer"], fitted["scorer"]
        model = cls(
            FrozenEstimator(localizer) if description["is_frozen"] else clone(localizer),
            clone(scorer),
            **description["params"],
        )
        model._validate_params()
        return model._set_fitted(localizer, scorer, scaling)


def _proposals(localizer, videos, clocks):
    """Yield what a localizer finds in each video, before non-maximum suppression."""
    return copy.copy(localizer).set_params(nms_threshold=1.0)._detect(videos, clocks)


def _rows(video, proposals, clock):
    """What the scorer is told of the proposals of a video."""
    start, end = (clock.to_snippets(proposals[edge]) for edge in ("start", "end"))
    return describe_proposals(video, start, end)
