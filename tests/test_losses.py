"""Each loss against a worked example, scipy, or torch.distributions."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from skdgam import _stages, losses
from skdgam.sampling import mirrored_window


def test_pooling_is_the_weighted_mean_of_each_video():
    values = torch.tensor([[1.0], [2.0], [4.0], [10.0]])
    attention = torch.tensor([1.0, 0.5, 0.0, 0.1])
    membership = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    foreground = losses.pool(values, attention, membership)
    torch.testing.assert_close(foreground, torch.tensor([[2.0 / 1.5], [10.0]]))
    background = losses.pool(values, 1 - attention, membership)
    torch.testing.assert_close(background, torch.tensor([[5.0 / 1.5], [10.0]]))
    released = losses.pool(values, attention, membership, offset=1.0)
    torch.testing.assert_close(released, torch.tensor([[2.0 / 2.5], [1.0 / 1.1]]))


def test_pooling_without_any_attention_is_finite():
    pooled = losses.pool(torch.ones(2, 3), torch.zeros(2), torch.ones(1, 2))
    assert torch.equal(pooled, torch.zeros(1, 3))


def test_pooled_features_are_those_of_the_released_implementation(released):
    # Taken before the step of stage (a), and stage (b) leaves attention alone.
    x = torch.from_numpy(released["step.x"])
    attention = torch.from_numpy(released["step.attention"]).flatten()
    membership = torch.eye(5).repeat_interleave(40, dim=1)
    foreground = losses.pool(x.flatten(0, 1), attention, membership, offset=1.0)
    background = losses.pool(x.flatten(0, 1), 1 - attention, membership, offset=1e-6)
    np.testing.assert_allclose(foreground, released["step.foreground"], atol=1e-6)
    np.testing.assert_allclose(background, released["step.background"], atol=1e-6)


def test_weights_count_as_repetitions():
    values, attention = torch.randn(3, 2), torch.rand(3)
    twice = losses.pool(values, attention, torch.tensor([[2.0, 1.0, 1.0]]))
    rows = torch.tensor([0, 0, 1, 2])
    repeated = losses.pool(values[rows], attention[rows], torch.ones(1, 4))
    torch.testing.assert_close(twice, repeated)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_smoothing_is_that_of_scipy(n):
    values = np.random.default_rng(n).random((n, 3), dtype=np.float32)
    neighbours = torch.tensor(mirrored_window(n, _stages.SMOOTHING_RADIUS).tolist())
    kernel = _stages._smoothing_kernel(torch.device("cpu"))
    ours = losses.smooth(torch.from_numpy(values), neighbours, kernel)
    theirs = gaussian_filter1d(values, sigma=1, axis=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_guidance_takes_the_greatest_labelled_class():
    probability = torch.tensor([[0.1, 0.3, 0.4, 0.2]])
    foreground, background = losses.guidance(probability, torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(foreground, torch.tensor([0.3]))
    torch.testing.assert_close(background, torch.tensor([0.8]))


def test_guidance_of_an_unlabelled_video_calls_for_no_attention():
    foreground, _ = losses.guidance(torch.tensor([[0.6, 0.4]]), torch.zeros(1, 2))
    assert foreground == 0


@pytest.mark.parametrize("r", [0.0, 0.5, 1.5])
def test_kl_is_that_of_torch_distributions(r):
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 6, 4, generator=generator)
    attention = torch.rand(6, generator=generator)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(r * attention[:, None], 1.0)
    expected = torch.distributions.kl_divergence(posterior, prior).mean(dim=-1)
    torch.testing.assert_close(
        losses.kl_to_latent_prior(mean, log_variance, attention, r), expected
    )


def test_divergence_of_a_huge_variance_goes_on_as_its_tangent():
    log_variance = torch.tensor([[5.0], [6.0], [200.0]], requires_grad=True)
    kl = losses.kl_to_latent_prior(torch.zeros(3, 1), log_variance, torch.zeros(3))
    (slope,) = torch.autograd.grad(kl.sum(), log_variance)
    expected = 0.5 * (np.exp(5) - 1)
    np.testing.assert_allclose(slope[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(kl.diff().detach(), [expected, 194 * expected], rtol=1e-5)


def test_reconstruction_is_a_mean_over_weighted_snippets():
    x = torch.tensor([[0.0, 2.0], [4.0, 4.0]])
    nothing = torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2)  # decodes to 0
    loss = losses.reconstruction_loss(*nothing, x, torch.tensor([3.0, 1.0]))
    assert loss.item() == pytest.approx((3 * 2 + 16) / 4)


def test_reconstruction_and_its_gradients_are_those_of_what_is_decoded():
    generator = torch.Generator().manual_seed(0)
    x, hidden, weight, bias, weights = (
        torch.rand(size, generator=generator) for size in ((20, 6), (20, 3), (6, 3), (6,), (20,))
    )
    parameters = [tensor.requires_grad_() for tensor in (hidden, weight, bias)]
    decoded = hidden @ weight.T + bias
    expected = ((decoded - x).square().mean(dim=1) * weights).sum() / weights.sum()
    loss = losses.reconstruction_loss(hidden, weight, bias, x, weights)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
