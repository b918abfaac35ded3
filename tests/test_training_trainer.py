"""One epoch: what each stage is given, what it changes, and what a training is resumed from."""

import numpy as np
import pytest
import torch
from torch import nn

from skdgam._features import check_features
from skdgam.training import batches
from skdgam.training.batches import DeviceFeatures, HostFeatures
from skdgam.training.protocol import Stage
from skdgam.training.trainer import Sampling, Trainer, _not_finite

CPU = torch.device("cpu")
LENGTHS = [30, 12, 20, 7, 25]
IS_LABELLED = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], dtype=bool)


class Pair(nn.Module):
    """Two lines through the features, one for each stage."""

    def __init__(self):
        super().__init__()
        self.left = nn.Parameter(torch.tensor([1.0, -1.0]))
        self.right = nn.Parameter(torch.tensor([0.5, 3.0]))


def left_losses(network, batch):
    return {"left": (1.0, batch.mean((batch.x.float() @ network.left).square()))}


def right_losses(network, batch):
    error = batch.x.float() @ network.right - batch.x.float() @ network.left
    return {"right": (1.0, batch.mean((error + batch.noise(1)[:, 0].float()).square()))}


LEFT, RIGHT = Stage("left", ("left",), left_losses), Stage("right", ("right",), right_losses)


@pytest.fixture(scope="module")
def features():
    """Each snippet of a video is (its number, 1)."""
    videos = [np.stack([np.full(n, i), np.ones(n)], axis=1) for i, n in enumerate(LENGTHS)]
    return HostFeatures(check_features(videos), CPU, torch.float32)


def make_trainer(*stages, seed=0, learning_rate=1e-2, dtype=torch.float32, **sampling):
    settings = {"n_snippets": 20, "batch_size": 2, "refresh_every": 1} | sampling
    stages = stages or (LEFT, RIGHT)
    return Trainer(Pair(), stages, Sampling(**settings), learning_rate, 100, seed, dtype)


def spying(stage=LEFT):
    """The stage, and a list of the batches that it is given."""
    seen = []

    def losses(network, batch):
        seen.append(batch)
        return stage.losses(network, batch)

    return stage._replace(losses=losses), seen


def run(trainer, features, n_epochs=1):
    return [trainer.run_epoch(features, IS_LABELLED) for _ in range(n_epochs)]


def weights_of(trainer):
    return torch.cat([trainer.network.left, trainer.network.right]).detach().clone()


# --- batches ---


def test_an_epoch_sees_every_video_but_those_of_the_last_short_batch(features):
    stage, seen = spying()
    run(make_trainer(stage), features)
    videos = [int(i) for batch in seen for i in batch.x[: batch.lengths.sum(), 0].unique()]
    assert len(seen) == 2
    assert len(set(videos)) == len(videos) == 4


def test_the_order_of_videos_is_another_one_in_each_epoch(features):
    stage, seen = spying()
    run(make_trainer(stage, batch_size=5), features, 4)
    assert len({tuple(batch.lengths) for batch in seen}) > 1


def test_each_stage_takes_the_videos_in_an_order_of_its_own(features):
    (left, of_left), (right, of_right) = spying(LEFT), spying(RIGHT)
    run(make_trainer(left, right, batch_size=5), features, 4)
    both = zip(of_left, of_right, strict=True)
    assert any(first.lengths.tolist() != second.lengths.tolist() for first, second in both)


def test_fewer_videos_than_a_batch_are_one_batch(features):
    stage, seen = spying()
    run(make_trainer(stage, batch_size=16), features)
    assert [batch.n_videos for batch in seen] == [5]


def test_labels_are_those_of_the_videos(features):
    stage, seen = spying()
    run(make_trainer(stage, batch_size=5), features)
    (batch,) = seen
    videos = [int(rows[0, 0]) for rows in batch.of_videos(batch.x)]
    np.testing.assert_array_equal(batch.labels, IS_LABELLED[videos])


@pytest.mark.parametrize("kind", [HostFeatures, DeviceFeatures])
def test_weights_are_those_of_the_videos_also_in_pieces(kind, monkeypatch):
    monkeypatch.setattr(batches, "BYTES_AT_ONCE", 50 * 128 * 4)
    weights = np.array([0.1, 0.2, 0.3, 0.4, 4.0])
    videos = check_features([np.full((n, 2), i) for i, n in enumerate(LENGTHS)])
    stage, seen = spying()
    run(make_trainer(stage, batch_size=5), kind(videos.weighted(weights), CPU, torch.float32))
    assert len(seen) > 1
    for batch in seen:
        of_videos = [int(rows[0, 0]) for rows in batch.of_videos(batch.x)]
        np.testing.assert_array_equal(batch.weights, weights[of_videos])


