"""ASM-Loc against outputs of its released implementation, but for its dynamic sampling."""

import numpy as np
import pytest
import torch
from released_methods import (
    Reference,
    assert_detections,
    assert_gradients,
    assert_losses,
    batch_of,
    total,
)

from skdgam.clock import SnippetClock
from skdgam.datasets import make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.methods import ASMLocLocalizer
from skdgam.methods._branches import branch_activation
from skdgam.methods._segments import memberships, pseudo_labels, pseudo_segments

BASE = {"body": "feature_embedding.0", "attention": "att_branch", "classifier": "snippet_cls"}
LAYERS = {"query": "conv_query", "key": "conv_key", "value": "conv_value", "out": "conv_out"}
NAMES = {f"base.{ours}": f"base.weight.{theirs}" for ours, theirs in BASE.items()}
OF_REFINEMENT = BASE | {"uncertainty": "uncertainty_branch"}
for place, theirs in (("within", "MHSA_Intra"), ("among", "MHSA_Inter")):
    OF_REFINEMENT |= {f"{place}.{a}": f"{theirs}.{b}" for a, b in LAYERS.items()}
# Of the norm, weight and bias have other names here.
OF_NORM = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
for place, theirs in (("within", "MHSA_Intra"), ("among", "MHSA_Inter")):
    OF_REFINEMENT |= {f"{place}.norm.{a}": f"{theirs}.bn.{b}" for a, b in OF_NORM.items()}
TERMS = {"foreground": "fg", "background": "bg", "actions": "abg"}
N_SNIPPETS = [64, 33, 95, 77, 24]


@pytest.fixture(scope="module")
def base(shared_file):
    return Reference(shared_file("reference/methods/asmloc.npz"), BASE)


@pytest.fixture(scope="module")
def refined(shared_file):
    return Reference(shared_file("reference/methods/asmloc.npz"), OF_REFINEMENT)


@pytest.fixture
def model(base, refined):
    """A localizer with the released base network, and one refinement."""
    weights = {f"base.{k}": v for k, v in base.weights("base.weight.").items()}
    weights |= {f"refinements.0.{k}": v for k, v in refined.weights("weight.").items()}
    weights["n_refined"] = np.zeros(1, dtype=np.float32)
    model = ASMLocLocalizer(
        n_refinements=1, standardize=False, snippet_seconds=0.64, max_snippets=40
    )
    return model._set_weights(np.arange(4), weights, n_features=16)


def batch(reference, x, run):
    masks = [np.ones((120, 1))] * 4  # of the input, of attention, and the two before the classifier
    if run.endswith("_drop"):
        masks[2:] = [reference[f"{run}.mask.dropout{k}"].reshape(120, -1) / 0.3 for k in ("", "#1")]
    return batch_of(reference[x], reference["train.labels"], masks=masks)


def members(reference, names, n):
    """Masks (n_proposals, n) of proposals, whose ends are both inside."""
    found = []
    for name in names:
        first, last = reference[name].T[:, :, None]
        found.append(torch.from_numpy((first <= np.arange(n)) & (np.arange(n) <= last)))
    return found


