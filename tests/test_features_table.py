"""Features of tables: equal to those of arrays, for any times, columns and ways of writing CSV."""

import datetime
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
AXES = TableFeatures(["x", "y", "z"], **TIMES)
MODEL = TableFeatures(["x"], **TIMES)


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
    model = clone(TableFeatures([["y", "x"], "z"], **TIMES))
    (features,) = model.transform([table[["z", "time", "x", "y"]]])
    np.testing.assert_allclose(features, np.hstack(expected), atol=1e-4)
    assert features.dtype == np.float32


def test_columns_that_are_not_named_are_ignored():
    table = frame()
    other = table.assign(label="walk", x2=np.inf).reset_index()
    for source in (other, io.StringIO(other.to_csv())):
        np.testing.assert_allclose(AXES.features_of(source), AXES.features_of(table), atol=1e-4)


def test_files_with_columns_in_another_order_give_the_same_features():
    table = frame()
    swapped = io.StringIO(table[["z", "x", "time", "y"]].to_csv(index=False))
    np.testing.assert_allclose(AXES.features_of(swapped), AXES.features_of(table), atol=1e-4)


def test_columns_are_needed():
    with pytest.raises(TypeError, match="missing 1 required .* 'columns'"):
        TableFeatures(**TIMES)


def test_a_table_without_times_has_rows_at_the_rate():
    table = frame()
    model = TableFeatures(["x"], **TIMES, time=None)
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
    model = TableFeatures(["x"], **TIMES, max_gap=9)
    np.testing.assert_allclose(model.features_of(table), expected, atol=1e-3)


def test_values_between_rows_lie_on_the_line_between_them():
    # By hand: a row each 0.15 s is read at 0, 0.1, 0.2, 0.3 s as 0, 10, 10 and 0.
    table = pd.DataFrame({"time": [5.0, 5.15, 5.3], "x": [0.0, 15.0, 0.0]})
    features = TableFeatures(["x"], rate=10, window=0.1, hop=0.1).features_of(table)
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
        TableFeatures(["slow"], **TIMES).features_of(together),
        describe(expected, **TIMES),
        atol=1e-4,
    )


# --- ways of writing a table ---

COMMAS = [f"{i / 10};{i % 3}.5".replace(".", ",") for i in range(40)]

