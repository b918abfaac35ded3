import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdgam.intervals import make_intervals
from skdgam.metrics import event_f1, segment_f1


def detections(*rows):
    """Rows (start, end, label, score) as an interval array."""
    start, end, label, score = zip(*rows, strict=True) if rows else ([], [], [], [])
    return make_intervals(start, end, np.array(label, dtype="U4"), score)


def test_events_by_hand():
    # Found: the first bark and the ring, whose end may differ by 0.2 * 10 s. False: the late bark,
    # the bark in the other recording and the hum, which no recording has.
    y_true = [[(1, 2, "bark"), (5, 6, "bark"), (20, 30, "ring")], []]
    y_pred = [
        detections((1.1, 2.1, "bark", 0.9), (5.3, 6, "bark", 0.9), (20, 28, "ring", 0.5)),
        detections((1, 2, "bark", 0.9), (3, 4, "hum", 0.9), (7, 8, "bark", 0.4)),
    ]
    scores = event_f1(y_true, y_pred)
    assert (scores.precision, scores.recall) == (2 / 5, 2 / 3)
    assert scores.f1 == 4 / 8
    assert scores.class_f1 == {"bark": 2 / 5, "ring": 1.0}
    assert scores.macro_f1 == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("start", "end", "is_found"),
    [
        (10.25, 18.0, True),
        (9.75, 18.0, True),
        (10.26, 18.0, False),
        (9.74, 18.0, False),
        (10.0, 22.0, True),  # a half of 8 s
        (10.0, 14.0, True),
        (10.0, 22.1, False),
        (10.0, 13.9, False),
    ],
)
def test_what_is_within_the_collars(start, end, is_found):
    y_true, y_pred = [[(10, 18, "bark")]], [detections((start, end, "bark", 0.9))]
    assert event_f1(y_true, y_pred, onset_collar=0.25, offset_share=0.5).f1 == is_found


def test_the_end_may_differ_by_the_larger_collar():
    y_true, y_pred = [[(0, 4, "bark")]], [detections((0, 5, "bark", 0.9))]
    assert event_f1(y_true, y_pred, offset_collar=1.0, offset_share=0.0).f1 == 1
    assert event_f1(y_true, y_pred, offset_collar=0.0, offset_share=0.25).f1 == 1
    assert event_f1(y_true, y_pred, offset_collar=0.9, offset_share=0.2).f1 == 0
    assert event_f1(y_true, y_pred, offset_collar=None).f1 == 1


def test_the_share_is_that_of_the_true_event():
    y_true, y_pred = [[(0, 4, "bark")]], [detections((0, 5, "bark", 0.9))]
    assert event_f1(y_true, y_pred, offset_share=0.2).f1 == 0
    swapped = [[(0, 5, "bark")]], [detections((0, 4, "bark", 0.9))]
    assert event_f1(*swapped, offset_share=0.2).f1 == 1


def test_as_many_as_possible_are_matched():
    # The first event is near both detections; if it took the first one, the second would be lost.
    y_true = [[(1.0, 2, "bark"), (1.3, 2, "bark")]]
    y_pred = [detections((1.1, 2, "bark", 0.9), (0.9, 2, "bark", 0.8))]
    assert event_f1(y_true, y_pred, onset_collar=0.25).f1 == 1
    assert event_f1(y_true, [y_pred[0][::-1]], onset_collar=0.25).f1 == 1


def test_an_event_is_found_once():
    y_pred = [detections((1, 2, "bark", 0.9), (1, 2, "bark", 0.8))]
    scores = event_f1([[(1, 2, "bark")]], y_pred)
    assert (scores.precision, scores.recall) == (0.5, 1)


