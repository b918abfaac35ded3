"""Pooling over the snippets of a video."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["marginal_weights", "pool", "soft_selection", "suppress", "top_k_mean"]

MOST_NODES = 256  # of a quadrature, which is exact for polynomials of twice this degree


def pool(values: Tensor, attention: Tensor, membership: Tensor, offset: float = 0.0) -> Tensor:
    r"""Mean of the snippets of each video, weighted by attention: Eq. 4.

    :math:`\sum_t \lambda_t x_t / (\sum_t \lambda_t + \text{offset})`. With :math:`1 - \lambda`
    for the attention it is Eq. 5. Pooling and the classifier are both linear, so it is the
    class activations that need pooling, not the much wider features.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_values)
    attention : Tensor of shape (n_rows), in [0, 1]
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
    mass = weights.sum(dim=-1, keepdim=True) + offset
    return weights @ values / mass.clamp_min(torch.finfo(values.dtype).tiny)


def marginal_weights(probability: Tensor) -> Tensor:
    r"""Weight of each snippet in the mean of those that are kept, each by its own probability.

    Snippets are kept independently, :math:`z_t \sim \text{Bernoulli}(p_t)`. The expected mean of
    the kept ones, which is 0 where none is, is :math:`\sum_t \omega_t x_t` with

    .. math:: \omega_t = p_t\, E\Bigl[\tfrac{1}{1 + \sum_{u \ne t} z_u}\Bigr]
        = p_t \int_0^1 \prod_{u \ne t} (1 - p_u + p_u s)\, ds.

    The integrand is a polynomial, for which Gauss-Legendre quadrature is exact up to 512 snippets.

    Parameters
    ----------
    probability : Tensor of shape (n_snippets,), in [0, 1]
        Of one video.

    Returns
    -------
    weights : Tensor of shape (n_snippets,), in [0, 1]
        Their sum is the probability that any snippet is kept.

    Examples
    --------
    >>> marginal_weights(torch.tensor([1.0, 0.5]))  # (1 + 1/2) / 2, and half of 1/2
    tensor([0.7500, 0.2500])
    """
    n_nodes = min(math.ceil(len(probability) / 2), MOST_NODES)
    nodes, weights = (torch.as_tensor(a).to(probability) for a in _quadrature(n_nodes))
    log_factors = torch.log1p(-probability * (1 - nodes)[:, None])  # node, snippet
    others = log_factors.sum(dim=1, keepdim=True) - log_factors
    return probability * (weights @ others.exp())


@lru_cache(maxsize=512)
def _quadrature(n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (0, 1) and weights of Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return (nodes + 1) / 2, weights / 2


def top_k_mean(logits: Sequence[Tensor], share: int, round_up: bool = False) -> Tensor:
    """Mean of the highest logits of each class in each video.

    Parameters
    ----------
    logits : sequence of Tensors of shape (n_snippets_i, n_classes)
        A video each.
    share : int
        One snippet in so many counts, and at least one.
    round_up : bool, default=False
        Whether a part of so many counts one snippet, too.

    Returns
    -------
    pooled : Tensor of shape (n_videos, n_classes)

    Examples
    --------
    >>> top_k_mean([torch.tensor([[1.0, 9.0], [4.0, 0.0], [2.0, 1.0], [3.0, 5.0]])], share=2)
    tensor([[3.5000, 7.0000]])
    """
    counts = [math.ceil(len(x) / share) if round_up else max(len(x) // share, 1) for x in logits]
    pooled = [x.topk(k, dim=0).values.mean(dim=0) for x, k in zip(logits, counts, strict=True)]
    return torch.stack(pooled)


def soft_selection(logits: Tensor, attention_logits: Tensor) -> Tensor:
    r"""Probability of each class in a video: that of its parts, weighted by attention.

    :math:`p_c = \sum_j \operatorname{softmax}_j(a)_j \operatorname{softmax}_c(s_j)_c`

    Parameters
    ----------
    logits : Tensor of shape (n_parts, n_classes)
        Of one video.
    attention_logits : Tensor of shape (n_parts,)

    Returns
    -------
    probability : Tensor of shape (n_classes,), which sums to 1

    Examples
    --------
    >>> soft_selection(torch.tensor([[0.0, 0.0], [9.0, -9.0]]), torch.tensor([0.0, 0.0]))
    tensor([0.7500, 0.2500])
    """
    return attention_logits.softmax(dim=0) @ logits.softmax(dim=1)


def suppress(logits: Tensor, attention: Tensor) -> Tensor:
    r"""Bring the logits of snippets of low attention down to the lowest one of the snippet.

    :math:`m_t + \lambda_t (s_{tc} - m_t)` with :math:`m_t = \min_c s_{tc}`.

    Parameters
    ----------
    logits : Tensor of shape (n_rows, n_columns)
    attention : Tensor of shape (n_rows,), in [0, 1]

    Returns
    -------
    suppressed : Tensor of shape (n_rows, n_columns)

    Examples
    --------
    >>> suppress(torch.tensor([[-2.0, 0.0, 4.0]]), torch.tensor([0.5]))
    tensor([[-2., -1.,  1.]])
    """
    lowest = logits.amin(dim=1, keepdim=True)
    return lowest + attention[:, None] * (logits - lowest)
