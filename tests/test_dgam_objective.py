"""Both stages of DGAM: equality with the released implementation, and with plain formulas."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skdgam import losses
from skdgam._features import check_features
from skdgam.dgam.networks import DGAM
from skdgam.dgam.objective import (
    CVAE_SCALE,
    LOG_VARIANCE_BOUND,
    SMOOTHING,
    SMOOTHING_RADIUS,
    Objective,
    class_probability,
    kl_to_latent_prior,
    pooled_logits,
)
from skdgam.layers import initialize
from skdgam.training import batches
from skdgam.training.batches import Batch, HostFeatures, to_rows
from skdgam.training.trainer import Sampling, Trainer

CPU = torch.device("cpu")
RELEASED_NAMES = {
    "att_head.fc1": "attention_head.0",
    "att_head.fc2": "attention_head.2",
    "clf_head.fc1": "classifier",
    **{
        f"cvae.c{part}.fc{i}": f"{part}.{layer}"
        for part in ("encoder", "decoder")
        for i, layer in enumerate(("first", "second", "third"), start=1)
    },
}


@dataclass(frozen=True, eq=False)
class KnownBatch(Batch):
    """A batch whose noise (n_rows, width) is known beforehand; behind the videos it is 0."""

    known: torch.Tensor | None = None

    def noise(self, width):
        assert self.known.shape[1] == width
        return F.pad(self.known, (0, 0, 0, len(self.x) - len(self.known)))


def with_noise(batch, noise):
    """The batch, with noise that is known."""
    given = {field.name: getattr(batch, field.name) for field in fields(Batch)}
    return KnownBatch(**given, known=torch.as_tensor(noise))


def batch_of(videos, n_snippets, labels, n_videos=None, noise=None, **changes):
    """Whole videos as a batch, or a part of one of so many videos."""
    settings = {
        "x": to_rows(list(videos), torch.float32),
        "lengths": np.array([len(video) for video in videos]),
        "labels": torch.as_tensor(np.asarray(labels, dtype=np.float32)),
        "n_snippets": np.full(len(videos), n_snippets),
        "n_videos": n_videos or len(videos),
        "rng": np.random.default_rng(0),
    }
    batch = Batch(**(settings | changes))
    return batch if noise is None else with_noise(batch, noise)


def objective(**changes):
    settings = {
        **{"alpha": 0.03, "beta": 0.1, "gamma1": 0.5, "gamma2": 0.1, "r": 1.0},
        **{"foreground_weight": 1.0, "pooling": "paper", "classification": "softmax"},
        **{"dropout": 0.0, "warmup_epochs": 0, "warmup_gamma1": True, "refresh_every": 1},
    }
    return Objective(**(settings | changes))


def network_of(n_features=24, n_classes=5, seed=0, **shape):
    network = DGAM(n_features, n_classes, **shape)
    initialize(network, torch.Generator().manual_seed(seed))
    return network


# --- the released implementation ---


def released_state(released, prefix):
    """Weights of the released implementation under the names of our networks."""
    state = {}
    for name, value in released.weights(prefix).items():
        layer, kind = name.rsplit(".", 1)
        state[f"{RELEASED_NAMES[layer]}.{kind}"] = torch.from_numpy(value)
    return state


@pytest.fixture
def network(released):
    """The networks just before the step."""
    network = DGAM(24, 6)
    network.load_state_dict(released_state(released, "step.before."))
    return network


def take_steps(network, released, *names):
    """Make a step of some stages on the released batch; return the terms of each."""
    # The warm-up of the step as that of an epoch: 0.37 of the 100 that it takes.
    stages = [
        known_to(stage, released[f"step.{noise}_noise"].reshape(200, 128))
        for stage, noise in zip(
            objective(pooling="released", warmup_epochs=100).stages(),
            ("posterior", "prior"),
            strict=True,
        )
    ]
    sampling = Sampling(n_snippets=40, batch_size=5, refresh_every=1)
    trainer = Trainer(network, stages, sampling, learning_rate=1e-3, n_epochs=100, seed=0)
    trainer.epoch = round(100 * float(released["step.warmup"]))
    videos = check_features(list(released["step.x"]))
    features = HostFeatures(videos, CPU, torch.float32)
    is_labelled, everything = released["step.y"].astype(bool), [slice(None)] * 5
    return {
        stage.name: trainer._step(
            stage, np.arange(5), features, is_labelled, everything, np.random.default_rng(0)
        )
        for stage in stages
        if stage.name in names
    }


def known_to(stage, noise):
    """The stage, which is given this noise."""
    return stage._replace(
        losses=lambda network, batch: stage.losses(network, with_noise(batch, noise))
    )


def test_attention_is_that_of_the_released_implementation(network, released):
    batch = batch_of(released["step.x"], 40, released["step.y"])
    attention = network(batch)[0][:200].detach().numpy()
    np.testing.assert_allclose(attention, released["step.attention"].ravel(), rtol=1e-5)


def test_posterior_is_that_of_the_released_implementation(network, released):
    batch = batch_of(released["step.x"], 40, released["step.y"])
    mean, log_variance = network.encode(batch.x, network(batch)[0])
    for ours, name in ((mean, "mean"), (log_variance, "log_variance")):
        theirs = released[f"step.posterior_{name}"].reshape(-1, 128)
        np.testing.assert_allclose(ours[:200].detach(), theirs, atol=1e-6)


def test_cvae_loss_is_that_of_the_released_implementation(network, released):
    terms = take_steps(network, released, "cvae")["cvae"]
    loss = terms["cvae_reconstruction"] + 0.1 * terms["cvae_kl"]
    assert loss.item() == pytest.approx(float(released["step.loss_cvae"]), rel=1e-5)


def test_attention_losses_are_those_of_the_released_implementation(network, released):
    for name, value in take_steps(network, released, "cvae", "heads")["heads"].items():
        assert value.item() == pytest.approx(float(released[f"step.loss_{name}"]), rel=1e-5), name


def test_one_step_of_each_stage_ends_at_the_released_weights(network, released):
    take_steps(network, released, "cvae", "heads")
    state = network.state_dict()
    before = released_state(released, "step.before.")
    for name, after in released_state(released, "step.after.").items():
        # The first step of Adam moves a weight by lr * g / (|g| + 1e-8): where the gradient is
        # within rounding of 0 the move is any, so that a hundredth of the weights is spared.
        off = np.abs((state[name] - after).numpy())
        assert np.mean(off > 1e-6) <= 0.01, name
        assert np.abs((state[name] - before[name]).numpy()).max() > 5e-4, name


# --- plain formulas ---

N_CLASSES, LATENT_DIM = 5, 16
WEIGHTS = {"alpha": 0.3, "beta": 0.2, "gamma1": 0.5, "gamma2": 0.7, "r": 1.3}
LABELS = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])


def weighted(**changes):
    return objective(**(WEIGHTS | {"foreground_weight": 0.9} | changes))


def biased(network):
    """Let the posterior variances reach beyond their bound."""
    network.encoder.third.bias.data[LATENT_DIM:] += LOG_VARIANCE_BOUND
    return network


@pytest.fixture(params=[0, 2], ids=["snippets alone", "in context"])
def networks(request):
    return biased(network_of(latent_dim=LATENT_DIM, temporal_context=request.param))


@pytest.fixture
def single():
    return biased(network_of(latent_dim=LATENT_DIM))


@pytest.fixture(scope="module")
def videos():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, 24), dtype=np.float32) + np.float32(0.3) for n in (7, 20, 13)]


@pytest.fixture(scope="module")
def noise():
    return torch.randn(64, LATENT_DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batch(videos, noise):
    """Two labels, one label, and none."""
    return batch_of(videos, 20, LABELS, noise=noise)


def plain_reconstruction(network, batch, z, attention):
    """Eq. 12, with what is decoded."""
    return batch.mean((network.decode(z, attention) - batch.x).square().mean(dim=1))


def plain_cvae_terms(network, batch, objective, noise):
    """Both terms of Eq. 10; the divergence in its closed form beyond the bound of variances."""
    with torch.no_grad():
        attention, _ = network(batch)
    mean, log_variance = network.encode(batch.x, attention)
    bounded = log_variance.clamp(max=LOG_VARIANCE_BOUND)
    z = mean + (0.5 * bounded).exp() * noise
    variance = bounded.exp() * (1 + log_variance - bounded)
    shift = mean - objective.r * attention[:, None]
    kl = 0.5 * (shift.square() + variance - log_variance - 1).mean(dim=1)
    return {
        "cvae_reconstruction": plain_reconstruction(network, batch, z, attention),
        "cvae_kl": batch.mean(kl),
    }


def plain_head_terms(network, batch, objective, noise):
    """The terms of Eq. 16, video by video."""
    attention, activation = network(batch)
    bias, is_background = network.classifier.bias, torch.eye(N_CLASSES + 1)[-1]
    by_softmax = objective.classification == "softmax"
    smoothed = losses.smooth(
        activation.softmax(dim=1) if by_softmax else (activation + bias).sigmoid(),
        batch.neighbours(SMOOTHING_RADIUS),
        losses.gaussian(SMOOTHING, SMOOTHING_RADIUS, CPU),
    )
    terms = {"foreground": 0.0, "background": 0.0, "guide": 0.0}
    of_videos = zip(
        *(batch.of_videos(values) for values in (attention, activation, smoothed)),
        *(batch.lengths.tolist(), batch.labels),
        strict=True,
    )
    for attention_of, activation_of, tcam, n, labels in of_videos:
        target = torch.cat([labels, 1 - labels.max()[None]])
        released = 1.0 if objective.pooling == "released" else 0.0
        mass = 20 / n * attention_of.sum() + released
        foreground = 20 / n * (attention_of @ activation_of) / mass + bias
        background = (1 - attention_of) @ activation_of / (1 - attention_of).sum() + bias
        for name, logits, wanted in (
            ("foreground", foreground, target),
            ("background", background, is_background),
        ):
            if by_softmax:
                loss = -(wanted / wanted.sum() * logits.log_softmax(dim=0)).sum()
            else:
                loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
            terms[name] = terms[name] + loss / 3
        is_labelled = torch.cat([labels, torch.zeros(1)])
        to_foreground = (attention_of - (tcam * is_labelled).amax(dim=1)).abs()
        to_background = (attention_of - (1 - tcam[:, -1])).abs()
        terms["guide"] = terms["guide"] + (to_foreground + to_background).mean() / 3
    z = objective.r * attention[:, None] + noise
    return terms | {"reconstruction": plain_reconstruction(network, batch, z, attention)}


PLAIN = {"cvae": plain_cvae_terms, "heads": plain_head_terms}


def stage_of(objective, name):
    return {stage.name: stage for stage in objective.stages()}[name]


def gradients_of(network, stage, terms):
    """Gradients of the loss by what the stage learns; the rest is frozen, as in training."""
    learned = {n: p for n, p in network.named_parameters() if n.startswith(stage.learns)}
    loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
    return dict(zip(learned, torch.autograd.grad(loss, list(learned.values())), strict=True))


def freeze(network, stage):
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(stage.learns))


def values_and_gradients(network, objective, name, batch):
    """Terms, and the gradients of their weighted sum."""
    stage = stage_of(objective, name)
    freeze(network, stage)
    terms = stage.losses(network, batch)
    values = {term: value.detach() for term, (_, value) in terms.items()}
    return values, gradients_of(network, stage, terms)


def assert_close_gradients(ours, theirs, rtol=1e-4, atol=1e-5):
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(ours[name], gradient, rtol=rtol, atol=atol * scale, msg=name)


def assert_equal_to_plain(network, objective, name, batch, noise):
    """The terms and gradients of a stage are those of the plain formulas."""
    stage = stage_of(objective, name)
    freeze(network, stage)
    terms, plain = stage.losses(network, batch), PLAIN[name](network, batch, objective, noise)
    assert terms.keys() == plain.keys()
    for term, value in plain.items():
        torch.testing.assert_close(terms[term][1], value, rtol=1e-5, atol=1e-6)
    with_weights = {term: (terms[term][0], value) for term, value in plain.items()}
    assert_close_gradients(
        gradients_of(network, stage, terms), gradients_of(network, stage, with_weights)
    )


def test_stage_b_is_the_plain_formula(networks, batch, noise):
    assert_equal_to_plain(networks, weighted(), "cvae", batch, noise)


@pytest.mark.parametrize("classification", ["softmax", "sigmoid"])
@pytest.mark.parametrize("pooling", ["paper", "released"])
def test_stage_a_is_the_plain_formula(networks, batch, noise, pooling, classification):
    of_stage = weighted(pooling=pooling, classification=classification)
    assert_equal_to_plain(networks, of_stage, "heads", batch, noise)


# --- weights of the terms ---


def weights_of(of_stage, name, batch, network):
    terms = stage_of(of_stage, name).losses(network, batch)
    return {term: weight for term, (weight, _) in terms.items()}


def test_terms_of_stage_a_have_the_weights_of_the_paper(single, batch):
    assert weights_of(weighted(), "heads", batch, single) == {
        "foreground": 0.9,
        "background": 0.3,
        "guide": 0.7,
        "reconstruction": 0.5,
    }


def test_terms_of_stage_b_are_scaled_as_released(single, batch):
    assert weights_of(weighted(), "cvae", batch, single) == {
        "cvae_reconstruction": CVAE_SCALE,
        "cvae_kl": pytest.approx(0.2 * CVAE_SCALE),
    }


def test_warmup_scales_the_terms_of_the_generative_part(single, videos, noise):
    batch = batch_of(videos, 20, LABELS, noise=noise, epoch=1)
    of_stage = weighted(warmup_epochs=4)
    assert weights_of(of_stage, "heads", batch, single)["reconstruction"] == 0.25 * 0.5
    assert weights_of(of_stage, "cvae", batch, single)["cvae_reconstruction"] == 0.25 * CVAE_SCALE


def test_gamma1_need_not_take_part_in_the_warmup(single, videos, noise):
    batch = batch_of(videos, 20, LABELS, noise=noise, epoch=1)
    of_stage = weighted(warmup_epochs=4, warmup_gamma1=False)
    assert weights_of(of_stage, "heads", batch, single)["reconstruction"] == 0.5


def test_warmup_rises_linearly_and_stays():
    warmup = objective(warmup_epochs=4).warmup
    assert [warmup(epoch) for epoch in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_warmup_rises_in_the_steps_of_the_released_implementation():
    warmup = objective(warmup_epochs=300, refresh_every=10).warmup
    assert [warmup(epoch) for epoch in (0, 9, 10, 19, 295, 300, 5999)] == [
        *(0, 0, 1 / 30, 1 / 30, 29 / 30, 1, 1)
    ]


def test_without_warmup_the_weights_are_full_at_once():
    assert objective(warmup_epochs=0).warmup(0) == 1


def test_both_stages_have_the_released_decay_of_moments():
    assert {stage.betas for stage in objective().stages()} == {(0.8, 0.999)}


# --- what takes part ---


def test_stage_b_comes_before_stage_a():
    assert [stage.name for stage in objective().stages()] == ["cvae", "heads"]


def test_without_gamma1_nothing_trains_the_cvae():
    assert [stage.name for stage in objective(gamma1=0.0).stages()] == ["heads"]


def test_without_gamma1_there_is_no_reconstruction(single, videos):
    batch = batch_of(videos, 20, LABELS)  # no noise is asked for
    (stage,) = objective(gamma1=0.0).stages()
    assert set(stage.losses(single, batch)) == {"foreground", "background", "guide"}


@pytest.mark.parametrize("name", ["cvae", "heads"])
def test_what_a_stage_does_not_learn_gets_no_gradient(single, videos, name):
    stage = stage_of(objective(), name)
    before = {name: weight.clone() for name, weight in single.state_dict().items()}
    sampling = Sampling(n_snippets=20, batch_size=3, refresh_every=1)
    trainer = Trainer(single, [stage], sampling, learning_rate=1e-3, n_epochs=100, seed=0)
    features = HostFeatures(check_features(videos), CPU, torch.float32)
    trainer.run_epoch(features, LABELS.astype(bool))
    for parameter, weight in single.named_parameters():
        is_learned = parameter.startswith(stage.learns)
        assert torch.equal(weight, before[parameter]) != is_learned, parameter
        assert weight.grad is None, parameter


def test_every_parameter_is_learned_by_one_stage(networks):
    for name, _ in networks.named_parameters():
        assert sum(name.startswith(stage.learns) for stage in objective().stages()) == 1, name


def test_stage_b_trains_no_attention_even_where_it_could(single, batch):
    stage = stage_of(objective(), "cvae")
    terms = stage.losses(single, batch)
    loss = sum(value for _, value in terms.values())
    of_heads = list(single.attention_head.parameters()) + list(single.classifier.parameters())
    assert torch.autograd.grad(loss, of_heads, allow_unused=True) == (None,) * len(of_heads)


class NothingKept:
    """Deviates that are below every threshold of dropout."""

    def take(self, n, m, rng):
        return torch.full((n, m), -9.0)


@pytest.mark.parametrize("temporal_context", [0, 2], ids=["features", "units"])
def test_dropout_leaves_out_what_the_classifier_is_given(videos, temporal_context):
    network = network_of(latent_dim=LATENT_DIM, temporal_context=temporal_context)
    batch = batch_of(videos, 20, LABELS, deviates=NothingKept())
    terms = stage_of(objective(gamma1=0.0, dropout=0.5), "heads").losses(network, batch)
    # Of activations of 0, the bias is left.
    expected = -network.classifier.bias.log_softmax(dim=0)[-1]
    torch.testing.assert_close(terms["background"][1], expected)


def test_dropout_spares_the_cvae(single, videos, noise):
    batch = batch_of(videos, 20, LABELS, noise=noise, deviates=NothingKept())
    terms = [
        stage_of(weighted(dropout=dropout), "cvae").losses(single, batch) for dropout in (0.0, 0.5)
    ]
    for name, (_, value) in terms[0].items():
        torch.testing.assert_close(terms[1][name][1], value, rtol=0, atol=0)


# --- divergence from the prior ---


@pytest.mark.parametrize("r", [0.0, 0.5, 1.5])
def test_divergence_is_that_of_torch_distributions(r):
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 30, LATENT_DIM, generator=generator)
    attention = torch.rand(30, generator=generator)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(r * attention[:, None], 1.0)
    expected = torch.distributions.kl_divergence(posterior, prior).mean(dim=1)
    torch.testing.assert_close(kl_to_latent_prior(mean, log_variance, attention, r), expected)


def test_a_posterior_like_the_prior_has_no_divergence():
    attention = torch.tensor([0.0, 0.25, 1.0])
    mean = 2 * attention[:, None].expand(-1, LATENT_DIM)
    kl = kl_to_latent_prior(mean, torch.zeros_like(mean), attention, r=2.0)
    assert kl.tolist() == [0, 0, 0]


def test_divergence_goes_on_as_a_tangent_beyond_the_bound():
    b = LOG_VARIANCE_BOUND
    log_variance = torch.tensor([[b], [b + 2.0], [b + 100.0]], requires_grad=True)
    kl = kl_to_latent_prior(torch.zeros(3, 1), log_variance, torch.zeros(3))
    excess = torch.tensor([0.0, 2.0, 100.0])
    expected = 0.5 * (np.exp(b) * (1 + excess) - (b + excess) - 1)
    torch.testing.assert_close(kl, expected)
    kl.sum().backward()
    slope = 0.5 * (np.exp(b) - 1)
    torch.testing.assert_close(log_variance.grad, torch.full((3, 1), slope, dtype=torch.float32))


def test_divergence_is_averaged_over_latent_dimensions():
    one = kl_to_latent_prior(torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1))
    many = kl_to_latent_prior(torch.ones(1, 7), torch.zeros(1, 7), torch.zeros(1))
    assert one.item() == pytest.approx(0.5)
    torch.testing.assert_close(one, many)


def test_divergence_is_in_float32_whatever_the_products_are_in():
    mean = torch.ones(3, LATENT_DIM, dtype=torch.bfloat16)
    assert kl_to_latent_prior(mean, mean, torch.zeros(3)).dtype == torch.float32


# --- pooling and classes ---


def test_pooled_logits_are_the_logits_of_pooled_features(videos):
    network = network_of()
    batch = batch_of(videos, 20, LABELS)
    attention, activation = network(batch)
    membership = batch.membership
    foreground, background = pooled_logits(
        activation, attention, membership, network.classifier.bias, "paper"
    )
    for logits, weights in ((foreground, attention), (background, 1 - attention)):
        pooled = membership * weights @ batch.x / (membership * weights).sum(dim=1, keepdim=True)
        torch.testing.assert_close(logits, network.classifier(pooled))


def test_released_pooling_adds_one_to_the_denominator_of_the_foreground():
    activation, attention = torch.tensor([[6.0], [2.0]]), torch.tensor([0.5, 0.5])
    both = pooled_logits(activation, attention, torch.ones(1, 2), torch.ones(1), "released")
    assert [logits.item() for logits in both] == pytest.approx([4 / 2 + 1, 4 / 1 + 1], rel=1e-5)


def test_class_probability_by_hand():
    activation, bias = torch.tensor([[2.0, 1.0, 1.0]]).log(), torch.tensor([3.0, 1.0, 1.0]).log()
    by_softmax = class_probability(activation, bias, "softmax")
    torch.testing.assert_close(by_softmax, torch.tensor([[0.5, 0.25, 0.25]]))  # without bias
    by_sigmoid = class_probability(activation, bias, "sigmoid")
    torch.testing.assert_close(by_sigmoid, torch.tensor([[6 / 7, 0.5, 0.5]]))


# --- precision, pieces, rows behind, devices ---


@pytest.mark.parametrize("name", ["cvae", "heads"])
def test_gradients_in_bfloat16_point_the_same_way(single, videos, noise, name):
    both = []
    for dtype in (torch.float32, torch.bfloat16):
        x = to_rows(videos, dtype)
        batch = batch_of(videos, 20, LABELS, noise=noise.to(dtype), x=x)
        both.append(values_and_gradients(single, weighted(), name, batch)[1])
    for parameter, exact in both[0].items():
        rough = both[1][parameter]
        assert rough.dtype == torch.float32
        similarity = torch.cosine_similarity(rough.flatten(), exact.flatten(), dim=0)
        assert similarity > 0.99, parameter


@pytest.mark.parametrize("name", ["cvae", "heads"])
def test_terms_in_bfloat16_are_in_float32(single, videos, noise, name):
    x = to_rows(videos, torch.bfloat16)
    batch = batch_of(videos, 20, LABELS, noise=noise.bfloat16(), x=x)
    values, _ = values_and_gradients(single, weighted(), name, batch)
    assert {value.dtype for value in values.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["cvae", "heads"])
def test_pieces_of_a_batch_add_up_to_the_whole(networks, name):
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 24), dtype=np.float32) for n in (64, 128)]
    noise = torch.randn(192, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    labels = np.eye(2, N_CLASSES)
    whole = batch_of(videos, 128, labels, noise=noise)
    pieces = [
        batch_of(videos[:1], 128, labels[:1], 2, noise=noise[:64]),
        batch_of(videos[1:], 128, labels[1:], 2, noise=noise[64:]),
    ]
    values, gradients = values_and_gradients(networks, weighted(), name, whole)
    of_pieces = [values_and_gradients(networks, weighted(), name, piece) for piece in pieces]
    for term, value in values.items():
        torch.testing.assert_close(sum(v[term] for v, _ in of_pieces), value)
    assert_close_gradients({k: sum(g[k] for _, g in of_pieces) for k in gradients}, gradients)


@pytest.mark.parametrize("name", ["cvae", "heads"])
def test_rows_behind_the_videos_change_nothing(networks, name, monkeypatch):
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 24), dtype=np.float32) for n in (5, 20)]
    noise = torch.randn(64, LATENT_DIM, generator=torch.Generator().manual_seed(1))
    found = []
    for n_rows, padded in ((5, 25), (64, 64)):
        monkeypatch.setattr(batches, "ROWS", n_rows)
        batch = batch_of(videos, 20, np.eye(2, N_CLASSES), noise=noise[:padded])
        assert len(batch.x) == padded
        found.append(values_and_gradients(networks, weighted(), name, batch))
    torch.testing.assert_close(found[1][0], found[0][0])
    assert_close_gradients(found[1][1], found[0][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["cvae", "heads"])
def test_losses_stay_on_the_device_that_they_are_given(networks, name, dtype):
    x = torch.empty(64, 24, dtype=dtype, device="meta")
    noise = torch.empty(64, LATENT_DIM, dtype=dtype, device="meta")
    batch = batch_of(np.empty((2, 20, 24)), 20, np.eye(2, N_CLASSES), noise=noise, x=x)
    batch = replace(batch, labels=batch.labels.to("meta"))
    network = networks.to("meta")
    values, gradients = values_and_gradients(network, weighted(), name, batch)
    assert {value.device.type for value in (values | gradients).values()} == {"meta"}