def test_segments_by_hand():
    # Bark: true in 0, 1, 5; found in 1, 2, 5, twice so. Ring: true in 3, never found. Hum: found
    # in 0 of the other recording.
    y_true = [[(0.5, 2, "bark"), (5.1, 5.2, "bark"), (3, 4, "ring")], []]
    y_pred = [
        detections((1.9, 3, "bark", 0.9), (2, 2.5, "bark", 0.9), (5, 6, "bark", 0.5)),
        detections((0, 1, "hum", 0.9), (3, 4, "ring", 0.4)),
    ]
    scores = segment_f1(y_true, y_pred)
    assert (scores.precision, scores.recall) == (2 / 4, 2 / 4)
    assert scores.class_f1 == {"bark": 2 / 3, "ring": 0.0}
    assert (scores.f1, scores.macro_f1) == (0.5, 1 / 3)
    assert segment_f1(y_true, y_pred, resolution=10.0).class_f1 == {"bark": 1.0, "ring": 0.0}


def test_segments_past_the_end_do_not_count():
    y_true, y_pred = [[(0, 1, "bark")]], [detections((0, 9, "bark", 0.9))]
    assert segment_f1(y_true, y_pred).precision == 1 / 9
    assert segment_f1(y_true, y_pred, durations=[2.5]).precision == 1 / 3
    late = [[(0, 1, "bark"), (5, 6, "ring")]]
    assert segment_f1(late, y_pred, durations=[2.5]).class_f1 == {"bark": 0.5}
    with pytest.raises(ValueError, match="No interval of y_true .* starts before its video ends"):
        segment_f1([[(5, 6, "ring")]], y_pred, durations=[2.5])


def test_small_segments_are_frames():
    y_true, y_pred = [[(0, 4, "bark")]], [detections((1, 6, "bark", 0.9))]
    scores = segment_f1(y_true, y_pred, resolution=2**-20)
    assert (scores.precision, scores.recall) == (3 / 5, 3 / 4)


@pytest.mark.parametrize("f1", [event_f1, segment_f1])
def test_without_detections(f1):
    scores = f1([[(0, 4, 7)]], [detections()])
    assert (scores.f1, scores.precision, scores.recall, scores.macro_f1) == (0, 0, 0, 0)
    assert scores.class_f1 == {7: 0.0}


@pytest.mark.parametrize("f1", [event_f1, segment_f1])
def test_the_threshold_is_reached_by_what_equals_it(f1):
    y_true, y_pred = [[(0, 4, "bark")]], [detections((0, 4, "bark", 0.5))]
    assert f1(y_true, y_pred).f1 == 1
    assert f1(y_true, y_pred, threshold=0.51).f1 == 0
    assert f1(y_true, [detections((0, 4, "bark", -3))], threshold=-math.inf).f1 == 1


@pytest.mark.filterwarnings("ignore:.*no length")
def test_intervals_without_length():
    y_true = [[(0, 1, "bark"), (5.5, 5.5, "bark")]]
    y_pred = [detections((0, 1, "bark", 0.9), (5.5, 5.6, "bark", 0.9))]
    assert event_f1(y_true, y_pred).recall == 0.5
    assert segment_f1(y_true, y_pred).recall == 1
    with pytest.raises(ValueError, match="No interval of y_true has a length"):
        segment_f1([[(5.5, 5.5, "bark")]], y_pred)


# Times are eighths of a second, which float64 holds, and adds, exactly.
times = st.integers(0, 80).map(lambda k: k / 8)
lengths = st.integers(1, 40).map(lambda k: k / 8)
recording = st.lists(st.tuples(times, lengths, st.sampled_from("ab")), max_size=8)


def as_intervals(rows, scored):
    start, length, label = np.array(rows, dtype=object).reshape(-1, 3).T
    start, length = start.astype(float), length.astype(float)
    score = np.ones(len(rows)) if scored else None
    return make_intervals(start, start + length, label.astype("U1"), score)


@st.composite
def evaluations(draw):
    """Videos and detections of which each has one or more."""
    pairs = draw(st.lists(st.tuples(recording, recording), min_size=1, max_size=3))
    pairs.append(([(1.0, 2.0, "a")], [(1.0, 4.0, "a")]))
    return tuple([as_intervals(p[k], scored=k) for p in pairs] for k in (0, 1))


