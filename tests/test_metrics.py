import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skdgam.intervals import make_intervals, tiou
from skdgam.metrics import (
    average_precision,
    error_analysis,
    event_f1,
    label_agreement,
    mean_average_precision,
    precision_at_recall,
)


def detections(*rows):
    """Rows (start, end, label, score) as an interval array."""
    start, end, label, score = zip(*rows, strict=True) if rows else ([], [], [], [])
    return make_intervals(start, end, np.array(label, dtype="U4"), score)


def test_worked_example():
    # Three jumps in two videos. By score: hit (tIoU 1), miss, hit (tIoU 0.5), double of the first.
    # Recall 1/3 1/3 2/3 2/3, precision 1 1/2 2/3 1/2, monotone 1 2/3 2/3 1/2.
    y_true = [[(0, 4, "jump"), (10, 14, "jump")], [(0, 4, "jump")]]
    y_pred = [
        detections((0, 4, "jump", 0.9), (20, 21, "jump", 0.8), (0, 4, "jump", 0.1)),
        detections((0, 2, "jump", 0.7)),
    ]
    ap = average_precision(y_true, y_pred, [0.5, 0.6])
    np.testing.assert_allclose(ap, [[1 / 3 * 1 + 1 / 3 * 2 / 3, 1 / 3]])


def test_a_detection_takes_the_interval_that_it_overlaps_most():
    # The better detection overlaps both; it must leave the first interval to the other one.
    y_true = [[(0, 4, "jump"), (4, 10, "jump")]]
    y_pred = [detections((2, 10, "jump", 0.9), (0, 4, "jump", 0.8))]
    assert average_precision(y_true, y_pred, 0.25).item() == 1.0


def test_a_taken_interval_leaves_the_next_best():
    y_true = [[(0, 4, "jump"), (1, 6, "jump")]]
    y_pred = [detections((0, 4, "jump", 0.9), (0, 4, "jump", 0.8))]
    assert average_precision(y_true, y_pred, [0.4, 0.6]).tolist() == [[1.0, 0.5]]


def test_detections_in_another_video_are_false():
    y_true = [[(0, 4, "jump")], []]
    y_pred = [detections(), detections((0, 4, "jump", 1.0))]
    assert average_precision(y_true, y_pred, 0.1).item() == 0.0


def test_classes_without_ground_truth_or_detections():
    y_true = [[(0, 4, "jump"), (5, 6, "run")]]
    y_pred = [detections((0, 4, "jump", 1.0), (0, 4, "swim", 1.0))]
    ap = average_precision(y_true, y_pred, 0.5, classes=["jump", "run", "swim"])
    np.testing.assert_array_equal(ap, [[1.0], [0.0], [np.nan]])
    assert mean_average_precision(y_true, y_pred).tolist() == [0.5]


def test_integer_labels():
    y_pred = [make_intervals([0.0, 0.0], [4.0, 4.0], np.array([3, 7]), [1.0, 0.5])]
    assert mean_average_precision([[(0, 4, 7)]], y_pred).tolist() == [1.0]


def transparent_ap(y_true, y_pred, label, threshold):
    """Average precision as one would write it down."""
    ranked = sorted(
        (
            (d["score"], i, d)
            for i, video in enumerate(y_pred)
            for d in video
            if d["label"] == label
        ),
        key=lambda item: -item[0],
    )
    taken, hits = set(), []
    for _, i, d in ranked:
        candidates = [
            (tiou(np.array([d]), np.array([t]))[0, 0], k)
            for k, t in enumerate(y_true[i])
            if t["label"] == label and (i, k) not in taken
        ]
        best, k = max(candidates, default=(0.0, None))
        hits.append(best >= threshold)
        if hits[-1]:
            taken.add((i, k))
    n_true = sum((video["label"] == label).sum() for video in y_true)
    precision = [np.mean(hits[: k + 1]) for k in range(len(hits))]
    recall = [sum(hits[: k + 1]) / n_true for k in range(len(hits))]
    area, reached = 0.0, 0.0
    for k in range(len(hits)):
        area += (recall[k] - reached) * max(precision[k:])
        reached = recall[k]
    return area


