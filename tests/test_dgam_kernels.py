"""The fast reconstruction error against the form that the equation has."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam.dgam.kernels import reconstruction_error

NAMES = ("hidden", "weight", "bias", "x", "shares")


def arguments(n_rows, width, n_features, seed=0, mean=0.0):
    """Random arguments, in float32."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    hidden, weight = normal(n_rows, width), normal(n_features, width) / width**0.5
    shares = torch.rand(n_rows, generator=generator)
    return hidden, weight, normal(n_features), normal(n_rows, n_features) + mean, shares


def plain(hidden, weight, bias, x, shares):
    """Mean squared error of what is decoded, as its docstring has it."""
    return (x - hidden @ weight.T - bias).square().mean(dim=1) @ shares


def value_and_gradients(function, arguments):
    """The value, and its gradients by hidden, weight and bias."""
    arguments = [value.clone() for value in arguments]
    for value in arguments[:3]:
        value.requires_grad_()
    value = function(*arguments)
    return value.detach(), torch.autograd.grad(value, arguments[:3])


def exact(arguments):
    return value_and_gradients(plain, [value.double() for value in arguments])


sizes = st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 30), st.integers(0, 99))


@given(sizes)
def test_the_value_is_that_of_the_plain_form(sizes):
    given = arguments(*sizes)
    value, _ = value_and_gradients(reconstruction_error, given)
    # Of sums of squares that may cancel each other.
    scale = plain(*(value.double().abs() for value in given)).item() + given[3].square().sum()
    torch.testing.assert_close(value.double(), exact(given)[0], rtol=0, atol=1e-5 * float(scale))


@given(sizes)
def test_all_gradients_are_those_of_the_plain_form(sizes):
    given = arguments(*sizes)
    _, gradients = value_and_gradients(reconstruction_error, given)
    _, expected = exact(given)
    # Their terms are as large as without any cancelling.
    n_rows, width, n_features, _ = sizes
    for name, ours, theirs in zip(NAMES, gradients, expected, strict=False):
        assert ours.shape == theirs.shape
        scale = 1 + theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=2e-5 * scale, msg=name)


def test_by_hand():
    # Of (5, 1) are decoded 2 · (1, 0) + (1, 1): the mean of 4 and 0 is 2, with half a share.
    error = reconstruction_error(
        torch.tensor([[2.0]]),
        torch.tensor([[1.0], [0.0]]),
        torch.tensor([1.0, 1.0]),
        torch.tensor([[5.0, 1.0]]),
        torch.tensor([0.5]),
    )
    assert error.item() == pytest.approx(1.0)


def test_rows_without_a_share_have_neither_value_nor_gradient():
    hidden, weight, bias, x, shares = arguments(5, 3, 4)
    shares[2:] = 0
    value, (to_hidden, *_) = value_and_gradients(
        reconstruction_error, (hidden, weight, bias, x, shares)
    )
    alone = reconstruction_error(hidden[:2], weight, bias, x[:2], shares[:2])
    torch.testing.assert_close(value, alone)
    assert not to_hidden[2:].any()


def test_what_reconstructs_exactly_has_no_error():
    hidden, weight, bias, _, shares = arguments(6, 3, 10)
    given = hidden, weight, bias, hidden @ weight.T + bias, shares
    value, gradients = value_and_gradients(reconstruction_error, given)
    assert value.item() == pytest.approx(0, abs=1e-4)
    assert all(gradient.abs().max() < 1e-4 for gradient in gradients)


def test_gradients_follow_a_factor_of_the_loss():
    given = arguments(5, 3, 4)
    _, once = value_and_gradients(reconstruction_error, given)
    _, thrice = value_and_gradients(lambda *args: 3 * reconstruction_error(*args), given)
    for ours, theirs in zip(thrice, once, strict=True):
        torch.testing.assert_close(ours, 3 * theirs)


def test_frozen_weights_get_no_gradient():
    hidden, weight, bias, x, shares = arguments(5, 3, 4)
    hidden.requires_grad_()
    reconstruction_error(hidden, weight, bias, x, shares).backward()
    _, (expected, *_) = exact((hidden.detach(), weight, bias, x, shares))
    torch.testing.assert_close(hidden.grad, expected.float())
    assert weight.grad is bias.grad is None


def test_no_gradient_flows_to_the_features():
    hidden, weight, bias, x, shares = arguments(5, 3, 4)
    hidden.requires_grad_()
    x.requires_grad_()
    reconstruction_error(hidden, weight, bias, x, shares).backward()
    assert x.grad is None


@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_gradients_in_bfloat16_point_the_same_way(mean):
    given = arguments(100, 16, 24, mean=mean)
    hidden, weight, bias, x, shares = given
    rough = hidden.bfloat16(), weight, bias, x.bfloat16(), shares
    _, gradients = value_and_gradients(reconstruction_error, rough)
    _, expected = exact(given)
    for name, ours, theirs in zip(NAMES, gradients, expected, strict=False):
        similarity = torch.cosine_similarity(ours.double().flatten(), theirs.flatten(), dim=0)
        assert similarity > 0.99, name


def test_in_bfloat16_gradients_of_weights_and_the_value_are_in_float32():
    hidden, weight, bias, x, shares = arguments(100, 16, 24)
    given = hidden.bfloat16(), weight, bias, x.bfloat16(), shares
    value, (to_hidden, to_weight, to_bias) = value_and_gradients(reconstruction_error, given)
    assert value.dtype == to_weight.dtype == to_bias.dtype == torch.float32
    assert to_hidden.dtype == torch.bfloat16


def test_in_bfloat16_the_value_is_about_right():
    given = arguments(100, 16, 24)
    hidden, weight, bias, x, shares = given
    value = reconstruction_error(hidden.bfloat16(), weight, bias, x.bfloat16(), shares)
    assert value.item() == pytest.approx(exact(given)[0].item(), rel=0.02)
