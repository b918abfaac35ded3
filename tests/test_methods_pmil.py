"""P-MIL's network, losses and scores against outputs of its released implementation."""

import numpy as np
import pytest
from released_methods import (
    Reference,
    assert_detections,
    assert_gradients,
    assert_one_step,
    batch_of,
    one_step,
    total,
)

from skdgam.methods import ProposalScorer
from skdgam.methods.pmil import describe_proposals
from skdgam.proposals import align

STREAMS = "vf"  # RGB and flow
NAMES = {
    f"of_streams.{k}.{ours}": f"prop_{stream}_backbone.prop_{theirs}"
    for k, stream in enumerate(STREAMS)
    for ours, theirs in [("body", "fusion.0")]
    + [(f"{head}.{i}",) * 2 for head in ("classifier", "attention", "completeness") for i in (0, 2)]
}
TERMS = {
    **{"classification": "mil_orig", "attention": "mil_supp"},
    **{"consistency": "irc", "completeness": "comp"},
}


@pytest.fixture(scope="module")
def reference(shared_file):
    return Reference(shared_file("reference/methods/pmil.npz"), NAMES)


@pytest.fixture
def scorer(reference):
    """A scorer with the widths and weights of the reference."""
    model = ProposalScorer(streams=(8, 8), hidden=8, dropout=0.0, snippet_seconds=1.0)
    return model._set_weights(np.arange(4), reference.weights("weight."), n_features=50)


def rows(reference, name):
    """What the scorer is told of the proposals of a video."""
    proposals = reference[name.replace("video", "proposals")].astype(np.float64)
    return describe_proposals(reference[name], *proposals.T)


def batch(reference, mode):
    X = [rows(reference, f"train.video{i}") for i in range(4)]
    masks = None
    if mode == "drop":
        of_streams = (f"drop.mask.prop_{s}_backbone.prop_fusion.2" for s in STREAMS)
        masks = [
            np.concatenate([2.0 * mask[: len(x)] for mask, x in zip(reference[m], X, strict=True)])
            for m in of_streams
        ]
    made = batch_of(X, reference["train.labels"], masks=masks)
    object.__setattr__(made, "epoch", int(reference["train.epoch"]) - 1)
    return made


def test_aligned_features_are_those_of_the_released_implementation(reference):
    for i in range(4):
        video, proposals = (reference[f"train.{name}{i}"] for name in ("video", "proposals"))
        aligned = align(video.astype(np.float64), *proposals.astype(np.float64).T)
        np.testing.assert_allclose(aligned, reference[f"train.roi{i}"], atol=1e-6)


@pytest.mark.parametrize("mode", ["train", "drop"])
def test_what_the_networks_say_is_that_of_the_released_implementation(reference, scorer, mode):
    made = batch(reference, mode)
    for stream, (logits, *of_rows) in zip(
        STREAMS, scorer._fitted_network().of_each(made, 0.5 * (mode == "drop")), strict=True
    ):
        is_there = reference["train.prop_mask"] > 0
        expected = {
            name: reference[f"{mode}.prop_{stream}_{name}"][is_there]
            for name in ("cas", "attn", "iou")
        }
        n_rows = is_there.sum()
        np.testing.assert_allclose(logits[:n_rows], expected["cas"], atol=1e-5)
        for values, name in zip(of_rows, ("attn", "iou"), strict=True):
            theirs = 1 / (1 + np.exp(-expected[name][:, 0]))  # theirs are logits
            np.testing.assert_allclose(values[:n_rows], theirs, atol=1e-5)


@pytest.mark.parametrize("mode", ["train", "drop"])
def test_losses_and_gradients_are_those_of_the_released_implementation(reference, scorer, mode):
    network = scorer._fitted_network().requires_grad_(True)
    if mode == "drop":
        scorer.set_params(dropout=0.5)
    terms = scorer._losses(network, batch(reference, mode))
    for ours, theirs in TERMS.items():
        weight, value = terms[ours]
        expected = np.mean([reference[f"{mode}.loss_{theirs}_{stream}"] for stream in STREAMS])
        assert value.item() == pytest.approx(expected, rel=1e-5), ours
        weighted = float(reference[f"{mode}.weighted_loss_prop_{theirs}"])
        assert weight * value.item() == pytest.approx(weighted, rel=1e-5), ours
    loss = total(terms)
    assert loss.item() == pytest.approx(float(reference[f"{mode}.weighted_loss_total"]), rel=1e-5)
    loss.backward()
    assert_gradients(network, reference.weights(f"{mode}.grad."))