def assert_one_step(network, reference, run):
    torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=5e-5).step()
    gradients = reference.weights(f"{run}.grad.")
    named = dict(network.named_parameters())
    for name, after in reference.weights(f"{run}.after.").items():
        found = named[name].detach().numpy().reshape(after.shape)
        # Adam's first step is the sign of the gradient, which rounding decides near 0.
        is_sure = np.abs(gradients[name]) > 1e-6
        np.testing.assert_allclose(found[is_sure], after[is_sure], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("run", ["base", "base_drop"])
def test_the_first_network_learns_as_released(base, model, run):
    network = model._fitted_network().base.requires_grad_(True)
    terms = model._losses_of(network, batch(base, "train.x", run))
    assert_losses(terms, base, run, TERMS)
    total(terms).backward()
    assert_gradients(network, base.weights(f"{run}.grad."))
    if run == "base":
        assert_one_step(network, base, run)


@pytest.mark.parametrize("run", ["full", "full_drop"])
def test_a_refinement_learns_as_released(refined, model, run):
    network = model._fitted_network().refinements[0].requires_grad_(True)
    target = refined["full.pseudo_label"].reshape(120, -1)
    whole = batch(refined, "full.x", run)
    target = torch.from_numpy(np.pad(target, ((0, len(whole.x) - 120), (0, 0))))
    of_videos = members(refined, [f"full.proposals{i}" for i in range(3)], 40)
    terms = model._losses_of(network, whole, of_videos, target)
    assert_losses(terms, refined, run, TERMS)
    expected = float(refined[f"{run}.loss_pseudo_instance"])
    assert terms["pseudo"][1].item() == pytest.approx(expected, rel=1e-5)
    total(terms).backward()
    gradients = refined.weights(f"{run}.grad.")
    for name in ("within.out.bias", "among.out.bias"):  # which normalization takes out again
        assert np.abs(gradients.pop(name)).max() < 1e-12
        assert network.get_parameter(name).grad.abs().max() < 1e-5
    assert_gradients(network, gradients)
    if run == "full":
        assert_one_step(network, refined, run)


@pytest.mark.parametrize("i", [3, 4])
def test_detections_of_the_first_network_are_those_released(base, model, i):
    found = model.predict([base[f"video{i}"]])[0]
    assert_detections(found, base[f"base.video{i}.detections"])


@pytest.mark.parametrize("i", range(5))
def test_pseudo_segments_are_those_released(base, model, i):
    (activation,) = model._activations(model._check([base[f"video{i}"]]))
    theirs = base[f"step1.video{i}.pseudo_segments"]
    per_row = 0.64 * N_SNIPPETS[i] / len(activation.attention)
    labels = np.isin(np.arange(4), theirs[:, 0]) if i < 3 else None
    found = pseudo_segments(activation, labels, second=1 / per_row)
    found["start"] *= per_row
    found["end"] *= per_row
    assert_detections(found, theirs)


def test_proposals_are_those_released(base):
    # Of the one video whose time is not stretched.
    assert base["step1.video3.resampled_length"] == 77
    rows = base["step1.video3.pseudo_segments"]
    start, end = rows[:, 2:].T / 0.64 * 40 / 77
    segments = make_intervals(start, end, rows[:, 0].astype(int), rows[:, 1])
    theirs = members(base, ["step1.video3.proposals"], 40)[0].numpy()
    ours = memberships(segments, 40)
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


@pytest.mark.parametrize("i", [3, 4])
def test_a_refinement_predicts_as_released(refined, model, i):
    network = model._fitted_network().refinements[0]
    x = refined[f"step1.video{i}.x"]
    whole = batch_of([x], [[0] * 4])
    of_video = members(refined, [f"step1.video{i}.proposals"], len(x))
    attention, logits = network.read(network.refine(whole, of_video), whole)
    attention = attention[: len(x)].numpy()
    np.testing.assert_allclose(attention, refined[f"full.video{i}.attention"], atol=1e-5)
    activation = branch_activation(attention[:, 0], logits[: len(x)].numpy(), network.topk)
    expected = refined[f"full.video{i}.fg_score"][:-1]
    np.testing.assert_allclose(activation.probability, expected, atol=1e-6)
    if i == 3:  # whose time is not stretched
        clock = SnippetClock(0.64).resampled(77, len(x))
        found = model._suppress(model._propose(activation, clock))
        assert_detections(found, refined["full.video3.detections"])


def test_a_prediction_takes_the_segments_of_the_first_network_to_the_second(refined, model):
    # Of a video that is not drawn from, and whose time is not stretched.
    x = refined["step1.video3.x"]
    model.weights_["n_refined"] = np.ones(1, dtype=np.float32)
    network = model._fitted_network()
    whole = batch_of([x], [[0] * 4])
    activation = branch_activation(*(v[: len(x)].numpy() for v in network.base(whole)), 8)
    inside = [torch.from_numpy(memberships(pseudo_segments(activation), len(x)))]
    last = network.refinements[0]
    attention, _ = last.read(last.refine(whole, inside), whole)
    np.testing.assert_allclose(model.attention([x])[0], attention[: len(x), 0], atol=1e-6)


def segments(*rows):
    start, end, label, score = zip(*rows, strict=True)
    return make_intervals(start, end, np.array(label), score)


def test_members_of_a_segment_by_hand():
    found = segments((2.0, 4.0, 0, 0.5), (2.0, 4.0, 1, 0.4), (2.5, 3.5, 0, 0.9), (8.0, 9.4, 0, 0.1))
    # Snippets 1 to 5; the same again, and what lies inside, go; from 7.3 to 10.1, beyond the end.
    assert [np.flatnonzero(row).tolist() for row in memberships(found, 10)] == [
        [1, 2, 3, 4, 5],
        [7, 8, 9],
    ]
    at_the_end = memberships(segments((9.9, 10.0, 0, 0.5)), 10)
    assert np.flatnonzero(at_the_end).tolist() == [9]
    assert memberships(found[:0], 10).shape == (0, 10)


def test_pseudo_labels_by_hand():
    found = segments((0.6, 2.4, 0, 0.5), (2.0, 3.0, 1, 0.4))
    expected = [[0, 0, 1], [1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    assert pseudo_labels(found, 5, 2).tolist() == expected


def test_only_classes_of_the_video_have_segments(base, model):
    (activation,) = model._activations(model._check([base["video3"]]))
    found = pseudo_segments(activation)
    some = found["label"][0]
    others = pseudo_segments(activation, np.arange(4) != some)
    assert set(others["label"]) == set(found["label"]) - {some}


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=12, n_classes=2, random_state=0)


def test_networks_take_turns(data):
    model = ASMLocLocalizer(max_epochs=8, batch_size=6, random_state=0, n_refinements=2)
    seen = []
    for _ in range(8):
        model.partial_fit(*data)
        seen.append(model.weights_)
    moved = [
        {name.partition(".")[2][0] if name.startswith("r") else "base" for name in changed}
        for before, after in zip(seen, seen[1:], strict=False)
        if (changed := [k for k in after if (before[k] != after[k]).any() and k != "n_refined"])
    ]
    assert moved == [{"0"}] + [{"1"}] * 6
    assert [int(weights["n_refined"][0]) for weights in seen] == [0, 1, 2, 2, 2, 2, 2, 2]
    assert (model.history_["pseudo"] != 0).tolist() == [False] + [True] * 7


@pytest.fixture(scope="module")
def trained(data):
    settings = {"n_refinements": 1, "max_epochs": 8, "batch_size": 6, "random_state": 0}
    return ASMLocLocalizer(**settings).fit(*data)


def test_statistics_of_normalization_come_from_training_alone(data, trained):
    names = [f"refinements.0.within.norm.{kind}" for kind in ("mean", "variance")]
    kept = [trained.weights_[name].copy() for name in names]
    assert kept[0].any()
    trained.predict(data[0])
    for name, before in zip(names, kept, strict=True):
        np.testing.assert_array_equal(trained.weights_[name], before)


def test_a_snippet_knows_all_of_its_video(data, trained):
    long = np.concatenate(data[0][:6])
    assert len(long) > 1024  # more than go through a network without overlap
    attention = trained.attention([long])[0]
    whole = batch_of([(long - trained.mean_) / trained.scale_], [[0] * 2])
    expected, _ = trained._fitted_network()(whole)
    np.testing.assert_allclose(attention, expected[: len(long)], atol=1e-4)


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=12, context=0.0, noise=0.2, random_state=0
    )
    settings = {"hidden": 64, "n_snippets": 100, "learning_rate": 3e-3, "random_state": 0}
    model = ASMLocLocalizer(n_refinements=1, max_epochs=32, **settings).fit(X[:40], y[:40])
    for name, first in (("foreground", 0), ("pseudo", 4)):
        values = model.history_[name]
        assert values[-3:].mean() < 0.9 * values[first : first + 3].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
