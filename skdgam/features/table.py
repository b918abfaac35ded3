"""From tables of sensors, with a column of times, to snippet features."""

import math
import re
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from skdgam.features import describe, snippet_times
from skdgam.features._csv import read_csv
from skdgam.features._sources import SourceTransformer
from skdgam.formats._tables import ALIASES, CLOCK, to_number

__all__ = ["TableFeatures"]

POSITIVE = Interval(Real, 0, None, closed="neither")
FAR = 5  # times slower or faster than the rate, from which on rows cause a warning


class TableFeatures(SourceTransformer):
    """Turn tables of sensors into snippet features, by :func:`skdgam.features.describe`.

    A table has a row for each time and a column for each channel. Its rows may come at any time:
    each column is brought to one rate by linear interpolation between its values, at the times 0,
    1 / rate, 2 / rate, … after the first row. It needs pandas: ``pip install "skdgam[frame]"``.

    Parameters
    ----------
    columns : list of (str or list of str)
        The sensors, each a column or a list of columns. The columns of one sensor, such as the
        three axes of an accelerometer, are described together with their magnitude, and need one
        unit. Columns that are not named are ignored.
    rate : float
        Samples a second that columns are brought to; best about as many as the sensors have. Far
        fewer, and what changes faster than that is not averaged, but read at single times.
    window, hop : float
        Seconds of the window that a snippet is described by, and from snippet to snippet.
    time : str or None, default="time"
        Column of times: numbers are seconds, and texts are clock times, such as 12:30:00.5, or
        dates with times of day, such as 2024-05-01 12:30:00.5. Only the time since the first row
        matters, which is second 0 of the features. None is a table without times, whose rows are
        at `rate`. Rows 5 times as slow or fast as `rate`, or more, cause a warning.
    max_gap : float, default=1.0
        Seconds. A column that has no value for longer than this is interpolated with a warning.
    n_jobs : int or None, default=None
        Tables to read at a time, in threads; None is one, -1 as many as there are cores.
    progress : bool, default=False
        Let ``transform`` show a bar, by rich: ``pip install "skdgam[progress]"``.

    Notes
    -----
    ``features_of`` and ``transform`` take paths, open files, and pandas frames. Files are CSV in
    UTF-8 with names in the first line, separated by commas, semicolons or tabs; with the latter two
    numbers may have decimal commas. Before the names, there may be comments (``#``) and Excel's
    ``sep=;``. An empty cell means that the sensor has no value at that time, and so does a row that
    ends early; one with more cells than names is refused.

    Features come in the order of `columns`, so that tables with other columns beside them, or with
    the same in another order, give the same features.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.features.table import TableFeatures
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.normal(size=(3000, 4)), columns=["x", "y", "z", "pressure"])
    >>> table["time"] = np.arange(3000) / 50 + rng.uniform(0, 0.01, 3000)  # a minute, not evenly
    >>> sensors = TableFeatures(
    ...     columns=[["x", "y", "z"], "pressure"], rate=50, window=1.28, hop=0.32
    ... )
    >>> sensors.transform([table])[0].shape  # 44 features of the three axes, 11 of the pressure
    (184, 55)
    >>> model = DGAMLocalizer(**sensors.snippet_times())
    """

    _parameter_constraints = {
        "columns": [list, tuple],
        "rate": [POSITIVE],
        "window": [POSITIVE],
        "hop": [POSITIVE],
        "time": [str, None],
        "max_gap": [POSITIVE],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    }

    def __init__(
        self,
        columns: Sequence[str | Sequence[str]],
        rate: float,
        window: float,
        hop: float,
        *,
        time: str | None = "time",
        max_gap: float = 1.0,
        n_jobs: int | None = None,
        progress: bool = False,
    ):
        self.columns = columns
        self.rate = rate
        self.window = window
        self.hop = hop
        self.time = time
        self.max_gap = max_gap
        self.n_jobs = n_jobs
        self.progress = progress

    def _times(self) -> dict[str, float]:
        return snippet_times(self.rate, self.window, self.hop)

    def _features_of(self, source: Any, name: str) -> np.ndarray:
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError('TableFeatures needs pandas: pip install "skdgam[frame]".') from error
        is_frame = isinstance(source, pd.DataFrame)
        table, separator = (source, ",") if is_frame else read_csv(source, name)
        if self.time is not None:
            table = table.dropna(how="all")  # blank lines
        where = _Rows(name, table.index, "row" if is_frame else "line", separator != ",")
        sensors = self._sensors(list(table.columns), name)
        times = self._row_times(table, where)
        n_samples = int(times[-1] * self.rate + 1e-6) + 1  # also of a last row that was rounded
        if n_samples < round(self.window * self.rate):
            raise ValueError(
                f"{name} lasts {times[-1]:.3g} s, from its first row to its last, and a window "
                f"takes {self.window} s. Leave it out, or use a shorter window."
            )
        grid = np.arange(n_samples) / self.rate
        parts = []
        for sensor in sensors:
            signal = [self._evenly(grid, times, table[column], where) for column in sensor]
            parts.append(describe(np.column_stack(signal), self.rate, self.window, self.hop))
        return np.concatenate(parts, axis=1)

    def _sensors(self, held: list[Any], name: str) -> list[list[Any]]:
        """Columns of each sensor, all of which the table has."""
        groups: Sequence[Any] = self.columns
        sensors = [[group] if np.isscalar(group) else list(group) for group in groups]
        if not sensors or not all(sensors):
            raise ValueError(
                f"columns={self.columns!r} must name the columns of each sensor, such as "
                '[["acc_x", "acc_y", "acc_z"], "pressure"].'
            )
        needed = [column for sensor in sensors for column in sensor]
        if self.time is not None:
            needed.append(self.time)
        missing = [column for column in needed if column not in held]
        if missing:
            named = [str(column) for column in held if column != ""]
            if len(missing) == len(needed) and {"video", "label"} <= {
                ALIASES.get(column.lower(), column.lower()) for column in named
            }:
                wrong = "looks like the table of labels; keep it in another folder."
            else:
                wrong = f"lacks {', '.join(map(str, missing))}. {self._mend(held)}"
            raise ValueError(f"{name} has the columns {', '.join(named) or 'none'}; it {wrong}")
        twice = [column for column in needed if held.count(column) > 1]
        if twice:
            raise ValueError(f"{name} has the column {twice[0]!s} twice.")
        return sensors

    def _mend(self, held: list[Any]) -> str:
        """What to do about a table that has other columns."""
        names = [column for column in held if isinstance(column, str)]
        if names and not any(math.isnan(to_number(column)) for column in names):
            return "The first line must have names, not numbers, and no # before them."
        if len(names) == 1 and re.search(r"[\s|]", names[0]):
            return "Separate cells by commas, semicolons or tabs."
        return f"Set columns, and time, which is {self.time!r}, to columns that every table has."

    def _row_times(self, table: Any, where: "_Rows") -> np.ndarray:
        """Seconds of each row since the first, which increase."""
        if len(table) < 2:
            raise ValueError(f"{where.name} has {len(table)} rows; it must have two at least.")
        if self.time is None:
            return np.arange(len(table)) / self.rate
        times = _seconds(table[self.time], where)
        times = times - times[0]
        back = np.flatnonzero(np.diff(times) <= 0)
        if len(back):
            i = back[0] + 1
            given = table[self.time]
            is_clock = CLOCK.fullmatch(str(given.iloc[i]).strip())
            raise ValueError(
                f"{where(i)}: {self.time} is {given.iloc[i]} after {given.iloc[i - 1]}, and must "
                f"increase from row to row ({len(back)} such rows). Sort the rows, and keep one of "
                "those with the same time."
                + " Clock times that pass midnight need dates before them."
                * bool(is_clock)
            )
        apart = times[-1] / (len(times) - 1)
        if apart > self.max_gap:
            raise ValueError(
                f"{where.name} has rows that are {apart:.4g} s apart on average, by its column "
                f"{self.time}; max_gap is {self.max_gap} s. Times must be in seconds: divide "
                "milliseconds by 1000. Split a recording where it pauses for long; raise max_gap "
                "if the sensor is that slow."
            )
        step = float(np.median(np.diff(times)))
        if not 1 / FAR < step * self.rate < FAR:
            warnings.warn(
                f"{where.name}: rows are {step:.3g} s apart (median), by the column {self.time}, "
                f"and samples at rate={self.rate} are {1 / self.rate:.3g} s apart. If {self.time} "
                "counts rows or has another unit, write seconds, or set time=None where rows are "
                f"at rate; else set rate to about {1 / step:.3g}.",
                UserWarning,
                stacklevel=2,
            )
        return times

    def _evenly(
        self, grid: np.ndarray, times: np.ndarray, column: Any, where: "_Rows"
    ) -> np.ndarray:
        """A column at the times of a grid, by linear interpolation between the values it has."""
        values = _numbers(column, where)
        there = np.flatnonzero(~np.isnan(values))
        if not len(there):
            raise ValueError(f"{where.name}: column {column.name} has no value at all.")
        # A column may begin late and end early.
        known = np.concatenate([times[:1], times[there], times[-1:]])
        gaps = np.diff(known)
        if gaps.max() > self.max_gap:
            i = gaps.argmax()
            warnings.warn(
                f"{where.name}: column {column.name} has no value for {gaps[i]:.3g} s from "
                f"{known[i]:.3f} s on ({np.sum(gaps > self.max_gap)} gaps longer than max_gap="
                f"{self.max_gap} s). It is interpolated there, which is no measurement.",
                UserWarning,
                stacklevel=2,
            )
        return np.interp(grid, times[there], values[there])


