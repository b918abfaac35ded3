"""The gate for labels, annotations and durations, and the words of each refusal."""

import warnings
from enum import Enum

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam._labels import check_weak_labels
from skdgam._validation import (
    check_annotations,
    check_durations,
    check_evaluation,
    clip_to_videos,
    label_snippets,
)
from skdgam.clock import SnippetClock
from skdgam.intervals import make_intervals

TIMES = [("start", "f8"), ("end", "f8"), ("label", "f8")]
ANNOTATION = [(0.0, 2.0, "jump"), (3.0, 4.0, "run"), (5.0, 6.0, "jump")]
LABELS_IN_EVERY_FORM = {
    "sets": [{"jump", "run"}, {"run"}, set()],
    "lists": [["run", "jump"], ["run"], []],
    "tuples": [("jump", "run"), ("run",), ()],
    "arrays": [np.array(["jump", "run"]), np.array(["run"]), np.array([], dtype=str)],
    "label and lists": [["jump", "run"], "run", []],
    "triples": [ANNOTATION, [(1, 2, "run")], []],
    "intervals": [
        make_intervals([0, 1], [2, 3], ["jump", "run"]),
        make_intervals([0], [2], "run"),
        make_intervals([], [], "run"),
    ],
}


@pytest.mark.parametrize("y", LABELS_IN_EVERY_FORM.values(), ids=LABELS_IN_EVERY_FORM.keys())
def test_labels_in_every_form(y):
    classes, is_labelled = check_weak_labels(y, 3)
    assert classes.tolist() == ["jump", "run"]
    assert is_labelled.tolist() == [[True, True], [False, True], [False, False]]


@pytest.mark.parametrize("y", [[3, 1], np.array([3, 1]), [[3], {1}], [np.int64(3), [(0, 1, 1)]]])
def test_integer_labels(y):
    classes, is_labelled = check_weak_labels(y, 2)
    assert classes.tolist() == [1, 3]
    assert is_labelled.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("kind", [bool, int, float])
def test_an_indicator_matrix_keeps_its_columns(kind):
    indicator = np.array([[0, 1, 0], [0, 1, 1]], dtype=kind)
    classes, is_labelled = check_weak_labels(indicator, 2)
    assert classes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(is_labelled, indicator)


def test_members_of_an_enumeration_are_their_text():
    class Action(str, Enum):  # noqa: UP042 - StrEnum has a plain str in it already
        WALK = "walking"
        SIT = "sit"

    y = [Action.WALK, {Action.SIT, Action.WALK}]
    assert check_weak_labels(y, 2)[0].tolist() == ["sit", "walking"]


@pytest.mark.parametrize("y", [[[1, 0], [0, 1]], [(1, 0, 0), (0, 0, 1)], list(np.eye(2))])
def test_rows_of_an_indicator_in_a_list_are_not_taken_for_labels(y):
    with pytest.raises(ValueError, match=r"pass np.asarray\(y\); if 0 and 1 are labels, give sets"):
        check_weak_labels(y, len(y))


def test_integers_that_no_integer_type_holds_together():
    with pytest.raises(
        ValueError, match=r"Labels are numbers too large for a signed integer; use text"
    ):
        check_weak_labels([2**63, 1], 2)


def test_tensors_of_labels():
    assert check_weak_labels(torch.tensor([0, 1, 1]), 3)[1].tolist() == [[1, 0], [0, 1], [0, 1]]


def test_every_video_may_have_the_labels_0_and_1():
    for y in ([{0, 1}, {0, 1}], [[0, 1], [0, 1]]):
        assert check_weak_labels(y, 2)[1].all()
    assert (
        check_weak_labels([[(0, 1, 0), (1, 2, 0)], [(0, 1, 1), (1, 2, 1)]], 2)[1].all(axis=0).any()
        == 0
    )


def test_records_are_read_by_the_names_of_their_fields():
    rows = np.array(
        [(7, 0.5, 2.0, "a")], [("i", int), ("start", float), ("end", float), ("label", object)]
    )
    for entry in (rows, list(rows)):
        assert check_weak_labels([entry], 1)[0].tolist() == ["a"]
        assert check_annotations([entry])[0].tolist() == [(0.5, 2.0, "a")]
        assert check_annotations([entry])[0]["label"].dtype == "U1"