WAYS = {
    "comma": lambda row: row,
    "semicolon": lambda row: row.replace(",", ";"),
    "decimal comma": lambda row: row.replace(",", ";").replace(".", ","),
    "tab": lambda row: row.replace(",", "\t"),
    "blanks": lambda row: row.replace(",", ", "),
    "quoted": lambda row: ",".join(f'"{cell}"' for cell in row.split(",")),
    "sep=": lambda row: row.replace(",", "|"),
    "comments": lambda row: row,
    "comma at the end": lambda row: row + ",",
    "commas at both ends": lambda row: row + ",",
    "clock": lambda row: "10:00:0" + row,
    "clock without hours": lambda row: "59:0" + row,
    "clock with decimal comma": lambda row: ("10:00:0" + row).replace(",", ";").replace(".", ","),
    "ISO 8601": lambda row: "2024-05-01T12:30:0" + row,
    "ISO 8601 with decimal comma": lambda row: f"2024-05-01T12:30:0{row}".replace(",", ";").replace(
        ".", ","
    ),
    "with a blank": lambda row: "2024-05-01 12:30:0" + row,
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_of_writing_the_same_table(way, tmp_path):
    header = {
        **dict.fromkeys((name for name in WAYS if "decimal comma" in name), "time;x"),
        "semicolon": "time;x",
        **{"tab": "time\tx", "commas at both ends": "time,x,", "sep=": "sep=|\ntime|x"},
        "comments": "# a sensor, with commas\n#\n\ntime,x",
    }
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


def test_dates_as_python_has_them():
    table = frame()
    start = pd.Timestamp("2024-05-01 23:59:58").to_pydatetime()
    dates = [start + datetime.timedelta(seconds=i / 10) for i in range(60)]
    dated = table.assign(time=pd.Series(dates, dtype=object))
    np.testing.assert_allclose(MODEL.features_of(dated), MODEL.features_of(table), atol=1e-4)


def test_a_text_may_begin_with_a_byte_order_mark():
    text = csv(rows()).getvalue().decode()
    marked = io.StringIO("\ufeff" + text)
    np.testing.assert_array_equal(MODEL.features_of(marked), MODEL.features_of(io.StringIO(text)))


def test_sources_of_all_kinds_in_threads_and_with_a_bar(tmp_path, capsys):
    pytest.importorskip("rich")
    tables = [frame(60 + 10 * i, seed=i) for i in range(3)]
    tables[1].to_csv(tmp_path / "one.csv", index=False)
    sources = [tables[0], tmp_path / "one.csv", io.StringIO(tables[2].to_csv(index=False))]
    features = TableFeatures(["x"], **TIMES, n_jobs=2, progress=True).transform(sources)
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
        (csv(["1"], "time"), r"X\[0\] has the columns time; it lacks x. Set columns"),
        (csv([*rows(5), "0.5,3,4"]), r"X\[0\], line 7, has 3 cells, and line 1 names 2 columns"),
        (io.BytesIO(b""), r"X\[0\] is empty; its first line must name columns"),
        (csv(['0,"1', "1,2"]), r"X\[0\] cannot be read as CSV, from line 2 on: .*EOF inside str"),
        (
            csv(['"1",0.0,5', '"2",0.1,6']),
            r"line 2, has 3 cells, and line 1 names 2 .*in R, write",
        ),
        (csv(['"1",0.0,NA', '"2",0.1,NA']), r"line 2, has 3 cells, and line 1 names 2 columns"),
        (csv(["0.0,0,", "0.1,1,7"]), r"line 3, has 3 cells, and line 1 names 2 columns"),
        (csv(["", '"1",0.0,5']), r"line 3, has 3 cells, and line 1 names 2 columns. Name every"),
        (
            csv(["0.0,0", "0.1,1"], "time,x,y"),
            r"line 2, has 2 cells, and line 1 names 3 .* be empty",
        ),
        (csv(["0,0,1,5", "0,1,1,5"]), r"line 2, has 4 cells, .* decimal commas, separate cells by"),
        (csv([*COMMAS, "4,0;1.234,5"], "time;x"), r"line 42: column x is '1.234,5'.* thousands"),
        (csv([*COMMAS, "4,0;1.234"], "time;x"), r"line 42: column x is '1.234'; .* thousands"),
        (
            csv([*rows(), '4.0,"1,234"']),
            r"line 42: column x is '1,234'; .* Write 1234.5, or 1234,5",
        ),
        (csv(["12:30,1", "12:31,2"]), r"line 2: time is '12:30', which may be hours and minutes"),
        (csv(["23:59:59.9,1", "00:00:00.0,2"]), r"line 3: time is 00:00.* midnight need dates"),
        (csv(["0.1,2"], "0.0,1"), r"columns 0.0, 1; it lacks x, time. The first line must have n"),
        (csv(rows(), "# time,x"), r"lacks x, time. The first line must have names, .* and no #"),
        (csv(["0.0 1"], "time x"), r"lacks x, time. Separate cells by commas, semicolons or tabs"),
        (
            csv(["monday,walk"], "video,label"),
            r"columns video, label; it looks like the table of la",
        ),
        (
            csv(["a,0,1,b"], "Filename,onset,offset,event_label"),
            r"it looks like the table of labels",
        ),
        (csv(["a,0,1"], "video,label,x"), r"it lacks time. Set columns"),
        (csv([f"{i / 10},1,2" for i in range(40)], "time,x,x"), r"X\[0\] has the column x twice"),
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
    model = TableFeatures([["x", "y"], "gyro", "heart"], **TIMES)
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
    TableFeatures(["x"], **TIMES, max_gap=2).features_of(path)


@pytest.mark.parametrize(("step", "rate"), [(1, 50), (0.5, 10), (0.01, 10)])
def test_rows_far_from_the_rate_are_told(step, rate, tmp_path):
    path = tmp_path / "monday.csv"
    path.write_text("\n".join(["time,x", *(f"{step * i:.2f},{i % 3}" for i in range(200))]))
    told = rf"rows are {step} s apart \(median\), .* rate={rate} .* time=None .* {1 / step:g}"
    model = TableFeatures(["x"], rate=rate, window=1, hop=1)
    with pytest.warns(UserWarning, match=f"monday.csv: {told}"):
        model.features_of(path)


def test_rows_a_little_off_the_rate_are_not_told():
    for rate in (2.5, 40):
        TableFeatures(["x"], rate=rate, window=2, hop=1).features_of(csv(rows()))


def test_an_open_file_stays_open(tmp_path):
    (tmp_path / "monday.csv").write_text("\n".join(["time,x", *rows()]))
    with open(tmp_path / "monday.csv", "rb") as file:
        features = MODEL.features_of(file)
        file.seek(0)
        np.testing.assert_array_equal(MODEL.features_of(file), features)


def test_a_column_that_begins_late_is_told():
    table = frame()
    table.loc[:24, "y"] = np.nan
    with pytest.warns(
        UserWarning, match=r"column y has no value for 2.5 s from 0.000 s on \(1 gaps"
    ):
        AXES.features_of(table)


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
        ({"columns": [[]]}, r"columns=\[\[\]\] must name the columns of each sensor"),
        ({"columns": []}, r"columns=\[\] must name the columns of each sensor"),
    ],
)
def test_parameters_that_are_refused(parameters, match):
    with pytest.raises(ValueError, match=match):
        TableFeatures(**{"columns": ["x"], **TIMES, **parameters}).features_of(frame())
