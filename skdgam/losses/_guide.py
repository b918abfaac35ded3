"""Guidance of attention by the class activation, smoothed over time."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["gaussian", "guidance", "guide_loss", "smooth"]


@lru_cache(maxsize=8)
def gaussian(deviation: float, radius: int, device: torch.device) -> Tensor:
    """Weights (2 * radius + 1,) of a Gaussian filter along time, as in Eq. 13."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=device)
    return torch.softmax(-0.5 * (offsets / deviation) ** 2, dim=0)


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
        Of the class activations, smoothed; background is the last column.
    is_labelled : Tensor of shape (n_rows, n_classes + 1), of 0 and 1
        The labels of the video that each row belongs to; 0 for background.

    Returns
    -------
    foreground : Tensor of shape (n_rows), in [0, 1]
        The paper has one label a video; of several the greatest counts, as released.
    background : Tensor of shape (n_rows), in [0, 1]
        The sum of all action classes.

    Examples
    --------
    >>> guidance(torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([[1.0, 0.0, 0.0]]))
    (tensor([0.2000]), tensor([0.7000]))
    """
    return (probability * is_labelled).amax(dim=-1), 1 - probability[..., -1]


def guide_loss(attention: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    r"""Distance of attention from the T-CAMs, of each snippet: Eq. 15.

    :math:`|\lambda_t - \hat\lambda^{fg}_t| + |\lambda_t - \hat\lambda^{bg}_t|`

    Parameters
    ----------
    attention, foreground, background : Tensors of shape (n_rows), in [0, 1]

    Returns
    -------
    loss : Tensor of shape (n_rows)

    Examples
    --------
    >>> guide_loss(*torch.tensor([[0.5, 1.0], [0.25, 1.0], [1.0, 1.0]]))
    tensor([0.7500, 0.0000])
    """
    return (attention - foreground).abs() + (attention - background).abs()
