"""Chunks of a batch: weights, neighbours, and how videos are split."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam import _batches
from skdgam._batches import make_chunk, split

CPU = torch.device("cpu")


def chunk_of(*lengths, n_snippets=20, n_videos=None):
    videos = [np.full((n, 2), n, dtype=np.float32) for n in lengths]
    is_labelled = np.ones((len(lengths), 1), dtype=bool)
    return make_chunk(videos, n_snippets, is_labelled, n_videos or len(lengths), CPU)


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


def test_what_cannot_be_written_is_read_without_a_warning():
    video = np.ones((3, 2), dtype=np.float32)
    video.flags.writeable = False
    assert make_chunk([video], 3, np.ones((1, 1), dtype=bool), 1, CPU).features[:3].all()


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_every_video_is_in_one_chunk_and_chunks_are_bounded(lengths):
    lengths = np.array(lengths)
    chunks = list(split(lengths, CPU))
    np.testing.assert_array_equal(np.concatenate(chunks), np.arange(len(lengths)))
    bound = 1.5 * _batches.ROWS_AT_ONCE + lengths.max()
    assert all(lengths[chunk].sum() <= bound for chunk in chunks)


def test_on_other_devices_a_batch_stays_in_one_piece():
    assert len(list(split(np.full(32, 400), torch.device("cuda")))) == 1
