"""What happens after each epoch: scikit-learn's callbacks, printed losses, a line of progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skdgam.training.progress import Progress

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9 there are no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's, and supports none."""

    def with_callbacks(fit: Any) -> Any:
        """Return the method as it is."""
        return fit


__all__ = ["AfterEpoch", "CallbackSupportMixin", "Subtasks", "with_callbacks"]


class AfterEpoch:
    """Report each epoch of a fit to the callbacks set on an estimator, and to the screen.

    Parameters
    ----------
    estimator : estimator instance
        Being fitted.
    X, y : features and labels as passed to fit
    n_epochs : int
        Epochs of the training.
    fitted : callable
        Returns the fitted attributes as they would be if training stopped now.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        n_epochs: int,
        fitted: Callable[[], dict[str, Any]],
    ):
        self._estimator, self._n_epochs = estimator, n_epochs
        self._task = {"estimator": estimator, "X": X, "y": y}
        self._fitted = fitted
        self._root: Any = None
        self._epoch: Any = None
        self._has_callbacks = hasattr(estimator, "_skl_callbacks")
        if hasattr(estimator, "_init_callback_context"):
            self._root = estimator._init_callback_context(max_subtasks=n_epochs)
            self._root.call_on_fit_task_begin(**self._task)
            self._begin()
        is_watched = not self._has_callbacks and Progress.is_watched()
        shows = estimator.verbose == "auto" and is_watched
        self._progress = Progress(n_epochs) if shows else None

    def _begin(self) -> None:
        self._epoch = self._root.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._task)

    def __call__(self, epoch: int, means: dict[str, float], last: bool) -> bool:
        """Report the end of an epoch with its mean losses; true asks to stop."""
        stop = False
        if self._root is not None:
            state = self._fitted() if self._has_callbacks else None
            task = self._task | {"reconstruction_attributes": state}
            stop = bool(self._epoch.call_on_fit_task_end(**task))
            if last or stop:
                self._root.call_on_fit_task_end(**task)
            else:
                self._begin()
        if self._progress is not None:
            self._progress.update(epoch, means)
        elif self._estimator.verbose not in ("auto", 0) and (
            last or stop or (epoch + 1) % max(self._n_epochs // 10, 1) == 0
        ):
            terms = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"epoch {epoch + 1}/{self._n_epochs}  {terms}")
        return stop

    def close(self) -> None:
        """Take away the line of progress; also after an error."""
        if self._progress is not None:
            self._progress.close()


class Subtasks:
    """Report the fits of sub-estimators to the callbacks set on their meta-estimator.

    Parameters
    ----------
    estimator : estimator instance
        Being fitted.
    X, y : features and labels as passed to fit
    n : int
        How many sub-estimators.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, n: int):
        self._task = {"estimator": estimator, "X": X, "y": y}
        self._root = None
        if hasattr(estimator, "_init_callback_context"):
            self._root = estimator._init_callback_context(max_subtasks=n)
            self._root.call_on_fit_task_begin(**self._task)

    @contextmanager
    def propagated(self, name: str, sub_estimator: Any) -> Iterator[None]:
        """Fit a sub-estimator inside of this, and it reports to the same callbacks."""
        if self._root is None:
            yield
            return
        context = self._root.subcontext(task_name=f"fit-{name}")
        with context.propagate_callback_context(sub_estimator):
            context.call_on_fit_task_begin(**self._task)
            yield
            context.call_on_fit_task_end(**self._task)

    def end(self) -> None:
        """Report that the whole fit is done."""
        if self._root is not None:
            self._root.call_on_fit_task_end(**self._task)