def test_labels_of_snippets_are_those_of_the_rows_also_in_pieces(monkeypatch):
    monkeypatch.setattr(batches, "BYTES_AT_ONCE", 50 * 128 * 4)
    rng = np.random.default_rng(0)
    videos = check_features([rng.standard_normal((n, 2)) for n in LENGTHS])
    videos = videos.labelled([x > 0 for x in videos])
    stage, seen = spying()
    run(make_trainer(stage, batch_size=5), HostFeatures(videos, CPU, torch.float32))
    assert len(seen) > 1
    for batch in seen:
        np.testing.assert_array_equal(batch.snippet_labels, batch.x > 0)


def test_of_longer_videos_n_snippets_are_drawn_and_all_count_as_so_many(features):
    stage, seen = spying()
    run(make_trainer(stage, n_snippets=20, batch_size=5), features)
    (batch,) = seen
    assert sorted(batch.lengths) == [7, 12, 20, 20, 20]
    assert batch.n_snippets.tolist() == [20] * 5


def test_without_n_snippets_every_snippet_is_seen_and_counts_once(features):
    stage, seen = spying()
    run(make_trainer(stage, n_snippets=None, batch_size=5), features)
    (batch,) = seen
    assert sorted(batch.lengths) == sorted(LENGTHS)
    assert batch.n_snippets.tolist() == batch.lengths.tolist()


