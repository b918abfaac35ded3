"""Timelines of videos: what is there, and what a localizer found."""

import textwrap
from collections.abc import Mapping

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from skdgam._names import in_order, names_of
from skdgam._validation import check_annotations, check_detections, check_durations
from skdgam.clock import SnippetClock
from skdgam.plotting._pyplot import WIDTH, import_pyplot

__all__ = ["LocalizationDisplay"]

# Told apart with any colour vision; in grey, truth is the one that is hatched.
EDGE = {"edgecolor": "0.25", "linewidth": 0.5}  # keeps slivers visible
TRUTH = {"facecolor": "white", "hatch": "//////"}
ATTENTION_COLOR = "#E69F00"
ACTIVATION_COLOR = "#009E73"
SCORE_COLORMAP = "Blues"
STRIP = 1.2  # in lanes: attention, which has a height of 1, and a gap above it
CURVE = 0.6  # in lanes: what T-CAM adds to the height of each
LANE, BETWEEN = 0.4, 0.6  # of a lane; for titles and ticks: in inches


class LocalizationDisplay:
    """Timelines of videos: ground truth, detections, and attention beneath them.

    Axes show one video each, with a lane for every class that occurs in it: ground truth in
    the upper half, detections in the lower half, darker where their score is higher, and beneath
    them the T-CAM of the class. Attention fills the strip at the bottom. Heights are 0 to 1.

    Parameters
    ----------
    y_pred : sequence of n interval arrays with scores
        Detections, as ``predict`` returns them.
    y_true : sequence of n annotations, default=None
        The true intervals of each video: interval arrays, or for :meth:`from_predictions` also
        lists of ``(start, end, label)``, in seconds. None leaves the lanes to detections.
    attention : sequence of n arrays of shape (n_snippets_i,), in [0, 1], default=None
    class_activation : sequence of n arrays of shape (n_snippets_i, n_classes), in [0, 1], \
default=None
    classes : array-like of shape (n_classes,), default=None
        Labels of the columns of `class_activation`.
    snippet_seconds, snippet_offset : float, default=0.64 and 0.0
        Snippet i is drawn over [offset + i·h, offset + (i + 1)·h) seconds.
    durations : array-like of shape (n,), default=None
        Seconds of each video, in place of h and offset: its snippets share them equally.
    names : sequence of n str, default=None
        Titles; "video 0", "video 1", … by default.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes of shape (n,)

    Examples
    --------
    In a notebook leave `ax` out. This figure, which no window shows, is for a file:

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
        class_activation=None,
        classes=None,
        snippet_seconds=0.64,
        snippet_offset=0.0,
        durations=None,
        names=None,
    ):
        self.y_pred = y_pred
        self.y_true = y_true
        self.attention = attention
        self.class_activation = class_activation
        self.classes = classes
        self.snippet_seconds = snippet_seconds
        self.snippet_offset = snippet_offset
        self.durations = durations
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        videos=None,
        durations=None,
        min_score=None,
        names=None,
        ax=None,
    ):
        """Draw what a fitted localizer finds in videos, and its attention.

        Parameters
        ----------
        estimator : localizer, or Pipeline that ends in one
            Fitted. It also says which seconds a snippet stands for.
        X : sequence of n arrays of shape (n_snippets_i, n_features)
            Or a dict of them by name; so may `y` and `durations` be.
        y : sequence of n annotations, default=None
            The true intervals of each video: a list of ``(start, end, label)`` or an interval
            array, in seconds.
        videos : int, slice or sequence of int, default=None
            Which of the n videos to draw, all by default; nothing is computed for the others.
        durations : array-like of shape (n,), default=None
            Seconds of each video, as for ``predict``.
        min_score : float, default=None
            Only detections that have this score or more are drawn.
        names, ax
            As for :meth:`from_predictions`; names of all n videos.

        Returns
        -------
        display : LocalizationDisplay
        """
        import_pyplot(cls.__name__)  # its absence is better known before all the work
        known = names_of(X)
        y, durations = in_order(y, known), in_order(durations, known, "durations")
        if names is None and known is not None and isinstance(known[0], str):
            names = known
        X = [*X.values()] if isinstance(X, Mapping) else X
        for name, given in {"y": y, "names": names}.items():
            if given is not None and len(given) != len(X):
                raise ValueError(f"{name} has {len(given)} entries, but X has {len(X)} videos.")
        try:
            chosen = np.atleast_1d(np.arange(len(X))[slice(None) if videos is None else videos])
        except IndexError as error:
            raise ValueError(f"videos is {videos!r}, but X has {len(X)} videos.") from error
        if durations is not None:
            durations = check_durations(durations, len(X))[chosen]
        names = [f"video {i}" if names is None else names[i] for i in chosen]
        X = _safe_indexing(X, chosen)
        if isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        y_pred = estimator.predict(X, durations)
        if min_score is not None:
            y_pred = [found[found["score"] >= min_score] for found in y_pred]
        return cls.from_predictions(
            y_pred,
            None if y is None else _safe_indexing(y, chosen),
            attention=estimator.attention(X),
            class_activation=estimator.class_activation(X),
            classes=estimator.classes_,
            snippet_seconds=estimator.clock.seconds,
            snippet_offset=estimator.clock.offset,
            durations=durations,
            names=names,
            ax=ax,
        )

    @classmethod
    def from_predictions(cls, y_pred, y_true=None, *, ax=None, **params):
        """Draw detections that are there already.

        Parameters
        ----------
        y_pred, y_true
            As for :class:`LocalizationDisplay`.
        ax : Axes or array-like of n Axes, default=None
            By default those of a new pyplot figure, one below the other.
        **params
            `attention`, `class_activation`, `classes`, `snippet_seconds`, `snippet_offset`,
            `durations` and `names`, as for :class:`LocalizationDisplay`.

        Returns
        -------
        display : LocalizationDisplay
        """
        n = len(y_pred)
        if not n:
            raise ValueError("y_pred is empty; there must be a video to draw.")
        y_pred = check_detections(y_pred, n)
        if y_true is not None:
            y_true = check_annotations(y_true, n)
        if params.get("durations") is not None:
            params["durations"] = check_durations(params["durations"], n)
        for name in ("attention", "class_activation", "names"):
            if params.get(name) is not None and len(params[name]) != n:
                raise ValueError(
                    f"{name} has {len(params[name])} entries, but y_pred has {n} videos."
                )
        return cls(y_pred=y_pred, y_true=y_true, **params).plot(ax)

    def plot(self, ax=None):
        """Draw all videos.

        Parameters
        ----------
        ax : Axes or array-like of n Axes, default=None
            By default those of a new pyplot figure, one below the other.

        Returns
        -------
        display : LocalizationDisplay
        """
        plt = import_pyplot(type(self).__name__)
        from matplotlib.legend_handler import HandlerTuple

        n = len(self.y_pred)
        if ax is None:
            lanes = [self._height(i) for i in range(n)]
            size = (WIDTH, BETWEEN * (n + 1) + LANE * sum(lanes))
            _, ax = plt.subplots(n, figsize=size, height_ratios=lanes, layout="constrained")
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n:
            raise ValueError(f"ax holds {len(axes)} Axes, but there are {n} videos to draw.")
        self.axes_, self.figure_ = axes, axes[0].figure

        scores = np.concatenate([found["score"] for found in self.y_pred])
        low, high = (scores.min(), scores.max()) if len(scores) else (0.0, 0.0)

        def shade(score):
            share = (score - low) / (high - low) if high > low else np.ones_like(score)
            return plt.get_cmap(SCORE_COLORMAP)(0.2 + 0.8 * share)  # paler colors are lost on white

        for i, row in enumerate(axes):
            self._draw(row, i, shade)
        axes[-1].set_xlabel("time (s)")

        legend = {} if self.y_true is None else {"ground truth": [TRUTH | EDGE]}
        if len(scores):
            scale = "{} (light) to {} (dark)".format(*_rounded(low, high))
            scale = scale if high > low else f"{low:.2g}"
            legend[f"detection, score {scale}"] = [
                {"color": color} for color in shade(np.linspace(low, high, 3))
            ]
        if self.class_activation is not None:
            legend["T-CAM"] = [{"color": ACTIVATION_COLOR}]
        if self.attention is not None:
            legend["attention λ"] = [{"color": ATTENTION_COLOR}]
        patches = [
            tuple(plt.Rectangle((0, 0), 1, 1, **style) for style in styles)
            for styles in legend.values()
        ]
        # Above the title, whose lines it skips, and to the left as far as it needs.
        above = 2.2 + 1.2 * axes[0].get_title(loc="left").count("\n")
        place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": above}
        space = {"borderpad": 0, "handlelength": 1.5, "columnspacing": 1.2}
        side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0)}
        axes[0].legend(
            patches, legend, ncols=2, frameon=False, handler_map=side_by_side, **place, **space
        )
        return self

    def _labels(self, i):
        """Classes that occur in video i, sorted."""
        parts = [self.y_pred[i]] if self.y_true is None else [self.y_pred[i], self.y_true[i]]
        return sorted({label for part in parts for label in part["label"].tolist()})

    def _height(self, i):
        """Lanes of video i and the strip of attention, in lanes."""
        return (0 if self.attention is None else STRIP) + len(self._labels(i)) * self._lane() or 1

    def _lane(self):
        """Height of a lane with its curve."""
        return 1 if self.class_activation is None else 1 + CURVE

    def _draw(self, ax, i, shade):
        """Draw video i: lanes from the top, attention between heights 0 and 1."""
        labels, top, lane = self._labels(i), self._height(i), self._lane()
        center = {label: top - k * lane - 0.5 for k, label in enumerate(labels)}
        found = np.sort(self.y_pred[i], order="score")  # the best lies on top
        parts = [(found, {"color": shade(found["score"])})]
        if self.y_true is not None:
            parts.insert(0, (self.y_true[i], TRUTH))
        height = 0.8 / len(parts)
        start, end = 0.0, 0.0 if self.durations is None else self.durations[i]
        for k, (part, style) in enumerate(parts):
            y = [center[label] + 0.4 - (k + 0.5) * height for label in part["label"].tolist()]
            seconds = part["end"] - part["start"]
            ax.barh(y, seconds, height, left=part["start"], **style, **EDGE)
            end = max(end, part["end"].max(initial=0.0))
        if self.class_activation is not None:
            curves = self.class_activation[i].T
            columns = dict(zip(np.asarray(self.classes).tolist(), curves, strict=True))
            for label in set(labels) & set(columns):
                bottom = center[label] + 0.5 - lane
                values = bottom + 0.9 * CURVE * columns[label]
                style = {"fill": True, "color": ACTIVATION_COLOR, "baseline": bottom}
                ax.stairs(values, self._edges(i, len(values)), **style)
        if self.attention is not None:
            edges = self._edges(i, len(self.attention[i]))
            ax.stairs(self.attention[i], edges, fill=True, color=ATTENTION_COLOR)
            start, end = min(start, edges[0]), max(end, edges[-1])
            center["attention λ"] = 0.5
        for label in labels:
            ax.axhline(center[label] + 0.5 - lane, color="0.9", linewidth=0.8, zorder=0)
        title = f"video {i}" if self.names is None else str(self.names[i])
        title = title if labels else f"{title}: no intervals"
        lines = textwrap.fill(title, 40)  # a name of a file may be wider than the figure
        ax.set_title(lines, loc="left", fontsize="medium", parse_math=False)  # a $ is a $
        ax.set(xlim=(start, end or 1.0), ylim=(0, top))
        # A lane has room for two lines.
        shown = [textwrap.fill(str(name), 24, max_lines=2, placeholder=" …") for name in center]
        ax.set_yticks([*center.values()], shown, parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "left", "right"]].set_visible(False)

    def _edges(self, i, n_snippets):
        """Where the snippets of video i begin and end (n_snippets + 1,), in seconds."""
        clock = SnippetClock(self.snippet_seconds, self.snippet_offset)
        if self.durations is not None:
            clock = SnippetClock.of_duration(self.durations[i], n_snippets)
        return clock.edges(n_snippets)


def _rounded(low, high):
    """Two scores as text, with the decimals that two digits of their difference need."""
    decimals = max(0, 1 - int(np.floor(np.log10(high - low)))) if high > low else 0
    return [f"{score:.{decimals}f}" for score in (low, high)]
