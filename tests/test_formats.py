"""Files of annotations, labels and detections: by hand, round trips, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdgam.formats import (
    read_intervals,
    read_labels,
    read_track,
    write_intervals,
    write_track,
)
from skdgam.intervals import make_intervals

ANNOTATIONS = {
    "database": {
        "a": {
            "subset": "validation",
            "duration": 9.0,
            "annotations": [
                {"segment": [1, 4.5], "label": "jump"},
                {"segment": [6.0, 8.0], "label": "run"},
            ],
        },
        "b": {"subset": "testing"},
    }
}
DETECTIONS = {"results": {"a": [{"segment": [1.0, 4.0], "label": "jump", "score": 0.5}]}}


def as_json(folder, content):
    path = folder / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def as_csv(folder, text):
    path = folder / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


# --- reading ---


def test_annotations_of_activitynet(tmp_path):
    found = read_intervals(as_json(tmp_path, ANNOTATIONS))
    assert list(found) == ["a", "b"]
    assert found["a"].tolist() == [(1.0, 4.5, "jump"), (6.0, 8.0, "run")]
    assert found["b"].dtype.names == ("start", "end", "label")
    assert len(found["b"]) == 0


def test_one_subset(tmp_path):
    path = as_json(tmp_path, ANNOTATIONS)
    assert list(read_intervals(path, subset="testing")) == ["b"]
    with pytest.raises(ValueError, match="has no video of the subset 'train'"):
        read_intervals(path, subset="train")


def test_detections_of_activitynet(tmp_path):
    found = read_intervals(as_json(tmp_path, DETECTIONS))
    assert found["a"].dtype.names == ("start", "end", "label", "score")
    assert found["a"].tolist() == [(1.0, 4.0, "jump", 0.5)]


def test_published_files(shared_file):
    truth = read_intervals(shared_file("data/thumos14_annotations.json"), subset="test")
    found = read_intervals(shared_file("data/stpn_thumos14_detections.json"))
    assert sum(map(len, truth.values())) > 3000
    assert set(found) <= set(truth)


def test_rows_of_csv(tmp_path):
    text = "\ufefflabel, video ,end,start,note\njump,a,4,1,x\nrun,b,1e1,.5,\njump,a,9,8,y\n"
    found = read_intervals(as_csv(tmp_path, text))
    assert found["a"].tolist() == [(1.0, 4.0, "jump"), (8.0, 9.0, "jump")]
    assert found["b"].tolist() == [(0.5, 10.0, "run")]


def test_labels_of_csv(tmp_path):
    text = 'video,label\na,run\nb,\na,jump\na,run\n"c, d",swim\n'
    labels = read_labels(as_csv(tmp_path, text))
    assert labels == {"a": ["jump", "run"], "b": [], "c, d": ["swim"]}


def test_labels_of_annotations(tmp_path):
    labels = read_labels(as_json(tmp_path, ANNOTATIONS), "validation")
    assert labels == {"a": ["jump", "run"]}


def test_labels_of_several_subsets_are_not_learned_from_together(tmp_path):
    with pytest.raises(ValueError, match="has the subsets testing, validation; name the one"):
        read_labels(as_json(tmp_path, ANNOTATIONS))


def test_labels_of_one_subset_need_not_be_told_which(tmp_path):
    of_a = {"subset": "training", "annotations": [{"segment": [0, 1], "label": "jump"}]}
    assert read_labels(as_json(tmp_path, {"database": {"a": of_a}})) == {"a": ["jump"]}


@pytest.mark.parametrize("unknown", [{}, {"annotations": []}])
def test_unknown_labels_are_no_background(tmp_path, unknown):
    known = {"annotations": [{"segment": [0, 1], "label": "jump"}]}
    path = as_json(tmp_path, {"database": {"a": known, "b": unknown, "c": unknown}})
    with pytest.warns(UserWarning, match=r"nothing of 'b' \(2 such videos of 3\).*left out"):
        assert read_labels(path) == {"a": ["jump"]}
    assert read_labels(path, background=True) == {"a": ["jump"], "b": [], "c": []}


# --- writing ---


@pytest.mark.parametrize("suffix", [".json", ".csv"])
@pytest.mark.parametrize("labels", [[True, False], [1.0, 2.0], [3, 4]])
def test_labels_that_are_no_text_are_read_as_it(tmp_path, suffix, labels):
    path = tmp_path / f"found{suffix}"
    write_intervals(path, {"a": make_intervals([0, 1], [1, 2], labels, [0.5, 0.4])})
    assert read_intervals(path)["a"]["label"].tolist() == [str(label) for label in labels]


@pytest.mark.parametrize("label", ["=1+1", "@x", "-a", "+b", "'=c", "''-d", "'tis"])
def test_no_spreadsheet_executes_a_label(tmp_path, label):
    path = tmp_path / "found.csv"
    write_intervals(path, {label: make_intervals([0], [1], label)})
    cells = path.read_text().splitlines()[1].split(",")
    assert all(cell[0] not in "=+-@" for cell in (cells[0], cells[3]))
    assert read_intervals(path)[label]["label"].tolist() == [label]


def test_subtitles_have_no_tags(tmp_path):
    write_track(tmp_path / "a.srt", make_intervals([0], [1], "<b>x --> y"))
    assert (tmp_path / "a.srt").read_text().splitlines()[2] == "‹b›x --› y"


times = st.integers(0, 10**12).map(lambda microseconds: microseconds / 10**6)
text = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8)
pairs = st.tuples(times, times).map(sorted)
rows = st.lists(st.tuples(pairs, text, st.floats(-1e3, 1e3)), max_size=4)


def made(rows, scored):
    pair, label, score = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
    start, end = np.reshape(pair, (-1, 2)).T
    return make_intervals(start, end, np.array(label, dtype=str), score if scored else None)


@given(videos=st.dictionaries(text, rows, max_size=3), scored=st.booleans())
@pytest.mark.parametrize("suffix", [".json", ".csv", ".tsv"])
def test_what_is_written_is_read_again(tmp_path_factory, suffix, videos, scored):
    path = tmp_path_factory.mktemp("files") / f"file{suffix}"
    intervals = {name: made(of_video, scored) for name, of_video in videos.items()}
    write_intervals(path, intervals)
    again = read_intervals(path)
    assert list(again) == list(intervals)
    for name, found in intervals.items():
        assert again[name].tolist() == found.tolist()


@given(rows=rows, scored=st.booleans())
@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".txt", ".tsv"])
def test_a_track_that_is_written_is_read_again(tmp_path_factory, suffix, rows, scored):
    path = tmp_path_factory.mktemp("files") / f"track{suffix}"
    # In one line, and with no bracket where that could be taken for a score or a tag.
    rows = [
        (pair, " ".join(label.translate(str.maketrans("<>()&", "‹›[]+")).split()) or "x", score)
        for pair, label, score in rows
    ]
    intervals = made(rows, scored)
    write_track(path, intervals)
    again = read_track(path)
    expected = intervals[np.argsort(intervals["start"], kind="stable")]
    assert again["label"].tolist() == expected["label"].tolist()
    for name, digits in {"start": 5e-4, "end": 5e-4, "score": 5e-3}.items():
        if name in again.dtype.names:
            np.testing.assert_allclose(again[name], expected[name], rtol=0, atol=digits + 1e-9)
    assert ("score" in again.dtype.names) == (scored and bool(rows))


word = text.map(lambda text: "".join(text.split()) or "x")


@given(st.dictionaries(word, rows.filter(len), max_size=3), st.data(), st.booleans())
def test_rttm_that_is_written_is_read_again(tmp_path_factory, videos, labels, scored):
    path = tmp_path_factory.mktemp("files") / "file.rttm"
    intervals = {
        name: made([(pair, labels.draw(word), score) for pair, _, score in of_video], scored)
        for name, of_video in videos.items()
    }
    write_intervals(path, intervals)
    again = read_intervals(path)
    assert list(again) == list(intervals)
    for name, found in intervals.items():
        assert again[name].tolist() == found.tolist()


def test_json_is_what_activitynet_evaluates(tmp_path):
    path = tmp_path / "detections.json"
    write_intervals(path, {"a": make_intervals([1.0], [4.0], "jump", [0.5])})
    assert json.loads(path.read_text()) == {
        "version": "VERSION 1.3",
        "external_data": {},
        **DETECTIONS,
    }


TRACKS = {
    ".srt": "1\n00:00:01,500 --> 00:00:04,000\njump (0.25)\n\n"
    "2\n01:01:01,000 --> 01:01:02,250\n‹run› & hide (1.00)\n\n",
    ".vtt": "WEBVTT\n\n00:00:01.500 --> 00:00:04.000\njump (0.25)\n\n"
    "01:01:01.000 --> 01:01:02.250\n&lt;run&gt; &amp; hide (1.00)\n\n",
    ".txt": "1.500000\t4.000000\tjump (0.25)\n3661.000000\t3662.250000\t<run> & hide (1.00)\n",
    ".tsv": "tier\tbegin\tend\tannotation\nskdgam\t1.500\t4.000\tjump (0.25)\n"
    "skdgam\t3661.000\t3662.250\t<run> & hide (1.00)\n",
}


@pytest.mark.parametrize(("suffix", "expected"), TRACKS.items())
def test_tracks_are_in_order_of_time_with_one_line_an_interval(tmp_path, suffix, expected):
    labels = ["<run> &\n\thide", "jump"]
    path = tmp_path / f"video{suffix}"
    write_track(path, make_intervals([3661.0, 1.5], [3662.25, 4.0], labels, [1.0, 0.25]))
    assert path.read_text() == expected


def test_tracks_without_scores_show_none_and_nothing_begins_before_the_video(tmp_path):
    path = tmp_path / "video.txt"
    write_track(path, make_intervals([-0.3], [1.0], "jump"))
    assert path.read_text() == "0.000000\t1.000000\tjump\n"


def test_a_track_of_nothing(tmp_path):
    path = tmp_path / "video.srt"
    write_track(path, make_intervals([], [], np.array([], dtype=str)))
    assert path.read_text().strip() == ""


@pytest.mark.parametrize("write", [write_intervals, write_track])
def test_other_endings_are_refused(tmp_path, write):
    with pytest.raises(ValueError, match=r"file.xyz must end in .*, which says"):
        write(tmp_path / "file.xyz", {})
    assert list(tmp_path.iterdir()) == []


# --- what is refused ---

ONE = {"segment": [1, 2], "label": "jump"}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "file.json is no JSON file"),
        ("[" * 100_000, "file.json is no JSON file"),
        ([], "holds neither annotations"),
        ({"database": []}, "holds neither annotations"),
        ({"database": {"a": []}}, "holds neither annotations"),
        ({"results": {"a": {}}}, "holds neither annotations"),
        ({"database": {"a": {"annotations": 3}}}, "'a' has no list of intervals"),
        ({"database": {"a": {"annotations": [ONE, 3]}}}, "'a', interval 1, is 3; it must have"),
        ({"results": {"a": [ONE]}}, '"label": text, "score": number'),
    ],
)
def test_json_of_another_form(tmp_path, content, match):
    with pytest.raises(ValueError, match=match):
        read_intervals(as_json(tmp_path, content))


@pytest.mark.parametrize(
    "change",
    [
        {"segment": [1, 2, 3]},
        {"segment": [1, "2"]},
        {"segment": [1, float("nan")]},
        {"segment": [1, 10**400]},
        {"segment": None},
        {"label": None},
        {"label": True},
        {"segment": [2.0, 1.0]},
    ],
)
def test_intervals_of_another_form(tmp_path, change):
    content = {"database": {"a": {"annotations": [ONE | change]}}}
    with pytest.raises(ValueError, match=r"'a', interval 0, is .*; it must have \"segment\""):
        read_intervals(as_json(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "has the columns none, by its first line; it lacks video, start"),
        ("video,start,label\n", "lacks end"),
        ("video,start,end,label\na,1,2\n", "line 2: a row must have 4 values"),
        ("video,start,end,label\na,1,2,jump,3\n", "line 2: a row must have 4 values"),
        ("video,start,end,label\na,1,two,jump\n", "line 2, video 'a': start '1', end 'two', label"),
        ("video,start,end,label\na,1,inf,jump\n", "end 'inf', .* times must be seconds"),
        (
            "video,start,end,label\na,2,1,jump\n",
            "line 2, video 'a': start '2', end '1', .* not before",
        ),
        ('video,start,end,label\n"a,1,2,jump\n', "is no CSV: unexpected end"),
    ],
)
def test_csv_of_another_form(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        read_intervals(as_csv(tmp_path, text))


def test_csv_of_another_encoding(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes("video,label\na,käse\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not in UTF-8, as tables must be .* Save it so."):
        read_labels(path)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_of_a_spreadsheet(tmp_path, separator):
    text = "video,label\na,jump\nb,run and jump\n".replace(",", separator)
    (tmp_path / "file.csv").write_text(text, encoding="utf-8-sig")
    assert read_labels(tmp_path / "file.csv") == {"a": ["jump"], "b": ["run and jump"]}


def test_what_is_neither_csv_nor_json(tmp_path):
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        ValueError, match=r"xlsx is no JSON file, nor by its name a CSV file \(.csv"
    ):
        read_labels(tmp_path / "labels.xlsx")


@pytest.mark.parametrize("write", [write_intervals, write_track])
def test_a_file_stays_whole_if_writing_fails(tmp_path, monkeypatch, write):
    intervals = make_intervals([0], [1], "jump", [0.5])
    path = tmp_path / ("found.json" if write is write_intervals else "found.srt")
    content = {"a": intervals} if write is write_intervals else intervals
    write(path, content)
    before = path.read_text()

    def full(self, text, encoding):
        self.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space left on device: '.*found.(json|srt)'"):
        write(path, content)
    assert path.read_text() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_wrong_subset_is_told_the_right_ones(tmp_path):
    with pytest.raises(ValueError, match="no video of the subset 'val'; there are testing, valid"):
        read_intervals(as_json(tmp_path, ANNOTATIONS), "val")


def test_labels_of_csv_know_no_subsets(tmp_path):
    with pytest.raises(ValueError, match="knows no subsets"):
        read_labels(as_csv(tmp_path, "video,label\na,jump\n"), "training")


def test_intervals_without_length_are_read(tmp_path):  # ActivityNet's file has some
    found = read_intervals(as_csv(tmp_path, "video,start,end,label\na,2,2,jump\n"))
    assert found["a"].tolist() == [(2.0, 2.0, "jump")]


def test_csv_knows_no_subsets(tmp_path):
    with pytest.raises(ValueError, match="knows no subsets"):
        read_intervals(as_csv(tmp_path, "video,start,end,label\n"), subset="test")


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        read_intervals(Path("nowhere.json"))


# --- what other programs write ---


@pytest.mark.parametrize(
    "text",
    [
        "Video,Start,END, Label\na,61.5,4:00,jump\n",
        "sep=;\nvideo;start;end;label\na;61,5;240;jump\n",
        "sep=,\nvideo,start,end,label\na,1:01.5,0:04:00,jump\n",
        "# by hand\n\nvideo,start,end,label\na,61.5,240,jump\n",
        "filename\tonset\toffset\tevent_label\na\t61.5\t240.0\tjump\n",
        "video,start,end,label\r\na,6.15e1,240.,jump\r\n,,,\r\n",
        "video, start, end, label\n a , 61.5 , 240 , jump \n",
    ],
    ids=[
        "headings",
        "decimal commas",
        "clock times",
        "comments",
        "sound events",
        "empty rows",
        "blanks",
    ],
)
def test_tables_as_others_write_them(tmp_path, text):
    path = tmp_path / "file.tsv"
    path.write_text(text, newline="")
    assert read_intervals(path)["a"].tolist() == [(61.5, 240.0, "jump")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("video,start,end,label\na,1_5,20,jump\n", "start '1_5'"),
        ('video,start,end,label\na,"1,500",2000,jump\n', "start '1,500'"),
        ("video,start,end,label\na,1,2,\n", "label ''.*no cell may be empty"),
        (f"video,start,end,label\na,0,{'9' * 400}:00:00,jump\n", "times must be seconds"),
        ("video,start,end,label\n,1,2,jump\n", "line 2: the row names no video"),
        ("sep=,\nvideo,start,end,label\n,1,2,jump\n", "line 3: the row names no video"),
        ("video,start,end,label,Label\na,1,2,jump,run\n", "has label twice"),
    ],
)
def test_cells_that_could_mean_two_things(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        read_intervals(as_csv(tmp_path, text))


def test_json_of_two_entries_of_one_name(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"results": {"a": [], "a": []}}')
    with pytest.raises(ValueError, match="has 'a' twice"):
        read_intervals(path)


def test_times_have_no_digits_of_rounding(tmp_path):
    path = tmp_path / "found.csv"
    write_intervals(path, {"a": make_intervals([0.1 + 0.2], [9.440000000000001], "jump")})
    assert path.read_text().splitlines()[1] == "a,0.3,9.44,jump"


def test_subtitles_as_others_write_them(tmp_path):
    path = tmp_path / "a.vtt"
    path.write_text(
        "WEBVTT - a\n\nNOTE by hand\n\nfirst\n01:02.500 --> 01:04.000 align:start\nhigh\njump\n\n"
        "00:01:10.000 --> 00:01:12.000\nrun &amp; hide\n"
    )
    assert read_track(path).tolist() == [(62.5, 64.0, "high jump"), (70.0, 72.0, "run & hide")]


def test_label_tracks_with_frequencies(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1.5\t2.5\tjump\n\\\t100.0\t200.0\n")
    assert read_track(path).tolist() == [(1.5, 2.5, "jump")]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.txt", "1.5\t2.5\n", "line 1: from '1.5' to '2.5', ''; an interval needs"),
        ("a.srt", "1\n00:00:02,000 --> 00:00:01,000\njump\n", "line 2: from '00:00:02,000'"),
        ("a.tsv", "tier\tbegin\n", "lacks end, label"),
        ("a.doc", "", "must end in .srt, .vtt, .txt, .tsv, which says what it is"),
    ],
)
def test_tracks_of_another_form(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=match):
        read_track(tmp_path / name)


def test_a_track_of_another_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes("1\t2\tkäse\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not in UTF-8, as tracks must be"):
        read_track(tmp_path / "a.txt")


# --- RTTM ---


def test_rttm_by_hand(tmp_path):
    path = tmp_path / "found.rttm"
    write_intervals(path, {"a": make_intervals([0.1 + 0.2], [1.5], "ann", [0.25])})
    assert path.read_text() == "SPEAKER a 1 0.300000 1.200000 <NA> <NA> ann 0.25 <NA>\n"
    write_intervals(path, {"a": make_intervals([0.5], [1.5], "ann")})
    assert path.read_text() == "SPEAKER a 1 0.500000 1.000000 <NA> <NA> ann <NA> <NA>\n"


def test_rttm_as_others_write_it(tmp_path):
    # Comments, other types, channels, tabs, and nine fields instead of ten.
    path = tmp_path / "meeting.rttm"
    path.write_text(
        ";; by hand\nSPKR-INFO a 1 <NA> <NA> <NA> adult ann <NA> <NA>\n"
        "SPEAKER a 1 1.5 2 <NA> <NA> ann <NA> <NA>\n\n"
        "SPEAKER\tb\t2\t0\t.25\t<NA>\t<NA>\tbob\t<NA>\n"
        "SPEAKER a 2 9 1 <NA> <NA> bob <NA> <NA>\n"
    )
    found = read_intervals(path)
    assert found["a"].tolist() == [(1.5, 3.5, "ann"), (9.0, 10.0, "bob")]
    assert found["b"].tolist() == [(0.0, 0.25, "bob")]
    assert read_labels(path) == {"a": ["ann", "bob"], "b": ["bob"]}


def test_rttm_cannot_have_a_recording_of_nothing(tmp_path):
    path = tmp_path / "found.rttm"
    videos = {"a": make_intervals([1], [2], "ann"), "b": make_intervals([], [], "ann")}
    with pytest.warns(UserWarning, match=r"RTTM says nothing of .* 'b' \(1 of 2\); they are left"):
        write_intervals(path, videos)
    assert list(read_intervals(path)) == ["a"]
    with pytest.warns(UserWarning, match=r"'b' \(1 of 1\)"):
        write_intervals(path, {"b": videos["b"]})
    assert read_intervals(path) == {}


@pytest.mark.parametrize(("name", "label"), [("a b", "ann"), ("a", "long jump"), ("a", "<NA>")])
def test_rttm_cannot_have_names_with_blanks(tmp_path, name, label):
    with pytest.raises(ValueError, match="RTTM cannot have the name '(a b|long jump|<NA>)'"):
        write_intervals(tmp_path / "found.rttm", {name: make_intervals([1], [2], label)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("video,start,end,label\n", "has no line that begins with SPEAKER"),
        ("\nSPEAKER a 1 0 1 ann\n", "line 2, is SPEAKER a 1 0 1 ann; it must be"),
        ("SPEAKER a 1 0 -1 <NA> <NA> ann <NA> <NA>\n", "line 1, is SPEAKER a 1 0 -1"),
        ("SPEAKER a 1 0 x <NA> <NA> ann <NA> <NA>\n", "line 1, is SPEAKER a 1 0 x"),
        ("SPEAKER a 1 0 1 <NA> <NA> ann high <NA>\n", "line 1, is SPEAKER"),
        ("SPEAKER a 1 0 1 <NA> <NA> <NA> 0.5 <NA>\n", "line 1, is SPEAKER"),
        (
            "SPEAKER a 1 0 1 <NA> <NA> ann 0.5 <NA>\nSPEAKER a 1 0 1 <NA> <NA> ann <NA> <NA>\n",
            "has scores in some lines and <NA> in others",
        ),
    ],
)
def test_rttm_of_another_form(tmp_path, text, match):
    path = tmp_path / "meeting.rttm"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        read_intervals(path)


def test_rttm_of_another_encoding(tmp_path):
    (tmp_path / "a.rttm").write_bytes("SPEAKER käse".encode("latin-1"))
    with pytest.raises(ValueError, match="is not in UTF-8, as RTTM must be"):
        read_intervals(tmp_path / "a.rttm")


# --- folders ---


def test_a_folder_of_label_tracks_is_a_file_a_recording(tmp_path):
    (tmp_path / "a.txt").write_text("1\t2\trun\n3\t4\tjump\n")
    (tmp_path / "b.txt").write_text("")
    assert read_intervals(tmp_path)["a"].tolist() == [(1, 2, "run"), (3, 4, "jump")]
    assert read_labels(tmp_path) == {"a": ["jump", "run"], "b": []}
    (tmp_path / "a.srt").write_text("")
    with pytest.raises(ValueError, match="it has two of 'a'"):
        read_intervals(tmp_path)


def test_a_folder_of_anything_else(tmp_path):
    (tmp_path / "a.npy").write_text("")
    with pytest.raises(ValueError, match=r"a label track for each recording .*; it has none"):
        read_intervals(tmp_path)
