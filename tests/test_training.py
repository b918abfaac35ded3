"""Training: schedules, what an epoch does, the loop over epochs, early stopping."""

import numpy as np
import pytest
import torch

from skdgam import _loop, _training
from skdgam._early_stopping import EarlyStopping
from skdgam._features import check_features
from skdgam._stages import Objective
from skdgam._training import Schedule
from skdgam.networks import DGAM


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


def run(videos, objective=Objective(), after_epoch=None, **changes):  # noqa: B008
    network = DGAM(6, 2, latent_dim=3, generator=torch.Generator().manual_seed(0))
    schedule = make_schedule(**changes)
    training = _training.Training([network], [objective], schedule, 0)
    return network, _loop.train(training, videos, IS_LABELLED, after_epoch)


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
        *("foreground", "background", "guide", "reconstruction", "validation"),
    }
    assert {len(values) for values in history.values()} == {4}


def test_without_gamma1_the_cvae_stays_as_it_was(videos):
    network, history = run(videos, Objective(gamma1=0.0))
    fresh, _ = run(videos, Objective(gamma1=0.0), max_epochs=0)
    is_nan = {name: bool(np.isnan(values).all()) for name, values in history.items()}
    trained = {"foreground", "background", "guide"}
    assert is_nan == {name: name not in trained for name in history}
    for name, value in network.decoder.state_dict().items():
        assert torch.equal(value, fresh.decoder.state_dict()[name])
    assert not torch.equal(network.classifier.weight, fresh.classifier.weight)


def test_the_cvae_learns_to_reconstruct(videos):
    _, history = run(videos, max_epochs=60)
    assert history["cvae_reconstruction"][-1] < 0.8 * history["cvae_reconstruction"][2]


def test_training_stops_when_it_is_asked_to(videos):
    _, history = run(videos, after_epoch=lambda epoch, means, last: epoch == 1)
    assert len(history["foreground"]) == 2


def stop_early(videos, patience, **changes):
    """Train on two videos and watch the three others; the labels of one of them are wrong."""
    network = DGAM(6, 2, latent_dim=3, generator=torch.Generator().manual_seed(0))
    training = _training.Training([network], [Objective()], make_schedule(**changes), 0)
    watched = np.array([False, False, True, True, True])
    early_stopping = EarlyStopping(videos.part(watched), IS_LABELLED[watched], patience)
    rest = videos.part(~watched), IS_LABELLED[~watched]
    history = _loop.train(training, *rest, early_stopping=early_stopping)
    return training, history["validation"][:, 0], early_stopping


def test_the_loss_on_held_out_videos_is_their_cross_entropy(videos):
    training, loss, _ = stop_early(videos, patience=99, max_epochs=1)
    expected = []
    for video, labels in zip(list(videos)[2:], IS_LABELLED[2:], strict=True):
        x = torch.tensor(video)
        attention = training.networks[0].attention(x)
        pooled = attention @ x / attention.sum()
        target = [*labels / max(labels.sum(), 1), 1 - labels.max()]
        log = training.networks[0].classifier(pooled).log_softmax(dim=0).detach()
        expected.append(-float(log @ torch.tensor(target, dtype=torch.float32)))
    assert loss == pytest.approx([np.mean(expected)], rel=1e-5)


def test_early_stopping_stops_when_the_loss_has_not_fallen_for_so_many_epochs(videos):
    _, loss, _ = stop_early(videos, patience=5, max_epochs=300)
    assert len(loss) < 300
    assert loss.argmin() == len(loss) - 1 - 5


def test_early_stopping_keeps_the_training_of_the_least_loss(videos):
    training, loss, early_stopping = stop_early(videos, patience=5, max_epochs=300)
    assert early_stopping.watch(training) == loss.min()
    until_then, *_ = stop_early(videos, patience=300, max_epochs=int(loss.argmin()) + 1)
    for ours, theirs in zip(
        training.networks[0].parameters(), until_then.networks[0].parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_global_generators_are_not_touched(videos):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(videos)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


DIVERGED = "diverged in epoch [0-9]+: .*Lower learning_rate, which is 1e[+]18"


def test_divergence_is_reported_with_its_epoch(videos):
    with pytest.raises(FloatingPointError, match=DIVERGED):
        run(videos, learning_rate=1e18, max_epochs=20)


@pytest.mark.parametrize(
    ("losses", "went_first"),
    [
        ({"foreground": [1, 1], "guide": [1, np.nan]}, "guide is nan in batch 2 of stage (a)"),
        (
            {"cvae_reconstruction": [1, np.inf], "cvae_kl": [np.inf, np.nan], "guide": [np.nan, 1]},
            "cvae_kl is inf in batch 1 of stage (b)",
        ),
        ({"foreground": [1, 1], "guide": [1, 1]}, "all losses are finite, but no longer the weig"),
    ],
)
def test_the_term_that_went_first_is_named(losses, went_first):
    of_terms = {name: np.array(values, dtype=float) for name, values in losses.items()}
    assert _training._not_finite(of_terms).startswith(went_first)


def poisoned(monkeypatch, epoch):
    """Have weights be nan from some epoch on."""
    real = _training.Training.run_epoch

    def run_epoch(self, *arguments):
        if self.epoch == epoch:
            self._weights["classifier.weight"].fill_(torch.nan)
        return real(self, *arguments)

    monkeypatch.setattr(_training.Training, "run_epoch", run_epoch)


def test_after_divergence_the_weights_are_those_before_an_epoch_of_finite_losses(
    videos, monkeypatch
):
    expected, _ = run(videos, max_epochs=2)
    poisoned(monkeypatch, epoch=3)
    network = DGAM(6, 2, latent_dim=3, generator=torch.Generator().manual_seed(0))
    training = _training.Training([network], [Objective()], make_schedule(max_epochs=9), 0)
    with pytest.raises(_loop.Diverged, match="in epoch 4: .* as it was after epoch 2") as caught:
        _loop.train(training, videos, IS_LABELLED)
    assert training.epoch == len(caught.value.history["guide"]) == 2
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("epoch", [0, 1])
def test_divergence_at_the_beginning_leaves_nothing(videos, monkeypatch, epoch):
    poisoned(monkeypatch, epoch)
    with pytest.raises(FloatingPointError, match=f"diverged in epoch {epoch + 1}") as caught:
        run(videos)
    assert type(caught.value) is FloatingPointError


def test_an_epoch_sees_every_video_but_those_of_the_last_short_batch(videos, monkeypatch):
    seen = []
    real = _training.make_chunk

    def spy(rows, lengths, *rest):
        seen.extend(lengths.tolist())
        return real(rows, lengths, *rest)

    monkeypatch.setattr(_training, "make_chunk", spy)
    run(videos, Objective(gamma1=0.0), max_epochs=1)
    assert len(seen) == 4
    assert max(seen) <= 20  # of longer videos, n_snippets are drawn
