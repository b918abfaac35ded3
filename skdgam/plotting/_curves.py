"""Losses over epochs, precision over recall, and the cost of errors."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdgam._names import in_order, names_of
from skdgam.metrics import check_thresholds, error_analysis, precision_at_recall
from skdgam.plotting._pyplot import WIDTH, import_pyplot

__all__ = ["ErrorAnalysisDisplay", "PrecisionRecallDisplay", "TrainingDisplay"]

# Okabe and Ito: told apart with any colour vision; dashes tell them apart in grey, too, and let one
# curve be seen through another.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9")
DASHES = ("-", "--", "-.", ":")


class TrainingDisplay:
    """Losses over epochs.

    Parameters
    ----------
    history : dict of ndarrays of shape (n_epochs,)
        As ``history_`` of a localizer; terms that are nan throughout are left out.
    groups : dict of str to sequence of str, default=None
        Titles, and the terms that are drawn together; a term in none of them is left out. By
        default all terms are drawn together.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes, one for each group with a term

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.plotting import TrainingDisplay
    >>> model = DGAMLocalizer(max_epochs=3, random_state=0).fit(*make_untrimmed(12))
    >>> display = TrainingDisplay.from_estimator(model, ax=Figure().subplots(1, 2))
    >>> [ax.get_title(loc="left") for ax in display.axes_]
    ['attention and classifier', 'generative part']
    """

    def __init__(self, *, history, groups=None):
        self.history = history
        self.groups = groups

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw how a localizer was trained.

        Parameters
        ----------
        estimator : localizer of one stream, or Pipeline that ends in one
            Fitted. Its ``loss_groups`` are drawn.
        ax : array-like of Axes, default=None
            As many as there are groups with a term; by default those of a new pyplot figure.

        Returns
        -------
        display : TrainingDisplay
        """
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        check_is_fitted(estimator, "history_")
        return cls(history=estimator.history_, groups=estimator.loss_groups or None).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : array-like of Axes, default=None
            As for :meth:`from_estimator`.

        Returns
        -------
        display : TrainingDisplay
        """
        plt = import_pyplot(type(self).__name__)
        trained = {name for name, values in self.history.items() if np.isfinite(values).any()}
        groups = self.groups or {"losses": [*self.history]}
        drawn = {
            title: [name for name in names if name in trained] for title, names in groups.items()
        }
        drawn = {title: names for title, names in drawn.items() if names}
        if not drawn:
            raise ValueError("The history has no epochs; models from other places have none.")
        if ax is None:
            size = (WIDTH, 2.6 * len(drawn))
            _, ax = plt.subplots(len(drawn), figsize=size, layout="constrained")
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != len(drawn):
            raise ValueError(f"ax holds {len(axes)} Axes, but there are {len(drawn)} to draw.")
        self.axes_, self.figure_ = axes, axes[0].figure
        for row, (title, names) in zip(axes, drawn.items(), strict=True):
            for k, name in enumerate(names):
                values = self.history[name]
                style = {"color": COLORS[k % len(COLORS)], "linestyle": DASHES[k % len(DASHES)]}
                dot = "." if len(values) == 1 else None  # there is no line through one point
                row.plot(np.arange(1, len(values) + 1), values, **style, marker=dot, label=name)
            row.set_title(title, loc="left")
            row.set(xlabel="epoch", ylabel="mean loss")
            row.set_ylim(bottom=min(0, row.get_ylim()[0]))
            row.xaxis.get_major_locator().set_params(integer=True)
            if row.get_xlim()[1] < 2:  # one epoch
                row.set_xlim(0, 2)
            row.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
            row.spines[["top", "right"]].set_visible(False)
        return self


class PrecisionRecallDisplay:
    """Precision over recall at some tIoU thresholds, averaged over classes.

    The area under a curve is mAP at that threshold, but for the width of its steps.

    Parameters
    ----------
    precision : ndarray of shape (n_thresholds, n_recall), in [0, 1]
    recall : ndarray of shape (n_recall,), in [0, 1]
    tiou_thresholds : ndarray of shape (n_thresholds,), in (0, 1]

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : Axes
    lines_ : list of n_thresholds Line2D

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.plotting import PrecisionRecallDisplay
    >>> y_true = [[(0, 4, "jump")], [(3, 5, "jump")]]
    >>> y_pred = [make_intervals([0.0, 8.0], [4.0, 9.0], "jump", [0.6, 0.9]),
    ...           make_intervals([], [], "jump", [])]
    >>> display = PrecisionRecallDisplay.from_predictions(
    ...     y_true, y_pred, [0.3, 0.7], ax=Figure().subplots()
    ... )
    >>> [line.get_label() for line in display.lines_]
    ['tIoU 0.3', 'tIoU 0.7']
    """

    def __init__(self, *, precision, recall, tiou_thresholds):
        self.precision = precision
        self.recall = recall
        self.tiou_thresholds = tiou_thresholds

    @classmethod
    def from_estimator(cls, estimator, X, y, tiou_thresholds=(0.3, 0.5, 0.7), *, ax=None):
        """Draw how well a localizer finds the intervals of videos.

        Parameters
        ----------
        estimator : localizer, or Pipeline that ends in one
            Fitted.
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y, tiou_thresholds, ax
            As for :meth:`from_predictions`.

        Returns
        -------
        display : PrecisionRecallDisplay
        """
        y = in_order(y, names_of(X))
        return cls.from_predictions(y, estimator.predict(X), tiou_thresholds, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_pred, tiou_thresholds=(0.3, 0.5, 0.7), *, ax=None):
        """Draw how well detections fit the intervals.

        Parameters
        ----------
        y_true, y_pred, tiou_thresholds
            As for :func:`skdgam.metrics.average_precision`.
        ax : Axes, default=None
            By default that of a new pyplot figure.

        Returns
        -------
        display : PrecisionRecallDisplay
        """
        recall = np.linspace(0, 1, 101)
        precision = precision_at_recall(y_true, y_pred, tiou_thresholds, recall=recall)
        if not len(precision):
            raise ValueError("y_true has no interval in any video; there is nothing to recall.")
        thresholds = check_thresholds(tiou_thresholds)
        mean = precision.mean(axis=0)
        return cls(precision=mean, recall=recall, tiou_thresholds=thresholds).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            By default that of a new pyplot figure.

        Returns
        -------
        display : PrecisionRecallDisplay
        """
        plt = import_pyplot(type(self).__name__)
        if ax is None:
            _, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        n = len(self.tiou_thresholds)
        # Light and broad to dark and thin: a curve beneath an equal one still shows.
        shades = plt.get_cmap("viridis")(np.linspace(0, 0.85, n)[::-1])
        widths = np.linspace(1.5, 4, n)[::-1]
        self.lines_ = [
            ax.plot(
                self.recall,
                values,
                color=shade,
                linewidth=width,
                label=f"tIoU {threshold:.2g}",
                clip_on=False,
            )[0]
            for values, shade, width, threshold in zip(
                self.precision, shades, widths, self.tiou_thresholds, strict=True
            )
        ]
        ax.set(xlabel="recall", ylabel="precision, mean over classes", xlim=(0, 1), ylim=(0, 1.01))
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        ax.spines[["top", "right"]].set_visible(False)
        return self