def test_one_step_ends_at_the_released_weights(reference, scorer):
    network = scorer._fitted_network().requires_grad_(True)
    one_step(scorer, network, batch(reference, "train"), learning_rate=5e-5)
    expected, gradients = (reference.weights(f"train.{name}.") for name in ("after", "grad"))
    assert_one_step(network, expected, scorer.weights_, gradients)


def test_detections_are_those_of_the_released_implementation(reference, scorer):
    for i in range(3):
        X = [rows(reference, f"test{i}.video")]
        class_score = reference[f"test{i}.class_score"]
        np.testing.assert_allclose(scorer.predict_proba(X)[0], class_score, atol=1e-5)
        assert_detections(scorer.predict(X)[0], reference[f"test{i}.detections"])


def proposals_of(n_videos, random_state):
    """Videos of noise with an action in the snippets 20 to 31, and proposals of any place."""
    rng = np.random.default_rng(random_state)
    X, y = [], []
    for i in range(n_videos):
        video = rng.normal(scale=0.3, size=(60, 4))
        video[20:32, i % 2] += 2
        start = rng.uniform(0, 50, size=40)
        end = np.minimum(start + rng.uniform(4, 20, size=40), 60)
        X.append(describe_proposals(video, start, end))
        y.append("run" if i % 2 else "jump")
    return X, y


def train(**params):
    X, y = proposals_of(20, random_state=0)
    return ProposalScorer(hidden=32, max_epochs=100, random_state=0, **params).fit(X, y)


@pytest.fixture(scope="module")
def trained():
    return train()


@pytest.fixture(scope="module")
def apart():
    return train(consistency=0.0, completeness=0.0)


@pytest.mark.parametrize("term", ["classification", "attention"])
def test_training_lowers_the_losses_of_videos(trained, term):
    values = trained.history_[term]
    assert values[-5:].mean() < 0.8 * values[0]


@pytest.mark.parametrize("term", ["consistency", "completeness"])
def test_networks_that_learn_from_each_other_agree_better(trained, apart, term):
    together, alone = (model.history_[term][-5:].mean() for model in (trained, apart))
    assert together < 0.8 * alone


def test_the_best_proposal_shows_the_action(trained):
    X, y = proposals_of(8, random_state=1)
    for found, label in zip(trained.predict(X), y, strict=True):
        best = found[found["score"].argmax()]
        assert best["label"] == label
        assert best["start"] < 32 * 0.64
        assert best["end"] > 20 * 0.64


def test_start_and_end_are_not_standardized(trained):
    assert trained.mean_[-2:].tolist() == [0, 0]
    assert trained.scale_[-2:].tolist() == [1, 1]


def test_pieces_of_a_batch_add_up_to_it():
    X, y = proposals_of(6, random_state=0)
    labels = [[label == "jump", label == "run"] for label in y]
    scorer = ProposalScorer(hidden=4, random_state=0, dropout=0.0)
    network = scorer._fresh_network(X[0].shape[1], 2, seed=0)
    weights = np.array([1.0, 2.0, 0.5, 1.5, 0.25, 0.75])
    whole = scorer._losses(network, batch_of(X, labels, weights=weights))
    pieces = []
    for piece in (slice(0, 2), slice(2, 6)):
        made = batch_of(X[piece], labels[piece], weights=weights[piece])
        object.__setattr__(made, "n_videos", 6)
        pieces.append(scorer._losses(network, made))
    for name, (_, value) in whole.items():
        parts = sum(piece[name][1].item() for piece in pieces)
        assert parts == pytest.approx(value.item(), rel=1e-5), name


def test_streams_that_are_not_those_of_the_features():
    X, y = proposals_of(4, random_state=0)
    with pytest.raises(ValueError, match=r"\(2, 3\), which are 5 features, but there are 4"):
        ProposalScorer(streams=(2, 3), random_state=0).fit(X, y)


def test_rows_that_are_not_of_proposals():
    with pytest.raises(ValueError, match="9 columns"):
        ProposalScorer(random_state=0).fit([np.ones((3, 9))] * 4, ["run", "jump"] * 2)
