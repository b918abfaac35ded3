"""BaseLocalizer: everything about a localizer that does not depend on its method."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_memory
from torch import Tensor, nn

from skdgam._features import Videos, check_features
from skdgam._localizer import LocalizerMixin
from skdgam._typing import Indexed, PathOrName, keeps_type
from skdgam._validation import check_classes, check_weak_labels
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals, non_maximum_suppression
from skdgam.layers import initialize
from skdgam.localization import Activation, check_proposal_thresholds, propose
from skdgam.metrics import check_thresholds
from skdgam.sampling import balanced_parts, uniform_sample
from skdgam.training.batches import Batch
from skdgam.training.callbacks import AfterEpoch, CallbackSupportMixin, with_callbacks
from skdgam.training.checkpoints import Checkpoint, digest
from skdgam.training.devices import has_bfloat16, resolve_device, resolve_precision
from skdgam.training.early_stopping import EarlyStopping
from skdgam.training.inference import map_snippets, to_arrays
from skdgam.training.loop import Diverged, Interrupted, train
from skdgam.training.protocol import Stage
from skdgam.training.sanity import some_snippets, warn_of_attention, warn_of_scale
from skdgam.training.trainer import Sampling, Trainer

__all__ = ["BaseLocalizer"]

# Parameters that every localizer has, for the docstrings of their classes.
SHARED_PARAMETERS = """
    n_snippets : int or None, default={n_snippets}
        Snippets of each video in an epoch. From a longer video, one is drawn at random from each
        of so many equal parts; of a shorter one all are used, with a weight that makes up for it.
        None uses all snippets of every video.
    max_epochs : int, default={max_epochs}
        Passes over the videos.
    batch_size : int, default={batch_size}
        Videos in each step. The last short batch of an epoch is dropped.
    learning_rate : float, default={learning_rate}
        Learning rate of Adam.
    refresh_every : int, default={refresh_every}
        Epochs for which a draw of snippets is kept.
    early_stopping : bool, default={early_stopping}
        Whether to hold videos out of training, and to keep the weights that classify them best.
        The criterion is the cross-entropy of their video-level probabilities and labels. It
        saves epochs; in the project's benchmarks it did not improve localization by more than
        seeds differ.
    validation_fraction : float, default={validation_fraction}
        Share of the videos that early stopping holds out, balanced over classes; about one in
        two, three, four, …. The only video of a class is not held out.
    n_iter_no_change : int, default={n_iter_no_change}
        Epochs without a lower loss on the held-out videos after which early stopping stops.
    warm_start : bool, default={warm_start}
        Whether ``fit`` goes on from where the last training stopped, for `max_epochs` more.
    memory : str or object with the joblib.Memory interface, default={memory}
        Where to keep trainings. A ``fit`` on the same features and labels, with the same
        parameters of training, takes its result from there. In a search, candidates that differ
        only in localization then share one training. It needs an integer `random_state`.
    localization : {{"tcam", "attention"}}, default={localization!r}
        How intervals are found: in the attention-weighted class activation
        (:func:`skdgam.localization.tcam_proposals`), or in the attention
        (:func:`skdgam.localization.attention_proposals`).
    proposal_threshold : float or sequence of float, default={proposal_threshold}
        What exceeds it becomes a proposal; each of several gives proposals of its own.
        None is 0.05 for "tcam" and 0.5 for "attention".
    proposal_smoothing : float, default={proposal_smoothing}
        Standard deviation, in twentieths of a snippet, of a Gaussian over what is thresholded;
        for "tcam" only.
    class_threshold : float, default={class_threshold}
        A video is searched for the classes that are more probable than this in the video as a
        whole, or for the most probable one.
    eta : float, default={eta}
        η: weight of a proposal's surroundings, which its score is reduced by.
    nms_threshold : float, default={nms_threshold}
        Of two detections of one class whose tIoU is greater, the better one stays. Matters when
        there are several proposal thresholds.
    min_snippets, max_snippets : int, default={min_snippets} and {max_snippets}
        Longer videos are subsampled uniformly for localization, shorter ones repeat snippets.
    stream_weight : float, default={stream_weight}
        ρ: in a :class:`skdgam.MultiStreamLocalizer`, the share of this stream's own activation in
        the score of its proposals.
    snippet_seconds : float, default={snippet_seconds}
        Time h from one snippet to the next: 16 frames at 25 a second.
    snippet_offset : float, default={snippet_offset}
        Snippet i stands for [offset + i·h, offset + (i + 1)·h) seconds. 0 for snippets that
        do not overlap, (window − h) / 2 for windows that do. What "tcam" finds lies about half
        a snippet early, as released; h / 2 more mends that.
    tiou_thresholds : float or sequence of float, default={tiou_thresholds}
        The tIoU thresholds at which ``score`` evaluates mAP.
    device : str, default={device!r}
        "cpu", "cuda", "cuda:1", …; "auto" is CUDA where there is one.
    precision : {{"auto", "float32", "bfloat16"}}, default={precision!r}
        Precision of products; weights and losses are in float32. "auto" is bfloat16 for training
        on CUDA devices and CPUs that have units for it, which trains faster and to other bits,
        and float32 for everything else, so that a model finds the same on every machine.
    random_state : int, RandomState instance or None, default={random_state}
        Decides initial weights, draws of snippets, order of videos and noise. None takes one
        number from NumPy's global generator; no other is touched.
    verbose : int or "auto", default={verbose!r}
        "auto" shows a line of progress in a terminal or notebook when training takes more than two
        seconds. 0 is silent. Greater than 0 prints the losses about ten times in a training.
        With scikit-learn 1.9, ``set_callbacks(sklearn.callback.ProgressBar())`` shows a bar.
