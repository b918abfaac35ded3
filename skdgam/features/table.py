"""From tables of sensors, with a column of times, to snippet features."""

import os
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from skdgam.features import describe, snippet_times
from skdgam.features._sources import SourceTransformer, refuse_folder

__all__ = ["TableFeatures"]

POSITIVE = Interval(Real, 0, None, closed="neither")


class TableFeatures(SourceTransformer):
    """Turn tables of sensors into snippet features, by :func:`skdgam.features.describe`.

    A table has a row for each time and a column for each channel. Its rows may come at any time:
    each column is brought to one rate by linear interpolation between its values, at the times 0,
    1 / rate, 2 / rate, … after the first row. It needs pandas: ``pip install "skdgam[frame]"``.

    Parameters
    ----------
    rate : float
        Samples a second that columns are brought to; best about as many as the sensors have. Far
        fewer, and what changes faster than that is not averaged, but read at single times.
    window, hop : float
        Seconds of the window that a snippet is described by, and from snippet to snippet.
    columns : list of (str or list of str), default=None
        The sensors, each a column or a list of columns. The columns of one sensor, such as the
        three axes of an accelerometer, are described together with their magnitude, and need one
        unit. None takes every column but `time` as a sensor by itself.
    time : str or None, default="time"
        Column of times: numbers are seconds, and texts are dates with times of day, such as
        2024-05-01 12:30:00.5. Only the time since the first row matters, which is second 0 of the
        features. None is a table without times, whose rows are at `rate`.
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
    numbers may have decimal commas. An empty cell means that the sensor has no value at that time.

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
    ...     rate=50, window=1.28, hop=0.32, columns=[["x", "y", "z"], "pressure"]
    ... )
    >>> sensors.transform([table])[0].shape  # 44 features of the three axes, 11 of the pressure
    (184, 55)
    >>> model = DGAMLocalizer(**sensors.snippet_times())
    """

    _parameter_constraints = {
        "rate": [POSITIVE],
        "window": [POSITIVE],
        "hop": [POSITIVE],
        "columns": [list, tuple, None],
        "time": [str, None],
        "max_gap": [POSITIVE],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    }

    def __init__(
        self,
        rate: float,
        window: float,
        hop: float,
        *,
        columns: Sequence[str | Sequence[str]] | None = None,
        time: str | None = "time",
        max_gap: float = 1.0,
        n_jobs: int | None = None,
        progress: bool = False,
    ):
        self.rate = rate
        self.window = window
        self.hop = hop
        self.columns = columns
        self.time = time
        self.max_gap = max_gap
        self.n_jobs = n_jobs
        self.progress = progress

    def snippet_times(self) -> dict[str, float]:
        """Say which seconds snippets stand for, in the words of a localizer.

        Returns
        -------
        times : dict
            ``snippet_seconds`` and ``snippet_offset``, as of
            :func:`skdgam.features.snippet_times`.
        """
        self._validate_params()
        return snippet_times(self.rate, self.window, self.hop)

    def _features_of(self, source: Any, name: str) -> np.ndarray:
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError('TableFeatures needs pandas: pip install "skdgam[frame]".') from error
        is_frame = isinstance(source, pd.DataFrame)
        table = source if is_frame else _read(source, name)
        if self.time is not None:
            table = table.dropna(how="all")  # blank lines
        where = _Rows(name, table.index, is_frame)
        sensors = self._sensors(list(table.columns), name)
        times = self._times(table, where)
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
        if self.columns is None:
            sensors: list[list[Any]] = [[column] for column in held if column != self.time]
        else:
            sensors = [[group] if np.isscalar(group) else list(group) for group in self.columns]
        twice = [column for column in held if held.count(column) > 1]
        if twice:
            raise ValueError(f"{name} has the column {twice[0]} twice.")
        needed = [column for sensor in sensors for column in sensor]
        if self.time is not None:
            needed.append(self.time)
        missing = [column for column in needed if column not in held]
        if missing or not all(sensors) or not sensors:
            wrong = f"lacks {', '.join(map(str, missing))}" if missing else "has none of a sensor"
            raise ValueError(
                f"{name} has the columns {', '.join(map(str, held)) or 'none'}; it {wrong}. Set "
                f"columns, and time, which is {self.time!r}, to columns that every table has."
            )
        return sensors

    def _times(self, table: Any, where: "_Rows") -> np.ndarray:
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
            raise ValueError(
                f"{where(i)}: {self.time} is {given.iloc[i]} after {given.iloc[i - 1]}, and must "
                f"increase from row to row ({len(back)} such rows). Sort the rows, and keep one of "
                "those with the same time."
            )
        apart = times[-1] / (len(times) - 1)
        if apart > self.max_gap:
            raise ValueError(
                f"{where.name} has rows that are {apart:.4g} s apart on average, by its column "
                f"{self.time}; max_gap is {self.max_gap} s. Times must be in seconds: divide "
                "milliseconds by 1000. Split a recording where it pauses for long; raise max_gap "
                "if the sensor is that slow."
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

    def __init__(self, name: str, index: Any, is_frame: bool):
        self.name, self.index, self.is_frame = name, index, is_frame

    def __call__(self, i: int) -> str:
        label = self.index[i]
        return f"{self.name}, row {label}" if self.is_frame else f"{self.name}, line {label + 2}"


def _read(source: Any, name: str) -> Any:
    """Read a CSV file; line i of it has the index i - 2."""
    import pandas as pd

    if not (isinstance(source, str | os.PathLike) or hasattr(source, "read")):
        raise TypeError(
            f"{name} is of type {type(source).__name__}; it must be a path, an open file, or a "
            "pandas frame."
        )
    if isinstance(source, str | os.PathLike):
        refuse_folder(source, "*.csv")
        with open(source, "rb") as file:
            return _read(file, name)
    start = source.tell()
    try:
        first = source.readline()
        first = first.decode("utf-8-sig") if isinstance(first, bytes) else first
        source.seek(start)
        separator = max(",;\t", key=first.count)
        table = pd.read_csv(
            source,
            sep=separator,
            encoding="utf-8-sig",
            skip_blank_lines=False,  # by which lines are counted
            skipinitialspace=True,
            index_col=False,
            low_memory=False,  # so that a column is either numbers or texts
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not in UTF-8, as tables must be here ({error}). Save it so: in a "
            'spreadsheet, as "CSV UTF-8".'
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{name} cannot be read as CSV: {error}") from error
    if separator != ",":  # then spreadsheets may have written decimal commas
        for column in table:
            if not pd.api.types.is_numeric_dtype(table[column]):
                table[column] = table[column].str.replace(",", ".", regex=False)
    return table


def _numbers(column: Any, where: _Rows) -> np.ndarray:
    """Values of a column, nan where it has none."""
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.isinf(values) | (np.isnan(values) & column.notna().to_numpy())
    if wrong.any():
        i = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"{where(i)}: column {column.name} is '{column.iloc[i]}'; it must be a finite number, "
            f"or empty where there is no value ({wrong.sum()} such cells). If it is no sensor, "
            "leave it out of columns."
        )
    return values


def _seconds(column: Any, where: _Rows) -> np.ndarray:
    """Times in seconds: numbers as they are, dates since the first."""
    import pandas as pd

    are_dates = pd.api.types.is_datetime64_any_dtype(column)
    if not are_dates and pd.to_numeric(column, errors="coerce").notna().any():
        times = _numbers(column, where)
        missing = np.isnan(times)
    else:
        dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        missing = dates.isna().to_numpy()
        times = (dates - dates.min()).dt.total_seconds().to_numpy(np.float64)
    if missing.any():
        i = np.flatnonzero(missing)[0]
        raise ValueError(
            f"{where(i)}: {column.name} is '{column.iloc[i]}'; every row needs a time, in seconds "
            f"or as 2024-05-01 12:30:00.5 ({missing.sum()} rows without)."
        )
    return times
