"""Batches: weights and surroundings of rows, deviates, where features lie, and how to split."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam._features import check_features
from skdgam.training import batches
from skdgam.training.batches import (
    Batch,
    Deviates,
    DeviceFeatures,
    HostFeatures,
    place,
    split,
    to_rows,
)

CPU = torch.device("cpu")


def batch_of(*lengths, n_snippets=20, n_videos=None, **changes):
    """Videos whose features are their numbers of snippets."""
    rows = to_rows([np.full((n, 2), n, dtype=np.float32) for n in lengths], torch.float32)
    return Batch(
        x=rows,
        lengths=np.array(lengths),
        labels=torch.ones(len(lengths), 1),
        n_snippets=np.full(len(lengths), n_snippets),
        n_videos=n_videos or len(lengths),
        **changes,
    )


# --- rows, and how much they count ---


def test_videos_lie_one_after_the_other_and_zeros_behind_them():
    batch = batch_of(3, 9, 1)
    assert batch.x[:13, 0].tolist() == [3] * 3 + [9] * 9 + [1]
    assert batch.video[:13].tolist() == [0] * 3 + [1] * 9 + [2]
    assert len(batch.x) == batches.ROWS
    assert not batch.x[13:].any()


def test_rows_behind_the_videos_have_no_weight():
    batch = batch_of(3, 9, 1)
    assert not batch.shares[13:].any()
    assert not batch.membership[:, 13:].any()


def test_a_short_video_weighs_as_much_as_a_long_one():
    batch = batch_of(5, 20)
    assert batch.membership.sum(dim=1).tolist() == [20, 20]
    assert batch.membership.sum(dim=0)[:25].tolist() == [4] * 5 + [1] * 20


def test_a_row_counts_in_its_own_video_alone():
    membership = batch_of(1, 2, n_snippets=2).membership[:, :3]
    assert membership.tolist() == [[2, 0, 0], [0, 1, 1]]


def test_shares_by_hand():
    # Half of the mean is that of each video; the second one divides it among four rows.
    assert batch_of(1, 4).shares[:5].tolist() == [0.5, 0.125, 0.125, 0.125, 0.125]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(1, 8))
def test_shares_of_all_pieces_of_a_batch_sum_to_one(lengths, size):
    parts = [lengths[k : k + size] for k in range(0, len(lengths), size)]
    pieces = [batch_of(*part, n_videos=len(lengths)) for part in parts]
    assert sum(piece.shares.sum().item() for piece in pieces) == pytest.approx(1)


def test_the_mean_is_that_over_snippets_and_then_over_videos():
    batch, values = batch_of(1, 3), torch.zeros(64)
    values[:4] = torch.tensor([1.0, 6.0, 7.0, 8.0])
    assert batch.mean(values).item() == pytest.approx((1 + 7) / 2)


def test_the_mean_of_a_part_is_what_it_contributes():
    first, second = batch_of(1, n_videos=2), batch_of(3, n_videos=2)
    assert first.mean(torch.full((64,), 1.0)).item() == pytest.approx(0.5)
    assert second.mean(torch.full((64,), 7.0)).item() == pytest.approx(3.5)


def test_the_mean_is_taken_in_float32():
    assert batch_of(5).mean(torch.ones(64, dtype=torch.bfloat16)).dtype == torch.float32


def test_videos_count_by_their_weights_by_hand():
    batch, values = batch_of(1, 3, weights=np.array([0.5, 1.5])), torch.zeros(64)
    values[:4] = torch.tensor([1.0, 6.0, 7.0, 8.0])
    assert batch.shares[:4].tolist() == [0.25, 0.25, 0.25, 0.25]
    assert batch.mean(values).item() == pytest.approx((0.5 * 1 + 1.5 * 7) / 2)
    assert batch.mean_of_videos(torch.tensor([1.0, 7.0])).item() == (0.5 * 1 + 1.5 * 7) / 2
    assert batch.membership.sum(dim=1).tolist() == [20, 20]  # which is of rows in their video


def test_the_mean_of_the_videos_of_a_part_is_what_they_contribute():
    first = batch_of(1, 4, n_videos=3, weights=np.array([2.0, 0.5]))
    second = batch_of(3, n_videos=3)
    assert first.mean_of_videos(torch.tensor([3.0, 6.0])).item() == 3
    assert second.mean_of_videos(torch.tensor([6.0])).item() == 2


def test_values_of_each_video_leave_out_the_rows_behind():
    first, second = batch_of(2, 3).of_videos(torch.arange(64.0))
    assert first.tolist() == [0, 1]
    assert second.tolist() == [2, 3, 4]


# --- surroundings ---


def test_neighbours_stay_in_their_video():
    batch = batch_of(3, 9, 1)
    video = batch.video[:13]
    assert torch.equal(batch.video[batch.neighbours(4)[:13]], video[:, None].expand(-1, 9))


def test_neighbours_are_mirrored_at_the_ends_of_their_video():
    neighbours = batch_of(3, 2).neighbours(1)[:5]
    assert neighbours.tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 4]]


def test_windows_mirrored_by_hand():
    rows = torch.stack([torch.arange(64.0), 100 + torch.arange(64.0)], dim=1)
    windows = batch_of(3, 2).windows(rows, 1)[:5]
    assert windows.tolist() == [
        [0, 100, 0, 100, 1, 101],
        [0, 100, 1, 101, 2, 102],
        [1, 101, 2, 102, 2, 102],
        [3, 103, 3, 103, 4, 104],
        [3, 103, 4, 104, 4, 104],
    ]


def test_windows_with_zeros_by_hand():
    rows = 1 + torch.arange(64.0)[:, None]
    windows = batch_of(3, 2).windows(rows, 1, padding="zeros")[:5]
    assert windows.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 0], [0, 4, 5], [4, 5, 0]]


def test_windows_wider_than_a_video():
    rows = 1 + torch.arange(64.0)[:, None]
    assert batch_of(2).windows(rows, 3, "zeros")[:2].tolist() == [
        [0, 0, 0, 1, 2, 0, 0],
        [0, 0, 1, 2, 0, 0, 0],
    ]
    assert batch_of(2).windows(rows, 3)[:2].tolist() == [
        [2, 2, 1, 1, 2, 2, 1],
        [2, 1, 1, 2, 2, 1, 1],
    ]


@pytest.mark.parametrize("padding", ["mirror", "zeros"])
def test_a_window_of_radius_0_is_the_row_itself(padding):
    rows = torch.arange(64.0)[:, None]
    assert torch.equal(batch_of(3, 2).windows(rows, 0, padding), rows)


@pytest.mark.parametrize(
    ("padding", "times"), [("mirror", [3, 3, 3, 3, 3]), ("zeros", [2, 3, 2, 2, 2])]
)
def test_a_gradient_flows_to_a_row_from_every_window_that_it_is_in(padding, times):
    rows = torch.zeros(64, 1, requires_grad=True)
    batch_of(3, 2).windows(rows, 1, padding)[:5].sum().backward()
    assert rows.grad[:5, 0].tolist() == times


# --- deviates ---


@pytest.fixture
def few_deviates(monkeypatch):
    monkeypatch.setattr(batches, "N_DEVIATES", 1000)


def deviates(seed=0, dtype=torch.float32):
    return Deviates(seed, CPU, dtype)


def test_deviates_are_standard_normal():
    taken = deviates().take(1000, 100, np.random.default_rng(0))
    assert taken.mean().item() == pytest.approx(0, abs=0.02)
    assert taken.std().item() == pytest.approx(1, abs=0.02)
    assert (taken.abs() < 1).float().mean().item() == pytest.approx(0.6827, abs=0.01)


@pytest.mark.parametrize(("n", "m"), [(20, 3), (100, 8)], ids=["few", "many"])
def test_deviates_follow_from_the_seed_and_the_generator(few_deviates, n, m):
    first, again = (deviates(1).take(n, m, np.random.default_rng(2)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, deviates(1).take(n, m, np.random.default_rng(3)))


def test_few_deviates_follow_from_the_seed_of_the_training(few_deviates):
    first, second = (deviates(seed).take(20, 3, np.random.default_rng(2)) for seed in (1, 5))
    assert not torch.equal(first, second)


def test_two_pieces_of_deviates_are_not_the_same():
    source, rng = deviates(), np.random.default_rng(0)
    assert not torch.equal(source.take(20, 3, rng), source.take(20, 3, rng))


@pytest.mark.parametrize("n", [100, 500, 501, 3000])
def test_no_deviate_is_given_twice_in_a_piece_however_large_it_is(few_deviates, n):
    taken = deviates().take(n, 1, np.random.default_rng(0))
    assert taken.shape == (n, 1)
    assert len(taken.unique()) > 0.99 * n  # float32 holds few pairs of equal ones


@pytest.mark.parametrize("n", [10, 3000])
def test_deviates_have_the_dtype_of_products(few_deviates, n):
    taken = deviates(dtype=torch.bfloat16).take(n, 1, np.random.default_rng(0))
    assert taken.dtype == torch.bfloat16


def test_the_global_generator_is_not_touched_by_deviates(few_deviates):
    before = torch.get_rng_state()
    deviates().take(3000, 1, np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_a_row_of_deviates_for_each_row_of_the_batch(few_deviates):
    batch = batch_of(3, 2, deviates=deviates(), rng=np.random.default_rng(0))
    assert batch.noise(5).shape == (64, 5)


def test_a_batch_for_localization_has_no_noise():
    with pytest.raises(ValueError, match="^A batch for localization has no noise.$"):
        batch_of(3).noise(5)


# --- dropout ---


@pytest.fixture
def in_training():
    return batch_of(5000, deviates=deviates(), rng=np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_dropout_leaves_a_share_out(in_training, share):
    dropped = in_training.dropout(torch.ones(5056, 40), share)
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_mean(in_training, share):
    assert in_training.dropout(torch.ones(5056, 40), share).mean().item() == pytest.approx(
        1, abs=0.03
    )


def test_what_dropout_keeps_is_scaled_up(in_training):
    values = torch.full((5056, 4), 3.0)
    kept = in_training.dropout(values, 0.75)
    assert kept.unique().tolist() == [0, 12]


def test_dropout_is_another_one_each_time(in_training):
    values = torch.ones(5056, 4)
    assert not torch.equal(in_training.dropout(values, 0.5), in_training.dropout(values, 0.5))


def test_no_dropout_without_a_share(in_training):
    values = torch.ones(5056, 4)
    assert torch.equal(in_training.dropout(values, 0.0), values)


def test_no_dropout_in_localization():
    values = torch.ones(64, 4)
    assert torch.equal(batch_of(3).dropout(values, 0.5), values)


def test_dropout_stays_in_the_dtype_of_products():
    batch = batch_of(3, deviates=deviates(dtype=torch.bfloat16), rng=np.random.default_rng(0))
    assert batch.dropout(torch.ones(64, 4, dtype=torch.bfloat16), 0.5).dtype == torch.bfloat16


def test_channel_dropout_takes_the_same_columns_from_all_rows_of_a_video():
    batch = batch_of(5, 3, deviates=deviates(), rng=np.random.default_rng(0))
    dropped = batch.channel_dropout(torch.ones(64, 400), 0.75)
    assert dropped.unique().tolist() == [0, 4]
    first, second = (rows.unique(dim=0) for rows in batch.of_videos(dropped))
    assert len(first) == len(second) == 1
    assert not torch.equal(first, second)
    assert first.mean().item() == pytest.approx(1, abs=0.25)


def test_no_channel_dropout_in_localization():
    values = torch.ones(64, 4)
    assert batch_of(3).channel_dropout(values, 0.5) is values


def test_the_mean_of_pairs_by_hand():
    values, counts = torch.tensor([6.0, 3.0]), torch.tensor([2.0, 1.0])
    assert batch_of(1, 1, 1, 1, 1, n_pairs=2).mean_of_pairs(values, counts) == 3
    weighted = batch_of(1, 1, 1, 1, n_pairs=2, weights=np.array([0.5, 2.0, 3.0, 1.0]))
    assert weighted.mean_of_pairs(values, counts) == (6 + 9) / 3


def test_the_mean_of_no_pairs_is_0():
    assert batch_of(1, 1).mean_of_pairs([], []) == 0
    assert batch_of(1, 1, n_pairs=1).mean_of_pairs(torch.zeros(1), torch.zeros(1)) == 0


def test_no_gradient_flows_to_what_dropout_left_out(in_training):
    values = torch.ones(5056, 4, requires_grad=True)
    dropped = in_training.dropout(values, 0.5)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())  # 0 or 2, as values of 1 have become


# --- where features lie ---


def test_what_cannot_be_written_is_read_without_a_warning():
    video = np.ones((3, 2), dtype=np.float32)
    video.flags.writeable = False
    features = HostFeatures(check_features([video]), CPU, torch.float32)
    assert features.rows(np.array([0]), [slice(None)])[:3].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_on_a_device_are_those_of_the_host(dtype):
    rng = np.random.default_rng(0)
    videos = check_features([rng.standard_normal((n, 6)) for n in (9, 30, 4)])
    drawn = [slice(None), np.array([3, 3, 20]), slice(None)]
    both = [kind(videos, CPU, dtype) for kind in (HostFeatures, DeviceFeatures)]
    host, device = (features.rows(np.array([2, 1]), drawn) for features in both)
    assert host.dtype == dtype
    assert len(host) == batches.ROWS
    assert torch.equal(host, device)


@pytest.mark.parametrize("kind", [HostFeatures, DeviceFeatures])
def test_drawn_snippets_come_in_the_order_of_the_chosen_videos(kind):
    videos = check_features([[[0.0], [1.0], [2.0]], [[10.0], [11.0]]])
    features = kind(videos, CPU, torch.float32)
    rows = features.rows(np.array([1, 0]), [np.array([0, 2]), slice(None)])
    assert rows[:4, 0].tolist() == [10, 11, 0, 2]
    assert not rows[4:].any()


@pytest.mark.parametrize("kind", [HostFeatures, DeviceFeatures])
def test_labels_of_snippets_are_drawn_with_the_snippets(kind):
    videos = check_features([[[0.0], [1.0], [2.0]], [[10.0], [11.0]]])
    chosen, drawn = np.array([1, 0]), [np.array([0, 2]), slice(None)]
    assert kind(videos, CPU, torch.float32).snippet_labels(chosen, drawn) is None
    videos = videos.labelled([x > [0.5, 1.5] for x in videos])
    features = kind(videos, CPU, torch.bfloat16)
    labels = features.snippet_labels(chosen, drawn)
    assert labels.dtype == torch.float32
    assert len(labels) == len(features.rows(chosen, drawn))
    assert labels[:4].tolist() == [[1, 1], [1, 1], [0, 0], [1, 1]]
    assert not labels[4:].any()


def test_a_device_without_room_is_given_batch_after_batch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2500, 4000))
    videos = check_features([np.ones((100, 5))])  # 2000 bytes, and training needs some, too
    with pytest.warns(UserWarning, match=r"take 0\.0 GiB, but cuda has 0\.0 GiB free; every batch"):
        features = place(videos, torch.device("cuda"), torch.float32)
    assert isinstance(features, HostFeatures)


def test_on_a_cpu_features_are_not_copied():
    assert isinstance(place(check_features([np.ones((3, 2))]), CPU, torch.float32), HostFeatures)


# --- pieces ---


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_every_video_is_in_one_piece_and_pieces_are_bounded(lengths, dtype):
    lengths = np.array(lengths)
    pieces = list(split(lengths, CPU, dtype))
    np.testing.assert_array_equal(np.concatenate(pieces), np.arange(len(lengths)))
    bound = 1.5 * batches.BYTES_AT_ONCE / (128 * dtype.itemsize) + lengths.max()
    assert all(lengths[piece].sum() <= bound for piece in pieces)


def test_pieces_have_as_many_bytes_whatever_their_dtype():
    lengths = np.full(32, 400)
    assert len(list(split(lengths, CPU, torch.float32))) == 4
    assert len(list(split(lengths, CPU, torch.bfloat16))) == 2


def test_on_other_devices_a_batch_stays_in_one_piece():
    assert len(list(split(np.full(32, 400), torch.device("cuda"), torch.float32))) == 1
