"""What every localizer shares: detections as arrays and as a frame, their score, and files."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from skdgam import io, metrics
from skdgam._features import Videos, check_features
from skdgam._labels import check_known
from skdgam._names import in_order
from skdgam._typing import Indexed, PathOrName
from skdgam._validation import check_annotations, check_durations, clip_to_videos
from skdgam.clock import SnippetClock
from skdgam.features._folder import differences
from skdgam.training.sanity import warn_of_times

__all__ = ["LocalizerMixin"]

MOST_OFFSET = 100  # snippets, of a longest video that has fewer
STATE_VERSION = 1  # of pickled localizers


class LocalizerMixin:
    """Methods that follow from detections.

    A localizer brings ``clock``, which is its :class:`SnippetClock`; ``_detect(videos, clocks)``,
    which yields the interval array of each video; and ``_describe()``, itself as a dict that JSON
    can hold, and arrays.
    """

    # What it has of scikit-learn's estimators, and sets when it is fitted.
    classes_: np.ndarray
    n_features_in_: int
    about_features_: dict[str, Any] | None  # as FeatureFolder.about, of those it was fitted on
    tiou_thresholds: npt.ArrayLike

    @property
    def clock(self) -> SnippetClock:
        """Which seconds of a recording each snippet stands for."""
        raise NotImplementedError

    def _detect(self, videos: Videos, clocks: list[SnippetClock]) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def _describe(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        raise NotImplementedError

    def predict(self, X: Indexed, durations: npt.ArrayLike | None = None) -> np.ndarray:
        """Find the actions of each video.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
            Or a dict of them by name; so may `durations` be.
        durations : array-like of shape (n,), optional
            Seconds of each video, for features resampled to a length that says nothing of
            their time: the snippets of a video then share its duration equally.

        Returns
        -------
        detections : object ndarray of shape (n,)
            Each item is an interval array sorted by start, with the fields ``start`` and ``end``
            (in seconds), ``label`` (one of ``classes_``) and ``score`` (higher is surer; for
            ``localization="attention"`` a logit, which may be negative).
        """
        videos = self._check(X)
        return self._predict(videos, self._clocks(videos, durations))

    def predict_frame(self, X: Indexed, durations: npt.ArrayLike | None = None) -> Any:
        """Find the actions of each video, as one tidy pandas frame.

        Parameters
        ----------
        X, durations
            As for ``predict``.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each detection: ``video`` (its name, or index in `X` if it has none),
            ``start``, ``end``, ``label``, ``score``.

        Raises
        ------
        ImportError
            Without pandas: ``pip install "skdgam[frame]"``.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(
                'predict_frame needs pandas: pip install "skdgam[frame]"; predict does without.'
            ) from error
        videos = self._check(X)
        detections = self.predict(videos, durations)
        frame = pd.DataFrame.from_records(np.concatenate(detections))
        names = np.arange(len(videos)) if videos.names is None else videos.names
        frame.insert(0, "video", np.repeat(names, [len(found) for found in detections]))
        return frame

    def score(
        self,
        X: Indexed,
        y: Indexed,
        durations: npt.ArrayLike | None = None,
        intervals: Indexed | None = None,
        sample_weight: Indexed | None = None,
    ) -> float:
        """Mean average precision, averaged over ``tiou_thresholds``.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : sequence of n annotations
            The true intervals of each video: a list of ``(start, end, label)`` or an interval
            array, in seconds. Labels alone do not suffice. Where videos have names, also a dict by
            name, or a pandas frame with the columns video, start, end and label.
        durations : array-like of shape (n,), optional
            As for ``predict``.
        intervals : sequence of n annotations, optional
            The true intervals, in place of those in `y`, which may then hold labels. With
            metadata routing, ``set_score_request(intervals=True)`` has them passed here when
            ``GridSearchCV(...).fit(X, labels, intervals=annotations)`` splits.
        sample_weight : ignored
            mAP counts all videos alike. Searches and pipelines hand on the weights of ``fit``.

        Returns
        -------
        score : float, in [0, 1]

        Raises
        ------
        ValueError
            If `y` holds labels without times, labels that the model was not fitted on, or an
            interval that ends before it starts, or if all start past the end of their videos.

        Warns
        -----
        UserWarning
            If intervals run past the end of their video. They are clipped there;
            :func:`skdgam.metrics.mean_average_precision` takes annotations as they are.
        """
        videos = self._check(X)
        name, given = ("y", y) if intervals is None else ("intervals", intervals)
        given = in_order(given, videos.names, name)
        annotations = check_annotations(given, len(videos), name, videos.keys)
        clocks = self._clocks(videos, durations)
        if durations is None:
            ends = self.clock.end(videos.lengths)
        else:
            ends = check_durations(in_order(durations, videos.names, "durations"), len(videos))
        annotations = clip_to_videos(annotations, ends, name, videos.keys)
        labels = [annotation["label"] for annotation in annotations]
        check_known(labels, self.classes_, name, videos.keys)
        detections = self._predict(videos, clocks)
        return float(
            metrics.mean_average_precision(annotations, [*detections], self.tiou_thresholds).mean()
        )

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

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_state_version": STATE_VERSION}  # type: ignore[operator]

    def __setstate__(self, state: dict[str, Any]) -> None:
        version = state.get("_state_version")
        if version != STATE_VERSION:
            raise ValueError(
                f"This {type(self).__name__} was pickled with states of version {version}, and "
                f"this skdgam reads version {STATE_VERSION}. Load it with the skdgam that wrote "
                "it, and save(path) it there: such files stay readable."
            )
        super().__setstate__(  # type: ignore[misc]
            {k: v for k, v in state.items() if k != "_state_version"}
        )

    def _check(self, X: Indexed) -> Videos:
        """Check features against those that it was fitted on."""
        check_is_fitted(self)
        videos = check_features(X, self.n_features_in_)
        known = getattr(self, "about_features_", None)
        if known is not None and videos.about is not None:
            for one, other in zip(known["extractor"], videos.about["extractor"], strict=False):
                if apart := differences(one, other):
                    raise ValueError(
                        f"X was made otherwise than the features that the model was fitted on: "
                        f"{apart}. Make it anew, with the same settings."
                    )
        elif videos.about is not None:
            warn_of_times(self.clock, videos.about)
        return videos

    def _clocks(self, videos: Videos, durations: npt.ArrayLike | None) -> list[SnippetClock]:
        """The clock of each video: that of the localizer, or one that follows its duration."""
        if durations is None:
            self._check_offset(videos)
            return [self.clock] * len(videos)
        checked = check_durations(in_order(durations, videos.names, "durations"), len(videos))
        lengths = videos.lengths.tolist()
        return [SnippetClock.of_duration(d, n) for d, n in zip(checked, lengths, strict=True)]

    def _check_offset(self, videos: Videos) -> None:
        """Refuse an offset that is no part of a window, but puts every snippet past the end."""
        seconds, offset = self.clock.seconds, self.clock.offset
        longest = seconds * max(videos.lengths.tolist(), default=0)
        if abs(offset) > max(longest, MOST_OFFSET * seconds):
            raise ValueError(
                f"snippet_offset is {offset:g} s, but the longest video has "
                f"{longest:g} s. It is the time before the first snippet: (window - "
                "snippet_seconds) / 2 for windows, in seconds and not in milliseconds or frames."
            )

    def _predict(self, videos: Videos, clocks: list[SnippetClock]) -> np.ndarray:
        detections = np.empty(len(videos), dtype=object)
        for i, found in enumerate(self._detect(videos, clocks)):
            detections[i] = found[np.lexsort((-found["score"], found["start"]))]
        return detections

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags
