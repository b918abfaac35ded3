"""Parameters that every localizer has: defined, documented and constrained once."""

import inspect
import re
import textwrap
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral, Real
from typing import Any, dataclass_transform

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skdgam.localization import check_proposal_thresholds
from skdgam.metrics import check_thresholds

__all__ = ["SharedParameters"]

# Parameters that every localizer has, for the docstrings of their classes.
SHARED_PARAMETERS = """
    n_snippets : int or None, default={n_snippets}
        Snippets of each video in an epoch. From a longer video, one is drawn at random from each
        of so many equal parts; of a shorter one all are used, with a weight that makes up for it.
        None uses all snippets of every video.
    max_epochs : int or None, default={max_epochs}
        Passes over the videos. None is 60, or on less than 7 batches, as many as make 400 steps.
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
    class_weight : dict, "balanced" or None, default={class_weight}
        How much the videos of each class count in training. None is 1 for all classes, as for
        those that a dict does not name. "balanced" is the number of labels in all videos, divided
        by the number of classes and by the number of videos that show this one; with one label a
        video, that is scikit-learn's. A video with several classes counts by the mean of their
        weights, and one of background alone counts 1. Weights by `sample_weight` are multiplied
        with it, and count in these numbers.
    standardize : bool, default={standardize}
        Whether to bring each feature to mean 0 and standard deviation 1, by the statistics of the
        training snippets, which the model keeps as `mean_` and `scale_`. A training that goes on
        keeps those of its first videos.
    warm_start : bool, default={warm_start}
        Whether ``fit`` goes on from where the last training stopped, for `max_epochs` more.
    memory : str or object with the joblib.Memory interface, default={memory}
        Where to keep trainings. A ``fit`` on the same features, labels and weights, with the same
        parameters of training, takes its result from there. In a search, candidates that differ
        only in localization then share one training. It needs an integer `random_state`, and is
        not used with `warm_start`, checkpoints or callbacks.
    localization : {{{ways}}}, default={localization!r}
        How intervals are found: in the probability of each class
        (:func:`skdgam.localization.activation_proposals`), in the attention-weighted class
        activation (:func:`skdgam.localization.tcam_proposals`), or in the attention
        (:func:`skdgam.localization.attention_proposals`).
    proposal_threshold : float or sequence of float, default={proposal_threshold}
        What exceeds it becomes a proposal; each of several gives proposals of its own. For
        "activation", it is a share of the highest probability of the class in the video.
        None is 0.1, 0.2, ..., 0.9 for "activation", 0.05 for "tcam" and 0.5 for "attention".
    proposal_smoothing : float or None, default={proposal_smoothing}
        Standard deviation of a Gaussian over what is thresholded: in snippets for "activation",
        in twentieths of a snippet for "tcam"; "attention" has none. None is 1 for "activation"
        and 0 for "tcam".
    class_threshold : float, default={class_threshold}
        A video is searched for the classes that are more probable than this in the video as a
        whole, or for the most probable one.
    eta : float or None, default={eta}
        η: weight of a proposal's surroundings, which its score is reduced by. None is 1 for
        "activation" and 0.3 for the other ways.
    nms_threshold : float, default={nms_threshold}
        Of two detections of one class whose tIoU is greater, the better one stays. Matters when
        there are several proposal thresholds.
    min_snippets, max_snippets : int, default={min_snippets} and {max_snippets}
        Longer videos are subsampled uniformly for localization, shorter ones repeat snippets.
    stream_weight : float, default={stream_weight}
        ρ: in a :class:`skdgam.MultiStreamLocalizer`, the share of this stream's own activation in
        the score of its proposals.
    snippet_seconds : float or None, default={snippet_seconds}
        Time h from one snippet to the next. None is what a folder of features says that skdgam
        made, and otherwise 0.64: 16 frames at 25 a second.
    snippet_offset : float or None, default={snippet_offset}
        Snippet i stands for [offset + i·h, offset + (i + 1)·h) seconds. 0 for snippets that
        do not overlap, (window − h) / 2 for windows that do. None is what a folder of features
        says, and otherwise 0. What "tcam" finds lies about half a snippet early, as released;
        h / 2 more mends that.
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
# Attributes that every fitted localizer has, beside `history_`.
FITTED_ATTRIBUTES = """
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    n_features_in_ : int
    n_epochs_ : int
        Epochs that were trained.
    weights_ : dict of ndarrays
        Weights of all networks, by name; NumPy arrays, so that a fitted model opens on any
        machine.
    architecture_ : dict
        The parameters that shaped the networks.
    training_state_ : dict
        What one more epoch needs beside the weights: moments of Adam, and the seed.