def test_one_snippet_is_drawn_from_each_equal_part_of_a_longer_video():
    sampling = Sampling(n_snippets=5, batch_size=1, refresh_every=1)
    long, short = sampling.draw(np.array([10, 4]), np.random.default_rng(0))
    assert (long // 2).tolist() == [0, 1, 2, 3, 4]
    assert short == slice(None)


def test_crops_are_snippets_in_a_row_from_anywhere():
    sampling = Sampling(n_snippets=4, batch_size=1, refresh_every=1, crops=True)
    rng = np.random.default_rng(0)
    drawn = [sampling.draw(np.array([6, 4]), rng) for _ in range(60)]
    assert {(crop.start, crop.stop) for crop, _ in drawn} == {(0, 4), (1, 5), (2, 6)}
    assert all(short == slice(None) for _, short in drawn)


def test_a_stage_that_asks_for_pairs_gets_them_in_one_piece(features, monkeypatch):
    monkeypatch.setattr(batches, "BYTES_AT_ONCE", 1)
    stage, seen = spying(LEFT._replace(n_pairs=3))
    run(make_trainer(stage, batch_size=5), features, n_epochs=20)
    assert [(len(batch.lengths), batch.n_pairs) for batch in seen] == [(5, 2)] * 20
    for batch in seen:
        assert batch.labels[:4].view(2, 2, 2).all(dim=1).any(dim=1).all()


@pytest.mark.parametrize("distinct", [False, True])
def test_pairs_of_a_stage_are_distinct_where_it_asks_for_it(features, distinct):
    stage, seen = spying(LEFT._replace(n_pairs=1, distinct_pairs=distinct))
    run(make_trainer(stage, batch_size=2), features, n_epochs=20)
    pairs = [[rows[0, 0].item() for rows in batch.of_videos(batch.x)] for batch in seen]
    assert any(one == other for one, other in pairs) != distinct


@pytest.mark.parametrize(("whole", "n_pieces"), [(False, 5), (True, 1)])
def test_a_stage_may_ask_for_batches_in_one_piece(features, monkeypatch, whole, n_pieces):
    monkeypatch.setattr(batches, "BYTES_AT_ONCE", 1)
    stage, seen = spying(LEFT._replace(whole=whole))
    run(make_trainer(stage, batch_size=5), features)
    assert len(seen) == n_pieces


def test_a_draw_of_snippets_is_kept_for_so_many_epochs():
    videos = check_features([np.arange(1000.0)[:, None].repeat(2, axis=1)] * 2)
    stage, seen = spying()
    trainer = make_trainer(stage, n_snippets=10, batch_size=2, refresh_every=3)
    for _ in range(6):
        trainer.run_epoch(HostFeatures(videos, CPU, torch.float32), IS_LABELLED[:2])
    drawn = [frozenset(batch.x[:20, 0].tolist()) for batch in seen]
    assert len(set(drawn[:3])) == len(set(drawn[3:])) == 1
    assert drawn[0] != drawn[3]


def test_batches_know_how_many_epochs_were_before(features):
    stage, seen = spying()
    run(make_trainer(stage, batch_size=5), features, 3)
    assert [batch.epoch for batch in seen] == [0, 1, 2]


def test_a_batch_in_pieces_is_trained_as_one(features, monkeypatch):
    both = []
    for n_bytes in (batches.BYTES_AT_ONCE, 25 * 128 * 4):
        monkeypatch.setattr(batches, "BYTES_AT_ONCE", n_bytes)
        stage, seen = spying()
        trainer = make_trainer(stage, batch_size=5)
        (means,) = run(trainer, features)
        both.append((len(seen), means["left"], weights_of(trainer)))
    (n_whole, mean_whole, whole), (n_pieces, mean_pieces, in_pieces) = both
    assert (n_whole, n_pieces) == (1, 3)
    assert mean_pieces == pytest.approx(mean_whole)
    torch.testing.assert_close(in_pieces, whole)


def test_products_are_in_the_dtype_and_weights_in_float32(features):
    stage, seen = spying()
    trainer = make_trainer(stage, dtype=torch.bfloat16)
    videos = features._videos
    trainer.run_epoch(HostFeatures(videos, CPU, torch.bfloat16), IS_LABELLED)
    assert {batch.x.dtype for batch in seen} == {torch.bfloat16}
    assert {batch.noise(1).dtype for batch in seen} == {torch.bfloat16}
    assert {weight.dtype for weight in trainer.network.parameters()} == {torch.float32}


# --- steps ---


@pytest.mark.parametrize("stage", [LEFT, RIGHT], ids=lambda stage: stage.name)
def test_a_stage_changes_nothing_but_what_it_learns(features, stage):
    trainer, fresh = make_trainer(stage), Pair()
    run(trainer, features)
    for name, weight in trainer.network.named_parameters():
        assert torch.equal(weight, getattr(fresh, name)) == (name != stage.name)


def test_what_a_stage_does_not_learn_is_frozen_while_it_runs(features):
    seen = []

    def losses(network, batch):
        seen.append({name: p.requires_grad for name, p in network.named_parameters()})
        return right_losses(network, batch)

    run(make_trainer(LEFT, RIGHT._replace(losses=losses), batch_size=5), features)
    assert seen == [{"left": False, "right": True}]


def test_parts_are_named_by_how_their_parameters_begin(features):
    trainer = make_trainer(Stage("all", ("",), right_losses))
    before = weights_of(trainer)
    run(trainer, features)
    assert (weights_of(trainer) != before).all()


def test_a_stage_sees_what_the_one_before_it_has_learned(features):
    seen = []

    def losses(network, batch):
        seen.append(network.left.detach().clone())
        return right_losses(network, batch)

    trainer = make_trainer(LEFT, RIGHT._replace(losses=losses), batch_size=5)
    run(trainer, features)
    assert torch.equal(seen[0], trainer.network.left)
    assert not torch.equal(seen[0], Pair().left)


def test_steps_are_those_of_adam_as_the_stage_wants_it(features):
    stage = LEFT._replace(betas=(0.5, 0.7), weight_decay=0.3)
    stage, seen = spying(stage)
    trainer = make_trainer(stage, learning_rate=0.1, batch_size=5)
    run(trainer, features, 3)
    network = Pair()
    adam = torch.optim.Adam([network.left], lr=0.1, betas=(0.5, 0.7), weight_decay=0.3)
    for batch in list(seen):
        adam.zero_grad()
        left_losses(network, batch)["left"][1].backward()
        adam.step()
    torch.testing.assert_close(trainer.network.left, network.left)


def test_plain_descent_goes_down_the_gradient_and_leaves_adam_the_rest(features):
    stage, seen = spying(Stage("both", ("left", "right"), right_losses, plain={"left": 1e-3}))
    trainer = make_trainer(stage, batch_size=5)
    right = trainer.network.right.detach().clone()
    run(trainer, features)
    by_hand = Pair()
    rng = np.random.default_rng([0, 0, 0])
    rng.permutation(5)
    object.__setattr__(seen[0], "rng", rng)
    right_losses(by_hand, seen[0])["right"][1].backward()
    expected = by_hand.left - 1e-3 * by_hand.left.grad
    torch.testing.assert_close(trainer.network.left, expected)
    assert (trainer.network.right - right).abs().tolist() == pytest.approx([1e-2, 1e-2], rel=1e-3)
    assert [*trainer.state()["moments"]["both"]] == [0]


def test_the_loss_is_the_weighted_sum_of_the_terms(features):
    def losses(network, batch):
        return {"once": (1.0, network.left.sum()), "thrice": (-3.0, network.left.sum())}

    trainer = make_trainer(Stage("left", ("left",), losses), learning_rate=0.1, batch_size=5)
    before = trainer.network.left.detach().clone()
    (means,) = run(trainer, features)
    # The gradient is -2, which the first step of Adam moves against by the learning rate.
    torch.testing.assert_close(trainer.network.left.detach(), before + 0.1)
    assert means == pytest.approx({"once": 0.0, "thrice": 0.0})


def test_the_terms_of_an_epoch_are_means_over_its_batches(features):
    n_seen = []

    def losses(network, batch):
        n_seen.append(0)
        return {"count": (1.0, 0 * network.left.sum() + len(n_seen))}

    (means,) = run(make_trainer(Stage("left", ("left",), losses)), features)
    assert means == {"count": 1.5}


def test_an_epoch_returns_the_terms_of_all_stages(features):
    (means,) = run(make_trainer(), features)
    assert list(means) == ["left", "right"]


# --- draws ---


def test_a_seed_gives_the_same_weights(features):
    both = [make_trainer(seed=3) for _ in range(2)]
    for trainer in both:
        run(trainer, features, 2)
    assert torch.equal(*(weights_of(trainer) for trainer in both))


def test_another_seed_gives_other_weights(features):
    both = [make_trainer(seed=seed) for seed in (3, 4)]
    for trainer in both:
        run(trainer, features, 2)
    assert not torch.equal(*(weights_of(trainer) for trainer in both))


def test_global_generators_are_not_touched(features):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(make_trainer(), features)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


# --- divergence ---


def test_divergence_is_reported_with_its_epoch_and_what_to_do(features):
    trainer = make_trainer(learning_rate=1e25)
    with pytest.raises(
        FloatingPointError,
        match="diverged in epoch [0-9]+: .*Lower learning_rate, which is 1e[+]25, or set stand",
    ):
        run(trainer, features, 20)


def test_an_epoch_that_diverged_does_not_count(features):
    def losses(network, batch):
        return {"left": (1.0, torch.inf * network.left[0])}

    trainer = make_trainer(Stage("left", ("left",), losses))
    with pytest.raises(FloatingPointError, match="epoch 1: left is inf in batch 1 of stage 'left"):
        run(trainer, features)
    assert trainer.epoch == 0


def test_weights_that_diverged_in_the_last_step_are_reported(features):
    def losses(network, batch):
        return {"left": (1.0, network.left.abs().sqrt().sum())}  # whose gradient at 0 is not finite

    trainer = make_trainer(Stage("left", ("left",), losses), batch_size=5)
    trainer.network.left.data.zero_()
    with pytest.raises(FloatingPointError, match="but no longer the weights after the last step"):
        run(trainer, features)


@pytest.mark.parametrize(
    ("losses", "went_first"),
    [
        (
            {"heads": {"foreground": [1, 1], "guide": [1, np.nan]}},
            "guide is nan in batch 2 of stage 'heads'",
        ),
        (
            {
                "cvae": {"cvae_reconstruction": [1, np.inf], "cvae_kl": [np.inf, np.nan]},
                "heads": {"guide": [np.nan, 1]},
            },
            "cvae_kl is inf in batch 1 of stage 'cvae'",
        ),
        ({"heads": {"foreground": [1, 1], "guide": [1, 1]}}, None),
    ],
)
def test_the_term_that_went_first_is_named(losses, went_first):
    of_stages = {
        stage: {name: np.array(values, dtype=float) for name, values in terms.items()}
        for stage, terms in losses.items()
    }
    assert _not_finite(of_stages) == went_first


# --- what one epoch hands on to the next ---


def arrays(trainer):
    return {name: value.numpy().copy() for name, value in trainer.network.state_dict().items()}


def test_a_training_that_is_resumed_ends_at_the_same_bits(features):
    whole, first, second = make_trainer(), make_trainer(), make_trainer(seed=9)
    run(whole, features, 4)
    run(first, features, 2)
    second.resume(arrays(first), first.epoch, first.state())
    run(second, features, 2)
    assert second.epoch == 4
    assert torch.equal(weights_of(second), weights_of(whole))


def test_a_training_that_is_resumed_between_two_draws_keeps_its_snippets():
    videos = check_features([np.arange(1000.0)[:, None].repeat(2, axis=1)] * 2)
    features = HostFeatures(videos, CPU, torch.float32)
    drawn = []
    for resumed_after in (None, 1):
        stage, seen = spying()
        trainer = make_trainer(stage, n_snippets=10, refresh_every=2)
        if resumed_after:
            trainer.resume(arrays(trainer), resumed_after, None)
        while trainer.epoch < 2:
            trainer.run_epoch(features, IS_LABELLED[:2])
        drawn.append(set(seen[-1].x[:20, 0].tolist()))
    assert drawn[0] == drawn[1]


def test_without_its_state_adam_starts_anew(features):
    trainer = make_trainer(LEFT, batch_size=5)
    run(trainer, features, 3)
    resumed = make_trainer(LEFT, batch_size=5)
    resumed.resume(arrays(trainer), trainer.epoch, None)
    before = weights_of(resumed)
    run(resumed, features)
    # The first step of Adam moves each weight by the learning rate.
    torch.testing.assert_close((weights_of(resumed) - before)[:2].abs(), torch.full((2,), 1e-2))


def test_a_state_is_a_copy(features):
    trainer = make_trainer()
    run(trainer, features)
    state = trainer.state()
    moment = state["moments"]["left"][0]["exp_avg"].copy()
    run(trainer, features)
    np.testing.assert_array_equal(state["moments"]["left"][0]["exp_avg"], moment)


def test_weights_that_are_restored_are_what_they_were(features):
    trainer = make_trainer()
    before, kept = weights_of(trainer), trainer.weights()
    run(trainer, features)
    trainer.restore(kept)
    assert torch.equal(weights_of(trainer), before)


def test_weights_of_another_network_are_refused():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="not that of the model to go on from, since a parameter"):
        trainer.resume(arrays(trainer) | {"left": np.zeros(3, dtype=np.float32)}, 1, None)


