import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdgam.intervals import make_intervals
from skdgam.metrics import psds

HOUR = [3600]


def detections(*rows):
    """Rows (start, end, label, score) as an interval array."""
    start, end, label, score = zip(*rows, strict=True) if rows else ([], [], [], [])
    return make_intervals(start, end, np.array(label, dtype="U4"), score)


def test_by_hand():
    # Per hour: one bark is found for nothing, one for 1 false alarm, one for 3, one never. The
    # false alarm of 0.3 comes after all that is found.
    y_true = [[(10, 12, "bark"), (20, 22, "bark")], [(10, 12, "bark"), (20, 22, "bark")]]
    y_pred = [
        detections((10, 12, "bark", 0.9), (40, 42, "bark", 0.8), (20, 22, "bark", 0.7)),
        detections(
            *[(30, 31, "bark", 0.6), (33, 34, "bark", 0.6), (10, 12, "bark", 0.5)],
            (40, 42, "bark", 0.3),
        ),
    ]
    expected = (1 + 3 / 4 + 1 / 4 + 0) / 4
    assert psds(y_true, y_pred, durations=[1800, 1800], max_efpr=4) == expected
    # In half the time, rates are twice as high.
    assert psds(y_true, y_pred, durations=[900, 900], max_efpr=8) == expected
    assert psds(y_true, y_pred, durations=[1800, 1800], max_efpr=2) == (1 + 1 / 2) / 4


def test_a_false_alarm_of_equal_score_comes_first():
    y_true = [[(10, 12, "bark")]]
    y_pred = [detections((10, 12, "bark", 0.5), (20, 21, "bark", 0.5))]
    assert psds(y_true, y_pred, durations=HOUR, max_efpr=4) == 3 / 4


@pytest.mark.parametrize(("end", "is_tolerated"), [(14, True), (14.1, False)])
def test_a_detection_is_tolerated_if_events_cover_enough_of_it(end, is_tolerated):
    y_true, y_pred = [[(10, 12, "bark")]], [detections((10, end, "bark", 0.9))]
    assert psds(y_true, y_pred, durations=HOUR) == is_tolerated


def test_two_events_may_cover_a_detection():
    y_true, y_pred = [[(10, 12, "bark"), (14, 16, "bark")]], [detections((10, 16, "bark", 0.9))]
    assert psds(y_true, y_pred, durations=HOUR, dtc_threshold=2 / 3) == 1
    assert psds(y_true, y_pred, durations=HOUR, dtc_threshold=0.67) == 0


def test_two_detections_may_cover_an_event():
    # The second is needed, and comes after a false alarm.
    y_true = [[(10, 14, "bark")]]
    y_pred = [
        detections((10, 11, "bark", 0.9), (40, 41, "bark", 0.8), (12, 13, "bark", 0.7)),
    ]
    assert psds(y_true, y_pred, durations=HOUR, max_efpr=4) == 3 / 4
    assert psds(y_true, y_pred, durations=HOUR, max_efpr=4, gtc_threshold=0.25) == 1
    assert psds(y_true, y_pred, durations=HOUR, max_efpr=4, gtc_threshold=0.51) == 0


def test_a_detection_that_is_not_tolerated_covers_nothing():
    y_true, y_pred = [[(10, 14, "bark")]], [detections((10, 20, "bark", 0.9))]
    assert psds(y_true, y_pred, durations=HOUR, dtc_threshold=0.4) == 1
    assert psds(y_true, y_pred, durations=HOUR) == 0


def test_cross_triggers_by_hand():
    # A bark is found after one false alarm, which half an hour of ring covers by a half, and a hum
    # not at all. By half of one in the half hour of ring, over two others, the rate is 1 + 0.5.
    y_true = [[(0, 1800, "ring"), (2000, 2010, "bark"), (3000, 3010, "hum")]]
    y_pred = [
        detections(
            *[(1798, 1802, "bark", 0.9), (2000, 2010, "bark", 0.8)],
            *[(0, 1800, "ring", 0.9), (3000, 3010, "hum", 0.9)],
        )
    ]
    in_hours = {"durations": HOUR, "max_efpr": 3}
    assert psds(y_true, y_pred, **in_hours) == pytest.approx((2 + 2 / 3) / 3)
    with_triggers = psds(y_true, y_pred, **in_hours, alpha_ct=0.5)
    assert with_triggers == pytest.approx((2 + 1 / 2) / 3)
    of_more = psds(y_true, y_pred, **in_hours, alpha_ct=0.5, cttc_threshold=0.51)
    assert of_more == pytest.approx((2 + 2 / 3) / 3)


def test_differences_between_classes_cost_by_hand():
    # Bark is found at once, ring after 1 of 4 false alarms: until then 1/2 on average, with a
    # standard deviation of 1/2.
    y_true = [[(10, 12, "bark"), (20, 22, "ring")]]
    y_pred = [
        detections((10, 12, "bark", 0.9), (30, 31, "ring", 0.8), (20, 22, "ring", 0.7)),
    ]
    scores = [
        psds(y_true, y_pred, durations=HOUR, max_efpr=4, alpha_st=alpha_st)
        for alpha_st in (0, 0.5, 1, 2)
    ]
    assert scores == [3 / 4 + 1 / 8, 3 / 4 + 1 / 16, 3 / 4, 3 / 4]


