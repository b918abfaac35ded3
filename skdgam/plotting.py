"""Displays: what a localizer found, drawn with matplotlib, which is imported when it is used."""

import numpy as np
from sklearn.utils import _safe_indexing

from skdgam._validation import check_annotations, check_detections, check_durations

__all__ = ["LocalizationDisplay"]

# Told apart with any colour vision, and in grey by their lightness.
TRUTH_COLOR = "0.25"
ATTENTION_COLOR = "#E69F00"
SCORE_COLORMAP = "Blues"
MANY_VIDEOS = 5
STRIP = 1.2  # in lanes: attention, which has a height of 1, and a gap above it
WIDTH, LANE, BETWEEN = 10.0, 0.4, 0.8  # of a figure, a lane, titles and ticks, in inches


class LocalizationDisplay:
    """Timelines of videos: ground truth, detections, and attention beneath them.

    A row of axes shows one video, with a lane for each class that occurs in it: ground truth
    in the upper half of the lane, detections in the lower half, darker where their score is
    higher. Make one with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    y_pred : sequence of n interval arrays
        Detections with scores, times in seconds.
    y_true : sequence of n interval arrays, default=None
        Ground truth; without it lanes hold detections alone.
    attention : sequence of n arrays of shape (n_snippets_i,), in [0, 1], default=None
    snippet_seconds, snippet_offset : float, default=0.64 and 0.0
        Snippet i is drawn over [offset + i·h, offset + (i + 1)·h) seconds.
    durations : array-like of shape (n,), default=None
        Seconds of each video, which its snippets share equally: offset and h do not count.
    names : sequence of n str, default=None
        Titles of the axes.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of shape (n,)
        Axes, one for each video.

    Examples
    --------
    In a notebook leave `ax` out. Here the figure is one that no window shows:

    >>> from matplotlib.figure import Figure
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.plotting import LocalizationDisplay
    >>> y_true = [[(1.0, 4.0, "jump"), (6.0, 9.0, "run")]]
    >>> y_pred = [make_intervals([1.5, 7.0], [4.0, 9.5], ["jump", "run"], [0.9, 0.4])]
    >>> display = LocalizationDisplay.from_predictions(y_pred, y_true, ax=Figure().subplots())
    >>> [label.get_text() for label in display.axes_[0].get_yticklabels()]
    ['jump', 'run']
    """

    def __init__(
        self,
        *,
        y_pred,
        y_true=None,
        attention=None,
        snippet_seconds=0.64,
        snippet_offset=0.0,
        durations=None,
        names=None,
    ):
        self.y_pred = y_pred
        self.y_true = y_true
        self.attention = attention
        self.snippet_seconds = snippet_seconds
        self.snippet_offset = snippet_offset
        self.durations = durations
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, videos=None, durations=None, names=None, ax=None
    ):
        """Draw what a fitted localizer finds in videos, and its attention.

        Parameters
        ----------
        estimator : DGAMLocalizer or MultiStreamLocalizer
            Fitted; it also says which seconds a snippet stands for.
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y : sequence of n annotations, default=None
            The true intervals of each video: a list of ``(start, end, label)`` or an interval
            array, in seconds.
        videos : int, slice or sequence of int, default=None
            Which of the n videos to draw; the first five by default. Nothing is computed for
            the others.
        durations : array-like of shape (n,), default=None
            Seconds of each video, as for ``predict``.
        names : sequence of n str, default=None
            Titles; "video 0", … by default.
        ax : Axes or array-like of Axes, default=None
            One for each video that is drawn; by default those of a new pyplot figure.

        Returns
        -------
        display : LocalizationDisplay
        """
        _import_pyplot()  # its absence is better known before all the work
        n, chosen = len(X), _choose(videos, len(X))
        X = _safe_indexing(X, chosen)
        if durations is not None:
            durations = check_durations(durations, n)[chosen]
        y_pred = estimator.predict(X, durations)
        timed = next(iter(getattr(estimator, "localizers_", {"": estimator}).values()))
        return cls.from_predictions(
            y_pred,
            None if y is None else _safe_indexing(y, chosen),
            attention=estimator.attention(X),
            snippet_seconds=timed.snippet_seconds,
            snippet_offset=timed.snippet_offset,
            videos=slice(None),
            durations=durations,
            names=_names(names, n, chosen),
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_pred,
        y_true=None,
        *,
        attention=None,
        snippet_seconds=0.64,
        snippet_offset=0.0,
        videos=None,
        durations=None,
        names=None,
        ax=None,
    ):
        """Draw detections that are there already.

        Parameters
        ----------
        y_pred : sequence of n interval arrays with scores
            As ``predict`` returns them.
        y_true : sequence of n annotations, default=None
            The true intervals of each video: a list of ``(start, end, label)`` or an interval
            array, in seconds.
        attention : sequence of n arrays of shape (n_snippets_i,), in [0, 1], default=None
            As ``attention`` returns it.
        snippet_seconds, snippet_offset : float, default=0.64 and 0.0
            Times of the snippets that attention belongs to, as of DGAMLocalizer.
        videos : int, slice or sequence of int, default=None
            Which of the n videos to draw; the first five by default.
        durations : array-like of shape (n,), default=None
            Seconds of each video, which its attention is then spread over.
        names : sequence of n str, default=None
            Titles; "video 0", … by default.
        ax : Axes or array-like of Axes, default=None
            One for each video that is drawn; by default those of a new pyplot figure.

        Returns
        -------
        display : LocalizationDisplay
        """
        n, chosen = len(y_pred), _choose(videos, len(y_pred))
        y_pred = check_detections(y_pred, n)
        if y_true is not None:
            y_true = check_annotations(y_true, n)
        if attention is not None and len(attention) != n:
            raise ValueError(
                f"attention has {len(attention)} entries, but y_pred has {n} videos; pass one "
                "array of shape (n_snippets,) for each."
            )
        if durations is not None:
            durations = check_durations(durations, n)[chosen]
        return cls(
            y_pred=[y_pred[i] for i in chosen],
            y_true=None if y_true is None else [y_true[i] for i in chosen],
            attention=None if attention is None else [np.asarray(attention[i]) for i in chosen],
            snippet_seconds=snippet_seconds,
            snippet_offset=snippet_offset,
            durations=durations,
            names=_names(names, n, chosen),
        ).plot(ax)

    def plot(self, ax=None):
        """Draw all videos.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            One for each video; by default those of a new pyplot figure, one below the other,
            which notebooks show and ``matplotlib.pyplot.show`` opens.

        Returns
        -------
        display : LocalizationDisplay
            This one.
        """
        plt = _import_pyplot()
        n = len(self.y_pred)
        if ax is None:
            heights = [BETWEEN + LANE * self._height(i) for i in range(n)]
            _, ax = plt.subplots(
                n, figsize=(WIDTH, sum(heights)), height_ratios=heights, layout="constrained"
            )
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n:
            raise ValueError(f"ax holds {len(axes)} Axes, but there are {n} videos to draw.")
        self.axes_, self.figure_ = axes, axes[0].figure

        scores = np.concatenate([found["score"] for found in self.y_pred])
        low, high = (scores.min(), scores.max()) if len(scores) else (0.0, 0.0)
        colormap = plt.get_cmap(SCORE_COLORMAP)

        def shade(score):
            share = (score - low) / (high - low) if high > low else np.ones_like(score)
            return colormap(0.2 + 0.8 * share)  # paler colors are lost on white

        for i, row in enumerate(axes):
            self._draw(row, i, shade)
        axes[-1].set_xlabel("time (s)")

        legend = {}
        if self.y_true is not None:
            legend["ground truth"] = TRUTH_COLOR
        if len(scores):
            scale = f"{low:.2g} (light) to {high:.2g} (dark)" if high > low else f"{high:.2g}"
            legend[f"detection, score {scale}"] = shade((low + high) / 2)
        if self.attention is not None:
            legend["attention λ"] = ATTENTION_COLOR
        axes[0].legend(
            [plt.Rectangle((0, 0), 1, 1, color=color) for color in legend.values()],
            legend,
            ncols=3,
            loc="lower right",
            bbox_to_anchor=(1, 1),  # above the axes, on the line of the title
            borderaxespad=0,
            frameon=False,
        )
        return self

    def _labels(self, i):
        """Classes that occur in video i, sorted."""
        parts = [self.y_pred[i]] if self.y_true is None else [self.y_pred[i], self.y_true[i]]
        return sorted({label for part in parts for label in part["label"].tolist()})

    def _height(self, i):
        """Lanes of video i and the strip of attention, in lanes."""
        return (0 if self.attention is None else STRIP) + len(self._labels(i)) or 1

    def _draw(self, ax, i, shade):
        """Draw video i: lanes from the top, attention between 0 and 1."""
        labels, top = self._labels(i), self._height(i)
        center = {label: top - k - 0.5 for k, label in enumerate(labels)}
        found = np.sort(self.y_pred[i], order="score")  # the best lies on top
        parts = [(found, shade(found["score"]))]
        if self.y_true is not None:
            parts.insert(0, (self.y_true[i], TRUTH_COLOR))
        height = 0.8 / len(parts)
        start, end = 0.0, 0.0
        for k, (part, color) in enumerate(parts):
            ax.barh(
                [center[label] + 0.4 - (k + 0.5) * height for label in part["label"].tolist()],
                part["end"] - part["start"],
                height,
                left=part["start"],
                color=color,
                edgecolor=TRUTH_COLOR,
                linewidth=0.5,
            )
            end = max(end, part["end"].max(initial=0.0))
        ticks = {y: str(label) for label, y in center.items()}
        if self.attention is not None:
            attention = self.attention[i]
            edges = self._edges(i, len(attention))
            ax.stairs(attention, edges, fill=True, color=ATTENTION_COLOR)
            ticks[0.5] = "attention λ"
            start, end = min(start, edges[0]), max(end, edges[-1])
        if self.durations is not None:
            end = self.durations[i]
        for y in center.values():
            ax.axhline(y - 0.5, color="0.9", linewidth=0.8, zorder=0)
        title = f"video {i}" if self.names is None else self.names[i]
        ax.set_title(title if labels else f"{title}: no intervals", loc="left")
        ax.set(
            xlim=(start, end or 1.0),
            ylim=(0, top),
            yticks=[*ticks],
            yticklabels=ticks.values(),
        )
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "left", "right"]].set_visible(False)

    def _edges(self, i, n_snippets):
        """Where the snippets of video i begin, and where the last one ends, in seconds."""
        steps = np.arange(n_snippets + 1)
        if self.durations is not None:
            return self.durations[i] / n_snippets * steps
        return self.snippet_offset + self.snippet_seconds * steps


def _import_pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'LocalizationDisplay needs matplotlib: pip install "skdgam[plot]".'
        ) from error
    return plt


def _choose(videos, n):
    """Indices of the videos to draw."""
    return np.atleast_1d(np.arange(n)[slice(MANY_VIDEOS) if videos is None else videos])


def _names(names, n, chosen):
    """Titles of the chosen videos."""
    if names is None:
        return [f"video {i}" for i in chosen]
    if len(names) != n:
        raise ValueError(f"names has {len(names)} entries, but there are {n} videos.")
    return [str(names[i]) for i in chosen]
