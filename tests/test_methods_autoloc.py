"""AutoLoc against outputs of its released implementation, from predicted boxes on."""

import numpy as np
import pytest
import torch
from released_methods import Reference, assert_detections

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import AutoLocLocalizer
from skdgam.methods._boxes import Boxes, box_loss, outer_inner_contrast, select_boxes

CLOCK = SnippetClock(15 / 25, offset=1 / 25)


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/autoloc.npz"), {})


def inputs(reference):
    """Heat (n_snippets, n_classes), and δx and δw, which may learn."""
    probability = (reference["scores_temporal"] + reference["scores_spatial"]) / 2
    is_high = (reference["attention"] > 7).mean(axis=0)
    delta = torch.tensor(reference["delta"].T, requires_grad=True)
    anchors = torch.tensor(reference["anchors"], dtype=torch.float64)
    return (probability * is_high).T, delta, anchors


def select(heat, boxes):
    return select_boxes(heat, boxes, outer_inner_contrast, 0.4)


def loss_of(heat, classes, boxes):
    return box_loss(heat, classes, boxes, outer_inner_contrast, 0.4)


def test_boxes_are_those_of_the_released_implementation(reference):
    _, delta, anchors = inputs(reference)
    boxes = Boxes.of(delta, anchors)
    for ours, theirs in ((boxes.inner, "train.inner"), (boxes.outer, "train.outer")):
        expected = reference[theirs].reshape(2, 4, 40).swapaxes(1, 2)
        np.testing.assert_array_equal(np.stack(ours), expected)


def test_loss_and_gradient_are_those_of_the_released_implementation(reference):
    heat, delta, anchors = inputs(reference)
    loss = loss_of(heat, reference["labels"], Boxes.of(delta, anchors))
    assert loss.item() == pytest.approx(float(reference["train.loss"]), rel=1e-5)
    loss.backward()
    np.testing.assert_allclose(delta.grad.T, reference["train.grad.delta"], atol=1e-6)


@pytest.mark.parametrize("run", ["train", "test"])
def test_boxes_that_are_kept_are_those_of_the_released_implementation(reference, run):
    heat, delta, anchors = inputs(reference)
    boxes = Boxes.of(delta, anchors)
    theirs = reference[f"{run}.selected"]
    for column in np.unique(theirs[:, 0]):
        (t, a), score, _ = select(heat[:, column], boxes)
        expected = {(anchor, where) for c, anchor, where in theirs.tolist() if c == column}
        assert {*zip(a.tolist(), t.tolist(), strict=True)} == expected
        scores = reference[f"{run}.scores"][column][a, t]
        np.testing.assert_allclose(score, scores, atol=1e-6)


def test_detections_are_those_of_the_released_implementation(reference):
    _, delta, _ = inputs(reference)
    # Attention that is above its mean where it exceeds 7, and streams that share their boxes.
    streams = [
        Activation(
            np.ones(40),
            np.column_stack([np.log(reference[scores].T), attention > 7, delta.detach().numpy()]),
            np.zeros(4),
            np.zeros(4),
        )
        for scores, attention in zip(
            ("scores_temporal", "scores_spatial"), reference["attention"], strict=True
        )
    ]
    model = AutoLocLocalizer(n_anchors=4)
    model.classes_ = np.arange(4)
    found = model._propose(streams[0], CLOCK, streams[1:])
    theirs = reference["test.detections"]
    assert_detections(found, theirs[theirs[:, 3] > theirs[:, 2]])  # of those that have a length


def boxes_of(*inner, widen=1):
    """Boxes of one anchor, of given inner ends, with one snippet of surroundings."""
    first, last = np.array(inner).T[:, :, None]
    ends = tuple(torch.tensor(x.astype(float), requires_grad=True) for x in (first, last))
    return Boxes(ends, (first, last), (first - widen, last + widen))


def test_contrast_by_hand():
    heat = np.array([0.0, 0.2, 0.8, 1.0, 0.3])
    # The box at snippets 2 and 3 has 0.9 inside and 0.25 around.
    boxes = boxes_of((0, 0), (0, 0), (2, 3), (2, 3), (0, 0))
    (t, a), score, _ = select(heat, boxes)
    assert (t[0], a[0]) == (3, 0)  # of equals the last one stays
    assert score[0] == pytest.approx((1 + 0.9 - 0.25) / 2)
    assert score[1] == pytest.approx((1 + 0 - 0.2 / 2) / 2)  # of one that begins at 0


def test_without_a_box_the_loss_is_1():
    boxes = boxes_of((0, 0), (1, 1))
    loss = loss_of(np.zeros((2, 1)), [0], boxes)
    assert loss.item() == 1
    assert loss_of(np.zeros((2, 1)), [], boxes).item() == 1
    loss.backward()
    assert not boxes.ends[0].grad.any()


def test_a_box_grows_towards_heat():
    heat = np.array([[0.0], [0.9], [0.9], [0.9], [0.0], [0.0]])
    boxes = boxes_of(*[(1, 2)] * 6, widen=2)
    loss_of(heat, [0], boxes).backward()
    # Around are 0, 0.9 and 0. To move the last end on lowers the loss, and the first one raises it.
    first, last = (end.grad.sum().item() for end in boxes.ends)
    assert last == pytest.approx(((0.225 - 0.9) / 4 + (0 - 0.225) / 4) / 2)
    assert first == pytest.approx(((0.9 - 0.225) / 4 + (0.225 - 0) / 4) / 2)


def test_only_snippets_of_high_attention_are_hot():
    model = AutoLocLocalizer(n_anchors=1, n_searched=1, shortest_anchor=2)
    model.classes_ = np.arange(2)
    attention = np.array([-9.0, -9.0, -9.0, 2.0, 2.0, -9.0, -9.0])
    # Boxes of two snippets, which are moved half a snippet on: of snippet 3, they are 3 and 4.
    delta = np.repeat([[0.25, np.log(0.5)]], 7, axis=0)
    tcam = np.column_stack([np.full(7, 9.0), np.zeros(7), attention, delta])
    found = model._propose(Activation(np.ones(7), tcam, np.zeros(2), np.ones(2)), SnippetClock(1.0))
    best, beside = np.sort(found, order="score")[::-1]
    assert best[["start", "end", "label"]].tolist() == (3.0, 4.0, 0)
    assert best["score"] == pytest.approx((1 + 1) / 2, abs=1e-3)
    assert beside["score"] == pytest.approx((1 + 0.5 - 0.5) / 2, abs=1e-3)  # of snippets 4 and 5


def test_boxes_learn_to_stand_out():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = AutoLocLocalizer(
        hidden=8, n_anchors=5, max_epochs=25, batch_size=8, learning_rate=2e-2, random_state=0
    ).fit(X[:40], y[:40])
    for name, values in model.history_.items():
        assert values[-5:].mean() < 0.9 * values[:5].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.2
