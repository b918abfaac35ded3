"""DGAMLocalizer: the method as one scikit-learn estimator."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from skdgam import _inference
from skdgam._callbacks import AfterEpoch, CallbackSupportMixin, with_callbacks
from skdgam._checkpoints import Checkpoint
from skdgam._early_stopping import EarlyStopping
from skdgam._features import check_features
from skdgam._fitted import FittedMixin
from skdgam._loop import Diverged, Interrupted, train
from skdgam._sanity import warn_of_attention, warn_of_scale
from skdgam._stages import Objective
from skdgam._training import Schedule, Training
from skdgam._typing import Indexed, PathOrName, keeps_type
from skdgam._validation import check_classes, check_weak_labels
from skdgam.networks import DGAM
from skdgam.sampling import balanced_parts

__all__ = ["DGAMLocalizer"]


class DGAMLocalizer(FittedMixin, CallbackSupportMixin, BaseEstimator):
    r"""Weakly-supervised temporal action localization by generative attention modeling.

    Learns from videos whose labels are known as a whole when each action happens. An
    attention λ in [0, 1] for each snippet is trained by classification of what it selects,
    and by a conditional VAE that models how snippets look given their attention, so that
    context beside an action is not taken for it [1]_.

    Parameters
    ----------
    alpha : float, default=0.03
        α of Eq. 6: weight of classifying the background of each video as background.
    beta : float, default=0.1
        β of Eq. 10: weight of the divergence from the latent prior in the CVAE's loss.
    gamma1 : float, default=0.5
        γ₁ of Eq. 16: weight of the reconstruction of snippets from their attention. 0 trains
        without the generative part.
    gamma2 : float, default=0.1
        γ₂ of Eq. 16: weight of the distance of attention from the T-CAMs.
    r : float, default=1.0
        Distance of the latent priors of attention 0 and attention 1, in each dimension.
    foreground_weight : float, default=1.0
        Weight of classifying the foreground of each video by its labels; 1 in the paper.
    latent_dim : int, default=128
        Dimensions of the CVAE's latent variable.
    pooling : {"paper", "released"}, default="released"
        Attention-weighted mean of snippets in training: Eq. 4 and 5, or with the 1 that the
        released implementation adds to the foreground's denominator. The mean alone is the
        same for however little attention, which then may vanish everywhere.
    temporal_context : int, default=0
        Snippets to each side that attention and classifier look at. 0 is the paper: a perceptron
        and a linear layer on single snippets. With more, both share a hidden layer, a
        convolution over time. What tells short or similar actions apart is often in their
        surroundings.
    classification : {"softmax", "sigmoid"}, default="softmax"
        "softmax" is the paper: one class excludes the others, and labels of a video have equal
        shares. "sigmoid" asks for each class by itself, as several labels a video need it.
    dropout : float, in [0, 1), default=0.0
        Share of the features, and of units of the hidden layer, that attention and classifier are
        trained without, others each time; 0 in the paper. In the project's benchmarks 0.3 was
        better than none, but far worse where there were only 40 videos.
    n_snippets : int, default=400
        Snippets of each video in an epoch. Of longer videos one is drawn at random from each
        of so many equal parts; of shorter ones all are used, with a weight that makes up.
    max_epochs : int, default=300
        Passes over the videos; 6,000 in the paper.
    batch_size : int, default=16
        Videos in each step; 32 in the paper. The last short batch of an epoch is dropped.
    learning_rate : float, default=5e-3
        Of Adam; 1e-3 in the paper, whose features are 1,024 wide. The narrower features are,
        the larger it may be.
    warmup_epochs : int, default=50
        Over so many first epochs the weights of the CVAE's loss and of γ₁ rise from 0; 300 of
        6,000 in the paper.
    warmup_gamma1 : bool, default=True
        Whether γ₁ takes part in the warm-up.
    refresh_every : int, default=1
        Epochs for which a draw of snippets and the warm-up factor are kept.
    early_stopping : bool, default=False
        Whether to hold videos out of training, and to keep the weights that classify them best.
        The criterion is the cross-entropy of their video-level probabilities and labels. It
        saves epochs; localization gained no more by it than seeds differ, in the project's
        benchmarks.
    validation_fraction : float, default=0.1
        Share of the videos that early stopping holds out, balanced over classes; about one in
        two, three, four, …. The only video of a class is not held out.
    n_iter_no_change : int, default=50
        Epochs without a lower loss on the held-out videos after which early stopping stops.
    warm_start : bool, default=False
        Whether ``fit`` goes on from where the last training stopped, for `max_epochs` more.
    localization : {"tcam", "attention"}, default="tcam"
        How intervals are found: in the attention-weighted class activation, as released
        (:func:`skdgam.localization.tcam_proposals`), or in the attention, as in the paper
        (:func:`skdgam.localization.attention_proposals`).
    proposal_threshold : float or sequence of float, default=None
        What is above it becomes a proposal; with several, each gives proposals of its own.
        None is 0.05 for "tcam" and 0.5 for "attention".
    proposal_smoothing : float, default=0.0
        Standard deviation, in twentieths of a snippet, of a Gaussian over what is thresholded;
        for "tcam" only.
    class_threshold : float, default=0.1
        A video is searched for the classes that are more probable than this in the video as a
        whole, or for the most probable one.
    eta : float, default=0.3
        η of Eq. 17: weight of a proposal's surroundings, which its score is reduced by.
    nms_threshold : float, default=0.5
        Of two detections of one class whose tIoU is greater, the better stays. Matters when
        there are several proposal thresholds.
    min_snippets, max_snippets : int, default=1 and None
        Longer videos are subsampled uniformly for localization, shorter ones repeat snippets.
    stream_weight : float, default=0.5
        ρ: in a :class:`MultiStreamLocalizer`, the share of this stream's own activation in the
        score of its proposals.
    snippet_seconds : float, default=0.64
        Hop h from snippet to snippet: 16 frames at 25 a second.
    snippet_offset : float, default=0.0
        Snippet i stands for [offset + i·h, offset + (i + 1)·h) seconds. 0 for snippets that
        do not overlap, (window − h) / 2 for windows that do. What "tcam" finds lies about half
        a snippet early, as released; h / 2 more mends that.
    tiou_thresholds : float or sequence of float, default=0.5
        Where ``score`` evaluates mAP.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", …; "auto" is CUDA where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of products; weights and losses are in float32. "auto" is bfloat16 for training on CUDA
        devices and CPUs that have units for it, which the same seed trains faster and to other
        bits, and float32 for all else, so that a model finds the same on every machine.
    random_state : int, RandomState instance or None, default=None
        Of initial weights, draws of snippets, order of videos and latent variables. None takes
        one number from NumPy's global generator; no other is touched.
    verbose : int, default=0
        Greater than 0 prints the losses about ten times in a training. A progress bar is
        ``set_callbacks(sklearn.callback.ProgressBar())`` with scikit-learn 1.9.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    n_features_in_ : int
    n_epochs_ : int
        Epochs that were trained.
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``foreground``, ``background``, ``guide``,
        ``reconstruction``, ``cvae_reconstruction``, ``cvae_kl``, and of early stopping
        ``validation``; nan where there is none. ``pandas.DataFrame(model.history_)`` makes a
        frame of it.
    weights_ : dict of ndarrays
        Of all networks, by name; NumPy arrays, so that a fitted model opens on any machine.
    training_state_ : dict
        What one more epoch needs beside the weights: moments of Adam, and the seed.

    References
    ----------
    .. [1] B. Shi, Q. Dai, Y. Mu, J. Wang: Weakly-Supervised Action Localization by Generative
       Attention Modeling. CVPR 2020.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> model = DGAMLocalizer(max_epochs=20, random_state=0).fit(X, y)  # of y, labels only
    >>> detections = model.predict(X)
    >>> detections.shape, detections[0].dtype.names
    ((24,), ('start', 'end', 'label', 'score'))
    >>> 0 <= model.score(X, y) <= 1
    True
    """

    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "gamma1": [Interval(Real, 0, None, closed="left")],
        "gamma2": [Interval(Real, 0, None, closed="left")],
        "r": [Interval(Real, None, None, closed="neither")],
        "foreground_weight": [Interval(Real, 0, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "pooling": [StrOptions({"paper", "released"})],
        "temporal_context": [Interval(Integral, 0, None, closed="left")],
        "classification": [StrOptions({"softmax", "sigmoid"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_snippets": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
        "warmup_gamma1": ["boolean"],
        "refresh_every": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "localization": [StrOptions({"tcam", "attention"})],
        "proposal_threshold": [Interval(Real, 0, 1, closed="left"), "array-like", None],
        "proposal_smoothing": [Interval(Real, 0, None, closed="left")],
        "class_threshold": [Interval(Real, 0, 1, closed="both")],
        "eta": [Interval(Real, 0, None, closed="left")],
        "nms_threshold": [Interval(Real, 0, 1, closed="both")],
        "min_snippets": [Interval(Integral, 1, None, closed="left")],
        "max_snippets": [Interval(Integral, 1, None, closed="left"), None],
        "stream_weight": [Interval(Real, 0, 1, closed="both")],
        "snippet_seconds": [Interval(Real, 0, None, closed="neither")],
        "snippet_offset": [Interval(Real, None, None, closed="neither")],
        "tiou_thresholds": [Interval(Real, 0, 1, closed="right"), "array-like"],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        alpha: float = 0.03,
        beta: float = 0.1,
        gamma1: float = 0.5,
        gamma2: float = 0.1,
        r: float = 1.0,
        foreground_weight: float = 1.0,
        latent_dim: int = 128,
        pooling: str = "released",
        temporal_context: int = 0,
        classification: str = "softmax",
        dropout: float = 0.0,
        n_snippets: int = 400,
        max_epochs: int = 300,
        batch_size: int = 16,
        learning_rate: float = 5e-3,
        warmup_epochs: int = 50,
        warmup_gamma1: bool = True,
        refresh_every: int = 1,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 50,
        warm_start: bool = False,
        localization: str = "tcam",
        proposal_threshold: float | Sequence[float] | None = None,
        proposal_smoothing: float = 0.0,
        class_threshold: float = 0.1,
        eta: float = 0.3,
        nms_threshold: float = 0.5,
        min_snippets: int = 1,
        max_snippets: int | None = None,
        stream_weight: float = 0.5,
        snippet_seconds: float = 0.64,
        snippet_offset: float = 0.0,
        tiou_thresholds: npt.ArrayLike = 0.5,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.gamma1 = gamma1
        self.gamma2 = gamma2
        self.r = r
        self.foreground_weight = foreground_weight
        self.latent_dim = latent_dim
        self.pooling = pooling
        self.temporal_context = temporal_context
        self.classification = classification
        self.dropout = dropout
        self.n_snippets = n_snippets
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warmup_epochs = warmup_epochs
        self.warmup_gamma1 = warmup_gamma1
        self.refresh_every = refresh_every
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.localization = localization
        self.proposal_threshold = proposal_threshold
        self.proposal_smoothing = proposal_smoothing
        self.class_threshold = class_threshold
        self.eta = eta
        self.nms_threshold = nms_threshold
        self.min_snippets = min_snippets
        self.max_snippets = max_snippets
        self.stream_weight = stream_weight
        self.snippet_seconds = snippet_seconds
        self.snippet_offset = snippet_offset
        self.tiou_thresholds = tiou_thresholds
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @keeps_type(with_callbacks)
    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        X: Indexed,
        y: Indexed,
        checkpoint: PathOrName | None = None,
        checkpoint_every: int = 10,
    ) -> Self:
        """Learn attention and classes from video-level labels.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
            A list, a 3-D array, tensors, or any sequence that yields one video at a time.
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            For each video a label, a collection of labels, or its annotation, a list of
            ``(start, end, label)``, of which nothing but the labels is read. A video without
            any label shows background alone.
        checkpoint : path, optional
            A file that the training is written to every few epochs, by ``pip install
            "skdgam[share]"``. If it is there, ``fit`` goes on from it, and the result is to the
            bit that of a training that was never killed. It stays when training is done.
        checkpoint_every : int, default=10
            Epochs from one writing to the next.

        Returns
        -------
        self : DGAMLocalizer

        Raises
        ------
        TypeError, ValueError
            If `X` or `y` is not of that form; the message names the video. The estimator
            stays as it was. Also if the checkpoint is of other data or parameters.
        OSError
            If the checkpoint cannot be written at the beginning; later, that is a warning.
        FloatingPointError
            If the training diverges. After some epochs, the estimator is fitted nevertheless, as
            it was when its losses were last finite.
        KeyboardInterrupt
            If it is interrupted. After the first epoch, the estimator is fitted nevertheless, and
            warns so.
        """
        resumes = self.warm_start and hasattr(self, "weights_")
        report = partial(AfterEpoch, self, X, y)
        written = None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every)
        return self._train(X, y, None, resumes, self._settings(Schedule), report, written)

    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def partial_fit(self, X: Indexed, y: Indexed, classes: Iterable[Any] | None = None) -> Self:
        """Train one epoch on some videos, from where the last call left off.

        For videos that do not all exist at once. Calls with all videos of a data set come to
        the same as ``fit``, whose epochs they are. `warmup_epochs` counts calls; nothing is
        printed, and no callback is called.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
            At best several times `batch_size` videos: each call drops the last short batch.
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            As for ``fit``.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur, at the first call. By default those in `y`.

        Returns
        -------
        self : DGAMLocalizer

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As for ``fit``; also if `y` holds a label that is none of the known ones, or
            `classes` are not those of the first call.
        """
        if self.early_stopping:
            raise ValueError(
                "partial_fit cannot stop early, since it does not know when training ends; set "
                "early_stopping=False."
            )
        resumes = hasattr(self, "weights_")
        if resumes and classes is not None:
            given = np.unique(check_classes(classes)).tolist()
            if given != self.classes_.tolist():
                raise ValueError(
                    f"classes is {given}, but training began with {self.classes_.tolist()}."
                )
        schedule = replace(self._settings(Schedule), max_epochs=1)
        return self._train(X, y, classes, resumes, schedule)

    def _train(self, X, y, classes, resumes, schedule, report=None, checkpoint=None):
        """Train from the start, or from where the last training stopped."""
        self._check_settings()
        videos = check_features(X, self.n_features_in_ if resumes else None)
        classes, is_labelled = check_weak_labels(
            y, len(videos), self.classes_ if resumes else classes
        )
        if not resumes:
            warn_of_scale(videos)
        objectives = [self._settings(Objective)]
        seed = None if checkpoint is None else checkpoint.seed
        training = self._start(videos.n_features, len(classes), objectives, schedule, seed)
        if resumes:
            state = getattr(self, "training_state_", None)  # no part of a model file
            training.resume(self.weights_, getattr(self, "n_epochs_", 0), state)

        def fitted():
            weights = _inference.to_arrays(training.networks[0])
            return {"classes_": classes, "n_features_in_": videos.n_features, "weights_": weights}

        early_stopping = None
        if self.early_stopping:
            held_out = self._held_out(is_labelled, training.seed)
            early_stopping = EarlyStopping(
                videos.part(held_out), is_labelled[held_out], self.n_iter_no_change
            )
            videos, is_labelled = videos.part(~held_out), is_labelled[~held_out]
        report = report and report(fitted)
        ended = None
        try:
            history = train(training, videos, is_labelled, report, early_stopping, checkpoint)
        except (Interrupted, Diverged) as error:
            history, ended = error.history, error
        history = {name: values[:, 0] for name, values in history.items()}
        if resumes:
            before = getattr(self, "history_", {})
            history = {k: np.concatenate([before.get(k, []), new]) for k, new in history.items()}
        vars(self).update(fitted(), history_=history, n_epochs_=training.epoch)
        if isinstance(ended, Diverged):
            vars(self).pop("training_state_", None)  # Adam's moments have diverged, too
            raise FloatingPointError(*ended.args)
        self.training_state_ = training.state()
        if ended is not None:
            warnings.warn(
                f"Training was interrupted after epoch {training.epoch}. The localizer is fitted, "
                "and with warm_start=True, fit goes on from there.",
                UserWarning,
                stacklevel=4,
            )
            raise KeyboardInterrupt
        if report is not None:
            warn_of_attention(training.networks[0], videos, is_labelled)
        return self

    def _start(self, n_features, n_classes, objectives, schedule, seed=None):
        """Begin a training: of one network for each objective, all with the same weights.

        The seed is that of a training to go on with, for where `random_state` names none.
        """
        device = _inference.resolve_device(self.device)
        dtype = _inference.resolve_precision(self.precision, device)
        if seed is None or self.random_state is not None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        networks = [
            DGAM(
                n_features,
                n_classes,
                self.latent_dim,
                torch.Generator().manual_seed(seed),
                self.temporal_context,
            )
            for _ in objectives
        ]
        return Training([n.to(device) for n in networks], objectives, schedule, seed, dtype)

    def _held_out(self, is_labelled, seed):
        """Mask of the videos that early stopping watches."""
        n_parts = round(1 / self.validation_fraction)
        held_out = balanced_parts(is_labelled, n_parts, np.random.default_rng(seed)) == 0
        held_out &= ~(is_labelled & (is_labelled.sum(axis=0) == 1)).any(axis=1)
        is_lost = is_labelled.any(axis=0) & ~is_labelled[~held_out].any(axis=0)
        if not held_out.any() or is_lost.any():
            raise ValueError(
                f"early_stopping cannot hold out validation_fraction={self.validation_fraction} of "
                f"{len(is_labelled)} videos and keep each class in training; set another fraction, "
                "or early_stopping=False."
            )
        return held_out