def test_a_frame_is_refused():
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="an indicator matrix an array"):
        check_weak_labels(pd.DataFrame({"a": [0, 1], "b": [1, 0]}), 2)


def test_a_triple_whose_label_comes_first_is_no_three_labels():
    with pytest.raises(ValueError, match=r"y\[0\] is \[\('jump', 0, 2\)\]; an interval is"):
        check_weak_labels([[("jump", 0, 2)], ["run"]], 2)


def test_an_interval_without_a_label():
    with pytest.raises(ValueError, match=r"an interval is \(start, end, label\)"):
        check_weak_labels([[(0, 2)], ["run"]], 2)


def test_one_interval_for_each_video_goes_into_a_list():
    with pytest.raises(ValueError, match="intervals of a video go into a list"):
        check_annotations([(0, 2, "a"), (1, 4, "a")])


def test_times_are_not_even_read_for_labels():
    nonsense = [[(9.0, -3.0, "jump")], [("soon", None, "run")]]
    assert check_weak_labels(nonsense, 2)[0].tolist() == ["jump", "run"]


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        (["a"], ValueError, "y has 1 entries, but there are 2 videos"),
        (np.eye(3), ValueError, "y has 3 entries, but there are 2 videos"),
        (None, ValueError, "requires y to be passed, but the target y is None; pass one entry"),
        ("ab", TypeError, "y is 'ab'; it must be a sequence"),
        (make_intervals([0, 1], [2, 3], "a"), TypeError, r"of a single video is wrapped as \[y\]"),
        (np.array("a"), TypeError, "y is array.*; it must be a sequence"),
        (
            [[1, 0, 0], [0, 0, 1]],
            ValueError,
            r"If that is an indicator matrix, pass np.asarray\(y\)",
        ),
        (np.array([[0], [1]]), ValueError, r"y has shape \(2, 1\); labels go into y.ravel\(\)"),
        (np.zeros((2, 3)), ValueError, "y has no label for any video"),
        (np.zeros((2, 0)), ValueError, "y has no label for any video"),
        ([(0.0, 2.5, 1), (3.0, 4.5, 2)], ValueError, r"y\[0\] is .*reads as the start, end"),
        ([b"a", b"b"], TypeError, r"y\[0\] is b'a'; it must be a label"),
        ([np.array([(0, 1, np.nan)], TIMES), "a"], ValueError, r"y\[0\] has the labels \[nan\]"),
        (
            [np.zeros(2, [("end", "f8")]), "a"],
            ValueError,
            r"y\[0\] has the fields end;",
        ),
        (["a", None], TypeError, r"y\[1\] is None, for labels that are unknown"),
        (["a", {"segment": 1}], TypeError, r"y\[1\] is .*segment.*; it must be a label"),
        (["a", np.nan], ValueError, r"y\[1\] has the labels \[nan\]; .* none may be missing"),
        (["a", ["b", 3]], ValueError, r"y\[1\] has the labels \['b', 3\]; labels must be all text"),
        (["a", 3], ValueError, r"Some labels are text \('a'\) and some numbers \(3\)"),
        ([[], []], ValueError, "y has no label for any video"),
        (np.full((2, 2), 0.5), ValueError, "values other than 0 and 1"),
        ([["a", 3], "a"], ValueError, r"An interval is \(start, end, label\) inside a list"),
    ],
)
def test_labels_refused(y, error, match):
    with pytest.raises(error, match=match):
        check_weak_labels(y, 2)