def swap(y_true, y_pred):
    """Detections as truth, and truth as detections."""
    fields = ["start", "end", "label"]
    scored = [make_intervals(*(t[name] for name in fields), np.ones(len(t))) for t in y_true]
    return [make_intervals(*(p[name] for name in fields)) for p in y_pred], scored


@pytest.mark.parametrize("f1", [event_f1, segment_f1])
@given(evaluations())
def test_perfect_detections(f1, evaluation):
    _, found = swap(*evaluation)
    scores = f1(evaluation[0], found)
    assert scores.f1 == scores.precision == scores.recall == scores.macro_f1 == 1
    assert set(scores.class_f1.values()) == {1}


@given(evaluations(), st.integers(-100, 100))
def test_only_differences_of_times_matter_to_events(evaluation, shift):
    y_true, y_pred = evaluation
    later = [[video.copy() for video in videos] for videos in evaluation]
    for video in sum(later, []):
        video["start"] += shift
        video["end"] += shift
    assert event_f1(*later, onset_collar=0.5) == event_f1(y_true, y_pred, onset_collar=0.5)
    assert segment_f1(*later, resolution=0.5) == segment_f1(y_true, y_pred, resolution=0.5)


@given(evaluations())
def test_precision_is_recall_the_other_way_round(evaluation):
    swapped = swap(*evaluation)
    for f1, settings in ((event_f1, {"offset_share": 0, "onset_collar": 0.5}), (segment_f1, {})):
        ours, theirs = f1(*evaluation, **settings), f1(*swapped, **settings)
        assert (ours.precision, ours.recall) == (theirs.recall, theirs.precision)
        assert ours.f1 == theirs.f1


@given(evaluations(), st.sampled_from([0.5, 1.0, 3.0]))
def test_segments_equal_those_written_out(evaluation, resolution):
    n_true = n_found = n_both = 0
    for videos in zip(*evaluation, strict=True):
        true, found = (
            {
                (label, k)
                for start, end, label in video[["start", "end", "label"]].tolist()
                for k in range(100)
                if start < (k + 1) * resolution and end > k * resolution
            }
            for video in videos
        )
        n_true += len(true)
        n_found += len(found)
        n_both += len(true & found)
    scores = segment_f1(*evaluation, resolution=resolution)
    assert (scores.precision, scores.recall) == (n_both / n_found, n_both / n_true)


crowded = st.lists(st.tuples(st.integers(0, 8), st.just(8), st.just("a")), min_size=1, max_size=5)


@given(crowded, crowded)
def test_no_other_matching_finds_more_events(true, found):
    near = np.abs(np.subtract.outer([t[0] for t in true], [f[0] for f in found])) <= 1
    near = near if len(true) <= len(found) else near.T
    rows = np.arange(len(near))
    most = max(
        near[rows, list(order)].sum() for order in permutations(range(near.shape[1]), len(near))
    )
    y_true, y_pred = [as_intervals(true, False)], [as_intervals(found, True)]
    scores = event_f1(y_true, y_pred, onset_collar=1, offset_collar=None)
    assert scores.recall == most / len(true)


BARK = [[(0, 1, "bark")]]


@pytest.mark.parametrize(
    ("f1", "settings", "match"),
    [
        (event_f1, {"onset_collar": -0.1}, "onset_collar is -0.1; it must be a number of seconds"),
        (event_f1, {"onset_collar": None}, "onset_collar is None; it must be a number of seconds"),
        (event_f1, {"offset_collar": math.nan}, "offset_collar is nan; .* 0 or more, or None"),
        (event_f1, {"offset_share": 1.1}, r"offset_share is 1.1; it must be a number in \[0, 1\]"),
        (event_f1, {"threshold": math.nan}, "threshold is nan; it must be a number"),
        (segment_f1, {"threshold": "high"}, "threshold is 'high'; it must be a number"),
        (segment_f1, {"resolution": 0}, "resolution is 0; it must be a positive number of seconds"),
        (segment_f1, {"resolution": math.inf}, "resolution is inf; it must be a positive number"),
        (segment_f1, {"durations": [1, 2]}, r"durations has shape \(2,\)"),
    ],
)
def test_bad_parameters(f1, settings, match):
    with pytest.raises(ValueError, match=match):
        f1(BARK, [detections((0, 1, "bark", 0.9))], **settings)


