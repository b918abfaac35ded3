"""The network and the losses of the default, by hand; and the localizer on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.dgam.joint import JointDGAM, JointObjective, attention_of_labels
from skdgam.layers import initialize
from skdgam.training.batches import Batch, Deviates

CPU = torch.device("cpu")
HOP = 2.56  # seconds of a snippet; long ones make for quick fits
LENGTHS = np.array([3, 2])
LABELS = torch.tensor([[1.0, 0.0], [0.0, 0.0]])


def batch_of(x, lengths=LENGTHS, labels=LABELS, random=False, **changes):
    deviates = Deviates(0, CPU, torch.float32) if random else None
    return Batch(
        *(torch.as_tensor(x, dtype=torch.float32), lengths, labels, lengths, len(lengths)),
        deviates=deviates,
        rng=np.random.default_rng(0),
        **changes,
    )


def joint(n_starts=2, n_features=4, n_classes=2):
    network = JointDGAM(n_features, n_classes, latent_dim=3, temporal_context=1, n_starts=n_starts)
    initialize(network, torch.Generator().manual_seed(0))
    return network


def objective(**changes):
    settings = {"beta": 0.1, "gamma1": 0.5, "r": 1.0, "topk": 8, "dropout": 0.0}
    return JointObjective(**(settings | changes))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(5, 4))


# --- networks ---


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_probability_is_the_product_of_two_sigmoids(x, scale):
    network = joint()
    batch = batch_of(scale * x)
    hidden = network.hidden(batch.x, batch).relu()[:, 128:]  # of the second start
    classes, action = np.split(network.heads[1](hidden).detach().double().numpy(), [2], axis=1)
    found = expit(network.of_starts(batch)[:, 1].detach().double().numpy())
    np.testing.assert_allclose(found, expit(classes) * expit(action), rtol=1e-4)


def test_at_the_start_there_is_an_action_everywhere_of_no_class_in_particular():
    assert [head.bias.tolist() for head in joint().heads] == [[-1.0, -1.0, 1.0]] * 2


def test_starts_begin_with_different_weights(x):
    one, other = joint().of_starts(batch_of(x)).unbind(dim=1)
    assert not torch.isclose(one, other).any()


def test_one_start_does_not_look_at_another(x):
    network = joint()
    before = network.of_starts(batch_of(x))
    with torch.no_grad():
        network.hidden.weight[128:] = 0
        network.heads[1].weight.fill_(1)
    torch.testing.assert_close(network.of_starts(batch_of(x))[:, 0], before[:, 0])


@pytest.mark.parametrize("n_starts", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_it_predicts_the_mean_probability(x, n_starts, scale):
    network, batch = joint(n_starts), batch_of(scale * x)
    expected = network.of_starts(batch).sigmoid().mean(dim=1)
    attention, logits = network(batch)
    torch.testing.assert_close(logits.sigmoid(), expected)
    torch.testing.assert_close(attention, expected.amax(dim=1))


# --- losses ---


def test_attention_of_labels_by_hand():
    probability = torch.tensor([[0.2, 0.9], [0.7, 0.1], [0.5, 0.5], [0.8, 0.8], [0.9, 0.9]])
    # The first video has the first class, the second has none.
    found = attention_of_labels(probability, batch_of(np.zeros((5, 4))))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.7, 0.5, 0.0, 0.0]))


class AllAlike:
    """Deviates that all have one value: -9 is below every threshold of dropout."""

    def __init__(self, of_features, of_units):
        self.of_features, self.of_units = of_features, of_units

    def take(self, n, m, rng):
        return torch.full((n, m), self.of_features if m == 4 else self.of_units)


def test_dropout_leaves_out_units_in_stage_a(x):
    batch = replace(batch_of(x), deviates=AllAlike(9.0, -9.0))
    _, found = objective(gamma1=0.0, dropout=0.5).head_losses(joint(), batch)["classification"]
    probability = expit(-1.0) * expit(1.0)  # that of the biases, which are left
    expected = -(np.log(probability) + 3 * np.log(1 - probability)) / 2
    assert found.item() == pytest.approx(expected)


def test_dropout_leaves_out_features(x):
    network = joint()
    some, none = (
        network.of_starts(replace(batch_of(x_or_0), deviates=AllAlike(-9.0, 9.0)), 0.5)
        for x_or_0 in (x, 0 * x)
    )
    torch.testing.assert_close(some, none)


def test_dropout_spares_the_cvae_and_the_attention_that_it_is_given(x):
    network = joint()
    without, with_dropout = (
        objective(dropout=dropout).cvae_losses(network, batch_of(x, random=True))
        for dropout in (0.0, 0.5)
    )
    assert with_dropout == without


def test_dropout_spares_predictions(x):
    network = joint()
    for found, expected in zip(
        network(batch_of(x, random=True)), network(batch_of(x)), strict=True
    ):
        assert torch.equal(found, expected)


class Said(JointDGAM):
    """A network whose starts say what they are told to."""

    def __init__(self, logits):
        super().__init__(4, 2, latent_dim=3, temporal_context=0, n_starts=2)
        self.logits = logits

    def of_starts(self, batch, dropout=0.0):
        return self.logits


@pytest.fixture
def said():
    logits = torch.zeros(5, 2, 2)  # snippets, starts, classes
    logits[1, 0, 0], logits[2, 0, 0], logits[1, 1, 0] = 2.0, 1.0, -3.0
    return logits.requires_grad_()


def test_classification_by_hand(x, said):
    # One snippet in two: the mean of the highest of three, and of two; and then that of the starts.
    weight, found = terms_of(Said(said), x, topk=2, gamma1=0.0)["classification"]
    nothing = np.log(2)  # the loss of a logit of 0
    of_first = [-np.log(expit(2.0)) + nothing, nothing + nothing]
    assert weight == 1
    assert found.item() == pytest.approx((np.mean(of_first) + 2 * nothing) / 2, rel=1e-6)


def test_agreement_by_hand(x, said):
    _, found = terms_of(Said(said), x, gamma1=0.0)["agreement"]
    logits = said.detach().double().numpy()
    mean = expit(logits).mean(axis=1, keepdims=True)
    mean[:3, :, 1] = 0  # the first video does not have the second class,
    mean[3:] = 0  # and the second video has none
    loss = -(mean * np.log(expit(logits)) + (1 - mean) * np.log(expit(-logits)))
    of_snippets = loss.sum(axis=2).mean(axis=1)
    assert found.item() == pytest.approx((of_snippets[:3].mean() + of_snippets[3:].mean()) / 2)


def test_starts_move_towards_their_mean(x, said):
    terms_of(Said(said), x, gamma1=0.0)["agreement"][1].backward()
    high, low = said.grad[1, :, 0]
    assert high > 0 > low


def test_starts_agree_only_once_they_have_made_up_their_minds(x):
    weights = [
        objective().head_losses(joint(), batch_of(x, random=True, progress=progress))["agreement"][
            0
        ]
        for progress in (0.0, 0.3, 0.31, 1.0)
    ]
    assert weights == [0.0, 0.0, 1.0, 1.0]


def terms_of(network, x, **changes):
    batch = batch_of(x, random=True, progress=0.5)
    return objective(**changes).head_losses(network, batch)


def test_without_gamma1_there_is_no_generative_part(x):
    assert [stage.name for stage in objective(gamma1=0.0).stages()] == ["heads"]
    assert "reconstruction" not in terms_of(joint(), x, gamma1=0.0)


def test_gamma1_rises_over_the_first_fifth(x):
    weights = [
        objective().head_losses(joint(), batch_of(x, random=True, progress=progress))[
            "reconstruction"
        ][0]
        for progress in (0.0, 0.1, 0.2, 0.9)
    ]
    assert weights == pytest.approx([0.0, 0.25, 0.5, 0.5])


def test_one_start_has_nobody_to_agree_with(x):
    terms = terms_of(joint(n_starts=1), x)
    assert terms.keys() == {"classification", "reconstruction"}


def test_stages_share_out_the_weights():
    network = joint()
    cvae, heads = objective().stages()
    names = [name for name, _ in network.named_parameters()]
    of_cvae = {name for name in names if name.startswith(cvae.learns)}
    of_heads = {name for name in names if name.startswith(heads.learns)}
    assert of_cvae | of_heads == set(names)
    assert of_cvae == {name for name in names if "encoder" in name or "decoder" in name}


# --- the localizer ---


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(
        n_videos=40, n_classes=2, n_features=16, snippet_seconds=HOP, random_state=0
    )


def fit(X, y):
    return DGAMLocalizer(snippet_seconds=HOP, random_state=0, precision="float32").fit(X, y)


@pytest.fixture(scope="module")
def fitted(data):
    return fit(*data)


def test_the_defaults_find_actions_beside_their_context(data, fitted):
    assert fitted.score(*data) > 0.4


def test_scale_and_shift_of_features_do_not_matter(data):
    X = [40 * x - 300 for x in data[0]]
    shifted = fit(X, data[1])
    assert shifted.score(X, data[1]) > 0.4  # trained on the same but for rounding


def test_probability_in_a_video_by_hand(data, fitted):
    probability = fitted.class_activation(data[0])[0].astype(np.float64)
    expected = (probability**2).sum(axis=0) / probability.sum(axis=0)
    np.testing.assert_allclose(fitted.predict_proba(data[0])[0], expected, rtol=1e-4)


def test_the_curves_are_consistent(data, fitted):
    for attention, classes in zip(
        fitted.attention(data[0]), fitted.class_activation(data[0]), strict=True
    ):
        np.testing.assert_allclose(attention, classes.max(axis=1), rtol=1e-5)


def test_reconstruction_error_of_the_default(data, fitted):
    errors = fitted.reconstruction_error(data[0][:2])
    assert [error.shape for error in errors] == [(len(x),) for x in data[0][:2]]
    assert np.concatenate(errors).mean() < 1.5  # of features with variance 1


def test_terms_of_the_history(fitted):
    assert fitted.history_.keys() == {
        *("classification", "reconstruction", "cvae_reconstruction", "cvae_kl"),
        "agreement",
    }
    assert all(values.shape == (fitted.n_epochs_,) for values in fitted.history_.values())


def test_logits_of_the_activation_are_those_of_the_probability(data, fitted):
    (activation,) = fitted._activations(fitted._check(data[0][:1]))
    probability = fitted.class_activation(data[0][:1])[0]
    np.testing.assert_allclose(expit(activation.tcam), probability, rtol=1e-5)
    assert np.isfinite(logit(np.clip(probability, 1e-7, 1 - 1e-7))).all()
