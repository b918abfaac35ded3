"""The networks of DGAM: shapes, the product with attention, heads in context."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skdgam.dgam.networks import DGAM, ConditionalMLP
from skdgam.layers import initialize
from skdgam.training.batches import Batch


def make(seed=0, **shape):
    network = DGAM(10, 3, **({"latent_dim": 4} | shape))
    initialize(network, torch.Generator().manual_seed(seed))
    return network


def batch_of(x, *lengths):
    """Rows of videos, and nothing behind them."""
    lengths = np.array(lengths)
    return Batch(x, lengths, torch.zeros(len(lengths), 0), lengths, len(lengths))


@pytest.fixture
def x():
    return torch.randn(7, 10, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("temporal_context", [0, 2])
def test_outputs_have_the_shapes_of_the_method(x, temporal_context):
    network = make(temporal_context=temporal_context)
    attention, activation = network(batch_of(x, 7))
    assert attention.shape == (7,)
    assert ((attention >= 0) & (attention <= 1)).all()
    assert activation.shape == (7, 4)  # background is the last
    mean, log_variance = network.encode(x, attention)
    assert mean.shape == log_variance.shape == (7, 4)
    assert network.decode(mean, attention).shape == (7, 10)


def test_widths_are_those_of_the_method():
    shapes = {name: tuple(value.shape) for name, value in DGAM(1024, 20).state_dict().items()}
    assert {name: shape for name, shape in shapes.items() if name.endswith("weight")} == {
        "attention_head.0.weight": (256, 1024),
        "attention_head.2.weight": (1, 256),
        "classifier.weight": (21, 1024),
        "encoder.first.weight": (128, 1025),
        "encoder.second.weight": (128, 128),
        "encoder.third.weight": (256, 128),
        "decoder.first.weight": (128, 129),
        "decoder.second.weight": (128, 128),
        "decoder.third.weight": (1024, 128),
    }


def test_widths_in_context():
    shapes = {k: tuple(v.shape) for k, v in make(temporal_context=2).state_dict().items()}
    assert shapes["attention_head.0.weight"] == (256, 5 * 10)
    assert shapes["classifier.weight"] == (4, 256)
    assert shapes["encoder.first.weight"] == (128, 11)  # the CVAE looks at single snippets


def test_the_generator_alone_decides_the_initial_weights():
    torch.manual_seed(0)
    first = make().state_dict()
    torch.manual_seed(1)
    second, other = make().state_dict(), make(seed=1).state_dict()
    for name in first:
        assert torch.equal(first[name], second[name])
        assert not torch.equal(first[name], other[name])


def test_initial_weights_have_the_spread_of_a_linear_layer():
    network = DGAM(1024, 20)
    initialize(network, torch.Generator().manual_seed(0))
    weight, bound = network.classifier.weight, 1024**-0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    assert abs(weight.std() / bound - 3**-0.5) < 0.01


def test_heads_without_context_are_those_of_the_paper(x):
    network = make()
    attention, activation = network(batch_of(x, 3, 4))
    first, _, second = network.attention_head
    hidden = F.relu(F.linear(x, first.weight, first.bias))
    logit = F.linear(hidden, second.weight, second.bias)[:, 0]
    torch.testing.assert_close(attention, logit.sigmoid())
    torch.testing.assert_close(activation, x @ network.classifier.weight.T)


def test_conditioning_is_the_product_with_attention_as_last_column():
    mlp = ConditionalMLP(5, 3)
    initialize(mlp, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    x, attention = torch.randn(4, 5, generator=generator), torch.rand(4, generator=generator)
    hidden = F.relu(mlp.first(torch.column_stack([x, attention])))
    torch.testing.assert_close(mlp(x, attention), mlp.third(F.relu(mlp.second(hidden))))


def test_conditioning_has_a_gradient_by_attention():
    mlp = ConditionalMLP(5, 3)
    initialize(mlp, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    x, attention = torch.randn(4, 5, generator=generator), torch.rand(4, generator=generator)
    both = []
    for function in (mlp, lambda x, a: plain_mlp(mlp, torch.column_stack([x, a]))):
        given = attention.clone().requires_grad_()
        function(x, given).sum().backward()
        both.append(given.grad)
    torch.testing.assert_close(*both)


def plain_mlp(mlp, x):
    return mlp.third(F.relu(mlp.second(F.relu(mlp.first(x)))))


def test_heads_in_context_are_convolutions_over_time():
    network = make(temporal_context=2)
    x = torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
    attention, activation = network(batch_of(x, 20))
    first = network.attention_head[0]
    kernel = first.weight.unflatten(1, (5, 10)).movedim(1, 2)
    mirrored = torch.cat([x[:2].flip(0), x, x[-2:].flip(0)])
    hidden = F.conv1d(mirrored.T, kernel, first.bias).T.relu()
    torch.testing.assert_close(attention, network.attention_head[2](hidden)[:, 0].sigmoid())
    torch.testing.assert_close(activation, hidden @ network.classifier.weight.T)


@pytest.mark.parametrize("temporal_context", [0, 2])
def test_what_it_says_of_a_video_does_not_depend_on_those_beside_it(x, temporal_context):
    network = make(temporal_context=temporal_context)
    together = network(batch_of(x, 3, 4))
    first, second = network(batch_of(x[:3], 3)), network(batch_of(x[3:], 4))
    for both, *alone in zip(together, first, second, strict=True):
        torch.testing.assert_close(both, torch.cat(alone))


@pytest.mark.parametrize("temporal_context", [0, 2])
def test_products_in_bfloat16_give_outputs_in_float32(x, temporal_context):
    network = make(temporal_context=temporal_context)
    exact, rough = (network(batch_of(rows, 7)) for rows in (x, x.bfloat16()))
    for ours, theirs in zip(rough, exact, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("temporal_context", [0, 2])
def test_attention_alone_is_that_of_both_heads(x, temporal_context):
    network, batch = make(temporal_context=temporal_context), batch_of(x, 3, 4)
    torch.testing.assert_close(network.attention(batch), network(batch)[0])


def test_its_reach_is_the_context():
    assert [make(temporal_context=n).reach for n in (0, 3)] == [0, 3]
