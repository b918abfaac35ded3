"""Labels as targets, and losses of pooled logits."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from skdgam.losses._pooling import top_k_mean

__all__ = [
    "classification_loss",
    "count_loss",
    "equal_shares",
    "multilabel_loss",
    "multiple_instance_loss",
    "probability_loss",
    "with_background",
]

ABSENT = 1e-3  # weight of a count of a class that a video does not show


def with_background(labels: Tensor, background: Tensor | float) -> Tensor:
    """Put a column for background behind the labels (n_videos, n_classes).

    Examples
    --------
    >>> with_background(torch.tensor([[0.0, 1.0]]), 1.0)
    tensor([[0., 1., 1.]])
    """
    if not isinstance(background, Tensor):
        background = labels.new_full((len(labels),), background)
    return torch.cat([labels, background[:, None]], dim=1)


def equal_shares(labels: Tensor, offset: float = 0.0) -> Tensor:
    """Divide the labels (n_videos, n_classes) of each video by their number, if it has any.

    Some released code adds an offset to that number.

    Examples
    --------
    >>> equal_shares(torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    tensor([[0.0000, 0.5000, 0.5000],
            [0.0000, 0.0000, 0.0000]])
    """
    return labels / (labels.sum(dim=1, keepdim=True) + offset).clamp_min(1)


def classification_loss(logits: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy of pooled features, a term of Eq. 6: :math:`-\sum_c t_c \log p(c)`.

    Parameters
    ----------
    logits : Tensor of shape (n_videos, n_classes + 1)
    target : Tensor of shape (n_videos, n_classes + 1)
        Each row sums to 1: equal shares of the labels of a video.

    Returns
    -------
    loss : Tensor of shape (n_videos)
        In nats.

    Examples
    --------
    >>> classification_loss(torch.zeros(1, 4), torch.tensor([[0.5, 0.5, 0.0, 0.0]]))  # log 4
    tensor([1.3863])
    """
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1)


def multiple_instance_loss(
    logits: Sequence[Tensor], labels: Tensor, share: int, background: float
) -> Tensor:
    r"""Cross-entropy of the highest logits of each class and of background, pooled over a video.

    It is :math:`-\sum_c \hat y_c \log \operatorname{softmax}(S)_c` over the actions and
    background, with the top-k mean S and :math:`\hat y = [y; b] / (\sum_c y_c + b + 10^{-4})`.

    Parameters
    ----------
    logits : sequence of Tensors of shape (n_snippets_i, n_classes + 1)
        A video each; background is the last column.
    labels : Tensor of shape (n_videos, n_classes), of 0 and 1
    share : int
        One snippet in so many is pooled, as for :func:`top_k_mean`.
    background : float, 0 or 1
        b: whether background is to be found in each video.

    Returns
    -------
    loss : Tensor of shape (n_videos,)
        In nats.

    Examples
    --------
    >>> video = torch.tensor([[5.0, 0.0, 5.0], [0.0, 0.0, 0.0]])
    >>> multiple_instance_loss([video], torch.tensor([[1.0, 0.0]]), 2, 1.0)  # log (2 + e⁻⁵)
    tensor([0.6965])
    """
    target = equal_shares(with_background(labels, background), offset=1e-4)
    return classification_loss(top_k_mean(logits, share), target)


def count_loss(activation: Tensor, counts: Tensor) -> Tensor:
    r"""How far the predicted counts of the classes in a video are from the true ones.

    With the predicted count :math:`\kappa_c = \sum_t A_{tc} \operatorname{softmax}_t(A_{tc})` and
    the true one :math:`n_c`, it is :math:`\sum_c |\kappa_c - n_c| / n_c` over the classes that the
    video shows, and :math:`10^{-3} \sum_c |\kappa_c|` over the others. A class that is there as
    often as there are snippets, or more often, is one of the others.

    Parameters
    ----------
    activation : Tensor of shape (n_snippets, n_classes)
        Of one video.
    counts : Tensor of shape (n_classes,)

    Returns
    -------
    loss : Tensor of shape ()

    Examples
    --------
    >>> count_loss(torch.ones(4, 2), torch.tensor([2.0, 0.0]))  # |1 - 2| / 2 + |1| / 1000
    tensor(0.5010)
    """
    predicted = (activation * activation.softmax(dim=0)).sum(dim=0)
    is_shown = (counts > 0) & (counts < len(activation))
    apart = (predicted - counts).abs() / counts.clamp_min(1)
    return torch.where(is_shown, apart, ABSENT * predicted.abs()).sum()


def multilabel_loss(logits: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy of pooled features, each label by itself.

    :math:`-\sum_c t_c \log \sigma(l_c) + (1 - t_c) \log \sigma(-l_c)`

    Parameters
    ----------
    logits : Tensor of shape (n_videos, n_classes + 1)
    target : Tensor of shape (n_videos, n_classes + 1), of 0 and 1

    Returns
    -------
    loss : Tensor of shape (n_videos)
        In nats.

    Examples
    --------
    >>> multilabel_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))  # 2 log 2
    tensor([1.3863])
    """
    return -(F.logsigmoid(logits) - (1 - target) * logits).sum(dim=-1)


def probability_loss(probability: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy of probabilities, each label by itself; logarithms are cut off at -100.

    :math:`-\sum_c t_c \log p_c + (1 - t_c) \log (1 - p_c)`. No gradient flows through a logarithm
    of 0.

    Parameters
    ----------
    probability, target : Tensors of shape (n_videos, n_classes), in [0, 1]

    Returns
    -------
    loss : Tensor of shape (n_videos,)
        In nats.

    Examples
    --------
    >>> probability_loss(torch.tensor([[0.5, 0.75]]), torch.tensor([[1.0, 1.0]]))
    tensor([0.9808])
    """
    tiny = torch.finfo(probability.dtype).tiny
    log, log_not = (
        p.clamp_min(tiny).log().where(p > 0, -100.0) for p in (probability, 1 - probability)
    )
    return -(target * log + (1 - target) * log_not).sum(dim=-1)