class _Rows:
    """What messages call the rows of a table: by the line of a file, or the index of a frame."""

    def __init__(self, name: str, index: Any, unit: str, decimal_commas: bool):
        self.name, self.index, self.unit = name, index, unit
        self.decimal_commas = decimal_commas  # whether numbers may have such

    def __call__(self, i: int) -> str:
        return f"{self.name}, {self.unit} {self.index[i]}"


def _values(column: Any, where: _Rows) -> np.ndarray:
    """Numbers of a column, nan where a cell is none."""
    import pandas as pd

    if where.decimal_commas and not pd.api.types.is_numeric_dtype(column):
        decimal = column.str.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?\s*", case=False, na=False)
        if decimal.any():
            # Then a point may separate thousands, and such a cell is no number for certain.
            column = column.mask(column.str.contains(".", regex=False, na=False))
            column = column.str.replace(",", ".", regex=False)
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _numbers(column: Any, where: _Rows) -> np.ndarray:
    """Values of a column, nan where it has none."""
    values = _values(column, where)
    wrong = np.isinf(values) | (np.isnan(values) & column.notna().to_numpy())
    if wrong.any():
        i = np.flatnonzero(wrong)[0]
        mend = "If it is no sensor, leave it out of columns."
        if re.search(r"\d[.,]\d", str(column.iloc[i])):
            mend = (
                "Nothing may separate thousands. Write 1234.5, or 1234,5 in the whole column of a "
                "file that semicolons or tabs separate."
            )
        raise ValueError(
            f"{where(i)}: column {column.name} is '{column.iloc[i]}'; it must be a finite number, "
            f"or empty where there is no value ({wrong.sum()} such cells). {mend}"
        )
    return values


