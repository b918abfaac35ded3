import numpy as np
import torch
from torch.nn import functional as F

from skdgam._batches import in_context
from skdgam.networks import DGAM, ConditionalMLP


def make(seed=0):
    return DGAM(10, 3, latent_dim=4, generator=torch.Generator().manual_seed(seed))


def test_outputs_have_the_shapes_of_the_method():
    network, x = make(), torch.randn(7, 10)
    attention = network.attention(x)
    assert attention.shape == (7,)
    assert ((attention >= 0) & (attention <= 1)).all()
    assert network.activation(x).shape == (7, 4)  # background is the last
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


def test_the_generator_alone_decides_the_initial_weights():
    torch.manual_seed(0)
    first = make().state_dict()
    torch.manual_seed(1)
    second, other = make().state_dict(), make(seed=1).state_dict()
    for name in first:
        assert torch.equal(first[name], second[name])
        assert not torch.equal(first[name], other[name])


def test_initial_weights_have_the_spread_of_a_linear_layer():
    weight = DGAM(1024, 20, generator=torch.Generator().manual_seed(0)).classifier.weight
    bound = 1024**-0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    assert abs(weight.std() / bound - 3**-0.5) < 0.01


def test_conditioning_is_the_product_with_attention_as_last_column():
    mlp = ConditionalMLP(5, 3)
    for parameter in mlp.parameters():
        torch.nn.init.uniform_(parameter, -0.3, 0.3, generator=torch.Generator().manual_seed(0))
    x, attention = torch.randn(4, 5), torch.rand(4)
    hidden = F.relu(mlp.first(torch.column_stack([x, attention])))
    torch.testing.assert_close(mlp(x, attention), mlp.third(F.relu(mlp.second(hidden))))


def test_heads_in_context_are_convolutions_over_time():
    network = DGAM(4, 3, generator=torch.Generator().manual_seed(0), temporal_context=2)
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    attention, activation = network.heads(in_context(x, np.array([20]), 2))
    first = network.attention_head[0]
    kernel = first.weight.unflatten(1, (5, 4)).movedim(1, 2)
    mirrored = torch.cat([x[:2].flip(0), x, x[-2:].flip(0)])
    hidden = F.conv1d(mirrored.T, kernel, first.bias).T.relu()
    torch.testing.assert_close(attention, network.attention_head[2](hidden)[:, 0].sigmoid())
    torch.testing.assert_close(activation, hidden @ network.classifier.weight.T)