"""
# What training does not depend on.
NOT_OF_TRAINING = {
    *("localization", "proposal_threshold", "proposal_smoothing", "class_threshold", "eta"),
    *("nms_threshold", "min_snippets", "max_snippets", "stream_weight"),
    *("snippet_seconds", "snippet_offset", "tiou_thresholds"),
    *("warm_start", "memory", "device", "precision", "random_state", "verbose"),
}


@dataclass_transform(kw_only_default=True, eq_default=False)
@dataclass(kw_only=True, eq=False, repr=False)
class BaseLocalizer(LocalizerMixin, CallbackSupportMixin, BaseEstimator):
    """A localizer that is trained by gradient descent: the base of every method.

    A subclass is one method. Its parameters are annotated class attributes with defaults, as of a
    dataclass, beside the shared ones below; it extends ``_parameter_constraints``, and brings

    - ``_network``, a class of ``torch.nn.Module``, made of :mod:`skdgam.layers`. It is called with
      the numbers of features and classes, and by name with the parameters in ``_architecture``.
      Its ``forward(batch)`` returns attention λ (n_rows,) in [0, 1] and class activation
      (n_rows, n_columns) of the snippets of a :class:`skdgam.training.batches.Batch`.
      ``reach`` says how many snippets to each side it looks at;
    - ``_stages()``, which returns the stages of training
      (:class:`skdgam.training.protocol.Stage`): what learns, from which losses;
    - ``_activation(network, attention, logits)``, which turns what the network says of one video
      into what localization needs (:class:`skdgam.localization.Activation`).

    Training, checkpoints, devices, early stopping, files, streams and the command line follow.
    In the docstring of a subclass, a line ``{shared}`` stands for the parameters below.

    Parameters
    ----------
    {shared}
    """

    _network: ClassVar[Callable[..., nn.Module]]
    _architecture: ClassVar[tuple[str, ...]] = ()
    _remedies: ClassVar[dict[int, str]] = {0: "train longer", 1: "scale the features"}
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    # Titles and names of the loss terms that are drawn together.
    loss_groups: ClassVar[dict[str, tuple[str, ...]]] = {}

    n_snippets: int | None = 400
    max_epochs: int = 300
    batch_size: int = 16
    learning_rate: float = 5e-3
    refresh_every: int = 1
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 50
    warm_start: bool = False
    memory: Any = None
    localization: str = "tcam"
    proposal_threshold: float | Sequence[float] | None = None
    proposal_smoothing: float = 0.0
    class_threshold: float = 0.1
    eta: float = 0.3
    nms_threshold: float = 0.5
    min_snippets: int = 1
    max_snippets: int | None = None
    stream_weight: float = 0.5
    snippet_seconds: float = 0.64
    snippet_offset: float = 0.0
    tiou_thresholds: Any = 0.5
    device: str = "auto"
    precision: str = "auto"
    random_state: int | np.random.RandomState | None = None
    verbose: int | str = "auto"

    _parameter_constraints = {  # noqa: RUF012
        "n_snippets": [Interval(Integral, 1, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "refresh_every": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "memory": [None, str, HasMethods(["cache"])],
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
        "verbose": ["verbose", StrOptions({"auto"})],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        defaults = {field.name: field.default for field in fields(cls)}
        cls.__doc__ = (cls.__doc__ or "").replace(
            "    {shared}\n", SHARED_PARAMETERS.format(**defaults)[1:]
        )

    def _stages(self) -> list[Stage]:
        raise NotImplementedError

    def _activation(
        self, network: nn.Module, attention: np.ndarray, logits: np.ndarray
    ) -> Activation:
        raise NotImplementedError

    @property
    def _exclusive_classes(self) -> bool:
        """Whether probabilities of classes, with that of background, sum to 1."""
        return False

    def _class_probability(self, network: nn.Module, logits: Tensor) -> Tensor:
        """Probability (n_rows, n_classes) of each class in each snippet, for people to look at."""
        return logits.sigmoid()

    # --- fitting ---

    @keeps_type(with_callbacks)
    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        X: Indexed,
        y: Indexed,
        checkpoint: PathOrName | None = None,
        checkpoint_every: int = 10,
    ) -> Self:
        """Learn from video-level labels when each action happens.

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
        self : object

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
        written = None
        if checkpoint is not None:
            written = Checkpoint(checkpoint, checkpoint_every, self._training_settings())
        report = partial(AfterEpoch, self, X, y)
        return self._train(X, y, None, resumes, self.max_epochs, report, written)

    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def partial_fit(self, X: Indexed, y: Indexed, classes: Iterable[Any] | None = None) -> Self:
        """Train one epoch on some videos, from where the last call left off.

        For videos that do not all exist at once. Calls with all videos of a data set come to
        the same as ``fit``, whose epochs they are. Nothing is printed, and no callback is called.

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
        self : object

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
        return self._train(X, y, classes, resumes, max_epochs=1)

    def _train(
        self,
        X: Indexed,
        y: Indexed,
        classes: Iterable[Any] | None,
        resumes: bool,
        max_epochs: int,
        report: Callable[[Callable[[], dict]], AfterEpoch] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Train from the start, or from where the last training stopped."""
        self._check_settings()
        videos = check_features(X, self.n_features_in_ if resumes else None)
        known, is_labelled = check_weak_labels(
            y, len(videos), self.classes_ if resumes else classes
        )
        if not resumes:
            warn_of_scale(videos)
        begin = partial(
            self._run, videos, is_labelled, known, resumes, max_epochs, report, checkpoint
        )
        if self.memory is None or resumes or checkpoint is not None or report is None:
            attributes, ended = begin()
        else:
            attributes, ended = self._recall(videos, is_labelled, begin)
        vars(self).update(attributes)
        if isinstance(ended, Diverged):
            vars(self).pop("training_state_", None)  # Adam's moments have diverged, too
            raise FloatingPointError(*ended.args)
        if ended is not None:
            warnings.warn(
                f"Training was interrupted after epoch {self.n_epochs_}. The localizer is fitted, "
                "and with warm_start=True, fit goes on from there.",
                UserWarning,
                stacklevel=4,
            )
            raise KeyboardInterrupt
        if report is not None:
            some = some_snippets(videos.part(is_labelled.any(axis=1)))
            attention = [values[:, 0] for values in self._map_heads(some)]
            warn_of_attention(attention, self._remedies)
        return self

    def _run(
        self,
        videos: Videos,
        is_labelled: np.ndarray,
        classes: np.ndarray,
        resumes: bool,
        max_epochs: int,
        report: Callable[[Callable[[], dict]], AfterEpoch] | None,
        checkpoint: Checkpoint | None,
    ) -> tuple[dict[str, Any], Diverged | Interrupted | None]:
        """Train, and return the fitted attributes and how it was cut off, if it was."""
        trainer = self._trainer(
            videos.n_features, len(classes), None if checkpoint is None else checkpoint.seed
        )
        if resumes:
            state = getattr(self, "training_state_", None)  # no part of a model file
            trainer.resume(self.weights_, getattr(self, "n_epochs_", 0), state)

        def fitted() -> dict[str, Any]:
            return {
                "classes_": classes,
                "n_features_in_": videos.n_features,
                "architecture_": {name: getattr(self, name) for name in self._architecture},
                "weights_": to_arrays(trainer.network),
            }

        early_stopping = None
        if self.early_stopping:
            held_out = self._held_out(is_labelled, trainer.seed)
            early_stopping = EarlyStopping(
                videos.part(held_out),
                is_labelled[held_out],
                self.n_iter_no_change,
                self._predict_proba,
                self._exclusive_classes,
            )
            videos, is_labelled = videos.part(~held_out), is_labelled[~held_out]
        after_epoch = report and report(fitted)
        ended: Diverged | Interrupted | None = None
        try:
            history = train(
                trainer, videos, is_labelled, max_epochs, after_epoch, early_stopping, checkpoint
            )
        except (Interrupted, Diverged) as error:
            history, ended = error.history, error
        finally:
            if after_epoch is not None:
                after_epoch.close()
        if resumes:
            history = _joined(getattr(self, "history_", {}), history)
        attributes = {"history_": history, "n_epochs_": trainer.epoch}
        return fitted() | attributes | {"training_state_": trainer.state()}, ended

    def _recall(
        self, videos: Videos, is_labelled: np.ndarray, begin: Callable[[], tuple]
    ) -> tuple[dict[str, Any], Diverged | Interrupted | None]:
        """Take a training from `memory`, or train and keep it there."""
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                f"memory={self.memory!r} keeps trainings by their parameters, which needs an "
                f"integer random_state, but it is {self.random_state!r}."
            )
        device = resolve_device(self.device)
        settings = self._training_settings() | {
            "method": type(self).__qualname__,
            "random_state": int(self.random_state),
            "precision": str(resolve_precision(self.precision, device)),
            "device": device.type,
        }
        remember = check_memory(self.memory).cache(_remember, ignore=["begin"])
        return remember(settings, digest(videos), is_labelled, begin=begin)

    def _trainer(self, n_features: int, n_classes: int, seed: int | None = None) -> Trainer:
        """Begin a training.

        The seed is that of a training to go on with, for where `random_state` names none.
        """
        device = resolve_device(self.device)
        dtype = resolve_precision(self.precision, device)
        if seed is None or self.random_state is not None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        shape = {name: getattr(self, name) for name in self._architecture}
        network = self._blank_network(n_features, n_classes, shape).to_empty(device="cpu")
        initialize(network, torch.Generator().manual_seed(seed))
        sampling = Sampling(
            n_snippets=self.n_snippets,
            batch_size=self.batch_size,
            refresh_every=self.refresh_every,
        )
        return Trainer(
            network.to(device), self._stages(), sampling, self.learning_rate, seed, dtype
        )

    def _held_out(self, is_labelled: np.ndarray, seed: int) -> np.ndarray:
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

    def _check_settings(self) -> None:
        """Check all parameters, also those that are not needed before predict and score."""
        self._validate_params()
        check_proposal_thresholds(self.proposal_threshold, self.localization)
        if self.max_snippets is not None and self.max_snippets < self.min_snippets:
            raise ValueError(
                f"max_snippets={self.max_snippets} is less than min_snippets={self.min_snippets}."
            )
        check_thresholds(self.tiou_thresholds)

    def _training_settings(self) -> dict[str, Any]:
        """Parameters that a training depends on, but for how long it is."""
        params = self.get_params(deep=False)
        return {k: v for k, v in params.items() if k not in NOT_OF_TRAINING | {"max_epochs"}}

    # --- what a fitted localizer says ---

    def predict_proba(self, X: Indexed) -> np.ndarray:
        """Probability that each action occurs in each video as a whole.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        probability : ndarray of shape (n, n_classes), in [0, 1]
            Columns as in ``classes_``. Where classes exclude each other, what is missing to 1 is
            the probability of background.
        """
        activations = self._activations(self._check(X))
        return np.stack([activation.probability for activation in activations])

    def attention(self, X: Indexed) -> list[np.ndarray]:
        """Attention λ of every snippet: how much it takes part in an action, of any class.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,), in [0, 1]
        """
        return [values[:, 0] for values in self._map_heads(self._check(X))]

    def class_activation(self, X: Indexed) -> list[np.ndarray]:
        """Probability of each class in every snippet, not weighted by attention.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
            Columns as in ``classes_``. Where classes exclude each other, what is missing to 1 is
            background.
        """

        def probability(network: nn.Module, batch: Batch) -> Tensor:
            return self._class_probability(network, network(batch)[1])

        return self._map_snippets(probability, self._check(X))

    @property
    def clock(self) -> SnippetClock:
        """Which seconds of a recording each snippet stands for."""
        return SnippetClock(self.snippet_seconds, self.snippet_offset)

    def _check(self, X: Indexed) -> Videos:
        """Check features against the fitted ones."""
        check_is_fitted(self)
        return check_features(X, self.n_features_in_)

    def _blank_network(self, n_features: int, n_classes: int, shape: dict[str, Any]) -> nn.Module:
        """A network without values: nothing is drawn, and no memory taken."""
        with torch.device("meta"):
            return type(self)._network(n_features, n_classes, **shape)

    def _fitted_network(self) -> nn.Module:
        network = self._blank_network(
            self.n_features_in_, len(self.classes_), self._fitted_architecture()
        )
        # torch.tensor copies: arrays that were loaded as memory maps are not writable.
        state = {name: torch.tensor(value) for name, value in self.weights_.items()}
        network.load_state_dict(state, assign=True)
        return network.to(resolve_device(self.device, fallback=True)).requires_grad_(False)

    def _fitted_architecture(self) -> dict[str, Any]:
        """What shaped the network; the parameters may have been set to something else since."""
        shape = {name: getattr(self, name) for name in self._architecture}
        return getattr(self, "architecture_", shape)

    def _map_snippets(
        self,
        function: Callable[[nn.Module, Batch], Tensor],
        videos: Iterable[np.ndarray],
        network: nn.Module | None = None,
    ) -> list[np.ndarray]:
        """Evaluate function(network, batch) for all snippets, an array for each video."""
        return list(self._iterate_snippets(function, videos, network))

    def _iterate_snippets(
        self,
        function: Callable[[nn.Module, Batch], Tensor],
        videos: Iterable[np.ndarray],
        network: nn.Module | None = None,
    ) -> Iterator[np.ndarray]:
        network = self._fitted_network() if network is None else network
        # In float32 unless asked otherwise, so that what is found does not depend on the machine.
        device = next(network.parameters()).device
        rough = self.precision == "bfloat16" and has_bfloat16(device)
        dtype = torch.bfloat16 if rough else torch.float32
        return map_snippets(function, network, videos, dtype)

    def _map_heads(
        self, videos: Iterable[np.ndarray], network: nn.Module | None = None
    ) -> Iterator[np.ndarray]:
        """Yield attention and class activation side by side, (n_snippets, 1 + n_columns)."""

        def heads(network: nn.Module, batch: Batch) -> Tensor:
            return torch.column_stack(network(batch))

        return self._iterate_snippets(heads, videos, network)

    def _activations(
        self, videos: Videos, network: nn.Module | None = None, n_used: np.ndarray | None = None
    ) -> Iterator[Activation]:
        """Yield what the network says of each video, on n_used[i] of its snippets.

        By default these are the snippets that are used for localization.
        """
        self._check_settings()  # parameters may have been set since fit
        network = self._fitted_network() if network is None else network
        if n_used is None:
            n_used = np.clip(videos.lengths, self.min_snippets, self.max_snippets)
        used = (
            video if len(video) == n else video[uniform_sample(len(video), n)]
            for video, n in zip(videos, n_used.tolist(), strict=True)
        )
        for values in self._map_heads(used, network):
            yield self._activation(network, values[:, 0], values[:, 1:])

    def _predict_proba(self, network: nn.Module, videos: Videos) -> np.ndarray:
        """Probability of each class in each video, by a network that is being trained."""
        of_videos = self._activations(videos, network, videos.lengths)
        return np.stack([activation.probability for activation in of_videos])

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        """Proposals of one video, in seconds by the clock of the snippets that were used."""
        proposals = propose(
            activation,
            localization=self.localization,
            thresholds=check_proposal_thresholds(self.proposal_threshold, self.localization),
            smoothing=self.proposal_smoothing,
            class_threshold=self.class_threshold,
            eta=self.eta,
            others=others,
            stream_weight=self.stream_weight,
        )
        return make_intervals(
            clock.to_seconds(proposals["start"]),
            clock.to_seconds(proposals["end"]),
            self.classes_[proposals["label"]],
            proposals["score"],
        )

    def _suppress(self, proposals: np.ndarray) -> np.ndarray:
        """Leave out proposals of one video that overlap better ones."""
        return non_maximum_suppression(proposals, self.nms_threshold)

    def _detect(self, videos: Videos, clocks: list[SnippetClock]) -> Iterator[np.ndarray]:
        """Yield the detections of each video, best first."""
        lengths = videos.lengths.tolist()
        for activation, clock, n in zip(self._activations(videos), clocks, lengths, strict=True):
            of_used = clock.resampled(n, len(activation.attention))
            yield self._suppress(self._propose(activation, of_used))

    # --- files ---

    def _plain_params(self) -> dict[str, Any]:
        """Parameters for JSON, in which no generator and no memory has a place."""
        params = self.get_params(deep=False)
        if isinstance(self.random_state, np.random.RandomState):
            params["random_state"] = None
        return params | {"memory": None}

    def _describe(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Describe a fitted localizer by a dict that JSON can hold, and arrays."""
        description = {
            "params": self._plain_params(),
            "architecture": self._fitted_architecture(),
            "classes": self.classes_,
            "classes_dtype": self.classes_.dtype.str,
            "n_features": self.n_features_in_,
            "n_epochs": getattr(self, "n_epochs_", 0),
        }
        arrays = {f"weights.{name}": value for name, value in self.weights_.items()}
        history = getattr(self, "history_", {})
        return description, arrays | {f"history.{name}": v for name, v in history.items()}

    @classmethod
    def _from_description(cls, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Rebuild what ``_describe`` has described; whatever is wrong with it is an error."""
        model = cls(**description["params"])
        model._check_settings()
        of_kind: dict[str, dict[str, np.ndarray]] = {"weights": {}, "history": {}}
        for name, array in arrays.items():
            kind, _, name = name.partition(".")
            of_kind[kind][name] = array
        classes = np.array(description["classes"], dtype=description["classes_dtype"])
        model._set_weights(
            classes,
            of_kind["weights"],
            description["n_features"],
            description.get("architecture", {}),
        )
        n_epochs, history = description["n_epochs"], of_kind["history"]
        if type(n_epochs) is not int or n_epochs < 0:
            raise ValueError(f"n_epochs is {n_epochs!r}.")
        if any(values.shape != (n_epochs,) for values in history.values()):
            raise ValueError(f"The history is not of {n_epochs} epochs.")
        model.history_, model.n_epochs_ = history, n_epochs
        return model

    def _set_weights(
        self,
        classes: np.ndarray,
        weights: dict[str, np.ndarray],
        n_features: int,
        architecture: dict[str, Any] | None = None,
    ) -> Self:
        """Become fitted by weights; the architecture is by default that of the parameters."""
        if classes.dtype.kind not in "Uiubf" or classes.ndim != 1 or not len(classes):
            raise ValueError(f"{classes.tolist()} are no classes.")
        shape = {name: getattr(self, name) for name in self._architecture} | (architecture or {})
        expected = self._blank_network(n_features, len(classes), shape).state_dict()
        if weights.keys() != expected.keys():
            odd = sorted(weights.keys() ^ expected.keys())
            raise ValueError(f"The weights {', '.join(odd)} are missing, or of no use.")
        for name, value in weights.items():
            if value.shape != tuple(expected[name].shape):
                raise ValueError(
                    f"{name} has the shape {value.shape}, but {n_features} features and "
                    f"{len(classes)} classes ask for {tuple(expected[name].shape)}."
                )
            if not np.isfinite(value).all():
                raise ValueError("Not all weights are finite.")
        self.classes_, self.n_features_in_ = classes, n_features
        self.architecture_, self.weights_ = shape, weights
        return self


def _remember(settings: dict, features: str, is_labelled: np.ndarray, begin: Callable) -> tuple:
    """What `memory` keeps by its arguments but the last one."""
    return begin()


def _joined(
    before: dict[str, np.ndarray], after: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Histories one after the other; nan where one of them has no such term."""
    lengths = [len(next(iter(history.values()), [])) for history in (before, after)]
    return {
        name: np.concatenate(
            [
                history.get(name, np.full(n, np.nan))
                for history, n in zip((before, after), lengths, strict=True)
            ]
        )
        for name in {**before, **after}
    }


BaseLocalizer.__doc__ = (BaseLocalizer.__doc__ or "").replace(
    "    {shared}\n",
    SHARED_PARAMETERS.format(**{field.name: field.default for field in fields(BaseLocalizer)})[1:],
)
