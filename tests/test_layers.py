"""Layers against those of torch; the dtype of products, and initial weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skdgam.layers import (
    BatchNorm,
    ColumnwiseConv,
    Linear,
    TemporalConv,
    initialize,
    kaiming_uniform,
)
from skdgam.training.batches import Batch


def drawn(layer, seed=0):
    """A layer whose weights follow from the seed alone."""
    initialize(layer, torch.Generator().manual_seed(seed))
    return layer


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def batch_of(*lengths, n_behind=0):
    """A batch of so many rows, for what lies around each of them."""
    lengths = np.array(lengths)
    x = torch.zeros(lengths.sum() + n_behind, 0)
    return Batch(x, lengths, torch.zeros(len(lengths), 0), lengths, len(lengths))


# --- linear ---


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_that_of_torch(bias):
    layer, x = drawn(Linear(4, 3, bias=bias)), normal(5, 4)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_in_the_dtype_of_what_they_are_given(dtype):
    layer = drawn(Linear(4, 3))
    assert layer(normal(5, 4).to(dtype)).dtype == dtype
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float32}


def test_products_in_bfloat16_are_those_in_float32_but_for_rounding():
    layer, x = drawn(Linear(40, 3)), normal(5, 40)
    torch.testing.assert_close(layer(x.bfloat16()).float(), layer(x), rtol=0.05, atol=0.05)


def test_gradients_of_products_in_bfloat16_arrive_in_float32():
    layer, exact = drawn(Linear(40, 3)), drawn(Linear(40, 3))
    x, factor = normal(50, 40), normal(50, 3, seed=2)
    (layer(x.bfloat16()).float() * factor).sum().backward()
    (exact(x) * factor).sum().backward()
    for ours, theirs in zip(layer.parameters(), exact.parameters(), strict=True):
        assert ours.grad.dtype == torch.float32
        similarity = torch.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0)
        assert similarity > 0.99


# --- convolution over time ---


def of_torch(layer, x, conv):
    """What torch.nn.functional.conv1d makes of one video x (n, n_inputs)."""
    r = layer.radius
    if layer.padding == "zeros":
        padded = F.pad(x, (0, 0, r, r))
    else:
        padded = torch.cat([x[:r].flip(0), x, x[-r:].flip(0)])
    return F.conv1d(padded.T, conv.weight, conv.bias).T


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
@pytest.mark.parametrize("radius", [1, 3])
def test_a_convolution_is_that_of_torch(padding, radius):
    conv = nn.Conv1d(4, 3, 2 * radius + 1)
    nn.init.uniform_(conv.weight, generator=torch.Generator().manual_seed(0))
    layer, x = TemporalConv(4, 3, radius, padding), normal(9, 4)
    layer.load_state_dict(
        {"weight": conv.weight.transpose(1, 2).flatten(1), "bias": conv.bias}  # its docstring
    )
    torch.testing.assert_close(layer(x, batch_of(9)), of_torch(layer, x, conv))


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
def test_gradients_of_a_convolution_are_those_of_torch(padding):
    conv = nn.Conv1d(4, 3, 3)
    nn.init.uniform_(conv.weight, generator=torch.Generator().manual_seed(0))
    layer = TemporalConv(4, 3, 1, padding)
    layer.load_state_dict({"weight": conv.weight.transpose(1, 2).flatten(1), "bias": conv.bias})
    factor, both = normal(9, 3, seed=2), []
    for function in (lambda x: layer(x, batch_of(9)), lambda x: of_torch(layer, x, conv)):
        x = normal(9, 4).requires_grad_()
        (function(x) * factor).sum().backward()
        both.append(x.grad)
    torch.testing.assert_close(*both)
    torch.testing.assert_close(layer.weight.grad, conv.weight.grad.transpose(1, 2).flatten(1))
    torch.testing.assert_close(layer.bias.grad, conv.bias.grad)


def test_a_convolution_by_hand():
    layer = TemporalConv(1, 1, 1, "zeros", bias=False)
    layer.load_state_dict({"weight": torch.tensor([[100.0, 10.0, 1.0]])})
    x = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    # The earliest snippet comes first: two videos, of three snippets and of two.
    assert layer(x, batch_of(3, 2))[:, 0].tolist() == [12, 123, 230, 45, 450]


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
def test_several_videos_do_not_mix(padding):
    layer, x = drawn(TemporalConv(4, 3, 2, padding)), normal(12, 4)
    together = layer(x, batch_of(5, 1, 3, n_behind=3))
    stops = [0, 5, 6, 9]
    for first, stop in zip(stops, stops[1:], strict=False):
        alone = layer(x[first:stop], batch_of(stop - first))
        torch.testing.assert_close(together[first:stop], alone)


def test_a_convolution_of_radius_0_is_a_linear_layer():
    layer, x = drawn(TemporalConv(4, 3, 0)), normal(5, 4)
    torch.testing.assert_close(layer(x, batch_of(5)), F.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
def test_convolutions_in_bfloat16_stay_in_it(padding):
    layer = drawn(TemporalConv(4, 3, 1, padding))
    assert layer(normal(5, 4).bfloat16(), batch_of(5)).dtype == torch.bfloat16


def test_a_convolution_of_each_column_is_that_of_torch_with_groups():
    layer, x = drawn(ColumnwiseConv(4, 5, dilation=2)), normal(11, 4)
    expected = F.conv1d(x.T, layer.weight[:, None], padding=4, dilation=2, groups=4).T
    torch.testing.assert_close(layer(x, batch_of(11)), expected)
    assert layer.radius == 4
    assert layer(x.bfloat16(), batch_of(11)).dtype == torch.bfloat16


def test_a_convolution_of_each_column_by_hand():
    layer = ColumnwiseConv(2, 3)
    layer.load_state_dict({"weight": torch.tensor([[100.0, 10.0, 1.0], [0.0, 1.0, 0.0]])})
    x = torch.tensor([[1.0, 1.0], [2.0, 7.0], [3.0, 5.0], [4.0, 8.0]])
    # Two videos, of three snippets and of one.
    assert layer(x, batch_of(3, 1)).T.tolist() == [[12, 123, 230, 40], [1, 7, 5, 8]]


# --- initial weights ---


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = TemporalConv(4, 6, 1)
        self.second = nn.Sequential(Linear(6, 5), nn.ReLU(), Linear(5, 1))


class Scaled(Network):
    """One that has a rule of its own for a layer."""

    def initialize(self, generator):
        nn.init.constant_(self.second[2].weight, 7.0)


def blank(kind=Network):
    """A network with memory that nothing was written to but nan."""
    with torch.device("meta"):
        network = kind()
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        parameter.data.fill_(torch.nan)
    return network


def test_all_weights_are_drawn():
    assert all(p.isfinite().all() for p in drawn(blank()).parameters())


def test_the_generator_alone_decides_the_weights():
    torch.manual_seed(0)
    first = drawn(blank()).state_dict()
    torch.manual_seed(1)
    second, other = drawn(blank()).state_dict(), drawn(blank(), seed=1).state_dict()
    for name in first:
        assert torch.equal(first[name], second[name])
        assert not torch.equal(first[name], other[name])


def test_the_global_generator_stays_untouched():
    before = torch.get_rng_state()
    drawn(blank())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("layer", "n_inputs"), [(Linear(400, 50), 400), (TemporalConv(40, 50, 2), 200)]
)
def test_weights_are_uniform_within_the_bound_of_their_inputs(layer, n_inputs):
    bound = n_inputs**-0.5
    weight = drawn(layer).weight
    assert 0.99 * bound < weight.abs().max() <= bound
    assert abs(weight.std() / bound - 3**-0.5) < 0.02
    assert layer.bias.abs().max() <= bound


@pytest.mark.parametrize(
    ("layer", "n_inputs"), [(Linear(400, 50), 400), (TemporalConv(40, 50, 2), 200)]
)
def test_the_rule_of_he_is_uniform_in_a_bound_of_its_own_and_has_no_bias(layer, n_inputs):
    kaiming_uniform(layer, torch.Generator().manual_seed(0))
    bound = (6 / n_inputs) ** 0.5
    assert 0.99 * bound < layer.weight.abs().max() <= bound
    assert abs(layer.weight.std() / bound - 3**-0.5) < 0.02
    assert not layer.bias.any()


def test_weights_of_columns_are_uniform_within_the_bound_of_their_taps():
    weight = drawn(ColumnwiseConv(1000, 4)).weight
    assert 0.49 < weight.abs().max() <= 0.5


def test_layers_of_the_same_shape_get_other_weights():
    network = drawn(nn.Sequential(Linear(4, 3), Linear(4, 3)))
    assert not torch.equal(network[0].weight, network[1].weight)


def test_a_network_is_asked_after_its_layers():
    assert torch.equal(drawn(blank(Scaled)).second[2].weight, torch.full((1, 5), 7.0))


def test_weights_that_nothing_draws_are_refused():
    with torch.device("meta"):
        network = nn.Sequential(Linear(2, 2), nn.LayerNorm(2))
    network.to_empty(device="cpu")
    with pytest.raises(TypeError, match="draws the weights 1.weight, since LayerNorm has"):
        initialize(network, torch.Generator())


# --- batch normalization ---


def test_batch_normalization_is_that_of_torch():
    layer, torchs = drawn(BatchNorm(3)), nn.BatchNorm1d(3)
    batch = batch_of(20, 20, n_behind=2)
    for seed in (1, 2):
        x = 2 + 3 * normal(42, 3, seed=seed)
        ours, theirs = layer(x, batch, learns=True), torchs(x[:40])
        torch.testing.assert_close(ours[:40], theirs)
    # The running variance of torch is corrected for the number of rows.
    torch.testing.assert_close(layer.mean.data, torchs.running_mean)
    torch.testing.assert_close(layer.variance.data, torchs.running_var, rtol=0.03, atol=0)
    torchs.running_var = layer.variance.data
    torch.testing.assert_close(layer(x, batch, learns=False)[:40], torchs.eval()(x[:40]))


def test_gradients_of_batch_normalization_are_those_of_torch():
    layer, torchs = drawn(BatchNorm(3)), nn.BatchNorm1d(3)
    x, factor = normal(40, 3).requires_grad_(True), normal(40, 3, seed=2)
    (layer(x, batch_of(20, 20), learns=True) * factor).sum().backward()
    ours, x.grad = x.grad, None
    (torchs(x) * factor).sum().backward()
    torch.testing.assert_close(ours, x.grad)
    torch.testing.assert_close(layer.scale.grad, torchs.weight.grad)
    torch.testing.assert_close(layer.shift.grad, torchs.bias.grad)
    assert layer.mean.grad is None
    assert layer.variance.grad is None


def test_statistics_count_videos_alike_or_by_their_weights():
    layer = drawn(BatchNorm(1))
    x = torch.tensor([[4.0], [1.0], [1.0], [1.0]])  # a video of one snippet, and one of three
    layer(x, batch_of(1, 3), learns=True)
    assert layer.mean.item() == pytest.approx(0.1 * 2.5)
    assert layer.variance.item() == pytest.approx(0.9 + 0.1 * 2.25)
    layer, weighted = drawn(BatchNorm(1)), replace(batch_of(1, 3), weights=np.array([0.5, 1.5]))
    layer(x, weighted, learns=True)
    assert layer.mean.item() == pytest.approx(0.1 * (0.25 * 4 + 0.75))
