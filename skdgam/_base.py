"""What every localizer shares: detections as arrays, as a frame, and their score."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from skdgam import io, metrics
from skdgam._features import check_features
from skdgam._typing import Indexed, PathOrName
from skdgam._validation import check_annotations, check_durations, check_known, clip_to_videos
from skdgam.intervals import make_intervals, non_maximum_suppression
from skdgam.localization import Search, propose

__all__ = ["ActivationMixin", "LocalizerMixin", "SaveMixin"]

STATE_VERSION = 1  # of pickled localizers


class LocalizerMixin:
    """Methods that follow from detections.

    A localizer brings ``_detect(videos, durations)``, the interval array of each video, and
    ``_ends(videos, durations)``, where each video ends in seconds.
    """

    def predict(self, X: Indexed, durations: npt.ArrayLike | None = None) -> np.ndarray:
        """Find the actions of each video.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        durations : array-like of shape (n,), optional
            Seconds of each video, for features resampled to a length that says nothing of
            their time: the snippets of a video then share its duration equally.

        Returns
        -------
        detections : object ndarray of shape (n,)
            Each item an interval array sorted by start, with the fields ``start`` and ``end``
            (in seconds), ``label`` (one of ``classes_``) and ``score`` (higher is surer; for
            ``localization="attention"`` a logit, which may be negative).
        """
        check_is_fitted(self)
        videos = check_features(X, self.n_features_in_)
        if durations is not None:
            durations = check_durations(durations, len(videos))
        return self._predict(videos, durations)

    def predict_frame(self, X: Indexed, durations: npt.ArrayLike | None = None) -> Any:
        """Find the actions of each video, as one tidy pandas frame.

        Parameters
        ----------
        X, durations
            As for ``predict``.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each detection: ``video`` (index in `X`), ``start``, ``end``, ``label``,
            ``score``.

        Raises
        ------
        ImportError
            Without pandas: ``pip install "skdgam[frame]"``.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                'predict_frame needs pandas: pip install "skdgam[frame]"; predict does without.'
            ) from error
        detections = self.predict(X, durations)
        frame = pd.DataFrame.from_records(np.concatenate(detections))
        lengths = [len(found) for found in detections]
        frame.insert(0, "video", np.repeat(np.arange(len(detections)), lengths))
        return frame

    def score(
        self,
        X: Indexed,
        y: Indexed,
        durations: npt.ArrayLike | None = None,
        intervals: Indexed | None = None,
    ) -> float:
        """Mean average precision, averaged over ``tiou_thresholds``.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : sequence of n annotations
            The true intervals of each video: a list of ``(start, end, label)`` or an interval
            array, in seconds. Labels alone do not suffice.
        durations : array-like of shape (n,), optional
            As for ``predict``.
        intervals : sequence of n annotations, optional
            The true intervals, in place of those in `y`, which may then hold labels. With
            metadata routing, ``set_score_request(intervals=True)`` has them passed here when
            ``GridSearchCV(...).fit(X, labels, intervals=annotations)`` splits.

        Returns
        -------
        score : float, in [0, 1]

        Raises
        ------
        ValueError
            If `y` holds labels without times, labels that the model was not fitted on, or an
            interval without positive length.

        Warns
        -----
        UserWarning
            If intervals run past the end of their video. They are clipped there;
            :func:`skdgam.metrics.mean_average_precision` takes annotations as they are.
        """
        check_is_fitted(self)
        videos = check_features(X, self.n_features_in_)
        name, given = ("y", y) if intervals is None else ("intervals", intervals)
        annotations = check_annotations(given, len(videos), name)
        if durations is not None:
            durations = check_durations(durations, len(videos))
        annotations = clip_to_videos(annotations, self._ends(videos, durations), name)
        check_known([annotation["label"] for annotation in annotations], self.classes_, name)
        detections = self._predict(videos, durations)
        return float(
            metrics.mean_average_precision(annotations, detections, self.tiou_thresholds).mean()
        )

    def __getstate__(self):
        return super().__getstate__() | {"_state_version": STATE_VERSION}

    def __setstate__(self, state):
        version = state.get("_state_version")
        if version != STATE_VERSION:
            raise ValueError(
                f"This {type(self).__name__} was pickled with states of version {version}, and "
                f"this skdgam reads version {STATE_VERSION}. Load it with the skdgam that wrote "
                "it, and save(path) it there: such files stay readable."
            )
        super().__setstate__({k: v for k, v in state.items() if k != "_state_version"})

    def _predict(self, videos, durations):
        detections = np.empty(len(videos), dtype=object)
        for i, found in enumerate(self._detect(videos, durations)):
            detections[i] = found[np.lexsort((-found["score"], found["start"]))]
        return detections

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags


class ActivationMixin(LocalizerMixin):
    """Methods that follow from attention, class activation and the parameters of localization.

    A localizer brings ``_activations(videos)``, what it says of each video, and those of the
    parameters of :class:`skdgam.localization.Search` that are not to be at their defaults.
    """

    def predict_proba(self, X: Indexed) -> np.ndarray:
        """Probability that each action occurs in each video.

        The classifier's softmax on the attention-pooled feature; what is missing to 1 is the
        probability of background. With ``classification="sigmoid"`` each is by itself.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        probability : ndarray of shape (n, n_classes), in [0, 1]
            Columns as in ``classes_``.
        """
        activations = self._activations(self._check(X))
        return np.stack([activation.probability for activation in activations])

    def _check(self, X):
        """Check features against the fitted ones."""
        check_is_fitted(self)
        return check_features(X, self.n_features_in_)

    def _settings(self, kind):
        """Gather the parameters that a part of the computation depends on."""
        names = [name for name in kind.__dataclass_fields__ if hasattr(self, name)]
        return kind(**{name: getattr(self, name) for name in names})

    def _propose(self, activation, n_snippets, duration=None, others=()):
        """Proposals of one video, in seconds."""
        proposals = propose(activation, self._settings(Search), others)
        hop, offset = self.snippet_seconds, self.snippet_offset
        if duration is not None:
            hop, offset = duration / n_snippets, 0.0
        scale = hop * n_snippets / len(activation.attention)
        return make_intervals(
            offset + scale * proposals["start"],
            offset + scale * proposals["end"],
            self.classes_[proposals["label"]],
            proposals["score"],
        )

    def _detect(self, videos, durations):
        """Yield the detections of each video, best first."""
        for i, activation in enumerate(self._activations(videos)):
            duration = None if durations is None else durations[i]
            proposals = self._propose(activation, videos.lengths[i], duration)
            yield non_maximum_suppression(proposals, self.nms_threshold)

    def _ends(self, videos, durations):
        """Where each video ends; a last snippet that was cut short has no features."""
        if durations is not None:
            return durations
        # The last window ends by the offset later than the time that its snippet stands for.
        last = self.snippet_offset + max(self.snippet_offset, 0.0)
        return (videos.lengths + 1) * self.snippet_seconds + last


class SaveMixin:
    """Model files; a localizer brings ``_describe()``, itself as a dict for JSON and arrays."""

    def save(self, path: PathOrName) -> None:
        """Write the fitted localizer to a file for sharing, for :func:`skdgam.load`.

        It holds weights, labels and parameters, and nothing that opening it would execute. What
        only further training needs is left out; to keep that too, use ``joblib.dump``.

        Parameters
        ----------
        path : path
            A file that is there is replaced.

        Raises
        ------
        ImportError
            Without safetensors: ``pip install "skdgam[share]"``.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        description, arrays = self._describe()
        io.write_model(path, {"class": type(self).__name__} | description, arrays)
