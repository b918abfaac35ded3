"""The protocols of the field: equal to the released evaluators, and rule by rule by hand."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from skdgam.intervals import make_intervals, soft_non_maximum_suppression
from skdgam.metrics import PROTOCOLS, average_precision, evaluate, mean_average_precision

TENTHS = np.arange(1, 8) / 10
SNIPPET = 0.64  # seconds


def detections(*rows):
    """Rows (start, end, label, score) as an interval array."""
    start, end, label, score = zip(*rows, strict=True) if rows else ([], [], [], [])
    return make_intervals(start, end, np.array(label, dtype="U4"), score)


def in_seconds(rows):
    """Rows whose times are in snippets, in seconds."""
    return [(SNIPPET * start, SNIPPET * end, *rest) for start, end, *rest in rows]


def of_snippets(protocol, true, found, **options):
    """MAP of intervals of one video, given in snippets."""
    y_pred = [detections(*in_seconds(found))]
    return evaluate([in_seconds(true)], y_pred, protocol, **options).mean_ap.tolist()


@pytest.fixture(scope="module")
def released():
    """Made-up detections, and what the released evaluators' comparisons give for them.

    Their code, but that it is given detections and keeps the order of equal scores.
    """
    return json.loads((Path(__file__).parent / "data" / "protocols.json").read_text())


@pytest.mark.parametrize("protocol", ["thumos14", "thumos14-kit", "co2-net", "w-talc", "3c-net"])
def test_protocols_equal_the_released_evaluators(released, protocol):
    thresholds = released["tiou_thresholds"]
    ours = evaluate(released["truth"], released["detections"], protocol, tiou_thresholds=thresholds)
    np.testing.assert_allclose(ours.mean_ap, released["mean_ap"][protocol], atol=1e-11)


def read_detections(path, names, to_intervals):
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    results = json.loads(text)["results"]
    found = {name: to_intervals(results.get(name, [])) for name in names}
    return {name: video if len(video) else detections() for name, video in found.items()}


# The released evaluators' comparisons give the same to eleven digits. Detections of P-MIL's base
# system are 69.7 … 12.5 by ActivityNet's rules; the files beside this checkout say so, too.
@pytest.mark.parametrize(
    ("file", "protocol", "expected"),
    [
        ("pmil", "thumos14", [69.70, 63.73, 54.63, 44.89, 34.10, 23.39, 12.47]),
        ("pmil", "co2-net", [69.44, 64.34, 55.10, 46.54, 37.84, 25.53, 12.63]),
        ("pmil", "w-talc", [68.24, 63.27, 54.16, 45.51, 36.81, 24.73, 12.06]),
        ("pmil", "3c-net", [69.37, 64.28, 55.09, 46.53, 37.84, 25.53, 12.63]),
        ("pmil", "thumos14-kit", [17.43, 15.87, 13.74, 11.75, 9.52, 7.14, 4.55]),
        ("stpn", "thumos14", [52.10, 44.22, 34.72, 26.07, 17.70, 10.09, 4.99]),
        ("stpn", "co2-net", [51.75, 43.90, 35.11, 25.29, 17.73, 10.05, 5.08]),
        ("stpn", "w-talc", [51.25, 44.23, 34.54, 26.15, 19.32, 9.90, 3.58]),
        ("stpn", "3c-net", [52.20, 45.14, 35.45, 27.03, 19.98, 10.31, 3.74]),
        ("stpn", "thumos14-kit", [45.61, 39.38, 31.74, 24.52, 16.87, 9.64, 4.79]),
    ],
)
def test_real_detections(thumos14_test, shared_file, to_intervals, file, protocol, expected):
    names = {"pmil": "pmil_base_test.json.gz", "stpn": "stpn_thumos14_detections.json"}
    found = read_detections(shared_file(f"data/{names[file]}"), thumos14_test, to_intervals)
    mean_ap = evaluate(thumos14_test, found, protocol, tiou_thresholds=TENTHS).mean_ap
    np.testing.assert_allclose(100 * mean_ap, expected, atol=0.0051)


def test_real_detections_before_and_after_soft_suppression(shared_file, to_intervals):
    database = json.loads(shared_file("data/thumos14_annotations.json").read_text())["database"]
    truth = {
        name: to_intervals(video["annotations"])
        for name, video in database.items()
        if video["subset"] == "train"
    }
    found = read_detections(shared_file("data/pmil_base_train.json.gz"), truth, to_intervals)
    assert sum(map(len, found.values())) == 33_895
    softly = {name: soft_non_maximum_suppression(v, margin=1.0) for name, v in found.items()}
    for detected, expected in [(found, 9.8), (softly, 38.0)]:
        mean_ap = mean_average_precision(truth, detected, TENTHS).mean()
        assert 100 * mean_ap == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_thresholds_are_those_that_the_protocol_reports(protocol):
    found = evaluate([[(0, 4, "jump")]], [detections((0, 4, "jump", 0.5))], protocol)
    assert found.tiou_thresholds.tolist() == list(PROTOCOLS[protocol].tiou_thresholds)
    assert found.mean_ap.tolist() == [1.0] * len(found.tiou_thresholds)
    assert found.average_precision.shape == (1, len(found.tiou_thresholds))
    assert found.classes.tolist() == ["jump"]


@pytest.mark.parametrize("protocol", ["thumos14", "activitynet"])
def test_protocols_in_seconds_are_average_precision(released, protocol):
    clear = {
        name: [row for row in rows if row[2] != "Ambiguous"]
        for name, rows in released["truth"].items()
    }
    found = evaluate(released["truth"], released["detections"], protocol)
    thresholds = PROTOCOLS[protocol].tiou_thresholds
    ap = average_precision(clear, released["detections"], thresholds)
    np.testing.assert_array_equal(found.average_precision, ap)
    mean_ap = mean_average_precision(clear, released["detections"], thresholds)
    np.testing.assert_array_equal(found.mean_ap, mean_ap)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("thumos14", 1 / 2), ("thumos14-kit", 1), ("co2-net", 1), ("w-talc", 1), ("3c-net", 1)],
)
def test_a_detection_in_an_ambiguous_interval_is_not_false_where_a_protocol_excuses_it(
    protocol, expected
):
    true = [(0, 4, "jump"), (8, 12, "Ambiguous")]
    found = [(8, 12, "jump", 0.9), (0, 4, "jump", 0.5)]
    assert of_snippets(protocol, true, found, tiou_thresholds=0.5) == [expected]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("thumos14", 1), ("thumos14-kit", 1), ("co2-net", 0), ("w-talc", 0), ("3c-net", 0)],
)
def test_a_hit_that_meets_an_ambiguous_interval_is_removed_but_never_excused(protocol, expected):
    true = [(0, 4, "jump"), (3, 6, "Ambiguous")]
    found = [(0, 4, "jump", 0.9)]
    assert of_snippets(protocol, true, found, tiou_thresholds=0.5) == [expected]


@pytest.mark.parametrize("protocol", ["co2-net", "w-talc", "3c-net"])
def test_ambiguous_intervals_are_rounded_and_detections_floored_before_they_meet(protocol):
    # The ambiguous interval is [4, 6) in snippets; the detection that ends at 4.9 ends at 4.
    true = [(0, 4, "jump"), (4.4, 6.4, "Ambiguous")]
    for end, expected in [(4.9, 1), (5.0, 0)]:
        found = [(0, end, "jump", 0.9)]
        assert of_snippets(protocol, true, found, tiou_thresholds=0.5) == [expected]


def test_another_label_may_be_ambiguous():
    true, found = [(0, 4, "jump"), (8, 12, "unclear")], [(0, 4, "jump", 0.5)]
    assert of_snippets("co2-net", true, found, tiou_thresholds=0.5) == [0.5]
    options = {"tiou_thresholds": 0.5, "ambiguous": "unclear"}
    assert of_snippets("co2-net", true, found, **options) == [1]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("thumos14", 2.8 / 5.4),  # as they are
        ("co2-net", 2.8 / 5),  # true times rounded
        ("w-talc", 2 / 5),  # detections floored, too
        ("3c-net", 2 / 5),
    ],
)
def test_times_are_made_whole_snippets(protocol, expected):
    true, found = [(0, 5.4, "jump")], [(0, 2.8, "jump", 0.9)]
    thresholds = [expected - 0.001, expected + 0.001]
    assert of_snippets(protocol, true, found, tiou_thresholds=thresholds) == [1, 0]


def test_true_times_of_half_a_snippet_go_to_the_even_one():
    # [0.5, 2.5) becomes [0, 2), which is what is found; [1.5, 3.5) becomes [2, 4).
    found = [(0, 2, "jump", 0.9)]
    assert of_snippets("co2-net", [(0.5, 2.5, "jump")], found, tiou_thresholds=1.0) == [1]
    found = [(2, 4, "jump", 0.9)]
    assert of_snippets("co2-net", [(1.5, 3.5, "jump")], found, tiou_thresholds=1.0) == [1]


@pytest.mark.parametrize("protocol", ["co2-net", "w-talc", "3c-net"])
def test_an_interval_that_is_rounded_away_is_missed(protocol):
    true = [(0, 4, "jump"), (7.6, 8.2, "jump")]
    found = [(0, 4, "jump", 0.9), (8.0, 8.4, "jump", 0.8)]
    assert of_snippets(protocol, true, found, tiou_thresholds=0.1) == [0.5]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("thumos14", 1), ("co2-net", 1), ("3c-net", 1), ("w-talc", 1 / 2)],
)
def test_a_detection_takes_the_best_interval_or_the_first_that_is_listed(protocol, expected):
    # Both detections reach 0.25 with the first interval, the better one more with the second.
    true = [(0, 4, "jump"), (4, 10, "jump")]
    found = [(2, 10, "jump", 0.9), (0, 4, "jump", 0.8)]
    if protocol == "w-talc":
        found[0] = (1, 10, "jump", 0.9)  # 3/10 with the first
    assert of_snippets(protocol, true, found, tiou_thresholds=0.25) == [expected]


@pytest.mark.parametrize(("protocol", "expected"), [("co2-net", 1), ("3c-net", 1 / 2)])
def test_of_equal_overlaps_the_last_or_the_first_interval_is_taken(protocol, expected):
    # The better detection overlaps both by 2/6; the other one reaches the first alone.
    true = [(0, 4, "jump"), (4, 8, "jump")]
    found = [(2, 6, "jump", 0.9), (0, 4, "jump", 0.8)]
    assert of_snippets(protocol, true, found, tiou_thresholds=0.3) == [expected]


def test_in_the_kit_intervals_take_detections_whatever_their_score():
    # The second detection is the better fit, so that the first, of a higher score, is false.
    true = [(0, 4, "jump")]
    found = [(0, 3, "jump", 0.9), (0, 4, "jump", 0.5)]
    assert of_snippets("thumos14-kit", true, found, tiou_thresholds=0.5) == [0.5]
    assert of_snippets("thumos14", true, found, tiou_thresholds=0.5) == [1]


def test_in_the_kit_an_overlap_must_exceed_the_threshold():
    y_true, y_pred = [[(0, 4, "jump")]], [detections((0, 2, "jump", 0.9))]
    for protocol, expected in [("thumos14-kit", [1, 0]), ("thumos14", [1, 1])]:
        found = evaluate(y_true, y_pred, protocol, tiou_thresholds=[0.49, 0.5])
        assert found.mean_ap.tolist() == expected


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("thumos14", 2 / 3),  # precision 0 1/2 2/3, monotone 2/3 2/3 2/3
        ("co2-net", 2 / 3),
        ("3c-net", 2 / 3),
        ("w-talc", (1 / 2 + 2 / 3) / 2),
        ("thumos14-kit", (1 / 2 + 2 / 3) / 2),
    ],
)
def test_precision_is_made_monotone_or_not(protocol, expected):
    true = [(0, 4, "jump"), (10, 14, "jump")]
    found = [(20, 24, "jump", 0.9), (0, 4, "jump", 0.8), (10, 14, "jump", 0.7)]
    assert of_snippets(protocol, true, found, tiou_thresholds=0.5) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("thumos14", 1 / 2),
        ("thumos14-kit", 1 / 2),
        ("co2-net", 1 / 2),
        ("w-talc", 0),
        ("3c-net", 0),
    ],
)
def test_one_class_without_detections_costs_its_share_or_everything(protocol, expected):
    true, found = [(0, 4, "jump"), (8, 9, "run")], [(0, 4, "jump", 0.9)]
    assert of_snippets(protocol, true, found, tiou_thresholds=0.5) == [expected]


def test_classes_may_be_numbers():
    y_pred = [make_intervals([0.0], [4.0], np.array([3]), [1.0])]
    for protocol in PROTOCOLS:
        assert evaluate([[(0, 4, 3)]], y_pred, protocol).classes.tolist() == [3]


def test_what_is_passed_in_stays_as_it_is():
    y_true = [make_intervals([0.3, 2.0], [4.0, 3.0], np.array(["jump", "Ambiguous"]))]
    y_pred = [detections((0.1, 4, "jump", 0.9))]
    before = y_true[0].copy(), y_pred[0].copy()
    for protocol in PROTOCOLS:
        evaluate(y_true, y_pred, protocol)
    assert (y_true[0] == before[0]).all()
    assert (y_pred[0] == before[1]).all()


def test_protocols_that_do_not_exist():
    with pytest.raises(ValueError, match="protocol is 'voc'; it must be one of thumos14, activity"):
        evaluate([[(0, 4, "jump")]], [detections()], "voc")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_intervals_that_are_all_ambiguous(protocol):
    with pytest.raises(ValueError, match="y_true has no interval in any video"):
        evaluate([[(0, 4, "Ambiguous")]], [detections((0, 4, "jump", 0.5))], protocol)
