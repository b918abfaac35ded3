"""Paths of phases by hand, and against all paths that there are."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from released_methods import batch_of

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.localization import Activation
from skdgam.methods import PhasePathLocalizer
from skdgam.methods._paths import maximal_paths, path_scores


def is_allowed(path, n_phases):
    steps = {(k, k) for k in range(n_phases + 1)} | {(k, k + 1) for k in range(n_phases)}
    steps |= {(n_phases, 0), (n_phases, 1)}
    return steps.issuperset(zip(path, path[1:], strict=False))


def score_of(path, scores):
    return sum(row[k - 1] for row, k in zip(scores, path, strict=True) if k)


@given(
    st.integers(2, 3).flatmap(
        lambda k: st.lists(
            st.lists(st.integers(-9, 9), min_size=k, max_size=k), min_size=1, max_size=6
        )
    )
)
def test_no_allowed_path_has_a_greater_sum(scores):
    n_phases = len(scores[0])
    path = maximal_paths(torch.tensor(scores).float()).tolist()
    assert is_allowed(path, n_phases)
    every = product(range(n_phases + 1), repeat=len(scores))
    best = max(score_of(p, scores) for p in every if is_allowed(p, n_phases))
    assert score_of(path, scores) == best


def test_a_phase_is_not_left_out():
    # On the way from phase 1 to 3, phase 2 costs less than these bring.
    scores = torch.tensor([[5.0, -1, -1], [-9, -1, -9], [-1, -1, 3], [-9, -9, -9]])
    assert maximal_paths(scores).tolist() == [1, 2, 3, 0]
    scores[1, 1] = -9  # and now it costs more
    assert maximal_paths(scores).tolist() == [0, 0, 0, 0]


def test_a_circle_begins_again_with_or_without_background_between():
    first, last, neither = [3.0, -3], [-3.0, 3], [-9.0, -9]
    again = torch.tensor([first, last, first, last])
    assert maximal_paths(again).tolist() == [1, 2, 1, 2]
    between = torch.tensor([first, last, neither, first, last])
    assert maximal_paths(between).tolist() == [1, 2, 0, 1, 2]


def test_a_video_may_begin_and_end_in_the_middle_of_an_action():
    scores = torch.tensor([[-1.0, 4, -1], [-1, -1, 4], [-1, -1, -1], [4, -1, -1], [4, -1, -1]])
    assert maximal_paths(scores).tolist() == [2, 3, 0, 1, 1]


def test_the_score_of_a_class_is_the_mean_on_its_path():
    of_first = torch.tensor([[4.0, -1], [-1, 2], [-1, -1]])
    of_second = torch.tensor([[-5.0, -7], [-2, -3], [-4, -6]])  # background throughout
    scores = torch.stack([of_first, of_second], dim=1)[:, None].requires_grad_()
    path, means = path_scores(scores, torch.tensor([0]))
    assert path[:, 0].T.tolist() == [[1, 2, 0], [0, 0, 0]]
    assert means.tolist() == [[3, -2]]
    means.sum().backward()
    assert scores.grad[:, 0, 0].tolist() == [[0.5, 0], [0, 0.5], [0, 0]]
    assert scores.grad[:, 0, 1].tolist() == [[0, 0], [1, 0], [0, 0]]


def test_videos_of_several_lengths_are_as_they_are_alone():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 3)) for n in (9, 1, 30)]
    labels = np.eye(3, 2)
    model = PhasePathLocalizer()
    network = model._fresh_network(3, 2, seed=0)
    ((_, together),) = model._losses(network, batch_of(X, labels)).values()
    alone = [model._losses(network, batch_of([x], [y])) for x, y in zip(X, labels, strict=True)]
    expected = np.mean([terms["classification"][1].item() for terms in alone])
    assert together.item() == pytest.approx(expected, rel=1e-5)


def activation_of(*of_classes, n_phases=2):
    """Scores of the phases of each class in each snippet."""
    tcam = np.concatenate([np.array(scores, dtype=float) for scores in of_classes], axis=1)
    zeros = np.zeros(len(of_classes))
    return Activation(np.ones(len(tcam)), tcam, zeros, zeros)


def localizer(**params):
    model = PhasePathLocalizer(n_phases=2, **params)
    model.classes_ = np.array(["a", "b"])
    return model


OF_A = [[-1, -1], [2, -1], [-1, 2], [3, -1], [-1, 3], [-1, 3], [-1, -1]]
OF_B = [[-9, -9]] * 7


def test_a_circle_that_begins_again_is_another_proposal():
    found = localizer()._propose(activation_of(OF_A, OF_B), SnippetClock(0.5))
    assert found[["start", "end", "label"]].tolist() == [(0.5, 1.5, "a"), (1.5, 3.0, "a")]
    assert found["score"].tolist() == pytest.approx([2 + 13 / 5, 3 + 13 / 5])


def test_a_path_of_background_alone_yields_nothing():
    assert len(localizer()._propose(activation_of(OF_B, OF_B), SnippetClock(1.0))) == 0


def test_scores_of_streams_are_averaged():
    own, other = activation_of(OF_A, OF_B), activation_of(OF_B, OF_B)
    model = localizer(stream_weight=0.25)
    assert len(model._propose(own, SnippetClock(1.0), [other])) == 0
    found = model.set_params(stream_weight=1.0)._propose(own, SnippetClock(1.0), [other])
    assert len(found) == 2


def test_phases_of_an_action_are_learned_in_their_order():
    # Each action is twice one kind of snippet, and then twice another.
    rng = np.random.default_rng(0)
    X, y = [], []
    for i in range(30):
        x = 0.1 * rng.standard_normal((40, 5))
        x[:, 4] += 1
        for start in (6, 22):
            for phase in range(2):
                x[start + 2 * phase : start + 2 * phase + 2, 2 * (i % 2) + phase] += 2
        X.append(x)
        y.append("ab"[i % 2])
    model = PhasePathLocalizer(n_phases=2, max_epochs=60, learning_rate=0.05, random_state=0)
    model.fit(X, y)
    (found,) = model.predict(X[:1])
    best = found[np.argsort(-found["score"])[:2]]
    assert sorted(best["start"] / 0.64) == pytest.approx([6, 22])
    assert sorted(best["end"] / 0.64) == pytest.approx([10, 26])


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    model = PhasePathLocalizer(max_epochs=60, batch_size=10, learning_rate=2e-2, random_state=0)
    model.fit(X[:40], y[:40])
    losses = model.history_["classification"]
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.5