"""
WAYS = ("activation", "tcam", "attention")  # of localization
# What training does not depend on.
NOT_OF_TRAINING = {
    *("localization", "proposal_threshold", "proposal_smoothing", "class_threshold", "eta"),
    *("nms_threshold", "min_snippets", "max_snippets", "stream_weight"),
    *("snippet_seconds", "snippet_offset", "tiou_thresholds"),
    *("warm_start", "memory", "device", "precision", "random_state", "verbose"),
    "class_weight",  # but on the weights of videos that follow from it
}


@dataclass_transform(kw_only_default=True, eq_default=False)
class Parameters(BaseEstimator):
    """An estimator whose parameters are annotated class attributes, as of a dataclass.

    In the docstring of a class, a line ``{shared}`` stands for the parameters that all have, and
    ``{fitted}`` for the attributes of all that are fitted.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__doc__ = cls.__doc__ or super(cls, cls).__doc__ or ""
        # Another default needs no annotation, and what begins with an underscore is no parameter.
        inherited = [field.name for field in fields(cls)] if is_dataclass(cls) else []
        annotated = {name: Any for name in inherited if name in vars(cls)}
        annotated |= inspect.get_annotations(cls)
        cls.__annotations__ = {k: v for k, v in annotated.items() if not k.startswith("_")}
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        defaults = {field.name: field.default for field in fields(cls)}
        known = cls._parameter_constraints["localization"][0].options
        ways = ", ".join(f'"{way}"' for way in WAYS if way in known)
        shared = SHARED_PARAMETERS.format(**defaults, ways=ways)
        parts = {"shared": shared, "fitted": FITTED_ATTRIBUTES}
        cls.__doc__ = re.sub(  # Python 3.13 takes the indentation of docstrings away
            rf"^( *)\{{({'|'.join(parts)})\}}\n",
            lambda mark: textwrap.indent(textwrap.dedent(parts[mark[2]])[1:], mark[1]),
            cls.__doc__,
            flags=re.MULTILINE,
        )


class SharedParameters(Parameters):
    """The parameters that every localizer has.

    Parameters
    ----------
    {shared}
    """

    n_snippets: int | None = 400
    max_epochs: int | None = None
    batch_size: int = 16
    learning_rate: float = 5e-3
    refresh_every: int = 1
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 50
    class_weight: Any = None
    standardize: bool = True
    warm_start: bool = False
    memory: Any = None
    localization: str = "tcam"
    proposal_threshold: Any = None
    proposal_smoothing: float | None = None
    class_threshold: float = 0.1
    eta: float | None = None
    nms_threshold: float = 0.5
    min_snippets: int = 1
    max_snippets: int | None = None
    stream_weight: float = 0.5
    snippet_seconds: float | None = None
    snippet_offset: float | None = None
    tiou_thresholds: Any = 0.5
    device: str = "auto"
    precision: str = "auto"
    random_state: int | np.random.RandomState | None = None
    verbose: int | str = "auto"

    _parameter_constraints = {  # noqa: RUF012
        "n_snippets": [Interval(Integral, 1, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "refresh_every": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "standardize": ["boolean"],
        "warm_start": ["boolean"],
        "memory": [None, str, HasMethods(["cache"])],
        "localization": [StrOptions({"activation", "tcam", "attention"})],
        "proposal_threshold": [Interval(Real, 0, 1, closed="left"), "array-like", None],
        "proposal_smoothing": [Interval(Real, 0, None, closed="left"), None],
        "class_threshold": [Interval(Real, 0, 1, closed="both")],
        "eta": [Interval(Real, 0, None, closed="left"), None],
        "nms_threshold": [Interval(Real, 0, 1, closed="both")],
        "min_snippets": [Interval(Integral, 1, 10**6, closed="both")],  # what a video repeats to
        "max_snippets": [Interval(Integral, 1, None, closed="left"), None],
        "stream_weight": [Interval(Real, 0, 1, closed="both")],
        "snippet_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "snippet_offset": [Interval(Real, None, None, closed="neither"), None],
        "tiou_thresholds": [Interval(Real, 0, 1, closed="right"), "array-like"],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose", StrOptions({"auto"})],
    }

    def _check_settings(self) -> None:
        """Check all parameters, also those that are not needed before predict and score."""
        self._validate_params()
        for name, constraints in self._parameter_constraints.items():
            value = getattr(self, name)
            is_number = any(isinstance(constraint, Interval) for constraint in constraints)
            if is_number and isinstance(value, bool | np.bool_):  # which Python takes for 0 and 1
                raise ValueError(f"{name} is {value}; it must be a number.")
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