def test_what_overlaps_counts_once():
    # Two detections cover the same half of a bark; two annotations the same half of a detection.
    y_true = [[(10, 14, "bark")]]
    y_pred = [detections((10, 12, "bark", 0.9), (10, 12, "bark", 0.8))]
    assert psds(y_true, y_pred, durations=HOUR, gtc_threshold=0.51) == 0
    y_true = [[(10, 12, "bark"), (10, 12, "bark")]]
    y_pred = [detections((10, 14, "bark", 0.9))]
    assert psds(y_true, y_pred, durations=HOUR, dtc_threshold=0.51) == 0


def test_detections_of_other_classes_are_left_out():
    y_true = [[(10, 12, "bark")]]
    y_pred = [detections((10, 12, "bark", 0.5), (10, 12, "hum", 0.9))]
    assert psds(y_true, y_pred, durations=HOUR, alpha_ct=1) == 1


def test_without_detections():
    assert psds([[(0, 4, 7)]], [detections()], durations=HOUR) == 0


@pytest.mark.filterwarnings("ignore:.*no length")
def test_an_event_without_length_is_missed():
    y_true = [[(10, 12, "bark"), (30, 30, "bark"), (30, 30, "ring")]]
    y_pred = [detections((10, 12, "bark", 0.5), (29, 31, "bark", 0.4), (29, 31, "ring", 0.4))]
    assert psds(y_true, y_pred, durations=HOUR, alpha_ct=1) == 0.25


# Two recordings, 20 and 25 s long, drawn at random; overlaps only between classes.
TRUTH = [
    [
        *[(12.4, 13.6, "a"), (17.9, 18.6, "a"), (1.1, 4.5, "b"), (5.7, 6.0, "b")],
        *[(2.7, 9.8, "c"), (15.9, 16.2, "c")],
    ],
    [
        *[(4.3, 8.0, "a"), (18.9, 19.1, "a"), (1.9, 5.9, "b"), (9.8, 17.4, "b")],
        *[(9.6, 16.6, "c"), (16.7, 18.9, "c")],
    ],
]
FOUND = [
    [
        *[(12.6, 13.7, "a", 0.5), (0.1, 3.9, "b", 0.2), (5.1, 6.1, "b", 0.5)],
        *[(15.1, 16.0, "c", 0.7), (1.6, 2.9, "a", 0.5), (15.7, 16.7, "a", 0.6)],
        *[(14.7, 15.8, "b", 1.0), (10.6, 12.0, "c", 0.6), (12.2, 12.9, "c", 0.4)],
        (4.3, 5.4, "c", 0.1),
    ],
    [
        *[(4.2, 8.8, "b", 0.6), (10.1, 17.4, "b", 0.5), (10.1, 16.6, "c", 0.4)],
        *[(4.1, 7.6, "a", 0.9), (1.5, 5.6, "c", 0.5), (16.8, 17.3, "a", 0.8)],
        *[(14.6, 15.3, "a", 0.4), (6.5, 7.3, "c", 0.3), (17.1, 18.5, "c", 0.3)],
    ],
]


@pytest.mark.parametrize(
    ("dtc", "gtc", "cttc", "alpha_ct", "alpha_st", "max_efpr", "expected"),
    [
        (0.5, 0.5, 0.3, 0.0, 0.0, 1000, 0.38),
        (0.5, 0.5, 0.3, 0.0, 0.0, 100, 0.08333333333333331),
        (0.7, 0.7, 0.3, 0.0, 1.0, 1000, 0.21100505063388336),
        (0.1, 0.1, 0.25, 0.5, 1.0, 2000, 0.4456533148156886),
        (0.33, 0.21, 0.45, 1.0, 0.0, 3000, 0.49758544658688847),
        (0.62, 0.41, 0.12, 0.3, 0.4, 5000, 0.45178617616740185),
    ],
)
def test_equals_psds_eval(dtc, gtc, cttc, alpha_ct, alpha_st, max_efpr, expected):
    # What psds_eval 0.5.3 computes with an operating point for each of the scores. It does not run
    # with NumPy 2.4 or pandas 3. With NumPy 1.26 and pandas 2.2, 100 larger cases drawn at random
    # were equal to 16 digits.
    score = psds(
        TRUTH,
        FOUND,
        durations=[20, 25],
        dtc_threshold=dtc,
        gtc_threshold=gtc,
        cttc_threshold=cttc,
        alpha_ct=alpha_ct,
        alpha_st=alpha_st,
        max_efpr=max_efpr,
    )
    assert score == pytest.approx(expected, rel=1e-12)


