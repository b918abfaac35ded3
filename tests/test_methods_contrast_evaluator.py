"""The evaluator of boxes by their edges: by hand, and against integrals of steps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import ContrastEvaluatorLocalizer
from skdgam.methods._boxes import Boxes, box_loss, edge_contrast


def boxes_of(*inner):
    """Boxes of one anchor, of given first and last snippets."""
    first, last = np.array(inner).T[:, :, None]
    ends = tuple(torch.tensor(x.astype(float), requires_grad=True) for x in (first, last))
    return Boxes(ends, (first, last), (first, last))


def test_contrast_at_both_edges_by_hand():
    heat = np.array([0.0, 0.25, 0.5, 1.0, 1.0, 1.0, 0.75, 0.0, 0.0])
    score, _ = edge_contrast(heat, boxes_of((2, 6), (3, 4)))
    # Snippets 2 to 6 have 0.85. A quarter is two snippets: 0.75 after 0.125, and 0.875 before 0.
    assert score[0, 0] == pytest.approx(0.85 + (0.625 + 0.875) / 2)
    # Snippets 3 and 4 have 1, and a quarter is one snippet: 1 after 0.5, and 1 before 1.
    assert score[1, 0] == pytest.approx(1 + (0.5 + 0) / 2)


def test_an_action_that_fills_a_video_stands_out_of_what_is_beyond():
    score, _ = edge_contrast(np.ones(5), boxes_of((0, 4), (1, 3)))
    assert score[:, 0].tolist() == [2, 1]


def test_gradient_by_hand():
    heat = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    _, (first, last) = edge_contrast(heat, boxes_of((3, 4), (2, 5)))
    # A box inside should grow. To move an end on, the contrast there changes from 0 to 1.
    assert (first[0, 0], last[0, 0]) == (-0.25, 0.25)
    # At an edge the mean of both sides is 1/2: the mean inside falls by what is outside, and the
    # contrast is at its highest.
    assert (first[1, 0], last[1, 0]) == pytest.approx((0.5 / 4, -0.5 / 4))


cases = st.tuples(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=12),
    st.integers(-1, 12),
    st.integers(0, 8),
)


@given(cases)
def test_score_and_gradient_are_those_of_integrals_over_steps(case):
    heat, first, more = case
    n = len(heat)
    first = min(first, n)
    last = min(first + more, n)
    start, stop = float(first), last + 1.0
    side = np.ceil((stop - start) / 4)
    knots, sums = np.arange(-30, n + 31), np.cumsum([*np.zeros(31), *heat, *np.zeros(30)])

    def mean(a, b):
        return (np.interp(b, knots, sums) - np.interp(a, knots, sums)) / (b - a)

    def evaluate(start, stop):
        rise = mean(start, start + side) - mean(start - side, start)
        fall = mean(stop - side, stop) - mean(stop, stop + side)
        return mean(start, stop) + (rise + fall) / 2

    score, (by_first, by_last) = edge_contrast(np.array(heat), boxes_of((first, last)))
    assert score.item() == pytest.approx(evaluate(start, stop), abs=1e-9)
    e = 1e-5
    by_start = (evaluate(start + e, stop) - evaluate(start - e, stop)) / (2 * e)
    by_stop = (evaluate(start, stop + e) - evaluate(start, stop - e)) / (2 * e)
    assert (by_first.item(), by_last.item()) == pytest.approx((by_start, by_stop), abs=1e-4)


@pytest.mark.parametrize("begin", [(14.0, 22.0), (9.0, 28.0), (8.0, 20.0)])
def test_boxes_that_descend_come_to_the_edges_of_an_action(begin):
    heat = np.zeros((40, 1))
    heat[12:25] = 0.9
    position = [torch.full((40, 1), x) for x in begin]
    losses = []
    for _ in range(100):
        ends = tuple(x.clone().requires_grad_() for x in position)
        inner = tuple(np.floor(x.detach().numpy()).astype(int) for x in ends)
        loss = box_loss(heat, [0], Boxes(ends, inner, inner), edge_contrast, 0.4)
        loss.backward()
        position = [x.detach() - x.grad.sum() for x in ends]
        losses.append(loss.item())
    assert losses[0] > -0.3
    assert np.mean(losses[-10:]) < -0.6  # the best is -0.8
    first, last = (np.floor(x[0].item()) for x in position)
    assert first == pytest.approx(12, abs=1)
    assert last == pytest.approx(24, abs=1)


def test_the_loss_is_1_less_the_score_and_1_without_any_box():
    heat = np.array([[0.0], [0.0], [0.8], [0.8], [0.0], [0.0]])
    loss = box_loss(heat, [0], boxes_of(*[(2, 3)] * 6), edge_contrast, 0.4)
    assert loss.item() == pytest.approx(1 - (0.8 + 0.8))
    assert box_loss(0 * heat, [0], boxes_of(*[(2, 3)] * 6), edge_contrast, 0.4).item() == 1


def activation_of(attention, probability, shift=0.0):
    """Snippets that are all of class 0, with boxes of two snippets."""
    n = len(attention)
    logits = np.column_stack([np.full(n, 9.0), np.zeros(n)])
    delta = np.repeat([[shift, 0.0]], n, axis=0)
    tcam = np.column_stack([logits, attention, delta])
    return Activation(np.ones(n), tcam, np.zeros(2), np.array(probability))


ATTENTION = np.array([-9.0, -9.0, 2.0, 2.0, -9.0, -9.0, -9.0])


def localizer(**params):
    model = ContrastEvaluatorLocalizer(n_anchors=1, shortest_anchor=1, **params)
    model.classes_ = np.array(["a", "b"])
    return model


def test_what_is_found_ends_with_its_last_snippet_and_scores_the_class_too():
    # Anchors of one snippet, moved by half of one, are boxes of their snippet and the next.
    found = localizer()._propose(activation_of(ATTENTION, [0.7, 0.05], 0.5), SnippetClock(0.5))
    best = found[found["score"].argmax()]
    assert best[["start", "end", "label"]].tolist() == (1.0, 2.0, "a")
    assert best["score"] == pytest.approx(1 + 1 + 0.7, abs=1e-3)


def test_classes_are_searched_for_by_their_probability_in_the_video():
    activation = activation_of(ATTENTION, [0.3, 0.7], 0.5)
    for threshold, is_found in ((0.2, True), (0.5, False), (0.9, False)):  # b is hot nowhere
        model = localizer(class_threshold=threshold)
        assert (len(model._propose(activation, SnippetClock(1.0))) > 0) == is_found
    # With another stream that is sure of it, class a is likely enough on average.
    other = activation_of(ATTENTION, [0.9, 0.1], 0.5)
    model = localizer(class_threshold=0.5)
    assert len(model._propose(activation, SnippetClock(1.0), [other])) > 0


def test_boxes_do_not_reach_beyond_the_video():
    attention = np.array([2.0, -9.0, -9.0, -9.0, 2.0])
    model = ContrastEvaluatorLocalizer(n_anchors=1, shortest_anchor=8)
    model.classes_ = np.array(["a", "b"])
    found = model._propose(activation_of(attention, [0.7, 0.1]), SnippetClock(1.0))
    assert len(found) > 0
    assert found["start"].min() >= 0
    assert found["end"].max() <= 5


def test_boxes_learn_to_have_edges():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = ContrastEvaluatorLocalizer(
        hidden=8, n_anchors=5, max_epochs=25, batch_size=8, learning_rate=2e-2, random_state=0
    ).fit(X[:40], y[:40])
    classification, contrast = (model.history_[k] for k in ("classification", "contrast"))
    assert classification[-5:].mean() < 0.9 * classification[:5].mean()
    assert contrast[-5:].mean() < contrast[:5].mean() - 0.2
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.4
