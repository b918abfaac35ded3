"""Networks at work: pieces of long videos, short videos together, what overflows."""

import numpy as np
import pytest
import torch
from torch import nn

from skdgam.dgam.networks import DGAM
from skdgam.layers import Linear, initialize
from skdgam.methods.basnet import BaSNetLocalizer
from skdgam.training import inference
from skdgam.training.batches import Batch
from skdgam.training.inference import map_snippets, to_arrays


@pytest.fixture
def few_rows(monkeypatch):
    """64 snippets go through a network at once, and 16 of short videos."""
    monkeypatch.setitem(inference.ROWS_AT_ONCE, "cpu", 64)


def basnet():
    return BaSNetLocalizer._network(6, 2, hidden=8, attention_width=5)


def dgam(temporal_context=5):
    return DGAM(6, 2, latent_dim=3, temporal_context=temporal_context)


def single():
    """A network that looks at single snippets, and does not say how far it looks."""

    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Linear(6, 3)

        def forward(self, batch):
            logits = self.layer(batch.x)
            return logits[:, 0].sigmoid(), logits

    return Single()


def drawn(network):
    initialize(network, torch.Generator().manual_seed(0))
    for parameter in network.parameters():  # so that surroundings matter
        parameter.data *= 3
    return network


def heads(network, batch):
    return torch.column_stack(network(batch))


def video_of(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 6), dtype=np.float32)


def whole(network, video):
    """What the network says of a video in one piece, and without any rows behind it."""
    lengths = np.array([len(video)])
    batch = Batch(torch.from_numpy(video), lengths, torch.zeros(1, 0), lengths, 1)
    with torch.inference_mode():
        return heads(network, batch).numpy()


# --- long videos ---


@pytest.mark.parametrize("make", [basnet, dgam, lambda: dgam(70), single])
@pytest.mark.parametrize("n", [64, 65, 67, 128, 129, 200])
def test_pieces_of_a_long_video_give_what_the_whole_gives(few_rows, make, n):
    network, video = drawn(make()), video_of(n)
    (values,) = map_snippets(heads, network, [video])
    np.testing.assert_allclose(values, whole(network, video), rtol=1e-4, atol=1e-5)


def test_pieces_overlap_by_what_the_network_says_that_it_looks_at(few_rows):
    network, video = drawn(basnet()), video_of(200)
    network.reach, expected = 0, whole(network, video)
    (values,) = map_snippets(heads, network, [video])
    near_a_cut = np.abs(values - expected).max(axis=1) > 1e-3
    assert near_a_cut[[63, 64, 127, 128]].all()
    assert not near_a_cut[[0, 30, 100, 199]].any()


def test_a_network_that_looks_at_all_gets_a_long_video_whole(few_rows):
    def centered(network, batch):
        (rows,) = batch.of_videos(batch.x)
        return batch.x - rows.mean(dim=0)

    network, video = drawn(single()), video_of(200)
    network.reach = None
    (values,) = map_snippets(centered, network, [video])
    np.testing.assert_allclose(values, video - video.mean(axis=0), atol=1e-5)


def test_no_piece_is_longer_than_what_goes_through_at_once_and_the_overlap(few_rows):
    n_rows = []

    def function(network, batch):
        n_rows.append(int(batch.lengths.sum()))
        return heads(network, batch)

    list(map_snippets(function, drawn(dgam(5)), [video_of(200)]))
    assert n_rows == [64 + 5, 5 + 64 + 5, 5 + 64 + 5, 5 + 8]


# --- short videos ---


@pytest.mark.parametrize("make", [basnet, dgam, single])
def test_short_videos_together_give_what_each_gives(few_rows, make):
    network = drawn(make())
    videos = [video_of(n, seed=n) for n in (3, 1, 9, 70, 2, 16, 17, 4)]
    found = list(map_snippets(heads, network, videos))
    assert [len(values) for values in found] == [len(video) for video in videos]
    for values, video in zip(found, videos, strict=True):
        np.testing.assert_allclose(values, whole(network, video), rtol=1e-4, atol=1e-5)


def test_short_videos_go_through_together(few_rows):
    lengths = []

    def function(network, batch):
        lengths.append(batch.lengths.tolist())
        return heads(network, batch)

    list(map_snippets(function, drawn(single()), [video_of(n) for n in (3, 9, 4, 7, 5, 20)]))
    assert lengths == [[3, 9, 4], [7, 5], [20]]


def test_videos_are_taken_when_they_are_needed(few_rows):
    taken = []

    def videos():
        for n in (15, 14, 13):
            taken.append(n)
            yield video_of(n)

    found = map_snippets(heads, drawn(single()), videos())
    assert taken == []
    next(found)
    assert taken == [15, 14]  # the second one did not fit beside the first


# --- what comes out ---


def test_a_value_for_each_snippet():
    (values,) = map_snippets(lambda network, batch: batch.x[:, 2], drawn(single()), [video_of(9)])
    np.testing.assert_array_equal(values, video_of(9)[:, 2])


def test_products_in_bfloat16_come_out_in_float32():
    seen = []

    def function(network, batch):
        seen.append(batch.x.dtype)
        return batch.x

    (values,) = map_snippets(function, drawn(single()), [video_of(9)], torch.bfloat16)
    assert seen == [torch.bfloat16]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, video_of(9), rtol=0.01)


def test_nothing_is_random_and_no_gradient_is_kept():
    seen = []

    def function(network, batch):
        values = heads(network, batch)
        seen.append((batch.deviates, values.requires_grad))
        return values

    list(map_snippets(function, drawn(dgam()), [video_of(9)]))
    assert seen == [(None, False)]


@pytest.mark.parametrize("n", [9, 200])
def test_what_overflows_is_an_error_that_names_the_scale(few_rows, n):
    video = video_of(n)
    video[-1] = 3e38
    with pytest.raises(FloatingPointError, match=r"overflow on features of up to 3e\+38. Give"):
        list(map_snippets(heads, drawn(single()), [video]))


def test_few_snippets_take_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen = []

        def function(network, batch):
            seen.append(torch.get_num_threads())
            return batch.x

        list(map_snippets(function, drawn(single()), [video_of(9)]))
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)


def test_arrays_of_a_network_are_copies():
    network = drawn(single())
    arrays = to_arrays(network)
    np.testing.assert_array_equal(arrays["layer.weight"], network.layer.weight.detach())
    arrays["layer.weight"][:] = 0
    assert network.layer.weight.any()
