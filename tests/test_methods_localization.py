"""Ways of localization that methods share, worked out by hand."""

import numpy as np
import pytest

from skdgam.localization import Activation
from skdgam.methods._branches import branch_proposals
from skdgam.methods._localization import (
    attention_run_proposals,
    contrast_proposals,
    frame_proposals,
    fused,
    logit_proposals,
    scaled,
    weighted_tcam_proposals,
)


def activation_of(*logits, attention=None):
    tcam = np.array(logits, dtype=float).T
    attention = np.ones(len(tcam)) if attention is None else np.array(attention)
    return Activation(attention, tcam, np.zeros(tcam.shape[1]), np.ones(tcam.shape[1]))


def test_streams_are_fused_by_the_weight_of_the_first():
    one, two, three = (np.array([value]) for value in (1.0, 4.0, 6.0))
    assert fused([one], 0.25) == 1
    assert fused([one, two, three], 0.25) == 0.25 * 1 + 0.75 * 5


LOGITS = [-1.0, 3.0, 2.0, -1.0, 3.0, -1.0, 1.5, 1.5]


def test_runs_of_high_logits_by_hand():
    activation = activation_of(np.zeros(8), LOGITS)
    found = logit_proposals(activation, np.array([1]), [0.5], np.array([9.0, 2.0]), 0.7)
    # Half of the range is 1; of the snippets above, number 4 is alone.
    assert found[["start", "end", "label"]].tolist() == [(1, 3, 1), (6, 8, 1)]
    assert found["score"].tolist() == pytest.approx([3 + 1.4, 1.5 + 1.4])


def test_the_range_of_logits_may_begin_elsewhere_and_runs_may_be_shorter():
    found = logit_proposals(
        *(activation_of(LOGITS), np.array([0]), [0.5], np.array([2.0]), 0.0),
        least=0.4,  # half of the way to 3 is 1.7
        shortest=1,
    )
    assert found[["start", "end", "score"]].tolist() == [(1, 3, 3.0), (4, 5, 3.0)]


def test_logits_that_are_all_the_same_yield_nothing():
    activation = activation_of(np.ones(4))
    assert len(logit_proposals(activation, np.array([0]), [0.5], np.ones(1), 0.7)) == 0


def test_each_threshold_gives_proposals_of_its_own():
    activation = activation_of(np.full(4, 50.0), attention=[0.0, 0.4, 0.8, 0.0])
    found = weighted_tcam_proposals(activation, np.array([0]), [0.21, 0.62])
    # Attention rises to 0.4, on to 0.8, and falls, each over a snippet of 24 points.
    assert found["start"].tolist() == pytest.approx([13 / 24, 1 + 14 / 24])
    assert found["end"].tolist() == pytest.approx([2 + 18 / 24, 2 + 6 / 24])
    assert found["score"][1] > found["score"][0]


def test_frames_above_the_mean_by_hand():
    # A peak from frame 16 over 32 to 48, of which the mean over 81 frames is 16 / 81. Above are
    # frames 20 to 44, and with ten more before and nine behind, 10 to 53.
    probability = np.array([[0.1, 0.1, 0.3, 0.1, 0.1, 0.1]]).T
    (found,) = frame_proposals(probability, np.array([0]), mean_share=1.0, eta=1.0)
    assert (found["start"] * 16, found["end"] * 16) == (10, 54)
    assert found["score"] == pytest.approx(16 / 44)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_frames_beside_a_proposal_count_against_it(eta):
    probability = np.array([[0.0, 1.0, 0.0, 0.0, 0.0, 0.4, 0.0, 0.0]]).T
    (found,) = frame_proposals(probability, np.array([0]), mean_share=4.0, eta=eta)
    points = np.interp(np.arange(113), np.arange(8) * 16, probability[:, 0])
    # Above four times the mean, 22.4 / 113, are frames 13 to 19, and so a proposal is 3 to 28. A
    # side before it would begin before the video, so that only 6 frames behind count.
    assert (found["start"] * 16, found["end"] * 16) == (3, 29)
    inside, behind = points[3:29].mean(), points[29:35].mean()
    assert found["score"] == pytest.approx(inside - eta * behind)


@pytest.mark.parametrize("n", [1, 4])
def test_a_constant_probability_yields_nothing(n):
    assert len(frame_proposals(np.full((n, 1), 0.7), np.array([0]), 1.0, 1.0)) == 0


def test_runs_of_attention_by_hand():
    attention = [0.1, 0.5, 0.25, 0.5, 0.0, 0.9]
    activation = activation_of(np.zeros(6), [4.0, 8.0, 4.0, 2.0, 9.0, 1.0], attention=attention)
    found = attention_run_proposals(activation, np.array([1]), [0.2, 0.5], eta=0.5)
    assert found[["start", "end", "label"]].tolist() == [(1, 4, 1), (5, 6, 1), (5, 6, 1)]
    # Logits times attention are 0.4, 4, 1, 1, 0 and 0.9. A quarter of three snippets is rounded
    # up before a run, and down behind it. A fifth of the probability of the class is 0.2.
    first, second = 2 - 0.5 * 0.4 + 0.2, 0.9 - 0.5 * 0.0 + 0.2
    assert found["score"].tolist() == pytest.approx([first, second, second])