def _seconds(column: Any, where: _Rows) -> np.ndarray:
    """Times in seconds: numbers and clock times as they are, dates since the first."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        times = _since_first(column)
    elif not np.isnan(_values(column, where)).all():
        times = _numbers(column, where)
    else:
        texts = column.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
        times = texts.map(lambda text: to_number(str(text))).to_numpy(np.float64)
        if np.isnan(times).all():
            times = _since_first(texts.replace(",", ".", regex=True))  # ISO 8601 has either
        elif not texts.str.contains(r":.*:|[.,]", na=False).any():
            raise ValueError(
                f"{where(0)}: {column.name} is '{column.iloc[0]}', which may be hours and minutes, "
                "or minutes and seconds. Write such times as 00:12:30."
            )
    missing = np.isnan(times)
    if missing.any():
        i = np.flatnonzero(missing)[0]
        raise ValueError(
            f"{where(i)}: {column.name} is '{column.iloc[i]}'; every row needs a time, in seconds, "
            f"as 12:30:00.5 or as 2024-05-01 12:30:00.5 ({missing.sum()} rows without)."
        )
    return times


def _since_first(column: Any) -> np.ndarray:
    """Seconds of dates since the first, nan for what is no date."""
    import pandas as pd

    dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    return (dates - dates.min()).dt.total_seconds().to_numpy(np.float64)
