"""Features of tables: equal to those of arrays, for any times, columns and ways of writing CSV."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skdgam import DGAMLocalizer
from skdgam.features import describe, snippet_times
from skdgam.features.table import TableFeatures

pd = pytest.importorskip("pandas")

TIMES = {"rate": 10, "window": 1.0, "hop": 0.5}
MODEL = TableFeatures(**TIMES)


def frame(n_rows=60, columns=("x", "y", "z"), seed=0):
    values = np.random.default_rng(seed).normal(size=(n_rows, len(columns)))
    return pd.DataFrame(values, columns=list(columns)).assign(time=np.arange(n_rows) / 10)


def csv(rows, header="time,x"):
    return io.BytesIO("\n".join([header, *rows, ""]).encode())


def rows(n_rows=40):
    return [f"{i / 10:.1f},{i % 3}" for i in range(n_rows)]


# --- what features are ---


def test_features_are_those_that_describe_makes_of_each_sensor():
    table = frame()
    expected = [
        describe(table[["y", "x"]].to_numpy(), **TIMES),
        describe(table["z"].to_numpy(), **TIMES),
    ]
    model = clone(TableFeatures(**TIMES, columns=[["y", "x"], "z"]))
    (features,) = model.transform([table[["z", "time", "x", "y"]]])
    np.testing.assert_allclose(features, np.hstack(expected), atol=1e-4)
    assert features.dtype == np.float32


def test_without_names_every_column_is_a_sensor():
    table = frame()
    expected = [describe(table[name].to_numpy(), **TIMES) for name in ("x", "y", "z")]
    np.testing.assert_allclose(MODEL.features_of(table), np.hstack(expected), atol=1e-4)


def test_a_table_without_times_has_rows_at_the_rate():
    table = frame()
    model = TableFeatures(**TIMES, time=None)
    np.testing.assert_allclose(
        model.features_of(table.drop(columns="time")), MODEL.features_of(table), atol=1e-4
    )


def test_times_are_those_of_the_windows():
    assert MODEL.snippet_times() == snippet_times(**TIMES)


@given(seed=st.integers(0, 1000), start=st.floats(-1e4, 1e6))
def test_a_line_is_the_same_at_whatever_times_it_is_read(seed, start):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 10, 80))
    times = np.unique(np.concatenate([[0, 10], times]).round(6))
    table = pd.DataFrame({"time": start + times, "x": 3 * times - 1})
    expected = describe(3 * np.arange(101) / 10 - 1, **TIMES)
    model = TableFeatures(**TIMES, max_gap=9)
    np.testing.assert_allclose(model.features_of(table), expected, atol=1e-3)


def test_values_between_rows_lie_on_the_line_between_them():
    # By hand: a row each 0.15 s is read at 0, 0.1, 0.2, 0.3 s as 0, 10, 10 and 0.
    table = pd.DataFrame({"time": [5.0, 5.15, 5.3], "x": [0.0, 15.0, 0.0]})
    features = TableFeatures(rate=10, window=0.1, hop=0.1).features_of(table)
    np.testing.assert_allclose(features[:, 0], [0, 10, 10, 0], atol=1e-5)


def test_missing_cells_are_interpolated():
    table = frame()
    table["x"] = 2 * table["time"]
    spoiled = table.copy()
    spoiled.loc[[0, 7, 8, 30], "x"] = np.nan
    # The first cell has nothing before it, and takes the value after it.
    table.loc[0, "x"] = table.loc[1, "x"]
    np.testing.assert_allclose(MODEL.features_of(spoiled), MODEL.features_of(table), atol=1e-5)


def test_sensors_may_take_turns():
    table = frame(columns=("x",))
    slow = table.iloc[::5].rename(columns={"x": "slow"})
    together = table.merge(slow, on="time", how="left")
    expected = np.interp(table["time"], slow["time"], slow["slow"])
    np.testing.assert_allclose(
        TableFeatures(**TIMES, columns=["slow"]).features_of(together),
        describe(expected, **TIMES),
        atol=1e-4,
    )


# --- ways of writing a table ---

WAYS = {
    "comma": lambda row: row,
    "semicolon": lambda row: row.replace(",", ";"),
    "decimal comma": lambda row: row.replace(",", ";").replace(".", ","),
    "tab": lambda row: row.replace(",", "\t"),
    "blanks": lambda row: row.replace(",", ", "),
    "quoted": lambda row: ",".join(f'"{cell}"' for cell in row.split(",")),
    "ISO 8601": lambda row: "2024-05-01T12:30:0" + row,
    "with a blank": lambda row: "2024-05-01 12:30:0" + row,
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_of_writing_the_same_table(way, tmp_path):
    header = {"semicolon": "time;x", "decimal comma": "time;x", "tab": "time\tx"}
    path = tmp_path / "table.csv"
    lines = [header.get(way, "time,x"), *map(WAYS[way], rows())]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
    expected = describe(np.arange(40) % 3, **TIMES)
    np.testing.assert_allclose(MODEL.features_of(path), expected, atol=1e-4)


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_dates_with_times_of_day_count_from_the_first(zone):
    # Over midnight, and in Paris over the hour that comes twice.
    start = "2024-10-27 00:59:58" if zone else "2024-05-01 23:59:58"
    first = pd.Timestamp(start, tz="UTC").tz_convert(zone) if zone else pd.Timestamp(start)
    table = frame()
    dated = table.assign(time=pd.date_range(first, periods=60, freq="100ms"))
    for source in (dated, io.StringIO(dated.to_csv(index=False))):
        np.testing.assert_allclose(MODEL.features_of(source), MODEL.features_of(table), atol=1e-4)


def test_sources_of_all_kinds_in_threads_and_with_a_bar(tmp_path, capsys):
    pytest.importorskip("rich")
    tables = [frame(60 + 10 * i, seed=i) for i in range(3)]
    tables[1].to_csv(tmp_path / "one.csv", index=False)
    sources = [tables[0], tmp_path / "one.csv", io.StringIO(tables[2].to_csv(index=False))]
    features = TableFeatures(**TIMES, n_jobs=2, progress=True).transform(sources)
    for made, table in zip(features, tables, strict=True):
        np.testing.assert_allclose(made, MODEL.features_of(table), atol=1e-5)
    assert "features" in capsys.readouterr().out


def test_frames_are_not_changed():
    table = frame()
    before = table.copy()
    MODEL.features_of(table)
    pd.testing.assert_frame_equal(table, before)


def test_a_pipeline_goes_from_tables_to_intervals():
    tables = [frame(seed=i) for i in range(6)]
    for table in tables[::2]:
        table.loc[20:40, "x"] += 5
    model = make_pipeline(
        MODEL, DGAMLocalizer(**MODEL.snippet_times(), max_epochs=3, random_state=0)
    )
    found = model.fit(tables, [["up"], []] * 3).predict(tables)
    assert len(found) == 6


# --- what is refused, and what is told ---


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (
            csv([*rows(5), "0.5,err", *rows()[6:]]),
            r"X\[0\], line 7: column x is 'err'; it must be a finite num",
        ),
        (csv([*rows(5), "0.5,inf", *rows()[6:]]), r"X\[0\], line 7: column x is 'inf'"),
        (csv([*rows(2), "", "0.2,err", *rows()[3:]]), r"X\[0\], line 5: column x is 'err'"),
        (csv([*rows(5), "0.4,1"]), r"line 7: time is 0.4 after 0.4, and must increase"),
        (csv([*rows(5), "0.1,1"]), r"line 7: time is 0.1 after 0.4, .* Sort the rows"),
        (csv([*rows(5), ",1"]), r"line 7: time is 'nan'; every row needs a time, in seconds"),
        (csv(["01/05/2024 12:30,1"] * 2), r"line 2: time is '01/05/2024 12:30'; every row needs"),
        (csv([f"{100 * i},0" for i in range(40)]), r"100 s apart on average, .* divide millisec"),
        (csv([f"{i / 10},1" for i in range(9)]), r"X\[0\] lasts 0.8 s, .*, and a window takes 1.0"),
        (csv([f"{i / 10}," for i in range(40)]), r"X\[0\]: column x has no value at all"),
        (csv([]), r"X\[0\] has 0 rows; it must have two at least"),
        (csv(rows(), "t,x"), r"X\[0\] has the columns t, x; it lacks time. Set columns, and time"),
        (csv(["1"], "time"), r"X\[0\] has the columns time; it has none of a sensor"),
        (csv([*rows(5), "0.5,3,4"]), r"X\[0\] cannot be read as CSV: .* in line 7, saw 3"),
        (io.BytesIO(b""), r"X\[0\] cannot be read as CSV: No columns"),
        (io.BytesIO(b"time,x\n0,\xe9\n"), r"X\[0\] is not in UTF-8"),
        (frame(columns=("x", "x")), r"X\[0\] has the column x twice"),
        (
            pd.DataFrame({"time": np.arange(20.0) / 10, "x": ["a", *"1" * 19]}).set_axis(
                [f"r{i}" for i in range(20)]
            ),
            r"X\[0\], row r0: column x is 'a'",
        ),
    ],
)
def test_tables_that_are_refused(table, match):
    with pytest.raises(ValueError, match=match):
        MODEL.transform([table])


def test_columns_that_a_file_lacks_are_named(tmp_path):
    path = tmp_path / "monday.csv"
    frame().to_csv(path, index=False)
    model = TableFeatures(**TIMES, columns=[["x", "y"], "gyro", "heart"])
    with pytest.raises(
        ValueError, match=r"monday.csv has the columns x, y, z, .* lacks gyro, heart"
    ):
        model.transform([path])


def test_a_gap_is_told_by_its_column_time_and_length(tmp_path):
    path = tmp_path / "monday.csv"
    path.write_text("\n".join(["time,x", *rows()[:15], *rows()[30:]]))
    with pytest.warns(UserWarning, match=r"monday.csv: column x has no value for 1.6 s from 1.4"):
        features = MODEL.features_of(path)
    assert len(features) == len(MODEL.features_of(csv(rows())))
    TableFeatures(**TIMES, max_gap=2).features_of(path)


def test_a_column_that_begins_late_is_told():
    table = frame()
    table.loc[:24, "y"] = np.nan
    with pytest.warns(
        UserWarning, match=r"column y has no value for 2.5 s from 0.000 s on \(1 gaps"
    ):
        MODEL.features_of(table)


def test_a_gap_of_years_is_refused_before_memory_is():
    lines = [*rows(), "1e9,0"]
    with pytest.raises(ValueError, match=r"Split a recording where it pauses for long"):
        MODEL.features_of(csv(lines))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"away.csv"):
        MODEL.features_of(tmp_path / "away.csv")
    with pytest.raises(IsADirectoryError, match=r"is a folder; pass the files in it"):
        MODEL.features_of(tmp_path)


def test_what_is_no_table():
    with pytest.raises(TypeError, match=r"X\[0\] is of type ndarray; it must be a path, an open"):
        MODEL.transform([np.zeros((20, 2))])
    with pytest.raises(
        TypeError, match=r"A list of recordings is needed, and there is one, a table"
    ):
        MODEL.transform(frame())


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"columns": "x"}, r"'columns' parameter .* must be an instance of 'list'"),
        ({"hop": 0.01}, r"hop=0.01 s come to 10 and 0 samples at rate=10"),
        ({"rate": -1}, r"'rate' parameter"),
        ({"columns": [[]]}, r"it has none of a sensor"),
    ],
)
def test_parameters_that_are_refused(parameters, match):
    with pytest.raises(ValueError, match=match):
        TableFeatures(**{**TIMES, **parameters}).features_of(frame())
