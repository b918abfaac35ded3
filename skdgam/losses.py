r"""The losses of DGAM, one pure function an equation (METHOD §2).

Snippets of several videos lie one after the other as rows. What belongs to which video, and
how much each row counts, is said by one matrix: `membership` (n_videos, n_rows) holds the
weight of a row in the line of its video, and 0 elsewhere.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "classification_loss",
    "guide_loss",
    "guidance",
    "kl_to_latent_prior",
    "pool",
    "reconstruction_loss",
    "smooth",
]

LOG_VARIANCE_BOUND = 5.0  # of a prior's spread of 1, it is twelve times


def pool(values: Tensor, attention: Tensor, membership: Tensor, offset: float = 0.0) -> Tensor:
    r"""Mean of the snippets of each video, weighted by attention: Eq. 4.

    :math:`\sum_t \lambda_t x_t / (\sum_t \lambda_t + \text{offset})`. With :math:`1 - \lambda`
    for the attention it is Eq. 5. Pooling and the classifier are both linear, so it is the
    class activations that need pooling, not the much wider features.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_values)
    attention : Tensor of shape (n_rows,), in [0, 1]
    membership : Tensor of shape (n_videos, n_rows), not negative
    offset : float, default=0.0
        The paper's formula has none. The released implementation adds 1 for the foreground
        in training, which pulls the pooled feature of a video with little attention to 0.

    Returns
    -------
    pooled : Tensor of shape (n_videos, n_values)

    Examples
    --------
    >>> values, attention = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0.5, 0.5, 1.0])
    >>> pool(values, attention, torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    tensor([[2.],
            [5.]])
    """
    weights = membership * attention
    mass = weights.sum(dim=1, keepdim=True) + offset
    return weights @ values / mass.clamp_min(torch.finfo(values.dtype).tiny)


def classification_loss(logits: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy of pooled features, a term of Eq. 6: :math:`-\sum_c t_c \log p(c)`.

    Parameters
    ----------
    logits : Tensor of shape (n_videos, n_classes + 1)
    target : Tensor of shape (n_videos, n_classes + 1)
        Each row sums to 1: equal shares of the labels of a video.

    Returns
    -------
    loss : Tensor of shape ()
        In nats, averaged over videos.

    Examples
    --------
    >>> classification_loss(torch.zeros(1, 4), torch.tensor([[0.5, 0.5, 0.0, 0.0]]))  # log 4
    tensor(1.3863)
    """
    return F.cross_entropy(logits, target)


def smooth(values: Tensor, neighbours: Tensor, kernel: Tensor) -> Tensor:
    r"""Filter values along time: the convolution :math:`G(\sigma_s) *` of Eq. 13, 14.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_values)
        No gradient flows through the filter.
    neighbours : integer Tensor of shape (n_rows, width)
        Rows under the window around each row; those past an end of its video are mirrored.
    kernel : Tensor of shape (width,)

    Returns
    -------
    smoothed : Tensor of shape (n_rows, n_values)

    Examples
    --------
    >>> values, neighbours = torch.tensor([[0.0], [4.0]]), torch.tensor([[0, 0, 1], [0, 1, 1]])
    >>> smooth(values, neighbours, torch.tensor([0.25, 0.5, 0.25]))
    tensor([[1.],
            [3.]])
    """
    weights = kernel.expand(neighbours.shape)
    return F.embedding_bag(neighbours, values.detach(), mode="sum", per_sample_weights=weights)


def guidance(probability: Tensor, is_labelled: Tensor) -> tuple[Tensor, Tensor]:
    r"""Foreground and background T-CAM from the smoothed class probabilities: Eq. 13, 14.

    Parameters
    ----------
    probability : Tensor of shape (n_rows, n_classes + 1), in [0, 1]
        Softmax of the class activations, smoothed; background is the last column.
    is_labelled : Tensor of shape (n_rows, n_classes + 1), of 0 and 1
        The labels of the video that each row belongs to; 0 for background.

    Returns
    -------
    foreground : Tensor of shape (n_rows,), in [0, 1]
        The paper has one label a video; of several the greatest counts, as released.
    background : Tensor of shape (n_rows,), in [0, 1]
        The sum of all action classes.

    Examples
    --------
    >>> guidance(torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([[1.0, 0.0, 0.0]]))
    (tensor([0.2000]), tensor([0.7000]))
    """
    return (probability * is_labelled).amax(dim=-1), 1 - probability[:, -1]


def guide_loss(
    attention: Tensor, foreground: Tensor, background: Tensor, weights: Tensor
) -> Tensor:
    r"""Distance of attention from the T-CAMs: Eq. 15.

    :math:`\frac{1}{T} \sum_t |\lambda_t - \hat\lambda^{fg}_t| + |\lambda_t - \hat\lambda^{bg}_t|`

    Parameters
    ----------
    attention, foreground, background : Tensors of shape (n_rows,), in [0, 1]
    weights : Tensor of shape (n_rows,)
        How much each row counts.

    Returns
    -------
    loss : Tensor of shape ()

    Examples
    --------
    >>> guide_loss(*torch.tensor([[0.5, 1.0], [0.25, 1.0], [1.0, 1.0]]), torch.ones(2))
    tensor(0.3750)
    """
    distance = (attention - foreground).abs() + (attention - background).abs()
    return weighted_mean(distance, weights)


def reconstruction_loss(
    hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor, weights: Tensor
) -> Tensor:
    r"""Squared error of decoded features: Eq. 12, and the first term of Eq. 10.

    The decoder is a Gaussian of fixed variance, whose negative log-likelihood this is but for
    constants. Averaged over snippets and features, not summed as in the paper's text: the
    published weights belong to the mean, which the released implementation takes.

    What is decoded, :math:`W h_t + b`, is as wide as the features, and never built:
    :math:`\|x - W h - b\|^2 = \|x\|^2 + b^T (b - 2 x) + h^T (W^T W h - 2 W^T (x - b))`.
    In bfloat16 the value, not its gradient, loses its digits where the mean of features is far
    above their spread.

    Parameters
    ----------
    hidden : Tensor of shape (n_rows, width)
        What the decoder's last layer is given.
    weight, bias : Tensors of shape (n_features, width) and (n_features,)
        Of that layer.
    x : Tensor of shape (n_rows, n_features)
    weights : Tensor of shape (n_rows,)
        How much each row counts.

    Returns
    -------
    loss : Tensor of shape ()

    Examples
    --------
    >>> x = torch.tensor([[0.0, 2.0], [3.0, 4.0]])  # what is decoded here is 0
    >>> reconstruction_loss(torch.zeros(2, 1), torch.ones(2, 1), torch.zeros(2), x, torch.ones(2))
    tensor(7.2500)
    """
    gram = (weight.T @ weight).to(x.dtype)
    projected = x @ weight.to(x.dtype) - (bias @ weight).to(x.dtype)
    inner = torch.addmm(projected, hidden, gram, beta=-2)
    of_hidden = (hidden * inner).sum(dim=1, dtype=torch.float32)
    of_bias = bias @ bias - 2 * (x @ bias.to(x.dtype)).float()
    squared = torch.linalg.vector_norm(x, dim=1).float().square()
    return weighted_mean(squared + of_bias + of_hidden, weights) / x.shape[1]


def kl_to_latent_prior(
    mean: Tensor, log_variance: Tensor, attention: Tensor, r: float = 1.0
) -> Tensor:
    r"""Divergence of the CVAE posterior from its attention-centred prior.

    Attention shifts the prior of each snippet and leaves its spread alone:
    :math:`z_t \sim \mathcal{N}(r \lambda_t \mathbf{1}, I)`, the second term of Eq. 10.

    Parameters
    ----------
    mean, log_variance : Tensors of shape (n_rows, latent_dim)
        Of the posterior :math:`q(z_t \mid x_t, \lambda_t)`.
    attention : Tensor of shape (n_rows,), in [0, 1]
    r : float, default=1.0
        How far apart the priors of attention 0 and attention 1 stand.

    Returns
    -------
    kl : Tensor of shape (n_rows,)
        In nats, averaged over latent dimensions.

    Examples
    --------
    A posterior one unit above its prior costs half a nat:

    >>> attention = torch.tensor([0.0, 1.0])
    >>> kl_to_latent_prior(attention[:, None] + 1, torch.zeros(2, 1), attention)
    tensor([0.5000, 0.5000])
    """
    shift = mean - (r * attention[:, None]).to(mean.dtype)
    # Beyond the bound the variance goes on as its tangent. As an exponential, the variance of one
    # odd snippet would outweigh all else, and stay in Adam's moments for thousands of steps.
    bounded = log_variance.clamp(max=LOG_VARIANCE_BOUND)
    variance = bounded.exp() * (1 + log_variance - bounded)
    # Averaged, not summed, over dimensions: the published weight beta assumes it.
    divergence = shift.square() + variance - log_variance - 1
    return 0.5 * divergence.mean(dim=-1, dtype=torch.float32)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of values (n_rows,) with weights (n_rows,)."""
    return torch.dot(values, weights) / weights.sum()