@pytest.mark.parametrize("f1", [event_f1, segment_f1])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "match"),
    [
        ([], [], "y_true has no interval in any video"),
        ([[]], [detections()], "y_true has no interval in any video"),
        (BARK, [], "y_pred has 0 entries, but there are 1 videos"),
        (["bark"], [detections()], r"y_true\[0\] is 'bark'"),
        ([[(0, 1, 3)]], [detections((0, 1, "a", 0.1))], "both must be text or both numbers"),
    ],
)
def test_bad_input(f1, y_true, y_pred, match):
    with pytest.raises(ValueError, match=match):
        f1(y_true, y_pred)


def random_evaluation(rng):
    """Detections that lie near events, of the same class or not, and some anywhere."""
    y_true, y_pred = [], []
    for _ in range(3):
        start, length = rng.uniform(0, 20, 9), rng.uniform(0.5, 6, 9)
        label = rng.choice(["a", "b", "c"], 9)
        y_true.append(make_intervals(start, start + length, label))
        near = rng.integers(0, 9, 8)
        start = np.append(start[near] + rng.normal(0, 0.15, 8), rng.uniform(0, 20, 3)).clip(0)
        length = np.append(length[near] + rng.normal(0, 0.4, 8), rng.uniform(1, 4, 3)).clip(0.1)
        label = np.append(label[near], rng.choice(["a", "c", "d"], 3))
        y_pred.append(make_intervals(start, start + length, label, rng.random(11)))
    return y_true, y_pred


@pytest.mark.parametrize("seed", range(5))
def test_equals_sed_eval(seed):
    sed_eval = pytest.importorskip("sed_eval")

    def check(scores, metrics, *, with_duration=()):
        metrics.empty_system_output_handling = "zero_score"
        for true, found in zip(y_true, y_pred, strict=True):
            found = found[found["score"] >= 0.5]
            as_dicts = [
                [
                    {"event_onset": start, "event_offset": end, "event_label": label}
                    for start, end, label in video[["start", "end", "label"]].tolist()
                ]
                for video in (true, found)
            ]
            metrics.evaluate(*as_dicts, *with_duration)
        expected = metrics.overall_f_measure()
        assert scores.f1 == pytest.approx(expected["f_measure"])
        assert scores.precision == pytest.approx(expected["precision"])
        assert scores.recall == pytest.approx(expected["recall"])
        average = metrics.results_class_wise_average_metrics()["f_measure"]
        assert scores.macro_f1 == pytest.approx(average["f_measure"])
        for label, f1 in scores.class_f1.items():
            assert f1 == pytest.approx(metrics.class_wise_f_measure(label)["f_measure"])

    y_true, y_pred = random_evaluation(np.random.default_rng(seed))
    classes = ["a", "b", "c", "d"]
    for collar, share in ((0.2, 0.2), (0.4, 0.0)):
        settings = {"t_collar": collar, "percentage_of_length": share}
        for offset_collar in (collar, None):
            scores = event_f1(
                y_true,
                y_pred,
                onset_collar=collar,
                offset_collar=offset_collar,
                offset_share=share,
            )
            settings["evaluate_offset"] = offset_collar is not None
            check(scores, sed_eval.sound_event.EventBasedMetrics(classes, **settings))
    for resolution in (1.0, 0.1):
        metrics = sed_eval.sound_event.SegmentBasedMetrics(classes, resolution)
        check(segment_f1(y_true, y_pred, resolution=resolution), metrics)
        metrics = sed_eval.sound_event.SegmentBasedMetrics(classes, resolution)
        scores = segment_f1(y_true, y_pred, resolution=resolution, durations=[12.3] * 3)
        check(scores, metrics, with_duration=(12.3,))