# A recording of 16 s: what is written out below looks at each second.
second = st.integers(0, 15)
rows = st.lists(st.tuples(second, st.integers(1, 6), st.sampled_from("abc")), max_size=5)
scores = st.lists(st.integers(1, 4), min_size=5, max_size=5)


@settings(max_examples=60)
@given(st.lists(st.tuples(rows, rows, scores), min_size=1, max_size=3), st.sampled_from([0, 1.0]))
def test_equals_the_definition_written_out(videos, alpha):
    """Sets of seconds, and each threshold by itself."""
    videos = [*videos, ([(1, 3, "a"), (2, 4, "b")], [(1, 3, "a")], [2] * 5)]
    y_true = [[(s, min(s + n, 16), label) for s, n, label in true] for true, _, _ in videos]
    y_pred = [
        [(s, min(s + n, 16), label, k) for (s, n, label), k in zip(found, ks, strict=False)]
        for _, found, ks in videos
    ]
    hours, max_efpr = 16 * len(videos) / 3600, 500
    classes = sorted({label for true in y_true for _, _, label in true})

    def seconds(video, label):
        return {k for s, e, other, *_ in video if other == label for k in range(s, e)}

    event_hours = {c: sum(len(seconds(true, c)) for true in y_true) / 3600 for c in classes}
    curves = {}
    for c in classes:
        curves[c] = [(0.0, 0.0)]
        for threshold in (4, 3, 2, 1):
            n_found, rate = 0, 0.0
            for true, found in zip(y_true, y_pred, strict=True):
                tolerated = set()
                for start, end, label, score in found:
                    if label != c or score < threshold:
                        continue
                    covered = {k: len(seconds(true, k) & {*range(start, end)}) for k in classes}
                    if covered[c] >= 0.5 * (end - start):
                        tolerated |= {*range(start, end)}
                        continue
                    rate += 1 / hours
                    for k in {*classes} - {c}:
                        if covered[k] >= 0.3 * (end - start):
                            rate += alpha / (len(classes) - 1) / event_hours[k]
                n_found += sum(
                    len(tolerated & {*range(s, e)}) >= 0.5 * (e - s)
                    for s, e, label in true
                    if label == c
                )
            n_true = sum(label == c for true in y_true for _, _, label in true)
            curves[c].append((rate, n_found / n_true))
    edges = sorted({0.0, max_efpr} | {rate for curve in curves.values() for rate, _ in curve})
    area = 0.0
    for left, right in zip(edges, edges[1:], strict=False):
        if right <= max_efpr:
            reached = [max(r for e, r in curves[c] if e <= left) for c in classes]
            area += (right - left) * max(np.mean(reached) - alpha * np.std(reached), 0)
    ours = psds(
        y_true,
        y_pred,
        durations=[16] * len(videos),
        alpha_ct=alpha,
        alpha_st=alpha,
        max_efpr=max_efpr,
    )
    assert ours == pytest.approx(area / max_efpr, abs=1e-9)


def test_names_in_any_order():
    named = {"x": TRUTH[0], "y": TRUTH[1]}
    found = {"y": FOUND[1], "x": FOUND[0]}
    expected = psds(TRUTH, FOUND, durations=[20, 300])
    assert psds(named, found, durations={"y": 300, "x": 20}) == expected
    with pytest.raises(TypeError, match="y_true goes by the names of videos, but durations do not"):
        psds(named, found, durations=[20, 300])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dtc_threshold": 0}, r"dtc_threshold is 0; it must be a number in \(0, 1\]"),
        ({"gtc_threshold": 1.1}, r"gtc_threshold is 1.1; it must be a number in \(0, 1\]"),
        ({"cttc_threshold": None}, r"cttc_threshold is None; it must be a number in \(0, 1\]"),
        ({"alpha_ct": 2}, r"alpha_ct is 2; it must be a number in \[0, 1\]"),
        ({"alpha_st": -1}, "alpha_st is -1; it must be a number, 0 or more"),
        ({"max_efpr": 0}, "max_efpr is 0; it must be a positive number per hour"),
        ({"max_efpr": math.inf}, "max_efpr is inf; it must be a positive number per hour"),
        ({"durations": [1, 2]}, r"durations has shape \(2,\)"),
        ({"durations": [0]}, r"durations\[0\] is 0.0"),
    ],
)
def test_bad_parameters(settings, match):
    with pytest.raises(ValueError, match=match):
        psds(
            [[(0, 1, "bark")]],
            [detections((0, 1, "bark", 0.9))],
            **{"durations": HOUR} | settings,
        )


@pytest.mark.parametrize(
    ("y_true", "y_pred", "match"),
    [
        ([[]], [detections()], "y_true has no interval in any video"),
        ([[(0, 1, 3)]], [detections((0, 1, "a", 0.1))], "both must be text or both numbers"),
    ],
)
def test_bad_input(y_true, y_pred, match):
    with pytest.raises(ValueError, match=match):
        psds(y_true, y_pred, durations=HOUR)
