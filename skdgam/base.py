"""BaseLocalizer: the training of a localizer, whatever its method."""

import math
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from torch import nn

from skdgam import __version__
from skdgam._features import Scaling, Videos, check_features
from skdgam._fitted import FittedLocalizer
from skdgam._labels import check_classes, check_weak_labels, known_entries, warn_of_alike
from skdgam._names import in_order
from skdgam._typing import Indexed, PathOrName, keeps_type
from skdgam._weights import check_sample_weight, weigh_videos
from skdgam.clock import SnippetClock
from skdgam.layers import initialize
from skdgam.sampling import balanced_folds
from skdgam.training.callbacks import AfterEpoch, CallbackSupportMixin, with_callbacks
from skdgam.training.checkpoints import Checkpoint, digest, digests_of_labels
from skdgam.training.devices import resolve_device, resolve_precision, shielded
from skdgam.training.early_stopping import EarlyStopping
from skdgam.training.inference import to_arrays
from skdgam.training.loop import Diverged, Interrupted, train
from skdgam.training.memory import code_of, recalled
from skdgam.training.sanity import (
    some_snippets,
    warn_of_attention,
    warn_of_few_steps,
    warn_of_offset,
    warn_of_one_video,
    warn_of_scale,
    warn_of_times,
)
from skdgam.training.trainer import Sampling, Trainer

__all__ = ["BaseLocalizer"]


LEAST_EPOCHS, LEAST_STEPS = 60, 400  # of a training with max_epochs=None


