"""Equality with the released implementation, and proposals worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from skdgam.localization import (
    Activation,
    activation_proposals,
    attention_proposals,
    check_proposal_thresholds,
    propose,
    select_classes,
    tcam_proposals,
)
from skdgam.proposals import interpolate, join_proposals, joint_contrast
from skdgam.sampling import uniform_sample

SETTINGS = {
    "thumos14": {
        "n_snippets": (50, 400),
        "threshold": {"rgb": 0.03, "flow": 0.08},
        "smoothing": 0.0,
        "weight": {"rgb": 0.35, "flow": 0.65},
    },
    "activitynet12": {
        "n_snippets": (2, 200),
        "threshold": {"rgb": 0.01, "flow": 0.01},
        "smoothing": 25.0,
        "weight": {"rgb": 0.5, "flow": 0.5},
    },
}


def activation_of(released, i, stream):
    """Attention and T-CAM from the released weights, in numpy."""
    x = released[f"video{i}_{stream}"]
    least, most = SETTINGS[released.benchmark]["n_snippets"]
    x = x[uniform_sample(len(x), min(max(len(x), least), most))]
    w = released.weights(f"{stream}.")
    hidden = np.maximum(x @ w["att_head.fc1.weight"].T + w["att_head.fc1.bias"], 0)
    logit = hidden @ w["att_head.fc2.weight"].T + w["att_head.fc2.bias"]
    return Activation(
        expit(logit[:, 0]),
        x @ w["clf_head.fc1.weight"][:-1].T,
        w["clf_head.fc1.bias"][:-1],
        released[f"video{i}_{stream}_probability"],
    )


@pytest.mark.parametrize("i", range(10))
@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_tcam_proposals_are_those_of_the_released_implementation(released, i, stream):
    settings = SETTINGS[released.benchmark]
    own = activation_of(released, i, stream)
    np.testing.assert_allclose(own.attention, released[f"video{i}_{stream}_attention"], rtol=1e-4)
    other = activation_of(released, i, "flow" if stream == "rgb" else "rgb")
    proposals = tcam_proposals(
        own,
        select_classes(own.probability, 0.1),
        [settings["threshold"][stream]],
        eta=0.3,
        smoothing=settings["smoothing"],
        others=[other],
        stream_weight=settings["weight"][stream],
    )
    seconds = 0.64 * len(released[f"video{i}_{stream}"]) / len(own.attention)
    rows = np.array(
        [(p["label"], p["score"], p["start"] * seconds, p["end"] * seconds) for p in proposals]
    ).reshape(-1, 4)
    theirs = released[f"video{i}_{stream}_proposals"]
    np.testing.assert_allclose(
        rows[np.lexsort(rows.T[::-1])], theirs[np.lexsort(theirs.T[::-1])], atol=1e-4
    )


def test_classes_above_the_threshold_are_searched_or_the_most_probable_one():
    assert select_classes(np.array([0.3, 0.1, 0.6]), 0.1).tolist() == [0, 2]
    assert select_classes(np.array([0.02, 0.1, 0.05]), 0.1).tolist() == [1]


@pytest.mark.parametrize(
    ("threshold", "localization", "expected"),
    [
        (None, "tcam", [0.05]),
        (None, "attention", [0.5]),
        (0.3, "tcam", [0.3]),
        (0, "attention", [0.0]),
        ([0.0, 0.3], "tcam", [0.0, 0.3]),
    ],
)
def test_thresholds_that_are_asked_for_or_those_of_the_way(threshold, localization, expected):
    assert check_proposal_thresholds(threshold, localization).tolist() == expected


@pytest.mark.parametrize("threshold", [-0.1, 1.0, [], [0.5, 1.0], [[0.5]], np.nan])
def test_thresholds_that_are_refused(threshold):
    with pytest.raises(ValueError, match=r"^proposal_threshold is .*; it must be a number"):
        check_proposal_thresholds(threshold, "tcam")


@pytest.fixture
def improbable():
    """An activation of three classes, the second of which is improbable."""
    activation = make([0.1, 0.9, 0.4], [[-1.0, 2.0, 1.0], [3.0, 1.0, 2.0], [0.5, 1.0, 3.0]])
    return activation._replace(probability=np.array([0.2, 0.1, 0.5]))


PARAMETERS = {"thresholds": np.array([0.2, 0.3]), "class_threshold": 0.15, "eta": 0.4}


def test_proposals_by_attention_are_those_of_the_probable_classes(improbable):
    found = propose(improbable, localization="attention", smoothing=0.0, **PARAMETERS)
    expected = attention_proposals(improbable, np.array([0, 2]), np.array([0.2, 0.3]), 0.4)
    np.testing.assert_array_equal(found, expected)
    assert len(found) > 1


def test_proposals_by_tcam_are_those_of_the_probable_classes(improbable):
    other = make([0.5, 0.5, 0.2], [[1.0, 2.0, 1.0], [0.0, 1.0, 2.0], [1.5, 1.0, 3.0]])
    found = propose(
        *(improbable,),
        localization="tcam",
        smoothing=5.0,
        others=[other],
        stream_weight=0.3,
        **PARAMETERS,
    )
    expected = tcam_proposals(
        *(improbable, np.array([0, 2]), np.array([0.2, 0.3])), 0.4, 5.0, [other], 0.3
    )
    np.testing.assert_array_equal(found, expected)
    assert len(found) > 1


# --- parts that methods share ---


def test_points_between_snippets_lie_on_a_line():
    values = np.array([[0.0], [4.0], [2.0]])
    assert interpolate(values, 4)[:, 0].tolist() == [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5]


def test_columns_are_interpolated_by_themselves():
    values = np.array([[0.0, 1.0], [4.0, 1.0]])
    assert interpolate(values, 2).tolist() == [[0, 1], [2, 1], [4, 1], [6, 1]]


def test_one_snippet_alone_stays_as_it_is():
    assert interpolate(np.array([[3.0]]), 3).tolist() == [[3], [3], [3]]


def test_a_snippet_has_twenty_points():
    assert interpolate(np.zeros((3, 1))).shape == (60, 1)


def contrast_of(score, first, stop, eta=1.0):
    (value,) = joint_contrast(np.array(score), np.array([first]), np.array([stop]), eta)
    return value


def test_joint_contrast_by_hand():
    # Inside are 4 points; a quarter is one point: 9 before, and 3 behind.
    score = [7.0, 9.0, 1.0, 2.0, 3.0, 4.0, 3.0, 7.0]
    assert contrast_of(score, 2, 6) == pytest.approx(2.5 - (9 + 3) / 2)


def test_eta_is_the_weight_of_what_is_beside():
    score = [7.0, 9.0, 1.0, 2.0, 3.0, 4.0, 3.0, 7.0]
    assert contrast_of(score, 2, 6, eta=0.25) == pytest.approx(2.5 - 0.25 * 6)


def test_a_quarter_is_rounded_up_before_and_down_behind():
    # Inside are 5 points: two before, one behind, and one mean over these three.
    score = [100.0, 4.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 6.0, 100.0]
    assert contrast_of(score, 3, 8) == pytest.approx(1.0 - (4 + 5 + 6) / 3)


def test_a_side_that_the_video_cuts_off_has_fewer_points():
    # Of two points before, one is there; behind there is none.
    score = [4.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert contrast_of(score, 1, 6) == pytest.approx(1.0 - 4.0)


def test_without_any_points_beside_nothing_is_taken_off():
    assert contrast_of([2.0, 2.0, 2.0, 2.0], 0, 4) == pytest.approx(2.0)


def test_contrasts_of_several_runs():
    score, first, stop = np.array([1.0, 5.0, 1.0, 9.0, 1.0]), np.array([1, 3]), np.array([2, 4])
    # A quarter of one point is one point before, and none behind.
    assert joint_contrast(score, first, stop, 0.5).tolist() == pytest.approx([4.5, 8.5])


def test_joined_proposals_say_which_column_they_are_of():
    found = [
        (np.array([1, 5]), np.array([2, 7]), 3, np.array([0.1, 0.2])),
        (np.array([4]), np.array([9]), 0, np.array([0.3])),
    ]
    first, stop, column, score = join_proposals(found)
    assert first.tolist() == [1, 5, 4]
    assert stop.tolist() == [2, 7, 9]
    assert column.tolist() == [3, 3, 0]
    assert score.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("found", [[], [(np.zeros(0, dtype=int),) * 2 + (1, np.zeros(0))]])
def test_no_proposals_are_joined_to_none(found):
    first, stop, column, score = join_proposals(found)
    assert len(first) == len(stop) == len(column) == len(score) == 0
    assert np.arange(4)[column].dtype == int  # as an index


# --- both ways, by hand ---


def make(attention, tcam, bias=None):
    """An activation of one or more classes, all of them probable."""
    tcam = np.asarray(tcam, dtype=float).reshape(len(attention), -1)
    n_classes = tcam.shape[1]
    bias = np.zeros(n_classes) if bias is None else np.asarray(bias)
    return Activation(np.asarray(attention, dtype=float), tcam, bias, np.ones(n_classes))


ONE_CLASS = np.array([0])
SURE = 40.0  # a logit whose sigmoid is 1


def test_a_video_whose_only_class_is_number_0_is_searched():
    # The released code asks .any() of the class index, and finds nothing here.
    proposals = tcam_proposals(make([1.0, 1.0], [SURE, SURE]), ONE_CLASS, [0.5], eta=0.3)
    assert proposals[["start", "end", "label"]].tolist() == [(0.0, 2.0, 0)]


def test_signal_is_four_fifths_and_squared_attention_one():
    # λ = 0.5, sigmoid(w·x) = 0.5: signal 0.25, evidence 0.8 · 0.25 + 0.2 · 0.25 = 0.25.
    activation = make([0.5, 0.5], [0.0, 0.0])
    assert len(tcam_proposals(activation, ONE_CLASS, [0.249], eta=0.0)) == 1
    assert len(tcam_proposals(activation, ONE_CLASS, [0.251], eta=0.0)) == 0


def transparent_proposals(activation, threshold, eta):
    """The released way for one class and one stream, point by point."""
    attention, signal = activation.attention, activation.attention * expit(activation.tcam[:, 0])

    def at(values, point):
        i = min(point // 20, max(len(values) - 2, 0))
        right = values[min(i + 1, len(values) - 1)]
        return values[i] + (point / 20 - i) * (right - values[i])

    n = 20 * len(attention)
    signal_at = [at(signal, p) for p in range(n)]
    is_in = [0.8 * signal_at[p] + 0.2 * at(attention, p) ** 2 > threshold for p in range(n)]
    rows = []
    for first in range(n):
        if is_in[first] and not (first and is_in[first - 1]):
            stop = next((p for p in range(first, n) if not is_in[p]), n)
            side = (stop - first) // 4 + 1
            before, after = signal_at[max(first - side, 0) : first], signal_at[stop : stop + side]
            beside = sum(np.mean(points) for points in (before, after) if len(points))
            rows.append((first / 20, stop / 20, 0, np.mean(signal_at[first:stop]) - eta * beside))
    return rows


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-5, 5)), min_size=1, max_size=12),
    st.sampled_from([0.03, 0.31, 0.61]),
    st.sampled_from([0.0, 0.3]),
)
def test_tcam_proposals_equal_the_transparent_computation(snippets, threshold, eta):
    attention, tcam = np.transpose(snippets)
    activation = make(attention, tcam)
    ours = tcam_proposals(activation, ONE_CLASS, [threshold], eta).tolist()
    expected = transparent_proposals(activation, threshold, eta)
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected, strict=True):
        assert a == pytest.approx(b)


def test_a_side_beyond_the_video_counts_0():
    activation = make([1.0, 1.0, 1.0], [SURE, SURE, SURE])
    (proposal,) = tcam_proposals(activation, ONE_CLASS, [0.5], eta=0.3)
    assert proposal["score"] == pytest.approx(1.0)


def test_one_snippet_is_one_proposal_or_none():
    assert tcam_proposals(make([0.9], [SURE]), ONE_CLASS, [0.5], 0.3)["end"].tolist() == [1.0]
    assert len(tcam_proposals(make([0.1], [SURE]), ONE_CLASS, [0.5], 0.3)) == 0


def test_smoothing_joins_what_a_dip_divides():
    dip = make([1, 1, 1, 0.2, 1, 1, 1], np.full(7, SURE))
    assert len(tcam_proposals(dip, ONE_CLASS, [0.6], 0.3)) == 2
    assert len(tcam_proposals(dip, ONE_CLASS, [0.6], 0.3, smoothing=25.0)) == 1


def test_other_streams_enter_the_score_but_not_the_times():
    own, other = make([1.0, 1.0], [SURE, SURE]), make([0.3, 0.3], [-SURE, -SURE])
    alone = tcam_proposals(own, ONE_CLASS, [0.5], 0.3)
    fused = tcam_proposals(own, ONE_CLASS, [0.5], 0.3, others=[other], stream_weight=0.35)
    assert fused[["start", "end"]].tolist() == alone[["start", "end"]].tolist()
    assert fused["score"] == pytest.approx(0.35)
    own_weight = tcam_proposals(own, ONE_CLASS, [0.5], 0.3, others=[other])
    assert own_weight["score"] == pytest.approx(1.0)
    three = tcam_proposals(own, ONE_CLASS, [0.5], 0.3, others=[other, own], stream_weight=0.2)
    assert three["score"] == pytest.approx(0.2 + 0.8 * 0.5)  # the mean of the others


def test_every_threshold_and_class_gives_its_own_proposals():
    activation = make([0.5, 1.0, 0.5], np.full((3, 2), SURE))
    proposals = tcam_proposals(activation, np.array([0, 1]), [0.3, 0.8], eta=0.3)
    assert proposals["label"].tolist() == [0, 0, 1, 1]
    lengths = proposals["end"] - proposals["start"]
    assert lengths[0] > lengths[1]


def test_attention_proposals_by_hand():
    # Eq. 17 for snippets 2-5: the attention-weighted mean of w·x, plus the bias, less η times
    # the logits of one snippet (a quarter of four) on each side.
    attention = [0.1, 0.2, 0.6, 0.8, 0.8, 0.6, 0.4, 0.1]
    tcam = [9.0, 2.0, 1.0, 3.0, 3.0, 1.0, 5.0, 9.0]
    activation = make(attention, tcam, bias=[0.5])
    (proposal,) = attention_proposals(activation, ONE_CLASS, [0.5], eta=0.1)
    inside = (0.6 * 1 + 0.8 * 3 + 0.8 * 3 + 0.6 * 1) / 2.8 + 0.5
    assert proposal.item()[:3] == (2.0, 6.0, 0)
    assert proposal["score"] == pytest.approx(inside - 0.1 * (2.0 + 0.5) - 0.1 * (5.0 + 0.5))


def test_attention_proposals_take_the_scores_of_other_streams_in():
    settings = {"classes": ONE_CLASS, "thresholds": [0.5], "eta": 0.0}
    own = Activation(
        np.array([0.1, 0.8, 0.8, 0.1]),
        np.array([[0.0], [3.0], [5.0], [0.0]]),
        np.ones(1),
        np.ones(1),
    )
    other = Activation(  # whose attention is elsewhere, and thrice as high in the second snippet
        np.array([0.9, 0.9, 0.3, 0.9]),
        np.array([[0.0], [2.0], [6.0], [0.0]]),
        np.zeros(1),
        np.ones(1),
    )
    (proposal,) = attention_proposals(own, **settings, others=[other], stream_weight=0.25)
    assert (proposal["start"], proposal["end"]) == (1, 3)
    assert proposal["score"] == pytest.approx(0.25 * (4 + 1) + 0.75 * 3)
    (alone,) = attention_proposals(own, **settings)
    assert alone["score"] == pytest.approx(5)


def test_attention_proposals_at_the_ends_of_the_video():
    activation = make([0.9, 0.9, 0.1], [2.0, 4.0, 7.0], bias=[1.0])
    (proposal,) = attention_proposals(activation, ONE_CLASS, [0.5], eta=0.5)
    assert proposal["score"] == pytest.approx(3.0 + 1.0 - 0.5 * (7.0 + 1.0))


def test_a_quarter_is_rounded_up_to_whole_snippets():
    activation = make([0.1, *[0.9] * 5, 0.1, 0.1], [9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 4.0])
    (proposal,) = attention_proposals(activation, ONE_CLASS, [0.5], eta=1.0)
    assert proposal["score"] == pytest.approx(1.0 - 9.0 - 3.0)


def test_every_threshold_of_attention_gives_its_own_proposals():
    activation = make([0.4, 0.9, 0.4], np.zeros(3))
    found = attention_proposals(activation, ONE_CLASS, [0.3, 0.5], eta=0.0)
    assert found[["start", "end"]].tolist() == [(0, 3), (1, 2)]


def test_what_equals_a_threshold_is_not_above_it():
    activation = make([0.5, 0.5], [0.0, 0.0])
    assert len(attention_proposals(activation, ONE_CLASS, [0.5], eta=0.0)) == 0
    assert len(tcam_proposals(make([0.0, 0.0], [0.0, 0.0]), ONE_CLASS, [0.0], eta=0.0)) == 0


def test_scores_of_long_videos_have_all_their_digits():
    attention = np.full(100_000, 0.7, dtype=np.float32)
    attention[-3:] = 0
    activation = make(attention, np.full(len(attention), SURE))
    activation = Activation(*(values.astype(np.float32) for values in activation))
    *_, last = tcam_proposals(activation, ONE_CLASS, [0.5], eta=0.0)
    assert last["score"] == pytest.approx(0.7, abs=1e-6)


def test_surroundings_without_any_attention_are_pooled_evenly():
    activation = make([0.0, 0.0, *[0.9] * 8, 1e-30, 1e-30], np.arange(12.0))
    (proposal,) = attention_proposals(activation, ONE_CLASS, [0.5], eta=1.0)
    assert proposal["score"] == pytest.approx(np.mean(np.arange(2, 10)) - 0.5 - 10.5)


def test_attention_proposals_are_the_same_for_every_class():
    activation = make([0.9, 0.1, 0.9], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    proposals = attention_proposals(activation, np.array([0, 1]), [0.5], eta=0.0)
    assert proposals["start"].tolist() == [0, 2, 0, 2]
    assert proposals["score"] == pytest.approx([1, 5, 2, 6])


def test_nothing_above_the_threshold_is_no_proposal():
    activation = make([0.1, 0.2], [0.0, 0.0])
    for found in (
        tcam_proposals(activation, ONE_CLASS, [0.9], 0.3),
        attention_proposals(activation, ONE_CLASS, [0.9], 0.3),
    ):
        assert found.shape == (0,)
        assert found.dtype.names == ("start", "end", "label", "score")


# --- by class activation ---


def of_probability(probability, in_video=1.0):
    """Activation whose classes have these probabilities (n_snippets, n_classes)."""
    probability = np.asarray(probability, dtype=np.float64)
    tcam = np.log(probability) - np.log1p(-probability)
    n_classes = tcam.shape[1]
    in_video = np.full(n_classes, in_video)
    return Activation(probability.max(axis=1), tcam, np.zeros(n_classes), in_video)


def test_activation_thresholds_are_shares_of_the_maximum():
    activation = of_probability(np.array([[0.01, 0.04, 0.1, 0.06, 0.01]]).T)
    found = activation_proposals(activation, np.array([0]), [0.3, 0.5], eta=0.0)
    assert found[["start", "end"]].tolist() == [(1.0, 4.0), (2.0, 4.0)]


def test_activation_proposals_of_equal_extent_are_one():
    activation = of_probability(np.array([[0.1, 0.9, 0.9, 0.1]]).T)
    assert len(activation_proposals(activation, np.array([0]), [0.3, 0.5, 0.7], eta=0.0)) == 1


def test_activation_score_by_hand():
    activation = of_probability(np.array([[0.1, 0.2, 0.8, 0.6, 0.3, 0.1]]).T, in_video=0.5)
    (found,) = activation_proposals(activation, np.array([0]), [0.5], eta=0.5)
    # Snippets 2 and 3; a quarter of two, rounded up, is one to either side.
    contrast = 0.7 - 0.5 * (0.2 + 0.3) + 0.2 * 0.5
    assert found.tolist() == pytest.approx((2.0, 4.0, 0, expit(8 * (contrast - 0.7))))


def test_activation_without_smoothing_has_no_neighbours():
    p = np.full((9, 1), 0.1)
    p[4] = 0.9
    sharp = activation_proposals(of_probability(p), np.array([0]), [0.5], eta=1.0)
    smooth = activation_proposals(of_probability(p), np.array([0]), [0.5], eta=1.0, smoothing=2.0)
    assert sharp[["start", "end"]].tolist() == [(4.0, 5.0)]
    assert smooth["end"] - smooth["start"] > 1


def test_activation_of_streams_is_their_weighted_mean():
    own, other = of_probability([[0.8], [0.2], [0.2]]), of_probability([[0.2], [0.2], [0.8]])
    settings = {"classes": np.array([0]), "thresholds": [0.9], "eta": 0.0, "others": [other]}
    found = activation_proposals(own, **settings, stream_weight=0.75)  # 0.65, 0.2, 0.35
    assert found[["start", "end"]].tolist() == [(0.0, 1.0)]
    assert activation_proposals(own, **settings, stream_weight=0.25)["start"].tolist() == [2.0]


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12), st.sampled_from([0.0, 0.5, 2.0]))
def test_activation_proposals_lie_in_the_video(values, smoothing):
    activation = of_probability(np.array(values)[:, None])
    found = propose(
        activation,
        localization="activation",
        thresholds=check_proposal_thresholds(None, "activation"),
        smoothing=smoothing,
        class_threshold=0.1,
        eta=None,
    )
    assert (found["start"] >= 0).all()
    assert (found["end"] <= len(values)).all()
    assert (found["start"] < found["end"]).all()
    assert ((found["score"] >= 0) & (found["score"] <= 1)).all()
    # In a video with this class all over, it is found at every threshold.
    assert len(found) >= 1
