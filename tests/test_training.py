"""Equality with the released implementation, and properties of the training loop."""

import numpy as np
import pytest
import torch

from skdgam import _training
from skdgam._features import check_features
from skdgam._training import Objective, Schedule
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
    batch = _training.make_batch(
        list(released["step.x"]), 40, released["step.y"], torch.device("cpu")
    )
    return network, batch, Objective(pooling="released")


def optimizer(parameters):
    return torch.optim.Adam(parameters, lr=1e-3, betas=_training.ADAM_BETAS)


def stage_b(network, batch, objective, released):
    parameters = [*network.encoder.parameters(), *network.decoder.parameters()]
    noise = torch.from_numpy(released["step.posterior_noise"]).flatten(0, 1)
    loss, _ = _training.cvae_loss(network, batch, objective, noise)
    scale = _training.CVAE_SCALE * float(released["step.warmup"])
    _training._step(optimizer(parameters), parameters, scale * loss)
    return loss


def stage_a(network, batch, objective, released):
    parameters = [*network.attention_head.parameters(), *network.classifier.parameters()]
    noise = torch.from_numpy(released["step.prior_noise"]).flatten(0, 1)
    gamma1 = objective.gamma1 * float(released["step.warmup"])
    loss, terms = _training.attention_loss(network, batch, objective, gamma1, noise)
    _training._step(optimizer(parameters), parameters, loss)
    return loss, terms


def test_attention_is_that_of_the_released_implementation(step, released):
    network, batch, _ = step
    attention = network.attention(batch.features).detach().numpy()
    np.testing.assert_allclose(attention, released["step.attention"].ravel(), rtol=1e-5)


def test_posterior_is_that_of_the_released_implementation(step, released):
    network, batch, _ = step
    mean, log_variance = network.encode(batch.features, network.attention(batch.features))
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


def make_schedule(**changes):
    settings = {
        "n_snippets": 20,
        "max_epochs": 4,
        "batch_size": 2,
        "learning_rate": 1e-2,
        "warmup_epochs": 2,
        "warmup_gamma1": True,
        "refresh_every": 1,
    }
    return Schedule(**(settings | changes))


@pytest.fixture
def videos():
    rng = np.random.default_rng(0)
    return check_features([rng.normal(size=(n, 6)) for n in (30, 12, 20, 7, 25)])


IS_LABELLED = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)


def run(videos, objective=Objective(), after_epoch=lambda epoch, means: False, **changes):  # noqa: B008
    network = DGAM(6, 2, latent_dim=3, generator=torch.Generator().manual_seed(0))
    schedule = make_schedule(**changes)
    training = _training.Training(network, objective, schedule, 0)
    return network, _training.train(training, videos, IS_LABELLED, after_epoch)


def test_warmup_rises_linearly_and_stays():
    schedule = make_schedule(warmup_epochs=4)
    assert [schedule.warmup(e) for e in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_warmup_rises_in_the_steps_of_the_released_implementation():
    schedule = make_schedule(warmup_epochs=300, refresh_every=10)
    assert [schedule.warmup(e) for e in (0, 9, 10, 19, 295, 300, 5999)] == [
        *(0, 0, 1 / 30, 1 / 30, 29 / 30, 1, 1)
    ]


def test_without_warmup_the_weights_are_full_at_once():
    assert make_schedule(warmup_epochs=0).warmup(0) == 1


def test_history_has_every_term_of_every_epoch(videos):
    _, history = run(videos)
    assert set(history) == {
        *("cvae_reconstruction", "cvae_kl"),
        *("foreground", "background", "guide", "reconstruction"),
    }
    assert {len(values) for values in history.values()} == {4}


def test_without_gamma1_the_cvae_stays_as_it_was(videos):
    network, history = run(videos, Objective(gamma1=0.0))
    fresh, _ = run(videos, Objective(gamma1=0.0), max_epochs=0)
    is_nan = {name: bool(np.isnan(values).all()) for name, values in history.items()}
    assert is_nan == {name: "reconstruction" in name or "cvae" in name for name in history}
    for name, value in network.decoder.state_dict().items():
        assert torch.equal(value, fresh.decoder.state_dict()[name])
    assert not torch.equal(network.classifier.weight, fresh.classifier.weight)


def test_the_cvae_learns_to_reconstruct(videos):
    _, history = run(videos, max_epochs=60)
    assert history["cvae_reconstruction"][-1] < 0.8 * history["cvae_reconstruction"][2]


def test_training_stops_when_it_is_asked_to(videos):
    _, history = run(videos, after_epoch=lambda epoch, means: epoch == 1)
    assert len(history["foreground"]) == 2


def test_global_generators_are_not_touched(videos):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(videos)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_divergence_is_reported_with_its_epoch(videos):
    with pytest.raises(FloatingPointError, match="diverged in epoch [0-9]+: .*Lower learning_rate"):
        run(videos, learning_rate=1e18, max_epochs=20)


def test_a_short_video_weighs_as_much_as_a_long_one():
    batch = _training.make_batch(
        [np.ones((5, 2), dtype=np.float32), np.ones((20, 2), dtype=np.float32)],
        20,
        np.ones((2, 1), dtype=bool),
        torch.device("cpu"),
    )
    assert batch.membership.sum(dim=1).tolist() == [20, 20]
    assert batch.weights.tolist() == [4] * 5 + [1] * 20


def test_neighbours_stay_in_their_video():
    batch = _training.make_batch(
        [np.ones((n, 2), dtype=np.float32) for n in (3, 9, 1)],
        9,
        np.ones((3, 1), dtype=bool),
        torch.device("cpu"),
    )
    assert torch.equal(batch.video[batch.neighbours], batch.video[:, None].expand(-1, 9))


def test_pooled_logits_are_the_logits_of_pooled_features():
    network = DGAM(6, 2, generator=torch.Generator().manual_seed(0))
    x = torch.randn(10, 6, generator=torch.Generator().manual_seed(1))
    attention, membership = network.attention(x), torch.eye(2).repeat_interleave(5, dim=1)
    foreground, background = _training.pooled_logits(
        network.activation(x), attention, membership, network.classifier.bias, "paper"
    )
    for logits, weights in ((foreground, attention), (background, 1 - attention)):
        pooled = membership * weights @ x / (membership * weights).sum(dim=1, keepdim=True)
        torch.testing.assert_close(logits, network.classifier(pooled))


def test_an_epoch_sees_every_video_but_those_of_the_last_short_batch(videos):
    seen = []
    real = _training.make_batch

    def spy(arrays, *rest):
        seen.extend(len(array) for array in arrays)
        return real(arrays, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_training, "make_batch", spy)
        run(videos, Objective(gamma1=0.0), max_epochs=1)
    assert len(seen) == 4
    assert max(seen) <= 20  # of longer videos, n_snippets are drawn
