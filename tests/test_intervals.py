import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from skdgam.intervals import (
    make_intervals,
    non_maximum_suppression,
    runs,
    soft_non_maximum_suppression,
    tiou,
)


@st.composite
def interval_arrays(draw, scores=False):
    starts = draw(st.lists(st.integers(-20, 20), max_size=12))
    n = len(starts)
    lengths = draw(st.lists(st.sampled_from([0.25, 1, 3, 10]), min_size=n, max_size=n))
    labels = draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    score = draw(st.permutations(range(n))) if scores else None
    return make_intervals(starts, np.add(starts, lengths), np.array(labels, dtype="U1"), score)


@pytest.mark.parametrize("given", [["jump", "run"], [3, 4], [True, False]])
def test_labels_that_are_objects_are_what_they_hold(given):
    label = make_intervals([0, 1], [1, 2], np.array(given, dtype=object))["label"]
    assert label.dtype == np.array(given).dtype
    assert label.tolist() == given


def test_labels_of_pandas_are_text():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(["jump", "run"])
    for labels in (series, series.astype("string"), series.astype("category")):
        assert make_intervals([0, 1], [1, 2], labels)["label"].tolist() == ["jump", "run"]


@pytest.mark.parametrize(
    "label",
    [[None, "a"], ["a", 1], [0.5], [np.nan], [1j], [b"a"], [np.datetime64("2020")]],
    ids=str,
)
def test_what_is_no_label(label):
    with pytest.raises(ValueError, match="all text or all whole numbers, and none may be missing"):
        make_intervals([0] * len(label), [1] * len(label), np.array(label, dtype=object))


@pytest.mark.parametrize("dtype", ["c16", "m8[s]", "M8[s]", "S1"])
def test_dtypes_that_are_none_of_labels(dtype):
    with pytest.raises(ValueError, match="The labels are of type"):
        make_intervals([0], [1], np.zeros(1, dtype))


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (([0, 1], [2], "a"), r"end has shape \(1,\), but start has \(2,\)"),
        (([0, 1], [2, 3], ["a"]), r"label has shape \(1,\)"),
        (([0, 1], [2, 3], "a", [0.5]), r"score has shape \(1,\)"),
        (([0, 5], [2, 3], "a"), r"Interval 1 is \(5.0, 3.0, 'a'\); it needs finite times"),
        (([0], [np.nan], "a"), "finite"),
        (([0], [None], "a"), "finite"),
        ((["0"], [1], "a"), "start has '0'; times are numbers of seconds, with a decimal point"),
        ((np.zeros(1, "m8[s]"), [1], "a"), "start has .* numbers of seconds"),
        (([0, 1], [2, 3], ["a", 1]), "The labels are of type int, str"),
        (([0], [2], "a", ["high"]), "score has 'high'"),
        (([0], [2], [" "]), "A label is empty"),
    ],
)
def test_columns_that_are_no_intervals(columns, match):
    with pytest.raises(ValueError, match=match):
        make_intervals(*columns)


def test_make_intervals_keeps_the_dtype_of_labels():
    assert make_intervals([0], [1], np.array([7]))["label"].dtype == np.array([7]).dtype
    assert make_intervals([0], [1], "run", [0.5]).dtype.names == ("start", "end", "label", "score")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 4), (0, 4), 1.0),
        ((0, 4), (4, 8), 0.0),  # half open: they touch, they do not overlap
        ((0, 4), (2, 6), 2 / 6),
        ((0, 4), (1, 2), 1 / 4),
        ((0, 4), (5, 6), 0.0),
    ],
)
def test_tiou_by_hand(a, b, expected):
    overlap = tiou(make_intervals([a[0]], [a[1]], "x"), make_intervals([b[0]], [b[1]], "y"))
    assert overlap == pytest.approx(np.array([[expected]]))


@given(interval_arrays(), interval_arrays())
def test_tiou_is_symmetric_and_a_share(a, b):
    overlap = tiou(a, b)
    assert overlap.shape == (len(a), len(b))
    np.testing.assert_array_equal(overlap, tiou(b, a).T)
    assert ((overlap >= 0) & (overlap <= 1)).all()