def test_each_class_has_the_same_runs_of_attention():
    activation = activation_of([1.0, 2.0], [5.0, 3.0], attention=[0.9, 0.1])
    found = attention_run_proposals(activation, np.array([0, 1]), [0.5], eta=0.0)
    assert found[["start", "end", "label"]].tolist() == [(0, 1, 0), (0, 1, 1)]
    assert found["score"].tolist() == pytest.approx([0.9 + 0.2, 4.5 + 0.2])


def test_attention_that_is_low_everywhere_yields_nothing():
    activation = activation_of([1.0, 2.0], attention=[0.1, 0.1])
    assert len(attention_run_proposals(activation, np.array([0]), [0.1, 0.5], eta=1.0)) == 0


def test_scaling_by_the_range_that_is_not_negative():
    values = np.array([[2.0, -2.0, -3.0, 5.0], [4.0, 4.0, -1.0, 5.0], [3.0, 2.0, -2.0, 5.0]])
    expected = [[0.0, -0.5, -3.0, 0.0], [1.0, 1.0, -1.0, 0.0], [0.5, 0.5, -2.0, 0.0]]
    assert scaled(values).tolist() == expected


STEPS = np.array([[0.0, 0.0, 0.8, 0.8, 0.8, 0.8, 0.0, 0.0, 0.0, 0.0]]).T


def test_what_is_below_the_threshold_counts_nothing_around_a_run():
    (found,) = contrast_proposals(STEPS, np.array([0]), [0.4], np.array([0.5]), eta=1.0)
    # Half of 0.8 is reached twelve points before snippet 2, and left twelve behind snippet 5.
    assert (found["start"], found["end"], found["label"]) == (1.5, 5 + 13 / 24, 0)
    points = np.interp(np.arange(36, 133), np.arange(10) * 24, STEPS[:, 0])
    assert found["score"] == pytest.approx(points.mean() + 0.2 * 0.5)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_signal_of_all_classes_says_where_and_the_score_how_good(eta):
    signal = np.array([0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    score = np.column_stack([np.zeros(10), STEPS])
    found = contrast_proposals(score, np.arange(2), [0.5], np.array([1.0, 0.0]), eta, signal)
    assert found[["start", "end"]].tolist() == [(3, 4 + 1 / 24)] * 2
    # A quarter of 25 points before and behind has the whole score, too.
    assert found["score"].tolist() == pytest.approx([0.2, 0.8 * (1 - eta)])


@pytest.mark.parametrize("shortest", [1, 2])
def test_runs_of_too_few_points_are_no_proposals(shortest):
    score = np.array([[0.0, 0.0, 1.0, 0.0, 0.0]]).T
    arguments = score, np.array([0]), [1.0], np.array([0.0]), 1.0
    assert len(contrast_proposals(*arguments, shortest=shortest)) == 2 - shortest


def test_a_score_that_is_negative_throughout_yields_nothing():
    found = contrast_proposals(scaled(-STEPS - 1), np.array([0]), [0.0], np.ones(1), 1.0)
    assert len(found) == 0


def test_branches_propose_where_the_tcam_or_attention_is_high():
    # Class 0 is half probable in snippets 1 and 2, and background elsewhere; attention is high in
    # snippet 2 alone.
    tcam = np.array([[-99.0, 0.0], [0.0, 0.0], [0.0, 0.0], [-99.0, 0.0], [-99.0, 0.0]])
    activation = Activation(np.array([0, 0, 1.0, 0, 0]), tcam, np.zeros(1), np.array([0.5]))

    def proposals(*thresholds, **changes):
        found = branch_proposals(
            activation, [0], *thresholds, **{"eta": 1.0, "side": 0.2} | changes
        )
        return [tuple(np.round(row, 3)) for row in found[["start", "end", "score"]].tolist()]

    # Values are on their way up in snippet 0, and down in snippet 2.
    assert proposals([0.5], [])[0][:2] == (1.0, 2.05)
    ((start, end, score),) = proposals([], [0.5])
    assert (start, end) == (1.5, 2.55)
    # Of 21 points, 11 have a T-CAM of 0.5, and over the others it falls. Sides have 5 and 4 points.
    inside = (11 * 0.5 + 0.475 * 10 - 0.025 * 45) / 21
    outside = (5 * 0.5 + 0.225 + 0.2 + 0.175 + 0.15) / 9
    assert score == pytest.approx(inside - outside, abs=1e-3)
    more = proposals([], [0.5], video_share=0.1)[0][2]
    assert more == pytest.approx(score + 0.1 * 0.5, abs=1e-3)
    assert proposals([], [1.0]) == []  # of one point
    of_attention = proposals([], [0.5], tcam_share=0.0)[0][2]
    assert of_attention == pytest.approx((1 + 2 * sum(np.arange(0.5, 1, 0.05))) / 21, abs=1e-3)