@st.composite
def evaluations(draw):
    """Some videos, or one of many intervals; times and scores with or without equals."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_videos = draw(st.integers(1, 4))
    most, equals = (30 if n_videos == 1 else 9), draw(st.booleans())
    y_true, y_pred = [], []
    for _ in range(n_videos):
        for videos, n, scored in ((y_true, rng.integers(most), 0), (y_pred, rng.integers(most), 1)):
            start, length = rng.uniform(0, 20, n), rng.uniform(1, 10, n)
            score = rng.permutation(n) + rng.random()
            if equals:
                start, length, score = (np.ceil(x / 2) for x in (start, length, score))
            score = score if scored else None
            videos.append(make_intervals(start, start + length, rng.choice(["a", "b"], n), score))
    return y_true, y_pred


@given(evaluations(), st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_equals_the_transparent_computation(evaluation, threshold):
    y_true, y_pred = evaluation
    ap = average_precision(y_true, y_pred, threshold, classes=["a", "b"])
    for label, value in zip("ab", ap[:, 0], strict=True):
        if any((video["label"] == label).any() for video in y_true):
            assert value == pytest.approx(transparent_ap(y_true, y_pred, label, threshold))


@given(evaluations())
def test_thresholds_together_equal_thresholds_alone(evaluation):
    y_true, y_pred = evaluation
    thresholds = [0.5, 0.1, 0.7]
    together = average_precision(y_true, y_pred, thresholds)
    alone = [average_precision(y_true, y_pred, t)[:, 0] for t in thresholds]
    np.testing.assert_allclose(together, np.transpose(alone), atol=1e-12)


@given(evaluations(), st.randoms(use_true_random=False), st.floats(-50, 50))
def test_neither_the_order_of_videos_nor_the_time_of_day_matters(evaluation, random, shift):
    y_true, y_pred = evaluation
    scores = np.concatenate([video["score"] for video in y_pred])
    assume(sum(map(len, y_true)) and len(np.unique(scores)) == len(scores))
    order = random.sample(range(len(y_true)), len(y_true))
    later = [
        [
            make_intervals(v["start"] + shift, v["end"] + shift, v["label"], *score)
            for v in (videos[i] for i in order)
            for score in [[v["score"]] if "score" in v.dtype.names else []]
        ]
        for videos in (y_true, y_pred)
    ]
    # A threshold that no tIoU is within rounding of.
    expected = mean_average_precision(y_true, y_pred, 0.3141)
    assert mean_average_precision(*later, 0.3141) == pytest.approx(expected)


@given(evaluations())
def test_only_the_order_of_scores_matters(evaluation):
    y_true, y_pred = evaluation
    assume(sum(map(len, y_true)))
    other = [
        make_intervals(v["start"], v["end"], v["label"], np.expm1(v["score"] / 30)) for v in y_pred
    ]
    np.testing.assert_array_equal(
        mean_average_precision(y_true, y_pred, [0.1, 0.5]),
        mean_average_precision(y_true, other, [0.1, 0.5]),
    )


def test_the_threshold_is_a_half_unless_said_otherwise_and_1_at_most():
    y_true, y_pred = [[(0, 4, "jump")]], [detections((0, 2, "jump", 0.5))]
    assert average_precision(y_true, y_pred).tolist() == [[1.0]]
    assert precision_at_recall(y_true, y_pred).tolist() == [[[1.0] * 101]]
    assert mean_average_precision(y_true, y_pred, [0.5, 0.51, 1.0]).tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match=r"in \(0, 1\], but are 1.5"):
        average_precision(y_true, y_pred, 1.5)


def test_precision_at_recall_is_given_at_each_hundredth():
    y_true = [[(0, 4, "jump"), (10, 14, "jump")]]
    precision = precision_at_recall(y_true, [detections((0, 4, "jump", 0.5))])
    assert precision.tolist() == [[[1.0] * 51 + [0.0] * 50]]


def test_precision_at_recall_by_hand():
    # The worked example: recall 1/3 with precision 1, 2/3 with precision 2/3, and no more.
    y_true = [[(0, 4, "jump"), (10, 14, "jump")], [(0, 4, "jump")]]
    y_pred = [
        detections((0, 4, "jump", 0.9), (20, 21, "jump", 0.8), (0, 4, "jump", 0.1)),
        detections((0, 2, "jump", 0.7)),
    ]
    precision = precision_at_recall(y_true, y_pred, 0.5, recall=[0, 1 / 3, 0.34, 2 / 3, 0.67, 1])
    np.testing.assert_allclose(precision, [[[1, 1, 2 / 3, 2 / 3, 0, 0]]])


@given(evaluations(), st.sampled_from([0.1, 0.5]))
def test_average_precision_is_the_area_under_precision_at_recall(evaluation, threshold):
    y_true, y_pred = evaluation
    ap = average_precision(y_true, y_pred, threshold)[:, 0]
    for row, label in enumerate(np.unique([label for video in y_true for _, _, label in video])):
        n_true = sum(label == each for video in y_true for _, _, each in video)
        middles = (np.arange(n_true) + 0.5) / n_true  # of the steps that recall takes
        precision = precision_at_recall(y_true, y_pred, threshold, recall=middles)[row, 0]
        assert precision.mean() == pytest.approx(ap[row], abs=1e-9)


def test_precision_at_recall_without_detections():
    precision = precision_at_recall([[(0, 4, "jump")]], [detections()], [0.1, 0.5])
    assert precision.shape == (1, 2, 101)
    assert not precision.any()


def test_equals_the_evaluation_of_the_released_implementation(released, to_intervals):
    truth = released.ground_truth
    names = [f"v{i}" for i in range(10)]
    y_true = [to_intervals(truth[name]["annotations"]) for name in names]
    rows = [released[f"video{i}_detections"] for i in range(10)]
    y_pred = [
        make_intervals(
            r[:, 2], r[:, 3], np.array([f"c{c:.0f}" for c in r[:, 0]], dtype=str), r[:, 1]
        )
        for r in rows
    ]
    ours = mean_average_precision(y_true, y_pred, released["map_thresholds"])
    np.testing.assert_allclose(ours, released["map"], atol=1e-9)


def test_reproduces_the_published_figures_of_stpn(thumos14_test, shared_file, to_intervals):
    results = json.loads(shared_file("data/stpn_thumos14_detections.json").read_text())["results"]
    y_pred = [to_intervals(results.get(name, [])) for name in thumos14_test]
    y_pred = [p if len(p) else detections() for p in y_pred]
    ours = mean_average_precision([*thumos14_test.values()], y_pred, np.arange(1, 8) / 10)
    # The last is 4.988, also by the released evaluation code with a stable sort.
    np.testing.assert_allclose(100 * ours, [52.1, 44.2, 34.7, 26.1, 17.7, 10.1, 4.9], atol=0.09)
    assert np.round(100 * ours[:-1], 1).tolist() == [52.1, 44.2, 34.7, 26.1, 17.7, 10.1]


@pytest.mark.parametrize(
    ("y_true", "y_pred", "thresholds", "match"),
    [
        ([[(0, 1, "a")]], [], 0.5, "y_pred has 0 entries, but there are 1 videos"),
        (["a"], [detections()], 0.5, r"y_true\[0\] is 'a', but mAP needs the annotated intervals"),
        ([[(0, 1, "a")]], [[(0, 1, "a")]], 0.5, r"y_pred\[0\] is .* must be interval arrays"),
        ([[(0, 1, "a")]], [detections((0, 1, "a", np.nan))], 0.5, "score that is not finite"),
        (
            [[(0, 1, "a")]],
            [detections((1, 1, "a", 1.0))],
            0.5,
            r"y_pred\[0\]\[0\] is .* must end after it starts",
        ),
        ([[(0, 1, 3)]], [detections((0, 1, "a", 1.0))], 0.5, "both must be text or both numbers"),
        (
            [[(0, 1, "a")]],
            [detections()],
            0.0,
            r"one or more numbers in \(0, 1\], but are 0.0",
        ),
        ([[(0, 1, "a")]], [detections()], [], r"one or more numbers in \(0, 1\], but are \[\]"),
        ([], [], 0.5, "y_true is empty"),
        ([[]], [detections()], 0.5, "y_true has no interval in any video"),
    ],
)
def test_bad_input(y_true, y_pred, thresholds, match):
    with pytest.raises(ValueError, match=match):
        mean_average_precision(y_true, y_pred, thresholds)


def test_an_interval_without_length_is_missed():
    y_true = [[(0, 4, "jump"), (10, 10, "jump")]]
    y_pred = [detections((0, 4, "jump", 0.9), (9, 11, "jump", 0.8))]
    with pytest.warns(UserWarning, match="1 interval of y_true has no length"):
        assert mean_average_precision(y_true, y_pred, 0.1) == 0.5
    with pytest.warns(UserWarning, match="no length"):
        analysis = error_analysis(y_true, y_pred)
    assert analysis.errors[0].tolist() == ["", "background"]
    assert analysis.count["missed"] == 1


def as_objects(found, labels):
    """Detections as a structured array whose labels are Python objects."""
    dtype = [("start", "f8"), ("end", "f8"), ("label", "O"), ("score", "f8")]
    made = np.empty(len(found), dtype)
    for name in ("start", "end", "score"):
        made[name] = found[name]
    made["label"] = labels
    return made


def test_text_in_an_array_of_objects_is_text():
    found = as_objects(detections((0, 4, "jump", 0.9)), ["jump"])
    assert mean_average_precision([[(0, 4, "jump")]], [found]) == 1


@pytest.mark.parametrize("label", [None, b"1", np.nan, np.datetime64("2020")], ids=str)
def test_detections_whose_labels_are_none(label):
    found = as_objects(detections((0, 4, "jump", 0.9)), [label])
    with pytest.raises(ValueError, match=r"y_pred\[0\]: The labels are of type"):
        mean_average_precision([[(0, 4, 1)]], [found])


def test_integers_and_their_text_are_not_the_same():
    found = as_objects(detections((0, 4, "1", 0.9)), ["1"])
    with pytest.raises(ValueError, match="both must be text or both numbers"):
        mean_average_precision([[(0, 4, 1)]], [found])
    with pytest.raises(ValueError, match="but classes labels like 1; both must be"):
        average_precision([[(0, 4, "1")]], [found], classes=[1])


def test_integers_of_several_kinds_stay_integers():
    y_true = [[(0, 4, np.uint64(7))], [(0, 4, np.int8(7))]]
    y_pred = [make_intervals([0], [4], np.array([7], "u8"), [0.5])] * 2
    assert mean_average_precision(y_true, y_pred) == 1


# --- error_analysis ---

TWO = [(10, 14, "jump"), (20, 24, "jump")]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("duplicate", [(10, 14, "jump", 0.9), (10, 14, "jump", 0.5)]),
        ("class", [(10, 14, "run", 0.9)]),
        ("merged", [(11, 23, "jump", 0.9)]),
        ("split", [(10, 11, "jump", 0.9), (12, 13, "jump", 0.9)]),
        ("boundary", [(10, 11, "jump", 0.9)]),
        ("context", [(6, 10, "jump", 0.9)]),
        ("duplicate", [(10, 14, "jump", 0.9), (10, 12, "jump", 0.5)]),  # tIoU 0.5
        ("class", [(10, 12, "run", 0.9)]),  # tIoU 0.5
        ("merged", [(12, 22, "jump", 0.9)]),  # half of both
        ("boundary", [(12.5, 21.5, "jump", 0.9)]),  # less than half of both
        ("boundary", [(12, 17, "jump", 0.9)]),  # half of one
        ("split", [(12, 13, "jump", 0.9), (8, 12, "jump", 0.9)]),  # half of it is in there
        ("boundary", [(12, 13, "jump", 0.9), (7, 12, "jump", 0.9)]),  # less than half
        ("boundary", [(10, 11, "jump", 0.9), (20, 21, "jump", 0.9)]),  # in different ones
        ("boundary", [(14, 15, "jump", 0.9), (9, 10.5, "jump", 0.9)]),
        ("context", [(24, 28, "jump", 0.9)]),
        ("context", [(2, 10, "jump", 0.9)]),  # half of it is beside one
        ("background", [(2, 10.3, "jump", 0.9)]),  # less than half
        ("background", [(0, 4, "jump", 0.9)]),
        ("background", [(15, 19, "run", 0.9)]),
    ],
)
def test_kinds_of_errors(kind, rows):
    analysis = error_analysis([TWO], [detections(*rows)])
    assert analysis.errors[0][-1] == kind
    assert analysis.count[kind] == sum(analysis.errors[0] == kind)


def test_a_boundary_error_has_a_tiou_of_a_tenth_or_more():
    for end, kind in ((1.0, "boundary"), (0.9, "background")):
        analysis = error_analysis([[(0, 10, "jump")]], [detections((0, end, "jump", 0.9))])
        assert analysis.errors[0].tolist() == [kind]


def test_what_is_found_where_nothing_is_cannot_be_mended():
    y_true = [TWO, [(10, 14, "jump")], []]
    y_pred = [detections(), *[detections((0, 2, "jump", 0.9))] * 2]
    analysis = error_analysis(y_true, y_pred)
    assert [errors.tolist() for errors in analysis.errors] == [[], ["background"], ["background"]]
    assert not any(analysis.cost.values())


def test_of_equal_scores_the_first_decides():
    # 20 detections of one interval: the first one finds it, and the others double it.
    y_pred = [detections(*[(10, 14, "jump", 0.5)] * 20, (0, 1, "jump", 0.5))]
    analysis = error_analysis([TWO], y_pred)
    assert analysis.errors[0].tolist() == ["", *["duplicate"] * 19, "background"]
    last_first = [y_pred[0][::-1]]
    assert error_analysis([TWO], last_first).mean_ap < analysis.mean_ap == 0.5


def test_a_class_error_takes_the_longer_name():
    y_pred = [make_intervals([10, 20], [14, 24], np.array(["run", "run"]), [0.9, 0.8])]
    assert error_analysis([TWO], y_pred).cost["class"] == 1.0


def test_an_error_that_hides_an_interval_costs_it():
    # The first jump is found too late; mended, it is a hit: recall 1/2 at precision 1.
    analysis = error_analysis([TWO], [detections((13, 16, "jump", 0.9))])
    assert analysis.cost == pytest.approx(dict.fromkeys(analysis.cost, 0.0) | {"boundary": 0.5})
    assert analysis.count == dict.fromkeys(analysis.count, 0) | {"boundary": 1, "missed": 2}


def test_an_error_beside_a_hit_costs_precision():
    # Precision 0 1/2: without the false one, 1.
    rows = [(30, 34, "jump", 0.9), (10, 14, "jump", 0.8), (20, 24, "jump", 0.7)]
    analysis = error_analysis([TWO], [detections(*rows)])
    assert analysis.mean_ap == pytest.approx(2 / 3)
    assert analysis.cost["background"] == pytest.approx(1 / 3)
    assert analysis.count["missed"] == 0


def test_a_missed_interval_costs_recall():
    analysis = error_analysis([TWO], [detections((10, 14, "jump", 0.8))])
    assert analysis.mean_ap == analysis.cost["missed"] == 0.5


def test_a_wrong_class_is_mended_to_the_right_one():
    y_true = [[(0, 4, "jump"), (10, 14, "run")]]
    analysis = error_analysis(y_true, [detections((0, 4, "run", 0.9), (10, 14, "run", 0.8))])
    assert analysis.mean_ap == 0.25
    assert analysis.cost["class"] == 0.75


def test_one_error_about_an_interval_is_mended():
    rows = [(10, 11, "jump", 0.9), (12, 13, "jump", 0.8), (20, 24, "jump", 0.7)]
    analysis = error_analysis([TWO], [detections(*rows)])
    assert analysis.mean_ap == pytest.approx(1 / 6)
    assert analysis.cost["split"] == pytest.approx(1 - 1 / 6)


def test_errors_without_detections():
    analysis = error_analysis([TWO, []], [detections(), detections()])
    assert analysis.mean_ap == 0
    assert analysis.count["missed"] == 2
    assert [len(errors) for errors in analysis.errors] == [0, 0]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.3, 0.5]))
def test_mending_never_hurts_and_hits_are_those_of_average_precision(seed, threshold):
    rng = np.random.default_rng(seed)

    def some(n):
        start = rng.integers(0, 12, n)
        label = rng.choice(["jump", "run", "swim"], n)
        return make_intervals(start, start + rng.integers(1, 6, n), label, rng.random(n))

    y_true, y_pred = [some(rng.integers(1, 5)) for _ in range(3)], [some(6) for _ in range(3)]
    analysis = error_analysis(y_true, y_pred, threshold)
    assert analysis.mean_ap == mean_average_precision(y_true, y_pred, threshold)
    assert min(analysis.cost.values()) > -1e-12
    alone = [found[errors == ""] for found, errors in zip(y_pred, analysis.errors, strict=True)]
    n_true = sum(map(len, y_true))
    assert n_true - sum(map(len, alone)) == analysis.count["missed"]
    classes = np.unique(np.concatenate(y_true)["label"])
    recall = average_precision(y_true, alone, threshold, classes=classes)
    share = [
        np.mean([np.sum(v["label"] == c) for v in alone])
        / np.mean([np.sum(v["label"] == c) for v in y_true])
        for c in classes
    ]
    np.testing.assert_allclose(recall[:, 0], share)


# --- label_agreement ---


def test_agreement_with_labels_by_hand():
    y = [["jump"], ["jump", "run"], ["run"], []]
    y_pred = [
        detections((0, 1, "jump", 0.9), (3, 4, "jump", 0.1)),
        detections((0, 1, "jump", 0.4), (0, 1, "run", 0.6), (0, 1, "swim", 0.5)),
        detections((0, 1, "jump", 0.3)),
        detections(),
    ]
    found = label_agreement(y, y_pred)
    # jump: 0.9 and 0.4 before 0.3. run: 0.6, and then the other one among three without any.
    assert found.average_precision == pytest.approx((1 + (1 + 2 / 4) / 2) / 2)
    # From 0.4 on there are three of four labels, and swim, which is no label of this video.
    assert (found.threshold, found.precision, found.recall, found.f1) == (0.4, 0.75, 0.75, 0.75)


def test_of_equal_thresholds_the_one_that_keeps_most():
    y_pred = [detections((0, 1, "a", 0.8)), detections((0, 1, "a", 0.3))]
    found = label_agreement([["a"], ["a"]], y_pred)
    assert (found.threshold, found.f1) == (0.3, 1.0)


def test_detections_of_one_score_are_kept_together():
    y_pred = [detections((0, 1, "a", 0.5)), detections((0, 1, "a", 0.5))]
    found = label_agreement([["a"], []], y_pred)
    assert (found.threshold, found.precision, found.recall) == (0.5, 0.5, 1.0)


def test_agreement_of_no_detection():
    found = label_agreement([["a"], []], [detections(), detections()])
    assert (found.threshold, found.f1, found.average_precision) == (np.inf, 0.0, 0.0)


def test_labels_and_detections_are_of_one_kind():
    with pytest.raises(ValueError, match="both must be text or both numbers"):
        label_agreement([[1]], [detections((0, 1, "1", 0.5))])


def test_scores_that_are_all_negative_are_detections_too():
    y_pred = [detections((0, 1, "a", -3.0)), detections()]
    assert label_agreement([["a"], []], y_pred).threshold == -3.0


# --- classes that are spelled in two ways ---


@pytest.mark.parametrize("measure", [average_precision, error_analysis, event_f1])
def test_classes_that_are_spelled_in_two_ways_are_told_once(measure):
    y_true = [[(0, 4, "Long jump"), (6, 8, "run")]]
    y_pred = [make_intervals([0, 6], [4, 8], ["long_jump", "run"], [0.9, 0.8])]
    told = "'Long jump' and 'long_jump' are two classes; .* the first alone, y_pred the second"
    with pytest.warns(UserWarning, match=told) as caught:
        measure(y_true, y_pred)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("true", "found"),
    [
        (["run"], ["run", "jump"]),  # a fold may lack a class
        (["run"], ["jump"]),
        (["Run", "run"], ["run"]),  # which has been told in fit
        (["walk.up"], ["walk.down"]),
        (["+"], ["-"]),
        ([1, 2], [2, -1]),
    ],
)
def test_classes_on_one_side_alone_are_usual(true, found):
    y_true = [[(k, k + 1, label) for k, label in enumerate(true)]]
    y_pred = [make_intervals([*range(len(found))], [*range(1, 1 + len(found))], found, 0.5)]
    average_precision(y_true, y_pred)


def test_many_intervals_without_a_common_class_are_told():
    y_true = [[(k, k + 1, "run") for k in range(20)]]
    y_pred = [make_intervals(np.arange(20), np.arange(1, 21), "class 3", np.ones(20))]
    with pytest.warns(
        UserWarning, match=r"No class of y_pred \('class 3'\) is in y_true \('run'\)"
    ):
        assert average_precision(y_true, y_pred) == 0
    average_precision([y_true[0][:19]], y_pred)
