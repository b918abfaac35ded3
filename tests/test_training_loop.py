"""The loop over epochs: history, early stopping, interruption, divergence, threads."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from skdgam._features import check_features
from skdgam.dgam.networks import DGAM
from skdgam.dgam.objective import Objective
from skdgam.layers import initialize
from skdgam.training import devices, loop
from skdgam.training.checkpoints import Checkpoint
from skdgam.training.early_stopping import EarlyStopping
from skdgam.training.loop import Diverged, Interrupted, train
from skdgam.training.trainer import Sampling, Trainer


def objective(**changes):
    settings = {
        **{"alpha": 0.03, "beta": 0.1, "gamma1": 0.5, "gamma2": 0.1, "r": 1.0},
        **{"foreground_weight": 1.0, "pooling": "paper", "classification": "softmax"},
        **{"dropout": 0.0, "warmup_epochs": 2, "warmup_gamma1": True, "refresh_every": 1},
    }
    return Objective(**(settings | changes))


@pytest.fixture(scope="module")
def videos():
    rng = np.random.default_rng(0)
    return check_features([rng.normal(size=(n, 6)) for n in (30, 12, 20, 7, 25)])


IS_LABELLED = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)


def make_trainer(learning_rate=1e-2, **changes):
    network = DGAM(6, 2, latent_dim=3)
    initialize(network, torch.Generator().manual_seed(0))
    sampling = Sampling(n_snippets=20, batch_size=2, refresh_every=1)
    return Trainer(
        network, objective(**changes).stages(), sampling, learning_rate, n_epochs=100, seed=0
    )


def assert_same_weights(trainer, other):
    for name, weight in other.network.state_dict().items():
        assert torch.equal(trainer.network.state_dict()[name], weight), name


# --- history ---


def test_history_has_every_term_of_every_epoch(videos):
    history = train(make_trainer(), videos, IS_LABELLED, max_epochs=4)
    assert {name: values.shape for name, values in history.items()} == dict.fromkeys(
        [
            *("cvae_reconstruction", "cvae_kl"),
            *("foreground", "background", "guide", "reconstruction"),
        ],
        (4,),
    )
    assert all(np.isfinite(values).all() for values in history.values())


def test_without_gamma1_history_says_nothing_of_the_generative_part(videos):
    history = train(make_trainer(gamma1=0.0), videos, IS_LABELLED, max_epochs=2)
    assert set(history) == {"foreground", "background", "guide"}


def test_without_gamma1_the_cvae_stays_as_it_was(videos):
    trainer, fresh = make_trainer(gamma1=0.0), make_trainer(gamma1=0.0)
    train(trainer, videos, IS_LABELLED, max_epochs=2)
    for name, weight in trainer.network.state_dict().items():
        stays = torch.equal(weight, fresh.network.state_dict()[name])
        assert stays == name.startswith(("encoder.", "decoder.")), name


def test_no_epoch_is_no_history(videos):
    trainer = make_trainer()
    assert train(trainer, videos, IS_LABELLED, max_epochs=0) == {}
    assert_same_weights(trainer, make_trainer())


def test_the_cvae_learns_to_reconstruct(videos):
    history = train(make_trainer(), videos, IS_LABELLED, max_epochs=60)
    assert history["cvae_reconstruction"][-1] < 0.8 * history["cvae_reconstruction"][2]


def test_global_generators_are_not_touched(videos):
    trainer = make_trainer(dropout=0.3)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train(trainer, videos, IS_LABELLED, max_epochs=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


# --- after each epoch ---


def test_each_epoch_is_reported_with_its_losses_and_whether_it_is_the_last(videos):
    told = []
    history = train(make_trainer(), videos, IS_LABELLED, 3, lambda *args: told.append(args))
    assert [(epoch, last) for epoch, _, last in told] == [(0, False), (1, False), (2, True)]
    for epoch, means, _ in told:
        assert means == {name: values[epoch] for name, values in history.items()}


def test_training_stops_when_it_is_asked_to(videos):
    history = train(make_trainer(), videos, IS_LABELLED, 4, lambda epoch, means, last: epoch == 1)
    assert len(history["foreground"]) == 2


def interrupt_after(n_epochs):
    def after_epoch(epoch, means, last):
        if epoch + 1 == n_epochs:
            raise KeyboardInterrupt

    return after_epoch


def test_an_interrupted_training_keeps_its_epochs(videos):
    trainer, until_then = make_trainer(), make_trainer()
    with pytest.raises(Interrupted) as caught:
        train(trainer, videos, IS_LABELLED, 9, interrupt_after(2))
    train(until_then, videos, IS_LABELLED, 2)
    assert trainer.epoch == len(caught.value.history["guide"]) == 2
    assert_same_weights(trainer, until_then)


def test_an_interruption_in_the_first_epoch_leaves_nothing(videos, monkeypatch):
    def run_epoch(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run_epoch", run_epoch)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(make_trainer(), videos, IS_LABELLED, 9)
    assert caught.type is KeyboardInterrupt


# --- divergence ---


def poisoned(monkeypatch, epoch):
    """Have weights be nan from some epoch on."""
    real = Trainer.run_epoch

    def run_epoch(self, *arguments):
        if self.epoch == epoch:
            self.network.classifier.weight.data.fill_(torch.nan)
        return real(self, *arguments)

    monkeypatch.setattr(Trainer, "run_epoch", run_epoch)


def test_after_divergence_the_weights_are_those_before_an_epoch_of_finite_losses(
    videos, monkeypatch
):
    expected = make_trainer()
    train(expected, videos, IS_LABELLED, max_epochs=2)
    poisoned(monkeypatch, epoch=3)
    trainer = make_trainer()
    with pytest.raises(Diverged, match="in epoch 4: .* as it was after epoch 2, and") as caught:
        train(trainer, videos, IS_LABELLED, max_epochs=9)
    assert trainer.epoch == len(caught.value.history["guide"]) == 2
    assert_same_weights(trainer, expected)


@pytest.mark.parametrize("epoch", [0, 1])
def test_divergence_at_the_beginning_leaves_nothing(videos, monkeypatch, epoch):
    poisoned(monkeypatch, epoch)
    with pytest.raises(FloatingPointError, match=f"diverged in epoch {epoch + 1}") as caught:
        train(make_trainer(), videos, IS_LABELLED, max_epochs=9)
    assert caught.type is FloatingPointError


def test_divergence_in_the_third_epoch_leaves_the_first(videos, monkeypatch):
    poisoned(monkeypatch, epoch=2)
    with pytest.raises(Diverged, match="in epoch 3: .* as it was after epoch 1") as caught:
        train(make_trainer(), videos, IS_LABELLED, 9)
    assert {len(values) for values in caught.value.history.values()} == {1}


def test_divergence_right_after_a_checkpoint_leaves_what_it_held(videos, monkeypatch, tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "checkpoint"
    train(make_trainer(), videos, IS_LABELLED, 3, checkpoint=Checkpoint(path, 1, {}))
    poisoned(monkeypatch, epoch=3)
    trainer = make_trainer()
    with pytest.raises(Diverged, match="in epoch 4: .* as it was after epoch 3") as caught:
        train(trainer, videos, IS_LABELLED, 9, checkpoint=Checkpoint(path, 1, {}))
    assert {len(values) for values in caught.value.history.values()} == {3}
    assert all(weight.isfinite().all() for weight in trainer.weights().values())


# --- checkpoints ---


def set_precision(trainer):
    trainer.dtype = torch.bfloat16


def set_epoch(trainer):
    trainer.epoch += 1


def set_weights(trainer):
    trainer.network.classifier.bias.data += 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (set_precision, "precision"),
        (set_epoch, "epochs before it"),
        (set_weights, "weights to begin with"),
    ],
)
def test_a_checkpoint_of_a_training_that_began_otherwise_is_refused(videos, tmp_path, change, name):
    pytest.importorskip("safetensors")
    one, other = make_trainer(), make_trainer()
    one.epoch = other.epoch = 1
    change(other)
    path = tmp_path / "checkpoint"
    train(one, videos, IS_LABELLED, 1, checkpoint=Checkpoint(path, 1, {}))
    with pytest.raises(ValueError, match=f"of a training with other {name}[.]"):
        train(other, videos, IS_LABELLED, 2, checkpoint=Checkpoint(path, 1, {}))


# --- early stopping ---

IS_WATCHED = np.array([False, False, True, True, True])


def probability_of(network, videos):
    """Probability of each action class in each video, in numpy, from pooled features."""
    w = {name: value.double().numpy() for name, value in network.state_dict().items()}
    rows = []
    for x in videos:
        hidden = np.maximum(x @ w["attention_head.0.weight"].T + w["attention_head.0.bias"], 0)
        logit = hidden @ w["attention_head.2.weight"][0] + w["attention_head.2.bias"]
        attention = 1 / (1 + np.exp(-logit))
        pooled = attention @ x / attention.sum()
        rows.append(softmax(w["classifier.weight"] @ pooled + w["classifier.bias"])[:-1])
    return np.array(rows)


def stop_early(videos, patience, max_epochs):
    """Train on two videos and watch the three others; the labels of one of them are wrong."""
    trainer = make_trainer()
    watched = EarlyStopping(
        videos.subset(IS_WATCHED), IS_LABELLED[IS_WATCHED], patience, probability_of, exclusive=True
    )
    rest = videos.subset(~IS_WATCHED), IS_LABELLED[~IS_WATCHED]
    history = train(trainer, *rest, max_epochs, early_stopping=watched)
    return trainer, history["validation"], watched


def test_validation_is_the_loss_on_the_held_out_videos_after_each_epoch(videos):
    trainer, loss, watched = stop_early(videos, patience=99, max_epochs=1)
    probability = probability_of(trainer.network, videos.subset(IS_WATCHED))
    of_labels = [
        np.log(probability[0]).mean(),  # two labels, that have equal shares
        np.log(1 - probability[1].sum()),  # none
        np.log(probability[2, 0]),
    ]
    assert loss == pytest.approx([-np.mean(of_labels)])


def test_early_stopping_stops_when_the_loss_has_not_fallen_for_so_many_epochs(videos):
    _, loss, _ = stop_early(videos, patience=5, max_epochs=300)
    assert len(loss) < 300
    assert loss.argmin() == len(loss) - 1 - 5


def test_early_stopping_keeps_the_training_of_the_least_loss(videos):
    trainer, loss, watched = stop_early(videos, patience=5, max_epochs=300)
    assert watched.watch(trainer) == loss.min()
    until_then, *_ = stop_early(videos, patience=300, max_epochs=int(loss.argmin()) + 1)
    assert_same_weights(trainer, until_then)


def test_early_stopping_keeps_the_moments_of_adam_of_the_least_loss(videos):
    trainer, _, watched = stop_early(videos, patience=5, max_epochs=300)
    _, state = watched.best
    np.testing.assert_equal(trainer.state(), state)


def test_the_epoch_that_stops_early_is_reported_as_the_last(videos):
    told = []
    watched = EarlyStopping(
        videos.subset(IS_WATCHED),
        IS_LABELLED[IS_WATCHED],
        2,
        lambda network, videos: np.full((len(videos), 2), 0.25),  # which never gets better
        exclusive=True,
    )
    train(
        make_trainer(),
        *(videos, IS_LABELLED, 9),
        after_epoch=lambda epoch, means, last: told.append(last),
        early_stopping=watched,
    )
    assert told == [False, False, True]


def stop_at_once(videos, patience, max_epochs=9, **options):
    """Train and watch videos whose loss never gets better than after the first epoch."""
    watched = EarlyStopping(
        videos.subset(IS_WATCHED),
        IS_LABELLED[IS_WATCHED],
        patience,
        lambda network, videos: np.full((len(videos), 2), 0.25),
        exclusive=True,
    )
    return train(make_trainer(), videos, IS_LABELLED, max_epochs, early_stopping=watched, **options)


def test_a_patience_of_one_epoch_is_over_after_two(videos):
    assert len(stop_at_once(videos, patience=1)["validation"]) == 2


def test_patience_is_counted_across_a_checkpoint(videos, tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "checkpoint"
    stop_at_once(videos, patience=3, max_epochs=3, checkpoint=Checkpoint(path, 1, {}))
    resumed = stop_at_once(videos, patience=3, checkpoint=Checkpoint(path, 1, {}))
    assert len(resumed["validation"]) == 4


def test_what_is_resumed_may_stay_the_best(videos):
    trainer = make_trainer()
    train(trainer, videos, IS_LABELLED, 1)
    before = trainer.weights()
    losses = iter([0.9, 0.5, 0.5, 0.5])  # probabilities of what is right
    watched = EarlyStopping(
        videos.subset([0]),
        IS_LABELLED[[0]],
        3,
        lambda network, videos: np.array([[next(losses), 0.0]]),
        exclusive=True,
    )
    train(trainer, videos, IS_LABELLED, 9, early_stopping=watched)
    for name, weight in trainer.network.state_dict().items():
        assert torch.equal(weight, before[name])


def loss_of(probability, is_labelled, exclusive, weights=None):
    """What early stopping makes of some probabilities, (n_videos, n_classes)."""
    is_labelled = np.array(is_labelled, dtype=bool)
    videos = check_features(np.zeros((len(is_labelled), 1, 1))).weighted(weights)
    watched = EarlyStopping(
        *(videos, is_labelled, 1), lambda network, videos: np.array(probability), exclusive
    )
    return watched.watch(make_trainer())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([1, 0], np.log(2)), ([1, 1], 1.5 * np.log(2)), ([0, 0], np.log(4))],
    ids=["one", "two", "none"],
)
def test_cross_entropy_of_exclusive_classes_by_hand(labels, expected):
    # 1/2 and 1/4, which leaves 1/4 for background.
    assert loss_of([[0.5, 0.25]], [labels], exclusive=True) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "expected"), [([1, 0], np.log(2) + np.log(4 / 3)), ([0, 1], np.log(2) + np.log(4))]
)
def test_cross_entropy_of_each_class_by_itself_by_hand(labels, expected):
    assert loss_of([[0.5, 0.25]], [labels], exclusive=False) == pytest.approx(expected)


def test_cross_entropy_is_the_mean_over_videos():
    loss = loss_of([[0.5, 0.0], [0.0, 0.125]], [[1, 0], [0, 1]], exclusive=True)
    assert loss == pytest.approx(2 * np.log(2))


def test_cross_entropy_is_weighted_as_the_videos_are():
    # log 2 and 3 log 2, of which the second counts three times as much.
    weights, labels = np.array([0.5, 1.5]), [[1, 0], [0, 1]]
    loss = loss_of([[0.5, 0.0], [0.0, 0.125]], labels, exclusive=True, weights=weights)
    assert loss == pytest.approx(2.5 * np.log(2))


@pytest.mark.parametrize("exclusive", [True, False])
def test_cross_entropy_of_what_was_thought_impossible_is_finite(exclusive):
    assert 10 < loss_of([[0.0, 1.0]], [[1, 1]], exclusive) < 100


# --- threads ---


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def threads_in(videos, trainer, **options):
    n_threads = []
    train(
        trainer,
        *(videos, IS_LABELLED, 2),
        after_epoch=lambda *args: n_threads.append(torch.get_num_threads()),
        **options,
    )
    return n_threads


def test_a_small_training_takes_one_thread_and_gives_the_setting_back(videos, four_threads):
    assert threads_in(videos, make_trainer()) == [1, 1]
    assert torch.get_num_threads() == 4


def test_threads_follow_from_the_rows_of_a_step_and_the_weights(videos, four_threads, monkeypatch):
    trainer = make_trainer()
    # Of videos of 30, 12, 20, 7 and 25 snippets at most 20 are drawn, and two are in a step.
    n_rows = 2 * (20 + 12 + 20 + 7 + 20) / 5
    n_weights = sum(weight.numel() for weight in trainer.network.parameters())
    monkeypatch.setattr(devices, "PER_THREAD", int(n_rows * n_weights / 3))
    assert threads_in(videos, trainer) == [3, 3]


def test_the_setting_of_threads_is_given_back_after_an_error(videos, four_threads, monkeypatch):
    poisoned(monkeypatch, epoch=0)
    with pytest.raises(FloatingPointError):
        train(make_trainer(), videos, IS_LABELLED, 2)
    assert torch.get_num_threads() == 4


def test_features_are_placed_once(videos, monkeypatch):
    placed = []
    real = loop.place
    monkeypatch.setattr(loop, "place", lambda *args: placed.append(0) or real(*args))
    train(make_trainer(), videos, IS_LABELLED, 3)
    assert len(placed) == 1