class BaseLocalizer(FittedLocalizer, CallbackSupportMixin):
    """A localizer that is trained by gradient descent: the base of every method.

    A subclass is one method. Its parameters are annotated class attributes with defaults, as of a
    dataclass, beside the shared ones below; it extends ``_parameter_constraints``, and brings

    - ``_network``, a class of ``torch.nn.Module``, made of :mod:`skdgam.layers`. It is called with
      the numbers of features and classes, and by name with the parameters in ``_architecture``,
      which a fitted model keeps.
      Its ``forward(batch)`` returns attention λ (n_rows,) in [0, 1] and class activation
      (n_rows, n_columns) of the snippets of a :class:`skdgam.training.batches.Batch`.
      ``reach`` says how many snippets to each side it looks at, and None that it looks at all;
    - ``_stages()``, which returns the stages of training
      (:class:`skdgam.training.protocol.Stage`): what learns, from which losses;
    - ``_activation(network, attention, logits)``, which turns what the network says of one video
      into what localization needs (:class:`skdgam.localization.Activation`).

    By ``_tell(videos, y, classes, clock)`` a method may take more from `y`: it returns videos whose
    batches have ``counts``, or ``snippet_labels``. Then it is no weakly-supervised method, but a
    yardstick, and says so by ``learns_from_intervals = True``.

    Training, checkpoints, devices, early stopping, files, streams and the command line follow.
    In the docstring of a subclass, a line ``{shared}`` stands for the parameters below, and
    ``{fitted}`` for the attributes of any fitted localizer but ``history_``.

    Parameters
    ----------
    {shared}
    """

    @keeps_type(with_callbacks)
    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        X: Indexed,
        y: Indexed,
        checkpoint: PathOrName | None = None,
        checkpoint_every: int = 10,
        sample_weight: Indexed | None = None,
    ) -> Self:
        """Learn from video-level labels when each action happens.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
            A list, a 3-D array, tensors, or any sequence that yields one video at a time. Or a dict
            by name, or a pandas Series whose index is text.
        y : sequence of n entries, or indicator matrix of shape (n, n_classes)
            For each video a label, a collection of labels, or its annotation, a list of
            ``(start, end, label)``, of which nothing but the labels is read. (A class with
            ``learns_from_intervals``, a yardstick, does read times, and needs annotations.) An
            empty list says that a video shows background alone, and None that its labels are
            unknown: it is left out. Where videos have names, also a dict by name, or a pandas
            frame: with the columns video and label, or of 0 and 1 for each class.
        checkpoint : path, optional
            A file that the training is written to every few epochs, by ``pip install
            "skdgam[share]"``. If it is there, ``fit`` goes on from it, and the result is to the
            bit that of a training that was never killed. With ``random_state=None``, it goes on
            with the seed in the file. It stays when training is done.
        checkpoint_every : int, default=10
            Epochs from one writing to the next.
        sample_weight : array-like of shape (n,), not negative, optional
            How much each video counts, in relation to the others: a video of weight 2 counts as
            two, and one of weight 0 is left out, but for its labels, which stay in ``classes_``.
            By default all count alike. They are multiplied with the weights by `class_weight`.
            Where videos have names, also a dict by name, or a Series whose index is text.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError, ValueError
            If `X`, `y` or `sample_weight` is not of that form, or `class_weight` does not fit the
            labels; the message names the video. The estimator stays as it was. Also if the
            checkpoint is of other data, weights or parameters.
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
            settings = {"method": type(self).__qualname__} | self._training_settings()
            written = Checkpoint(checkpoint, checkpoint_every, settings)
        report = partial(AfterEpoch, self, X, y)
        return self._train(X, y, None, sample_weight, resumes, None, report, written)

    @keeps_type(_fit_context(prefer_skip_nested_validation=True))
    def partial_fit(
        self,
        X: Indexed,
        y: Indexed,
        classes: Iterable[Any] | None = None,
        sample_weight: Indexed | None = None,
    ) -> Self:
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
        sample_weight : array-like of shape (n,), not negative, optional
            As for ``fit``. Here weights compare videos of different calls, too, and 1 is what
            counts normally: ``fit`` divides all by their mean, which no single call knows.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As for ``fit``; also if `y` holds a label that is none of the known ones, or
            `classes` are not those of the first call, or with ``class_weight="balanced"``.
        """
        if self.early_stopping:
            raise ValueError(
                "partial_fit cannot stop early, since it does not know when training ends; set "
                "early_stopping=False."
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"partial_fit cannot have class_weight={self.class_weight!r}, since it does not "
                "know how often each class will occur; set a dict from class to weight."
            )
        resumes = hasattr(self, "weights_")
        if resumes and classes is not None:
            given = np.unique(check_classes(classes)).tolist()
            if given != self.classes_.tolist():
                raise ValueError(
                    f"classes is {given}, but training began with {self.classes_.tolist()}."
                )
        return self._train(X, y, classes, sample_weight, resumes, n_epochs=1)

    def _train(
        self,
        X: Indexed,
        y: Indexed,
        classes: Iterable[Any] | None,
        sample_weight: Indexed | None,
        resumes: bool,
        n_epochs: int | None = None,
        report: Callable[[int, Callable[[], dict]], AfterEpoch] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Train from the start, or from where the last training stopped.

        So many epochs, or as many as a whole training has.
        """
        self._check_settings()
        given = self._check(X) if resumes else check_features(X)
        about = given.about or (getattr(self, "about_features_", None) if resumes else None)
        videos, is_labelled, known = self._check_training(
            given,
            y,
            self.classes_ if resumes else classes,
            sample_weight,
            relative=n_epochs is None,
            clock=self._clock_of(about),
        )
        if not resumes:
            warn_of_alike(known)
            warn_of_times(self._clock_of(videos.about), videos.about)
            if report is not None:
                self._check_told(videos)
                if not self.learns_from_intervals:
                    warn_of_one_video(len(videos))
                if self.max_epochs is not None:
                    n_needed = self._least_steps()
                    warn_of_few_steps(self.max_epochs, len(videos), self.batch_size, n_needed)
        begin = partial(
            self._run, videos, is_labelled, known, resumes, n_epochs, report, checkpoint, about
        )
        # A callback may stop a training, which is then no result of the parameters.
        is_whole = not (resumes or checkpoint or report is None or hasattr(self, "_skl_callbacks"))
        # Whatever mode of gradients this is called in, training needs them.
        with shielded(), torch.enable_grad():
            if self.memory is not None and is_whole:
                attributes, ended = self._recall(videos, is_labelled, known, begin)
            else:
                attributes, ended = begin()
        self.__dict__.update(attributes)
        self.about_features_ = about  # also where a training from memory was of other files
        if isinstance(ended, Diverged):
            self.__dict__.pop("training_state_", None)  # Adam's moments have diverged, too
            raise FloatingPointError(*ended.args)
        if ended is not None:
            warnings.warn(
                f"Training was interrupted after epoch {self.n_epochs_}. This "
                f"{type(self).__name__} is fitted, and with warm_start=True, its fit goes on from "
                "there.",
                UserWarning,
                stacklevel=4,
            )
            raise KeyboardInterrupt
        if report is not None and self._remedies:
            some = list(some_snippets(videos.subset(is_labelled.any(axis=1))))
            warn_of_attention(self.attention(some), self._remedies)
        return self

    def _scaling_of(self, videos: Videos) -> Scaling | None:
        """What standardizes the features that a training is to see; None leaves them alone."""
        if self.standardize:
            return Scaling.of(videos)
        warn_of_scale(videos)
        return None

    def _check_training(
        self,
        videos: Videos,
        y: Indexed,
        classes: Iterable[Any] | None,
        sample_weight: Indexed | None,
        relative: bool,
        clock: SnippetClock,
    ) -> tuple[Videos, np.ndarray, np.ndarray]:
        """The videos to train on, with their weights; which classes each shows; all classes.

        Left out are videos of unknown labels or weight 0. Weights are `relative` to their mean.
        """
        self._check_offset(videos)
        y = in_order(y, videos.names)
        given = check_sample_weight(sample_weight, len(videos), videos.names)
        is_known = known_entries(y)
        if is_known is not None and len(y) == len(videos):
            videos, given = videos.subset(is_known), given[is_known]
            y = [y[i] for i in np.flatnonzero(is_known)]
        known, is_labelled = check_weak_labels(y, len(videos), classes, videos.keys)
        videos = self._tell(videos, y, known, clock)
        is_kept, weights = weigh_videos(given, self.class_weight, known, is_labelled, relative)
        return videos.subset(is_kept).weighted(weights), is_labelled[is_kept], known

    def _tell(self, videos: Videos, y: Any, classes: np.ndarray, clock: SnippetClock) -> Videos:
        """Add to the videos what a method learns from, beside which classes each shows: nothing."""
        return videos

    def _check_told(self, videos: Videos) -> None:
        """Look at what a whole training is told, of the videos that it sees."""

    def _run(
        self,
        videos: Videos,
        is_labelled: np.ndarray,
        classes: np.ndarray,
        resumes: bool,
        n_epochs: int | None,
        report: Callable[[int, Callable[[], dict]], AfterEpoch] | None,
        checkpoint: Checkpoint | None,
        about: dict[str, Any] | None,
    ) -> tuple[dict[str, Any], Diverged | Interrupted | None]:
        """Train, and return the fitted attributes and how it was cut off, if it was."""
        seed = None if checkpoint is None else checkpoint.seed
        trainer = self._trainer(videos, len(classes), seed)
        n_epochs = n_epochs or trainer.n_epochs
        if resumes:
            self._check_architecture()
            state = getattr(self, "training_state_", None)  # no part of a model file
            trainer.resume(self.weights_, getattr(self, "n_epochs_", 0), state)
            scaling = self._scaling()
        else:
            scaling = self._scaling_of(videos)
            if scaling is not None:
                warn_of_offset(scaling)
        videos = videos.scaled(scaling)
        mean, scale = scaling or (None, None)

        def fitted() -> dict[str, Any]:
            return {
                "classes_": classes,
                "n_features_in_": videos.n_features,
                "architecture_": self._asked_architecture(),
                "weights_": to_arrays(trainer.network),
                "mean_": mean,
                "scale_": scale,
                "about_features_": about,
            }

        early_stopping = None
        if self.early_stopping:
            held_out = self._held_out(is_labelled, trainer.seed)
            early_stopping = EarlyStopping(
                videos.subset(held_out),
                is_labelled[held_out],
                self.n_iter_no_change,
                self._predict_proba,
                self._exclusive_classes,
            )
            videos, is_labelled = videos.subset(~held_out), is_labelled[~held_out]
        after_epoch = report and report(n_epochs, fitted)
        ended: Diverged | Interrupted | None = None
        try:
            history = train(
                trainer, videos, is_labelled, n_epochs, after_epoch, early_stopping, checkpoint
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
        self,
        videos: Videos,
        is_labelled: np.ndarray,
        classes: np.ndarray,
        begin: Callable[[], tuple[dict[str, Any], Diverged | Interrupted | None]],
    ) -> tuple[dict[str, Any], Diverged | Interrupted | None]:
        """Take a training from `memory`, or train and keep it there."""
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                f"memory={self.memory!r} keeps trainings by their parameters, which needs an "
                f"integer random_state, but it is {self.random_state!r}."
            )
        device = resolve_device(self.device)
        settings = self._training_settings() | {
            "method": code_of(type(self)),
            "version": __version__,
            "max_epochs": self.max_epochs,
            "random_state": int(self.random_state),
            "precision": str(resolve_precision(self.precision, device)),
            "device": device.type,
        }
        labels = is_labelled, digests_of_labels(videos)
        data = digest(videos, whole=True), labels, classes, videos.weights
        return recalled(self.memory, settings, data, begin)

    def _trainer(self, videos: Videos, n_classes: int, seed: int | None = None) -> Trainer:
        """Begin a training.

        The seed is that of a training to go on with, for where `random_state` names none.
        """
        device = resolve_device(self.device)
        dtype = resolve_precision(self.precision, device)
        if seed is None or self.random_state is not None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network = self._fresh_network(videos.n_features, n_classes, seed)
        sampling = Sampling(
            n_snippets=self.n_snippets,
            batch_size=self.batch_size,
            refresh_every=self.refresh_every,
            crops=self._crops,
        )
        return Trainer(
            network.to(device),
            self._stages(),
            sampling,
            self.learning_rate,
            self.max_epochs or self._enough_epochs(len(videos)),
            seed,
            dtype,
        )

    def _least_steps(self) -> int:
        """Steps on less of which a training is bound to learn little, where that is known."""
        return 0

    def _enough_epochs(self, n_videos: int) -> int:
        """Epochs for ``max_epochs=None``: small data sets take more, to come to enough steps."""
        n_batches = max(n_videos // self.batch_size, 1)
        return max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / n_batches))

    def _check_architecture(self) -> None:
        """Refuse to go on with a network that parameters no longer describe."""
        fitted = self._fitted_architecture()
        for name, value in self._asked_architecture().items():
            if value != fitted[name]:
                raise ValueError(
                    f"{name} is {value!r}, but the model to go on from has {fitted[name]!r}; set "
                    "it back, or fit anew with warm_start=False."
                )

    def _fresh_network(self, n_features: int, n_classes: int, seed: int) -> nn.Module:
        """Make a network with initial weights."""
        shape = self._asked_architecture()
        network = self._blank_network(n_features, n_classes, shape).to_empty(device="cpu")
        initialize(network, torch.Generator().manual_seed(seed))
        return network

    def _held_out(self, is_labelled: np.ndarray, seed: int) -> np.ndarray:
        """Mask of the videos that early stopping watches."""
        n_folds = round(1 / self.validation_fraction)
        held_out = balanced_folds(is_labelled, n_folds, np.random.default_rng(seed)) == 0
        held_out &= ~(is_labelled & (is_labelled.sum(axis=0) == 1)).any(axis=1)
        is_lost = is_labelled.any(axis=0) & ~is_labelled[~held_out].any(axis=0)
        if not held_out.any() or is_lost.any():
            raise ValueError(
                f"early_stopping cannot hold out validation_fraction={self.validation_fraction} of "
                f"{len(is_labelled)} videos and keep each class in training; set another fraction, "
                "or early_stopping=False."
            )
        return held_out


def _joined(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
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