class ErrorAnalysisDisplay:
    """What each kind of error costs in mAP.

    Parameters
    ----------
    analysis : Bunch
        As of :func:`skdgam.metrics.error_analysis`.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from skdgam.intervals import make_intervals
    >>> from skdgam.plotting import ErrorAnalysisDisplay
    >>> y_true = [[(0, 4, "jump"), (20, 24, "run")]]
    >>> y_pred = [make_intervals([0, 40], [9, 44], ["jump", "run"], [0.9, 0.8])]
    >>> display = ErrorAnalysisDisplay.from_predictions(y_true, y_pred, ax=Figure().subplots())
    >>> display.ax_.get_title(loc="left")
    'mAP 0.0 %'
    """

    def __init__(self, *, analysis):
        self.analysis = analysis

    @classmethod
    def from_estimator(cls, estimator, X, y, tiou_threshold=0.5, *, ax=None):
        """Draw where a localizer loses mAP.

        Parameters
        ----------
        estimator : localizer, or Pipeline that ends in one
            Fitted.
        X : sequence of n arrays of shape (n_snippets_i, n_features)
        y, tiou_threshold, ax
            As for :meth:`from_predictions`.

        Returns
        -------
        display : ErrorAnalysisDisplay
        """
        y = in_order(y, names_of(X))
        return cls.from_predictions(y, estimator.predict(X), tiou_threshold, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_pred, tiou_threshold=0.5, *, ax=None):
        """Draw where detections lose mAP.

        Parameters
        ----------
        y_true, y_pred, tiou_threshold
            As for :func:`skdgam.metrics.error_analysis`.
        ax : Axes, default=None
            By default that of a new pyplot figure.

        Returns
        -------
        display : ErrorAnalysisDisplay
        """
        return cls(analysis=error_analysis(y_true, y_pred, tiou_threshold)).plot(ax)

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : Axes, default=None
            By default that of a new pyplot figure.

        Returns
        -------
        display : ErrorAnalysisDisplay
        """
        plt = import_pyplot(type(self).__name__)
        if ax is None:
            _, ax = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        kinds = list(self.analysis.cost)[::-1]  # the first one on top
        costs = [100 * self.analysis.cost[kind] for kind in kinds]
        bars = ax.barh(range(len(kinds)), costs, color=COLORS[0], tick_label=kinds)
        counts = [self.analysis.count[kind] for kind in kinds]
        ax.bar_label(bars, [f" {cost:.1f} ({n:,})" for cost, n in zip(costs, counts, strict=True)])
        ax.set_title(f"mAP {100 * self.analysis.mean_ap:.1f} %", loc="left")
        ax.set_xlabel("points of mAP that each kind of error costs (how many)")
        ax.margins(x=0.25)
        if not any(costs):
            ax.set_xlim(0, 1)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        return self