def test_equal_scores_keep_their_order():
    found = make_intervals(range(50), range(1, 51), "jump", [0.5, 0.7] * 25)
    kept = non_maximum_suppression(found, 0.5)
    assert kept["start"].tolist() == [*range(1, 50, 2), *range(0, 50, 2)]


@pytest.mark.parametrize("labels", ["aaaabb", "bbbbaa"])
def test_labels_are_suppressed_apart(labels):
    #  a                              |--||--||--||-|
    #  b  |------|
    #     |-----|                     tIoU 0.9: goes, wherever the other label is
    start, end = [10, 11, 12, 13.5, -1, -1], [11, 12, 13, 14, 9, 8]
    found = make_intervals(start, end, list(labels), [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert non_maximum_suppression(found, 0.5)["score"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]


@given(interval_arrays(), st.floats(-100, 100))
def test_tiou_does_not_change_with_the_time_of_day(a, shift):
    later = make_intervals(a["start"] + shift, a["end"] + shift, a["label"])
    np.testing.assert_allclose(tiou(later, later), tiou(a, a), atol=1e-9)


@given(interval_arrays(), interval_arrays(), st.sampled_from([0.125, 4.0, 1024.0]))
def test_tiou_does_not_depend_on_the_unit_of_time(a, b, unit):
    scaled = [make_intervals(unit * x["start"], unit * x["end"], x["label"]) for x in (a, b)]
    np.testing.assert_array_equal(tiou(*scaled), tiou(a, b))


def test_suppression_by_hand():
    # score        0.9   |----------|            kept
    #              0.8     |----------|          tIoU 8/12 with the first: goes
    #              0.7           |----------|    tIoU 4/16 with the first: stays, the 0.8 is gone
    found = make_intervals([6, 0, 2], [16, 10, 12], "jump", [0.7, 0.9, 0.8])
    kept = non_maximum_suppression(found, 0.5)
    assert kept["score"].tolist() == [0.9, 0.7]


def test_suppression_spares_other_labels_and_the_threshold_itself():
    found = make_intervals([0, 0], [4, 4], ["jump", "run"], [0.9, 0.8])
    assert len(non_maximum_suppression(found, 0.5)) == 2
    halves = make_intervals([0, 0], [4, 2], "jump", [0.9, 0.8])  # tIoU exactly 0.5
    assert len(non_maximum_suppression(halves, 0.5)) == 2
    assert len(non_maximum_suppression(halves, 0.49)) == 1


def suppression_in_one_loop(detections, threshold):
    left = sorted(detections, key=lambda d: -d["score"])
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        others = np.array(left, dtype=detections.dtype)
        overlap = tiou(np.array([best]), others)[0]
        left = [
            other
            for other, much in zip(others, overlap > threshold, strict=True)
            if not (much and other["label"] == best["label"])
        ]
    return kept


@given(interval_arrays(scores=True), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_suppression_equals_the_textbook(detections, threshold):
    expected = suppression_in_one_loop(detections, threshold)
    assert non_maximum_suppression(detections, threshold).tolist() == [d.item() for d in expected]


def test_suppression_of_very_many_detections_needs_little_memory():
    # All pairs of these would be 80 GB.
    start = np.arange(100_000.0)
    found = make_intervals(start, start + 0.9, np.resize(["a", "b"], len(start)), start)
    assert len(non_maximum_suppression(found, 0.5)) == len(found)


def test_intervals_of_no_length_overlap_nothing():
    points = make_intervals([1, 5], [1, 5], "x")
    assert tiou(points, make_intervals([0, 1], [4, 1], "x")).tolist() == [[0, 0], [0, 0]]


# --- soft suppression ---


def test_soft_suppression_by_hand():
    # score        0.9   |----------|            taken first
    #              0.8     |----------|          tIoU 8/12 with it
    #              0.7           |----------|    tIoU 4/16 with it, and 6/14 with the 0.8
    found = make_intervals([6, 0, 2], [16, 10, 12], "jump", [0.7, 0.9, 0.8])
    first = {2: 0.8 * np.exp(-((8 / 12) ** 2) / 0.5), 6: 0.7 * np.exp(-((4 / 16) ** 2) / 0.5)}
    assert first[6] > first[2]  # so that the last one is taken second
    first[2] *= np.exp(-((6 / 14) ** 2) / 0.5)
    rescored = soft_non_maximum_suppression(found, 0.5)
    assert rescored["start"].tolist() == [0, 6, 2]
    np.testing.assert_allclose(rescored["score"], [0.9, first[6], first[2]])


def test_linear_suppression_by_hand():
    found = make_intervals([0, 0, 0], [4, 2, 1], "jump", [0.9, 0.8, 0.7])
    # tIoU with the first: 1/2, 1/4; of the others with each other: 1/2.
    rescored = soft_non_maximum_suppression(found, decay="linear", threshold=0.25)
    np.testing.assert_allclose(rescored["score"], [0.9, 0.7, 0.8 * 0.5 * 0.5])
    rescored = soft_non_maximum_suppression(found, decay="linear", threshold=0.24)
    np.testing.assert_allclose(rescored["score"], [0.9, 0.7 * 0.75, 0.8 * 0.5 * 0.5])


def test_a_margin_lengthens_every_interval():
    found = make_intervals([0, 2], [2, 4], "jump", [0.9, 0.8])
    assert soft_non_maximum_suppression(found)["score"].tolist() == [0.9, 0.8]
    rescored = soft_non_maximum_suppression(found, margin=1.0)  # 1 of 5 is shared
    np.testing.assert_allclose(rescored["score"], [0.9, 0.8 * np.exp(-(0.2**2) / 0.3)])
    assert rescored["end"].tolist() == [2, 4]


def test_a_negative_score_is_multiplied_as_published():
    found = make_intervals([0, 0], [4, 4], "jump", [0.9, -0.5])
    rescored = soft_non_maximum_suppression(found)
    np.testing.assert_allclose(rescored["score"], [0.9, -0.5 * np.exp(-1 / 0.3)])


def soft_suppression_in_one_loop(detections, sigma, decay, threshold):
    left = detections[np.lexsort([detections[name] for name in ("end", "start", "label")])].copy()
    kept = []
    while len(left):
        best = left["score"].argmax()
        one, left = left[[best]], np.delete(left, best)
        kept.append(one)
        overlap = tiou(one, left)[0]
        linear = np.where(overlap > threshold, 1 - overlap, 1)
        factor = np.exp(-(overlap**2) / sigma) if decay == "gaussian" else linear
        left["score"] *= np.where(left["label"] == one["label"], factor, 1)
    return np.concatenate([detections[:0], *kept])


@given(
    interval_arrays(scores=True),
    st.sampled_from([0.05, 0.3, 2.0]),
    st.sampled_from(["gaussian", "linear"]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_soft_suppression_equals_the_textbook(detections, sigma, decay, threshold):
    expected = soft_suppression_in_one_loop(detections, sigma, decay, threshold)
    ours = soft_non_maximum_suppression(detections, sigma, decay=decay, threshold=threshold)
    ours, expected = (
        np.sort(v, order=["label", "start", "end", "score"]) for v in (ours, expected)
    )
    assert (ours["label"] == expected["label"]).all()
    for name in ("start", "end", "score"):
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-12)


@given(interval_arrays(scores=True), st.sampled_from(["gaussian", "linear"]))
def test_soft_suppression_invents_nothing_and_raises_no_score(detections, decay):
    given = detections.copy()
    rescored = soft_non_maximum_suppression(detections, decay=decay)
    np.testing.assert_array_equal(detections, given)  # which stays as it is
    names = ["start", "end", "label"]
    assert sorted(rescored[names].tolist()) == sorted(detections[names].tolist())
    assert (np.diff(rescored["score"]) <= 0).all()
    for interval in np.unique(detections[names]):
        before, after = (
            np.sort(found["score"][found[names] == interval]) for found in (detections, rescored)
        )
        assert (after <= before).all()
        assert (after >= 0).all()


@given(interval_arrays(scores=True))
def test_a_very_narrow_gaussian_is_hard_suppression_of_every_overlap(detections):
    detections["score"] += 1.0
    rescored = soft_non_maximum_suppression(detections, 1e-9)
    left = rescored[rescored["score"] > 0]
    assert left.tolist() == non_maximum_suppression(detections, 0.0).tolist()


@given(interval_arrays(scores=True), st.randoms(use_true_random=False), st.booleans())
def test_soft_suppression_does_not_depend_on_the_order_given(detections, random, equal):
    if equal:
        detections["score"] = np.ceil(detections["score"] / 3)
    shuffled = detections[random.sample(range(len(detections)), len(detections))]
    ours, other = (soft_non_maximum_suppression(found) for found in (detections, shuffled))
    np.testing.assert_array_equal(ours, other)


@given(interval_arrays(scores=True))
def test_labels_are_suppressed_softly_apart(detections):
    together = soft_non_maximum_suppression(detections)
    for label in "abc":
        alone = soft_non_maximum_suppression(detections[detections["label"] == label])
        np.testing.assert_array_equal(together[together["label"] == label], alone)


@pytest.mark.parametrize("sigma", [0, -1.0, np.nan])
def test_sigma_is_positive(sigma):
    with pytest.raises(ValueError, match="sigma is .*; it must be a positive number"):
        soft_non_maximum_suppression(make_intervals([0], [1], "a", [1]), sigma)


def test_decays_that_do_not_exist():
    with pytest.raises(ValueError, match='decay is \'cubic\'; it must be "gaussian" or "linear"'):
        soft_non_maximum_suppression(make_intervals([0], [1], "a", [1]), decay="cubic")


def test_soft_suppression_equals_the_released_implementation(shared_file):
    # P-MIL's proposals, with the scores that follow from its networks' outputs, and its detections.
    # Both are in snippets, and one snippet is added to each length.
    with np.load(shared_file("reference/methods/pmil.npz")) as file:
        arrays = {name: file[name] for name in file.files if name.startswith("test")}
    for i in range(3):
        logits, attention, complete = (
            [arrays[f"test{i}.prop_{stream}_{head}"].astype(float) for stream in "vf"]
            for head in ("cas", "attn", "iou")
        )
        proposals, in_video = arrays[f"test{i}.proposals"], arrays[f"test{i}.class_score"]
        p = np.mean([softmax(x, axis=-1) for x in logits], axis=0).reshape(len(proposals), -1)
        a, rho = (np.mean(expit(x), axis=0).reshape(-1, 1) for x in (attention, complete))
        score = p * a * rho
        expected = arrays[f"test{i}.detections"]
        found = np.concatenate(
            [
                make_intervals(*proposals.T, np.array(c), score[:, c] + 0.2 * in_video[c])
                for c in np.unique(expected[:, 0]).astype(int)
            ]
        )
        ours = soft_non_maximum_suppression(found, margin=1.0)
        theirs = make_intervals(*expected[:, 2:].T, expected[:, 0].astype(int), expected[:, 1])
        for label in np.unique(ours["label"]):
            ours_of, theirs_of = (
                np.sort(v[v["label"] == label], order=["start", "end", "score"])
                for v in (ours, theirs)
            )
            for name in ("start", "end", "score"):
                np.testing.assert_allclose(ours_of[name], theirs_of[name], atol=1e-4)


@given(st.lists(st.booleans()))
def test_runs_give_the_mask_back(mask):
    mask = np.array(mask, dtype=bool)
    rebuilt = np.zeros_like(mask)
    first, stop = runs(mask)
    for a, b in zip(first, stop, strict=True):
        assert a < b
        assert not mask[a - 1 : a].any() or a == 0  # a run is as long as it can be
        assert not mask[b : b + 1].any()
        rebuilt[a:b] = True
    np.testing.assert_array_equal(rebuilt, mask)
