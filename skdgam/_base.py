"""What every localizer shares: detections as arrays, as a frame, and their score."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdgam import io, metrics
from skdgam._features import check_features
from skdgam._validation import check_annotations, check_durations, check_known, clip_to_videos

__all__ = ["LocalizerMixin"]

STATE_VERSION = 1  # of pickled localizers


class LocalizerMixin:
    """Methods that follow from detections.

    A localizer brings ``_detect(videos, durations)``, the interval array of each video, and
    ``_ends(videos, durations)``, where each video ends in seconds.
    """

    def predict(self, X, durations=None):
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

    def predict_frame(self, X, durations=None):
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

    def score(self, X, y, durations=None, intervals=None):
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

    def save(self, path):
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