def test_annotations_get_one_label_dtype():
    annotations = check_annotations([[(0, 1, "a")], [], make_intervals([0], [1], "longer")])
    assert [a["label"].dtype for a in annotations] == ["U6"] * 3
    assert [len(a) for a in annotations] == [1, 0, 1]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([["a"]], r"y\[0\] is \['a'\], but mAP needs the annotated intervals"),
        ([{"a"}], "weak_label_scorer"),
        (np.eye(2), "y is an indicator matrix, but mAP needs"),
        (
            [[(0, 1, "a"), (3.0, 2.0, "a")]],
            r"y\[0\]: Interval 1 is \(3.0, 2.0, 'a'\); .* not before the start",
        ),
        ([[], [(3, 1, "a")]], r"y\[1\]: Interval 0 is \(3.0, 1.0, 'a'\)"),
        ([[(0, np.inf, "a")]], r"y\[0\]: Interval 0 is \(0.0, inf, 'a'\); it needs finite times"),
        ([[(np.nan, 1, "a")]], "finite times"),
        ([[("x", 1, "a")]], r"y\[0\] has the times \['x'\]; times must be numbers, in seconds"),
        ([[(np.timedelta64(1, "s"), np.timedelta64(2, "s"), "a")]], "times must be numbers"),
    ],
)
def test_annotations_refused(y, match):
    with pytest.raises(ValueError, match=match):
        check_annotations(y)


def test_intervals_past_the_end_are_clipped_with_one_warning():
    annotations = check_annotations([[(0, 5, "a"), (8, 9, "a")], [(0, 5, "a")], [(1, 7, "a")]])
    with pytest.warns(UserWarning, match=r"2 of 3 videos .* the first is y\[0\]: \(8") as record:
        clipped = clip_to_videos(annotations, [6, 6, 6])
    assert len(record) == 1
    assert [[tuple(row) for row in video] for video in clipped] == [
        [(0, 5, "a")],
        [(0, 5, "a")],
        [(1, 6, "a")],
    ]
    assert annotations[2]["end"] == 7  # what was passed in stays


def test_intervals_within_their_videos_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip_to_videos(check_annotations([[(0, 5, "a")]]), [5])


@pytest.mark.parametrize(
    ("durations", "match"),
    [
        ([1.0], r"durations has shape \(1,\), but X has 2 videos"),
        ([1.0, 0.0], r"durations\[1\] is 0.0; a duration must be a positive, finite number"),
        ([np.nan, 1.0], r"durations\[0\] is nan"),
        (np.array([1, 2], "m8[s]"), "durations has the times .* must be numbers, in seconds"),
        (["a", "b"], "durations has the times"),
    ],
)
def test_durations_refused(durations, match):
    with pytest.raises(ValueError, match=match):
        check_durations(durations, 2)


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=6).filter(any))
def test_labels_and_their_indicator_matrix_say_the_same(y):
    classes, is_labelled = check_weak_labels(y, len(y))
    assert [set(classes[row].tolist()) for row in is_labelled] == y
    np.testing.assert_array_equal(check_weak_labels(is_labelled, len(y))[1], is_labelled)


# --- one interval in no list ---


@pytest.mark.parametrize(
    "entry", [("0.0", "2.5", "jump"), np.array(["0.0", "2.5", "jump"]), (0, 2, 5), (0.0, 2.0, "a")]
)
def test_one_interval_in_no_list_is_no_three_labels(entry):
    with pytest.raises(ValueError, match=r"y\[0\] is .* start, end and label of one interval"):
        check_weak_labels([entry], 1)


@pytest.mark.parametrize(
    "entry", [[0, 2, 5], {0, 2, 5}, (5, 2, 0), ["1", "2", "3"], ["2", "1", "a"]]
)
def test_three_labels_are_no_interval(entry):
    assert len(check_weak_labels([entry], 1)[0]) == 3


# --- intervals without length ---


def test_minutes_for_seconds_are_told():
    seconds = [[(10 * k, 10 * k + 5, "a") for k in range(1, 5)] for _ in range(5)]
    minutes = [[(start / 60, end / 60, label) for start, end, label in y] for y in seconds]
    told = r"Every interval of y lies in the first 2% .* ends at 0.75, and the longest .* 50.00 s"
    with pytest.warns(UserWarning, match=told):
        clip_to_videos(check_annotations(minutes), [45, 50, 50, 50, 50])
    for fine in (seconds, minutes[:4], [*minutes[:4], seconds[4]], [y[:3] for y in minutes]):
        clip_to_videos(check_annotations([*fine, []]), [50] * (len(fine) + 1))


