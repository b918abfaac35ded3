"""Snippets that are chosen in the videos of a batch, by hand and against one video at a time."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from released_methods import batch_of
from scipy.ndimage import binary_dilation, binary_erosion

from skdgam.methods._selection import beside_edges, extremes, highest, side_by_side


def batch_of_lengths(*lengths):
    return batch_of([np.zeros((n, 1)) for n in lengths], np.zeros((len(lengths), 1)))


def rows(batch, *values):
    """Values as rows of a batch, which has more of them behind its videos."""
    return torch.tensor(np.pad(np.float32(values), (0, len(batch.x) - len(values))))


def test_shorter_videos_are_filled_up_with_zeros():
    batch = batch_of_lengths(2, 3)
    found = side_by_side(torch.arange(1.0, 65.0), batch)
    assert found.tolist() == [[1, 2, 0], [3, 4, 5]]


def test_one_snippet_in_two_by_hand():
    batch = batch_of_lengths(5, 1, 2)
    values = torch.tensor([1.0, 5.0, 3.0, 5.0, 2.0, 0.0, 7.0, 8.0])
    chosen = highest(side_by_side(values, batch), 2, batch)
    assert chosen.rows[0].tolist() == [1, 3]  # of equals the earlier goes first
    assert chosen.rows[1:, 0].tolist() == [5, 7]
    assert chosen.shares.tolist() == [[0.5, 0.5], [1, 0], [1, 0]]
    assert chosen.mean(values[:, None])[:, 0].tolist() == [5, 0, 8]


def test_where_all_are_zero_the_earliest_are_chosen():
    batch = batch_of_lengths(4, 9)
    chosen = highest(side_by_side(torch.zeros(64), batch), 3, batch)
    assert chosen.rows[0, 0] == 0
    assert chosen.rows[1].tolist() == [4, 5, 6]


def test_the_highest_and_the_lowest_of_each_video():
    batch = batch_of_lengths(4, 3)
    high, low = extremes(rows(batch, 1, 9, 2, 8, 5, 4, 6), (2, 3), 0.0, batch)
    assert high.rows.tolist() == [[1, 3], [6, 4]]
    assert high.shares.tolist() == [[0.5, 0.5], [1, 0]]
    assert low.rows.tolist() == [[0], [5]]


def test_what_dropout_leaves_out_is_neither_high_nor_low():
    batch = batch_of([np.zeros((4, 1))], [[0.0]], masks=[np.array([[1, 0, 1, 0]]).T])
    high, low = extremes(rows(batch, 3, 9, 2, 1), (4, 4), 0.5, batch)
    assert (high.rows.item(), low.rows.item()) == (0, 2)


def test_the_gradient_of_a_mean_reaches_what_was_chosen():
    batch = batch_of_lengths(4, 2)
    values = torch.tensor([1.0, 2.0, 3.0, 0.0, 5.0, 4.0])
    features = torch.zeros(6, 1, requires_grad=True)
    chosen = highest(side_by_side(values, batch), 2, batch)
    (chosen.mean(features) * torch.tensor([[1.0], [10.0]])).sum().backward()
    assert features.grad[:, 0].tolist() == [0, 0.5, 0.5, 0, 10, 0]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 9))
def test_each_video_is_chosen_from_as_if_it_were_alone(lengths, share, seed):
    batch = batch_of_lengths(*lengths)
    values = torch.rand(len(batch.x), generator=torch.Generator().manual_seed(seed))
    found = highest(side_by_side(values, batch), share, batch).mean(values[:, None])[:, 0]
    expected = [x.topk(max(len(x) // share, 1)).values.mean() for x in batch.of_videos(values)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_edges_by_hand():
    actionness = torch.tensor([[0.0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0]])
    inside, outside = beside_edges(actionness, np.array([15]))
    # What is high survives the window of three from 5 to 8, and that of six at 7 alone. It spreads
    # from 3 to 10 by the one, and from 1 to 11 by the other.
    assert inside[0].nonzero()[:, 0].tolist() == [5, 6, 8]
    assert outside[0].nonzero()[:, 0].tolist() == [1, 2, 11]


def test_the_median_of_each_video_is_its_own():
    actionness = torch.tensor([[1.0, 2, 3, 4, 0, 0], [1.0, 5, 1, 5, 5, 2]])
    both = beside_edges(actionness, np.array([4, 6]))
    for k, n in enumerate((4, 6)):
        alone = beside_edges(actionness[k : k + 1, :n], np.array([n]))
        for ours, theirs in zip(both, alone, strict=True):
            assert ours[k, :n].tolist() == theirs[0].tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_edges_are_those_of_scipy(values):
    high = np.array(values) > np.median(values)
    inside, outside = beside_edges(torch.tensor([values]).float(), np.array([len(values)]))
    small, large = np.ones(3), np.ones(6)
    eroded = [binary_erosion(high, structure=size).astype(int) for size in (small, large)]
    dilated = [binary_dilation(high, structure=size).astype(int) for size in (small, large)]
    np.testing.assert_array_equal(inside[0], eroded[0] - eroded[1])
    np.testing.assert_array_equal(outside[0], dilated[1] - dilated[0])
