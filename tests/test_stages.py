"""Both stages: equality with the released implementation, and with automatic gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skdgam import _batches, _stages, _training, losses
from skdgam._batches import HostFeatures, in_context, make_chunk
from skdgam._features import check_features
from skdgam._stages import AttentionStage, CVAEStage, Objective
from skdgam.networks import DGAM

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


def released_state(released, prefix):
    """Weights of the released implementation under the names of our networks."""
    state = {}
    for name, value in released.weights(prefix).items():
        layer, kind = name.rsplit(".", 1)
        state[f"{RELEASED_NAMES[layer]}.{kind}"] = torch.from_numpy(value)
    return state


CPU = torch.device("cpu")


def chunk_of(videos, n_snippets, is_labelled, n_videos):
    """Whole videos as a chunk of a batch of so many."""
    features = HostFeatures(check_features(videos), CPU, torch.float32)
    rows = features.rows(np.arange(len(videos)), [slice(None)] * len(videos))
    return make_chunk(rows, features.lengths, n_snippets, is_labelled, n_videos)


# --- the released implementation ---


@pytest.fixture
def step(released):
    """A network and a batch just before the step, with the released objective."""
    network = DGAM(24, 6)
    network.load_state_dict(released_state(released, "step.before."))
    batch = chunk_of(list(released["step.x"]), 40, released["step.y"], 5)
    return network, batch, Objective(pooling="released")


def stacked(*networks):
    """Weights of several networks, with the leading axis that stages want."""
    states = [network.state_dict() for network in networks]
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def noise_of(rows, batch):
    """Noise (5, 40, k) as columns of a batch, which has more of them."""
    columns = torch.from_numpy(rows).flatten(0, 1).T
    return torch.nn.functional.pad(columns, (0, len(batch.features) - columns.shape[1]))


def take_step(network, gradients):
    parameters = {name: p for name, p in network.named_parameters() if name in gradients}
    for name, parameter in parameters.items():
        parameter.grad = gradients[name][0]
    torch.optim.Adam(parameters.values(), lr=1e-3, betas=_training.ADAM_BETAS).step()


def stage_b(network, batch, objective, released):
    scale = _training.CVAE_SCALE * float(released["step.warmup"])
    stage = CVAEStage(stacked(network), [objective], scale)
    noise = noise_of(released["step.posterior_noise"], batch)
    gradients, terms = stage.gradients(stage.sums(batch, noise))
    take_step(network, gradients)
    return terms["cvae_reconstruction"].item() + objective.beta * terms["cvae_kl"].item()


def stage_a(network, batch, objective, released):
    stage = AttentionStage(stacked(network), [objective], float(released["step.warmup"]))
    noise = noise_of(released["step.prior_noise"], batch)
    gradients, terms = stage.gradients(stage.sums(batch, noise))
    take_step(network, gradients)
    return {name: value.item() for name, value in terms.items()}


def test_attention_is_that_of_the_released_implementation(step, released):
    network, batch, _ = step
    attention = network.attention(batch.features)[:200].detach().numpy()
    np.testing.assert_allclose(attention, released["step.attention"].ravel(), rtol=1e-5)


def test_posterior_is_that_of_the_released_implementation(step, released):
    network, batch, _ = step
    x = batch.features[:200]
    mean, log_variance = network.encode(x, network.attention(x))
    for ours, name in ((mean, "mean"), (log_variance, "log_variance")):
        theirs = released[f"step.posterior_{name}"].reshape(-1, 128)
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-6)


def test_cvae_loss_is_that_of_the_released_implementation(step, released):
    assert stage_b(*step, released) == pytest.approx(float(released["step.loss_cvae"]), rel=1e-5)


def test_attention_losses_are_those_of_the_released_implementation(step, released):
    stage_b(*step, released)
    for name, value in stage_a(*step, released).items():
        assert value == pytest.approx(float(released[f"step.loss_{name}"]), rel=1e-5), name


def test_one_step_of_each_stage_ends_at_the_released_weights(step, released):
    network, batch, objective = step
    stage_b(network, batch, objective, released)
    stage_a(network, batch, objective, released)
    state = network.state_dict()
    before = released_state(released, "step.before.")
    for name, after in released_state(released, "step.after.").items():
        # The first step of Adam moves a weight by lr * g / (|g| + 1e-8): where the gradient is
        # within rounding of 0 the move is any, so that a hundredth of the weights is spared.
        off = np.abs((state[name] - after).numpy())
        assert np.mean(off > 1e-6) <= 0.01, name
        assert np.abs((state[name] - before[name]).numpy()).max() > 5e-4, name


# --- automatic gradients ---

N_CLASSES, LATENT_DIM = 5, 16
OBJECTIVES = [
    Objective(alpha=0.3, beta=0.2, gamma1=0.5, gamma2=0.7, r=1.3, foreground_weight=0.9),
    Objective(alpha=0.1, beta=0.4, gamma1=0.2, gamma2=0.2, r=0.5),
]


@pytest.fixture
def networks():
    """Two networks, the posterior variances of which reach beyond their bound."""
    both = []
    for seed in range(2):
        network = DGAM(24, N_CLASSES, LATENT_DIM, torch.Generator().manual_seed(seed))
        network.encoder.third.bias.data[LATENT_DIM:] += _stages.LOG_VARIANCE_BOUND
        both.append(network)
    return both


@pytest.fixture
def batch():
    """Two labels, one label, and none."""
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 24), dtype=np.float32) + np.float32(0.3) for n in (7, 20, 13)]
    is_labelled = np.zeros((3, N_CLASSES), dtype=bool)
    is_labelled[[0, 0, 1], [0, 3, 1]] = True
    return chunk_of(videos, 20, is_labelled, 3)


@pytest.fixture
def noise(batch):
    return torch.randn(LATENT_DIM, len(batch.features), generator=torch.Generator().manual_seed(0))


def plain_reconstruction(network, batch, z, attention):
    """Eq. 12, with what is decoded."""
    decoded = network.decode(z, attention)
    return (decoded - batch.features).square().mean(dim=1) @ batch.shares


def plain_cvae_terms(network, batch, objective, noise):
    """Both terms of Eq. 10; the divergence in its closed form beyond the bound of variances."""
    with torch.no_grad():
        attention = network.attention(batch.seen)
    mean, log_variance = network.encode(batch.features, attention)
    bounded = log_variance.clamp(max=_stages.LOG_VARIANCE_BOUND)
    z = mean + (0.5 * bounded).exp() * noise.T
    variance = bounded.exp() * (1 + log_variance - bounded)
    shift = mean - objective.r * attention[:, None]
    kl = 0.5 * (shift.square() + variance - log_variance - 1).mean(dim=1)
    return {
        "cvae_reconstruction": plain_reconstruction(network, batch, z, attention),
        "cvae_kl": kl @ batch.shares,
    }


def plain_attention_terms(network, batch, objective, noise):
    """The terms of Eq. 16, by the definitions of the losses."""
    attention, activation = network.heads(batch.seen)
    foreground, background = _stages.pooled_logits(
        activation, attention, batch.membership, network.classifier.bias, objective.pooling
    )
    unlabelled = 1 - batch.is_labelled.amax(dim=1)
    is_background = torch.eye(N_CLASSES + 1)[-1]
    target = batch.is_labelled + unlabelled[:, None] * is_background
    kernel = _stages._smoothing_kernel(CPU)
    if objective.classification == "softmax":
        probability = activation.softmax(dim=1)
        target = target / target.sum(dim=1, keepdim=True)
        loss_of = torch.nn.functional.cross_entropy
    else:
        probability = (activation + network.classifier.bias).sigmoid()

        def loss_of(logits, target):
            every = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, target, reduction="none"
            )
            return every.sum(dim=1).mean()

    probability = losses.smooth(probability, batch.neighbours, kernel)
    guides = losses.guidance(probability, batch.is_labelled[batch.video])
    return {
        "foreground": loss_of(foreground, target),
        "background": loss_of(background, is_background.expand_as(background)),
        "guide": losses.guide_loss(attention, *guides) @ batch.shares,
        "reconstruction": plain_reconstruction(
            network, batch, objective.r * attention[:, None] + noise.T, attention
        ),
    }


def assert_equal_to_automatic(stage, batch, noise, networks, plain_terms, weights):
    """Terms and gradients of every model are those of plain terms, weighted."""
    gradients, terms = stage.gradients(stage.sums(batch, noise))
    for k, (network, objective) in enumerate(zip(networks, OBJECTIVES, strict=True)):
        plain = plain_terms(network, batch, objective, noise)
        assert plain.keys() == terms.keys()
        for name, value in plain.items():
            torch.testing.assert_close(terms[name][k], value.detach(), rtol=1e-5, atol=1e-6)
        loss = sum(weights(objective)[name] * value for name, value in plain.items())
        of_stage = {name: p for name, p in network.named_parameters() if name in gradients}
        assert of_stage.keys() == gradients.keys()
        automatic = torch.autograd.grad(loss, list(of_stage.values()))
        for name, gradient in zip(of_stage, automatic, strict=True):
            scale = gradient.abs().max().item()
            torch.testing.assert_close(gradients[name][k], gradient, rtol=1e-4, atol=1e-5 * scale)


def test_gradients_of_stage_b_are_the_automatic_ones(networks, batch, noise):
    stage = CVAEStage(stacked(*networks), OBJECTIVES, scale=3.0)
    assert_equal_to_automatic(
        stage,
        batch,
        noise,
        networks,
        plain_cvae_terms,
        lambda o: {"cvae_reconstruction": 3.0, "cvae_kl": 3.0 * o.beta},
    )


@pytest.fixture
def networks_in_context():
    """Two networks whose heads share a hidden layer over time."""
    return [
        DGAM(24, N_CLASSES, LATENT_DIM, torch.Generator().manual_seed(seed), temporal_context=2)
        for seed in range(2)
    ]


@pytest.fixture
def batch_in_context(batch):
    return batch._replace(seen=in_context(batch.features, np.array([7, 20, 13]), 2))


def test_gradients_in_context_are_the_automatic_ones(networks_in_context, batch_in_context, noise):
    weights = stacked(*networks_in_context)
    assert_equal_to_automatic(
        CVAEStage(weights, OBJECTIVES),
        batch_in_context,
        noise,
        networks_in_context,
        plain_cvae_terms,
        lambda o: {"cvae_reconstruction": 1.0, "cvae_kl": o.beta},
    )
    assert_equal_to_automatic(
        AttentionStage(weights, OBJECTIVES),
        batch_in_context,
        noise,
        networks_in_context,
        plain_attention_terms,
        weights_of_terms,
    )


def weights_of_terms(objective):
    return {
        "foreground": objective.foreground_weight,
        "background": objective.alpha,
        "guide": objective.gamma2,
        "reconstruction": objective.gamma1,
    }


def test_dropout_of_units_leaves_their_weights_alone(networks_in_context, batch_in_context, noise):
    width, n_rows = 256, len(batch_in_context.features)
    keep = torch.full((width, n_rows), 2.0)
    keep[:100] = 0
    stage = AttentionStage(
        stacked(*networks_in_context), [replace(o, dropout=0.5) for o in OBJECTIVES]
    )
    gradients, terms = stage.gradients(stage.sums(batch_in_context._replace(keep=keep), noise))
    for name, axis in {"attention_head.0.weight": 1, "classifier.weight": 2}.items():
        dropped, kept = gradients[name].movedim(axis, 0).tensor_split([100])
        assert not dropped.any()
        assert kept.any()
    for network in networks_in_context:  # the same with what is kept counted twice
        network.attention_head[0].weight.data *= keep[:, :1]
        network.attention_head[0].bias.data *= keep[:, 0]
    plain = AttentionStage(stacked(*networks_in_context), OBJECTIVES)
    _, expected = plain.gradients(plain.sums(batch_in_context, noise))
    for name, values in expected.items():
        torch.testing.assert_close(terms[name], values)


@pytest.mark.parametrize("classification", ["softmax", "sigmoid"])
@pytest.mark.parametrize("pooling", ["paper", "released"])
def test_gradients_of_stage_a_are_the_automatic_ones(
    networks, batch, noise, pooling, classification, monkeypatch
):
    changes = {"pooling": pooling, "classification": classification}
    objectives = [replace(objective, **changes) for objective in OBJECTIVES]
    monkeypatch.setitem(globals(), "OBJECTIVES", objectives)
    stage = AttentionStage(stacked(*networks), objectives, warmup=0.5)
    assert_equal_to_automatic(
        stage,
        batch,
        noise,
        networks,
        plain_attention_terms,
        lambda o: {
            "foreground": o.foreground_weight,
            "background": o.alpha,
            "guide": o.gamma2,
            "reconstruction": 0.5 * o.gamma1,
        },
    )


def test_without_gamma1_there_is_no_reconstruction(networks, batch):
    objectives = [replace(objective, gamma1=0.0) for objective in OBJECTIVES]
    stage = AttentionStage(stacked(*networks), objectives)
    _, terms = stage.gradients(stage.sums(batch, None))
    assert set(terms) == {"foreground", "background", "guide"}


@pytest.mark.parametrize("r", [0.0, 0.5, 1.5])
def test_divergence_is_that_of_torch_distributions(batch, noise, r):
    network = DGAM(24, N_CLASSES, LATENT_DIM, torch.Generator().manual_seed(0))
    stage = CVAEStage(stacked(network), [Objective(r=r)])
    kl = stage.sums(batch, noise)["cvae_kl"]
    attention = network.attention(batch.features)
    mean, log_variance = network.encode(batch.features, attention)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(r * attention[:, None], 1.0)
    expected = torch.distributions.kl_divergence(posterior, prior).mean(dim=1) @ batch.shares
    torch.testing.assert_close(kl, expected.detach()[None])


@pytest.mark.parametrize("make_stage", [CVAEStage, AttentionStage])
def test_gradients_in_bfloat16_point_the_same_way(networks, batch, noise, make_stage):
    weights, both = stacked(*networks), []
    for dtype in (torch.float32, torch.bfloat16):
        stage = make_stage(weights, OBJECTIVES, dtype=dtype)
        features = batch.features.to(dtype)
        chunk = batch._replace(features=features, seen=features)
        sums = stage.sums(chunk, noise.to(dtype))
        gradients, _ = stage.gradients({name: value.float() for name, value in sums.items()})
        both.append(gradients)
    for name, exact in both[0].items():
        for ours, theirs in zip(both[1][name], exact, strict=True):
            assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.99, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make_stage", [CVAEStage, AttentionStage])
def test_stages_stay_on_the_device_that_they_are_given(networks, make_stage, dtype):
    features = torch.empty(64, 24, dtype=dtype, device="meta")
    chunk = make_chunk(features, np.array([20, 30]), 30, np.eye(2, N_CLASSES, dtype=bool), 2)
    weights = {name: weight.to("meta") for name, weight in stacked(*networks).items()}
    noise = torch.empty(LATENT_DIM, 64, dtype=dtype, device="meta")
    stage = make_stage(weights, OBJECTIVES, dtype=dtype)
    sums = stage.sums(chunk, noise)
    gradients, terms = stage.gradients({name: value.float() for name, value in sums.items()})
    assert {value.device.type for value in (gradients | terms).values()} == {"meta"}
    for name, gradient in gradients.items():
        assert gradient.shape == weights[name].shape, name
    assert {value.shape for value in terms.values()} == {(2,)}


@pytest.mark.parametrize("make_stage", [CVAEStage, AttentionStage])
def test_sums_of_chunks_are_those_of_their_batch(networks, make_stage):
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 24), dtype=np.float32) for n in (64, 128)]
    is_labelled = np.eye(2, N_CLASSES, dtype=bool)
    stage = make_stage(stacked(*networks), OBJECTIVES)
    noise = torch.randn(LATENT_DIM, 192, generator=torch.Generator().manual_seed(0))
    whole = stage.sums(chunk_of(videos, 128, is_labelled, 2), noise)
    parts = [
        stage.sums(chunk_of(videos[:1], 128, is_labelled[:1], 2), noise[:, :64]),
        stage.sums(chunk_of(videos[1:], 128, is_labelled[1:], 2), noise[:, 64:]),
    ]
    for name, value in whole.items():
        scale = value.abs().max().item()
        total = parts[0][name] + parts[1][name]
        torch.testing.assert_close(total, value, rtol=1e-4, atol=1e-5 * scale, msg=name)


@pytest.mark.parametrize("make_stage", [CVAEStage, AttentionStage])
def test_rows_that_fill_a_chunk_up_change_nothing(networks, make_stage, monkeypatch):
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 24), dtype=np.float32) for n in (5, 20)]
    noise = torch.randn(LATENT_DIM, 64, generator=torch.Generator().manual_seed(1))
    stage = make_stage(stacked(*networks), OBJECTIVES)
    sums = []
    for n_rows in (64, 5):
        monkeypatch.setattr(_batches, "ROWS", n_rows)
        chunk = chunk_of(videos, 20, np.eye(2, N_CLASSES, dtype=bool), 2)
        assert len(chunk.features) == (64 if n_rows == 64 else 25)
        sums.append(stage.sums(chunk, noise[:, : len(chunk.features)]))
    for name, value in sums[1].items():
        scale = value.abs().max().item()
        torch.testing.assert_close(sums[0][name], value, rtol=1e-4, atol=1e-5 * scale, msg=name)


def test_pooled_logits_are_the_logits_of_pooled_features():
    network = DGAM(6, 2, generator=torch.Generator().manual_seed(0))
    x = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
    attention, membership = network.attention(x), torch.eye(2).repeat_interleave(5, dim=1)
    foreground, background = _stages.pooled_logits(
        network.activation(x), attention, membership, network.classifier.bias, "paper"
    )
    for logits, weights in ((foreground, attention), (background, 1 - attention)):
        pooled = membership * weights @ x / (membership * weights).sum(dim=1, keepdim=True)
        torch.testing.assert_close(logits, network.classifier(pooled))
