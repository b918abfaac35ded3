"""Chunks of a batch: weights, neighbours, and how videos are split."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam import _batches
from skdgam._batches import DeviceFeatures, HostFeatures, in_context, make_chunk, place, split
from skdgam._features import check_features

CPU = torch.device("cpu")


def features_of(*lengths, kind=HostFeatures):
    videos = [np.full((n, 2), n, dtype=np.float32) for n in lengths]
    return kind(check_features(videos), CPU, torch.float32)


def chunk_of(*lengths, n_snippets=20, n_videos=None):
    rows = features_of(*lengths).rows(np.arange(len(lengths)), [slice(None)] * len(lengths))
    is_labelled = np.ones((len(lengths), 1), dtype=bool)
    n_videos = n_videos or len(lengths)
    return make_chunk(rows, np.array(lengths), n_snippets, is_labelled, n_videos)


def test_videos_lie_one_after_the_other():
    chunk = chunk_of(3, 9, 1)
    assert chunk.features[:13, 0].tolist() == [3] * 3 + [9] * 9 + [1]
    assert chunk.video[:13].tolist() == [0] * 3 + [1] * 9 + [2]
    assert len(chunk.features) == _batches.ROWS
    assert not chunk.features[13:].any()
    assert not chunk.shares[13:].any()


def test_a_short_video_weighs_as_much_as_a_long_one():
    chunk = chunk_of(5, 20)
    assert chunk.membership.sum(dim=1).tolist() == [20, 20]
    assert chunk.membership.sum(dim=0)[:25].tolist() == [4] * 5 + [1] * 20


def test_shares_of_all_chunks_of_a_batch_sum_to_one():
    chunks = [chunk_of(5, 20, n_videos=3), chunk_of(7, n_videos=3)]
    assert sum(chunk.shares.sum() for chunk in chunks).item() == pytest.approx(1)


def test_neighbours_stay_in_their_video():
    chunk = chunk_of(3, 9, 1)
    video = chunk.video[:13]
    assert torch.equal(chunk.video[chunk.neighbours[:13]], video[:, None].expand(-1, 9))


def test_context_is_what_lies_around_in_a_video_mirrored_at_its_ends():
    rows = torch.arange(6.0)[:, None]
    around = in_context(rows, np.array([3, 2]), 1)
    assert around.tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 4], [0, 0, 0]]


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
    assert len(host) == _batches.ROWS
    assert torch.equal(host, device)


def test_a_device_without_room_is_given_batch_after_batch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    videos = check_features([np.ones((100, 5))])
    with pytest.warns(UserWarning, match="features take .* but cuda has .* GiB free; every batch"):
        features = place(videos, torch.device("cuda"), torch.float32)
    assert isinstance(features, HostFeatures)


def test_on_a_cpu_features_are_not_copied():
    assert isinstance(place(check_features([np.ones((3, 2))]), CPU, torch.float32), HostFeatures)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_every_video_is_in_one_chunk_and_chunks_are_bounded(lengths):
    lengths = np.array(lengths)
    chunks = list(split(lengths, CPU))
    np.testing.assert_array_equal(np.concatenate(chunks), np.arange(len(lengths)))
    bound = 1.5 * _batches.ROWS_AT_ONCE + lengths.max()
    assert all(lengths[chunk].sum() <= bound for chunk in chunks)


def test_on_other_devices_a_batch_stays_in_one_piece():
    assert len(list(split(np.full(32, 400), torch.device("cuda")))) == 1
