"""Read CSV files of numbers, as loggers, spreadsheets and other programs write them."""

import csv
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np

from skdgam.features._sources import refuse_folder
from skdgam.formats._tables import find_header

__all__ = ["column_names", "read_csv"]


def column_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of the columns of a CSV file, by its first line."""
    with _opened(path, os.fspath(path)) as file:
        return [name for name in _header(file)[0] if name]


@contextmanager
def _opened(source: Any, name: str) -> Iterator[TextIO]:
    """A CSV file as text, and the errors of what is none."""
    if not (isinstance(source, str | os.PathLike) or hasattr(source, "read")):
        raise TypeError(
            f"{name} is of type {type(source).__name__}; it must be a path, an open file, or a "
            "pandas frame."
        )
    try:
        if isinstance(source, str | os.PathLike):
            refuse_folder(source, "*.csv")
            with open(source, encoding="utf-8-sig", newline="") as file:
                yield file
        elif isinstance(source.read(0), str):
            yield source
        else:
            text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
            try:
                yield text
            finally:
                text.detach()  # else it closes the source
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not in UTF-8, as tables must be here ({error}). Save it so: in a "
            'spreadsheet, as "CSV UTF-8".'
        ) from error


def _header(file: TextIO) -> tuple[list[str], str, int]:
    """Names of columns, what separates cells, and the line on which the names are."""
    line, separator, n_before = find_header(file)
    return _cells(line, separator), separator, n_before + 1


def _cells(line: str, separator: str) -> list[str]:
    """The cells of a line, stripped."""
    rows = csv.reader([line], delimiter=separator, skipinitialspace=True)
    return [cell.strip() for cell in next(rows, [])]


def read_csv(source: Any, name: str) -> tuple[Any, str]:
    """Read a CSV file: rows, whose index is their line, and what separates cells."""
    import pandas as pd  # type: ignore[import-untyped]

    with _opened(source, name) as file:
        names, separator, header_line = _header(file)
        if not names:
            raise ValueError(f"{name} is empty; its first line must name columns.")
        begin, first, first_line = file.tell(), "\n", header_line
        while first and not first.strip():
            first, first_line = file.readline(), first_line + 1
        file.seek(begin)
        cells = _cells(first, separator) if first else names
        n_named = max((i for i, column in enumerate(names, start=1) if column), default=0)
        if len(cells) < n_named or any(cells[len(names) :]):
            raise _uneven(name, first_line, len(cells), header_line, names)
        try:
            table = pd.read_csv(
                file,
                sep=separator,
                header=None,
                names=range(max(len(names), len(cells))),
                skip_blank_lines=False,  # by which lines are counted
                skipinitialspace=True,
                index_col=False,
                low_memory=False,  # so that a column is either numbers or texts
            )
        except pd.errors.ParserError as error:
            if longer := re.search(r"in line (\d+), saw (\d+)", str(error)):
                line, n_cells = map(int, longer.groups())
                raise _uneven(name, header_line + line, n_cells, header_line, names) from error
            raise ValueError(
                f"{name} cannot be read as CSV, from line {header_line + 1} on: {error}"
            ) from error
    table.index = np.arange(len(table)) + header_line + 1
    beyond = table.iloc[:, len(names) :].notna()
    if beyond.any(axis=None):
        line = beyond.any(axis=1).idxmax()
        n_cells = beyond.loc[line][::-1].idxmax() + 1  # columns are numbered here
        raise _uneven(name, line, n_cells, header_line, names)
    return table.iloc[:, : len(names)].set_axis(names, axis=1), separator


def _uneven(name: str, line: int, n_cells: int, header_line: int, names: list[str]) -> ValueError:
    """The error of a row that has not a cell for each column."""
    if n_cells < len(names):
        mend = "A cell without a value must be empty, not left out."
    else:
        mend = (
            "Name every column, also that of row names (in R, write.table leaves them out with "
            "row.names=FALSE); and where numbers have decimal commas, separate cells by semicolons."
        )
    return ValueError(
        f"{name}, line {line}, has {n_cells} cells, and line {header_line} names {len(names)} "
        f"columns. {mend}"
    )
