"""Batches and both stages: equality with the released implementation, worked examples."""

import numpy as np
import pytest
import torch

from skdgam import _stages, _training
from skdgam._stages import Objective
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


@pytest.fixture
def step(released):
    """A network and a batch just before the step, with the released objective."""
    network = DGAM(24, 6)
    network.load_state_dict(released_state(released, "step.before."))
    batch = _stages.make_batch(
        list(released["step.x"]), 40, released["step.y"], torch.device("cpu")
    )
    return network, batch, Objective(pooling="released")


def optimizer(parameters):
    return torch.optim.Adam(parameters, lr=1e-3, betas=_training.ADAM_BETAS)


def padded(rows, batch):
    """An array (5, 40, k) as rows of a batch, which has more of them."""
    rows = torch.from_numpy(rows).flatten(0, 1)
    return torch.nn.functional.pad(rows, (0, 0, 0, len(batch.features) - len(rows)))


def stage_b(network, batch, objective, released):
    parameters = [*network.encoder.parameters(), *network.decoder.parameters()]
    noise = padded(released["step.posterior_noise"], batch)
    loss, _ = _stages.cvae_loss(network, batch, objective, noise)
    scale = _training.CVAE_SCALE * float(released["step.warmup"])
    _training._step(optimizer(parameters), parameters, scale * loss)
    return loss


def stage_a(network, batch, objective, released):
    parameters = [*network.attention_head.parameters(), *network.classifier.parameters()]
    noise = padded(released["step.prior_noise"], batch)
    gamma1 = objective.gamma1 * float(released["step.warmup"])
    loss, terms = _stages.attention_loss(network, batch, objective, gamma1, noise)
    _training._step(optimizer(parameters), parameters, loss)
    return loss, terms


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
    loss = stage_b(*step, released)
    assert loss.item() == pytest.approx(float(released["step.loss_cvae"]), rel=1e-5)


def test_attention_losses_are_those_of_the_released_implementation(step, released):
    stage_b(*step, released)
    loss, terms = stage_a(*step, released)
    assert loss.item() == pytest.approx(float(released["step.loss_total"]), rel=1e-5)
    for name, value in terms.items():
        assert value.item() == pytest.approx(float(released[f"step.loss_{name}"]), rel=1e-5), name


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


def test_a_short_video_weighs_as_much_as_a_long_one():
    batch = _stages.make_batch(
        [np.ones((5, 2), dtype=np.float32), np.ones((20, 2), dtype=np.float32)],
        20,
        np.ones((2, 1), dtype=bool),
        torch.device("cpu"),
    )
    assert batch.membership.sum(dim=1).tolist() == [20, 20]
    assert batch.weights[:25].tolist() == [4] * 5 + [1] * 20


def test_rows_that_fill_a_batch_up_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((n, 6), dtype=np.float32) for n in (5, 20)]
    network = DGAM(6, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(512, 128, generator=torch.Generator().manual_seed(1))
    values = []
    for n_rows in (512, 5):
        monkeypatch.setattr(_stages, "ROWS", n_rows)
        batch = _stages.make_batch(videos, 20, np.eye(2, dtype=bool), torch.device("cpu"))
        noise = noise[: len(batch.features)]
        assert len(batch.features) == (512 if n_rows == 512 else 25)
        b, _ = _stages.cvae_loss(network, batch, Objective(), noise)
        a, _ = _stages.attention_loss(network, batch, Objective(), 0.5, noise)
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(a + b, parameters)
        values.append([a, b, *gradients])
    for padded_value, value in zip(*values, strict=True):
        torch.testing.assert_close(padded_value, value)


def test_neighbours_stay_in_their_video():
    batch = _stages.make_batch(
        [np.ones((n, 2), dtype=np.float32) for n in (3, 9, 1)],
        9,
        np.ones((3, 1), dtype=bool),
        torch.device("cpu"),
    )
    video = batch.video[:13]
    assert torch.equal(batch.video[batch.neighbours[:13]], video[:, None].expand(-1, 9))


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