def test_weights_under_other_names_are_refused():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="not that of the model to go on from"):
        trainer.resume(arrays(trainer) | {"middle": np.zeros(2, dtype=np.float32)}, 1, None)


def test_weights_that_are_not_finite_are_refused():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="^the weights to go on from are not finite$"):
        trainer.resume(arrays(trainer) | {"left": np.float32([np.nan, 1])}, 1, None)


@pytest.mark.parametrize("kind", ["exp_avg", "exp_avg_sq", "step"])
def test_moments_that_are_not_those_of_their_parameter_are_refused(features, kind):
    trainer = make_trainer()
    run(trainer, features)
    state = trainer.state()
    state["moments"]["right"][0][kind] = np.zeros(5, dtype=np.float32)
    with pytest.raises(ValueError, match="^the moments of Adam are not those of parameter 0$"):
        trainer.resume(arrays(trainer), 1, state)


# --- how far a training is ---


def test_a_cosine_falls_from_1_to_0():
    rates = [LEFT._replace(cosine=True).rate(progress) for progress in (0.0, 1 / 3, 0.5, 1.0)]
    np.testing.assert_allclose(rates, [1.0, 0.75, 0.5, 0.0], atol=1e-12)
    assert LEFT.rate(0.7) == 1.0


def test_the_rate_of_the_second_half():
    stage = LEFT._replace(late_rate=0.1)
    assert [stage.rate(progress) for progress in (0.0, 0.49, 0.5, 0.9)] == [1.0, 1.0, 0.1, 0.1]


def test_progress_begins_anew_after_the_last_epoch(features):
    stage, seen = spying()
    trainer = Trainer(
        Pair(),
        [stage],
        Sampling(n_snippets=20, batch_size=5, refresh_every=1),
        learning_rate=1e-2,
        n_epochs=4,
        seed=0,
    )
    run(trainer, features, n_epochs=6)
    assert [batch.progress for batch in seen] == [0.0, 0.25, 0.5, 0.75, 0.0, 0.25]


def test_the_learning_rate_of_a_step_is_that_of_its_epoch(features):
    fast, slow = make_trainer(learning_rate=1e-2), make_trainer(LEFT._replace(cosine=True))
    slow.epoch, fast.epoch = 50, 50  # half way: half the learning rate
    fast.learning_rate = 5e-3
    run(fast, features)
    run(slow, features)
    torch.testing.assert_close(slow.network.left, fast.network.left)