def test_annotations_without_length_are_told_once():
    y = [[(0, 1, "a")], [(2, 2, "a"), (3, 3, "a")]]
    with pytest.warns(UserWarning, match=r"2 intervals of y have .* first is y\[1\]\[0\]\. "):
        annotations = check_annotations(y)
    assert [len(found) for found in annotations] == [1, 2]


def test_an_annotation_without_length_is_told_with_the_name_of_its_video():
    y_true = {"run": [(0, 1, "a")], "swim": [(2, 3, "a"), (3, 3, "a")]}
    y_pred = {"swim": make_intervals([2], [3], "a", [0.5])}
    told = r"1 interval of y_true has no length, the first is y_true\['swim'\]\[1\]\. "
    with pytest.warns(UserWarning, match=told):
        check_evaluation(y_true, y_pred)
    with pytest.raises(ValueError, match=r"y_true\['swim'\]: Interval 0 is"):
        check_evaluation(y_true | {"swim": [(2, 1, "a")]}, y_pred)


def test_a_label_that_ends_in_what_numpy_drops():
    with pytest.raises(ValueError, match="NUL character at the end"):
        check_weak_labels([["a", "a\0"]], 1)


def test_times_that_are_all_past_the_end_are_no_seconds():
    milliseconds = check_annotations([[(1000, 2000, "a")], []])
    with pytest.raises(
        ValueError, match=r"\(1000.0, 2000.0, 'a'\) in y\[0\], which ends at 9.00 s"
    ):
        clip_to_videos(milliseconds, [9.0, 9.0])


# --- labels of snippets ---


SECOND = SnippetClock(1.0)


def shown(*intervals, n=4, clock=SECOND, classes=("a", "b")):
    """Which of the classes each of n snippets shows, as text."""
    (is_shown,) = label_snippets(check_annotations([[*intervals]]), [n], clock, np.array(classes))
    assert is_shown.shape == (n, len(classes))
    return ["".join(np.array(classes)[row]) for row in is_shown]


def test_a_snippet_shows_what_its_middle_lies_in():
    assert shown((0.5, 2.5, "b"), (2.0, 9.0, "a")) == ["b", "b", "a", "a"]
    assert shown((0.51, 2.51, "b"), (1.0, 2.0, "a")) == ["", "ab", "b", ""]
    assert shown(n=2) == ["", ""]


def test_snippets_are_labelled_by_the_clock():
    clock = SnippetClock(0.5, offset=10.0)  # middles at 10.25, 10.75, ...
    assert shown((10.5, 11.25, "a"), (0.0, 5.0, "b"), clock=clock) == ["", "a", "", ""]


@pytest.mark.filterwarnings("ignore:.*no length")
@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0.6, 0.8, 0), (0.9, 1.3, 1), (1.0, 1.0, 1), (2.5, 2.5, 2), (3.6, 3.7, 3), (4.2, 4.4, None)],
)
def test_an_interval_between_middles_labels_the_snippet_that_its_own_lies_in(start, end, expected):
    assert shown((start, end, "a")) == ["a" if i == expected else "" for i in range(4)]


@given(
    st.floats(0.1, 3), st.floats(-5, 5), st.lists(st.tuples(st.floats(0, 30), st.floats(0.2, 9)))
)
def test_snippets_that_are_labelled_overlap_an_interval(seconds, offset, intervals):
    clock, n = SnippetClock(seconds, offset), 20
    annotated = make_intervals(*np.reshape([(s, s + d) for s, d in intervals], (-1, 2)).T, "a")
    (is_shown,) = label_snippets([annotated], [n], clock, np.array(["a"]))
    edges = clock.edges(n)
    apart = np.maximum(annotated["start"], edges[:-1, None]) - np.minimum(
        annotated["end"], edges[1:, None]
    )
    assert not (is_shown[:, 0] & (apart > 1e-9).all(axis=1)).any()
    middles = clock.middles(n)[:, None]
    inside = (annotated["start"] <= middles) & (middles < annotated["end"])
    assert is_shown[inside.any(axis=1), 0].all()


def test_labels_of_numpy_are_shown_as_text():
    with pytest.raises(ValueError, match=r"y\[0\] is \{'jump'\}, but mAP needs"):
        check_annotations([{np.str_("jump")}])
