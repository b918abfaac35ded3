"""Losses of what is to look alike, or not: parts of videos, videos, and branches."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "center_distances",
    "coactivity",
    "coactivity_loss",
    "coactivity_of_pairs",
    "contrastive_loss",
    "imbalance_of_branches",
    "similarity_of_branches",
    "uncertainty_loss",
]


def coactivity(features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    r"""What a video looks like where a class is, and where it is not, by attention over time.

    With :math:`a_{tc} = \operatorname{softmax}_t(s_{tc})`, these are
    :math:`\sum_t a_{tc} h_t` and :math:`\sum_t (1 - a_{tc}) h_t / (T - 1)`.

    Parameters
    ----------
    features : Tensor of shape (n_snippets, n_features)
        Of one video.
    logits : Tensor of shape (n_snippets, n_classes)

    Returns
    -------
    inside, outside : Tensors of shape (n_classes, n_features)

    Examples
    --------
    >>> coactivity(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
    (tensor([[2.]]), tensor([[2.]]))
    """
    attention = logits.softmax(dim=0)
    outside = (1 - attention).T @ features / max(len(features) - 1, 1)
    return attention.T @ features, outside


def coactivity_loss(
    one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], margin: float
) -> Tensor:
    r"""Hinge loss of each class that two videos share: alike where it is, unlike elsewhere.

    With H inside and G outside of each video and the distance d = 1 − cosine, it is
    :math:`\tfrac12 [d(H, H') - d(H, G') + m]_+ + \tfrac12 [d(H, H') - d(G, H') + m]_+`.

    Parameters
    ----------
    one, other : pairs of Tensors of shape (n_classes, n_features)
        As :func:`coactivity` returns them.
    margin : float
        m: how much the distance must be greater.

    Returns
    -------
    loss : Tensor of shape (n_classes,)

    Examples
    --------
    >>> x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> coactivity_loss((x, y), (x, y), 0.5), coactivity_loss((x, y), (x, x), 0.5)
    (tensor([0.]), tensor([0.2500]))
    """
    (inside, outside), (inside_other, outside_other) = one, other
    # The distance d is 1 − cosine, of which the ones cancel.
    alike = F.cosine_similarity(inside, inside_other, dim=1)
    unlike = F.cosine_similarity(inside, outside_other, dim=1)
    unlike_other = F.cosine_similarity(outside, inside_other, dim=1)
    return 0.5 * ((unlike - alike + margin).relu() + (unlike_other - alike + margin).relu())


def coactivity_of_pairs(
    features: Sequence[Tensor], logits: Sequence[Tensor], labels: Tensor, margin: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Sum of :func:`coactivity_loss` over the classes that the videos of each pair share.

    Parameters
    ----------
    features : sequence of 2 * n_pairs Tensors of shape (n_snippets_i, n_features)
        Of videos 0 and 1, 2 and 3, ….
    logits : sequence of as many Tensors, of shape (n_snippets_i, n_classes)
    labels : Tensor of shape (n_videos, n_classes), of 0 and 1
        Of these videos, and maybe more behind them.
    margin : float

    Returns
    -------
    of_pairs, n_shared : lists of n_pairs scalar Tensors
        The sums, and how many classes they are of, as ``Batch.mean_of_pairs`` takes them.

    Examples
    --------
    >>> x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> coactivity_of_pairs([x, y], [torch.zeros(1, 2)] * 2, torch.tensor([[1.0, 1], [0, 1]]), 0.5)
    ([tensor(0.5000)], [tensor(1.)])
    """
    sides = [*map(coactivity, features, logits)]
    of_pairs, n_shared = [], []
    for k in range(0, len(sides), 2):
        shared = labels[k] * labels[k + 1]
        of_pairs.append(shared @ coactivity_loss(sides[k], sides[k + 1], margin))
        n_shared.append(shared.sum())
    return of_pairs, n_shared


def contrastive_loss(
    query: Tensor, key: Tensor, others: Tensor, is_there: Tensor, temperature: float
) -> Tensor:
    r"""Loss of a feature that is less like one than like others: noise-contrastive estimation.

    :math:`-\log \frac{e(k)}{e(k) + \sum_j e(n_j)}` with :math:`e(u) = \exp(\cos(q, u) / \tau)`.

    Parameters
    ----------
    query, key : Tensors of shape (n_videos, n_features)
        q, and k that it is to be like.
    others : Tensor of shape (n_videos, n_others, n_features)
        What it is not to be like.
    is_there : Tensor of bool of shape (n_videos, n_others)
        Which of these a video has.
    temperature : float
        τ.

    Returns
    -------
    loss : Tensor of shape (n_videos,)
        In nats.

    Examples
    --------
    >>> x, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    >>> both = torch.ones(1, 2, dtype=torch.bool)
    >>> contrastive_loss(x, y, torch.stack([y, y], dim=1), both, 0.1)  # log 3
    tensor([1.0986])
    """
    query, key, others = (F.normalize(x, dim=-1) for x in (query, key, others))
    to_key = (query * key).sum(dim=1, keepdim=True)
    to_others = (others @ query[:, :, None])[:, :, 0].masked_fill(~is_there, -torch.inf)
    return -(torch.cat([to_key, to_others], dim=1) / temperature).log_softmax(dim=1)[:, 0]


def uncertainty_loss(action: Tensor, background: Tensor, margin: float) -> Tensor:
    r"""Loss of features that are short where an action is, or long where none is.

    :math:`([m - \|u\|]_+ + \|u'\|)^2` for the mean feature u of what is taken for action in a
    video, and u' of what is taken for background.

    Parameters
    ----------
    action, background : Tensors of shape (n_videos, n_features)
        u and u'.
    margin : float
        m: how long a feature of an action is at least.

    Returns
    -------
    loss : Tensor of shape (n_videos,)

    Examples
    --------
    >>> uncertainty_loss(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]]), 6.0)  # (1 + 2)²
    tensor([9.])
    """
    return ((margin - action.norm(dim=1)).relu() + background.norm(dim=1)).square()


def center_distances(features: Tensor, logits: Tensor, centers: Tensor) -> Tensor:
    r"""Squared distance of what a video looks like where a class is from the center of the class.

    With :math:`a_{tc} = \operatorname{softmax}_t(s_{tc})`, or 0 where that is below its mean, it
    is :math:`\| \sum_t a_{tc} h_t / \sum_t a_{tc} - o_c \|^2`.

    Parameters
    ----------
    features : Tensor of shape (n_snippets, n_features)
        Of one video.
    logits : Tensor of shape (n_snippets, n_classes)
    centers : Tensor of shape (n_classes, n_features)

    Returns
    -------
    distances : Tensor of shape (n_classes,)

    Examples
    --------
    >>> features, logits = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [9.0]])
    >>> center_distances(features, logits, torch.tensor([[1.0]])).round(decimals=3)
    tensor([4.])
    """
    attention = logits.softmax(dim=0)
    # Where all are equal, their mean may be rounded up.
    limit = torch.minimum(attention.mean(dim=0), attention.amax(dim=0))
    attention = torch.where(attention < limit, 0.0, attention)
    inside = attention.T @ features / attention.sum(dim=0)[:, None]
    return (inside - centers).square().sum(dim=1)


def similarity_of_branches(scores: Tensor) -> Tensor:
    r"""Cosine similarity of the branches' probabilities over time, a mean over pairs and classes.

    :math:`\tfrac{1}{C+1} \sum_c \tfrac{1}{K(K-1)} \sum_{i \ne j}
    \frac{P^i_c \cdot P^j_c}{\|P^i_c\| \|P^j_c\|}`.

    Parameters
    ----------
    scores : Tensor of shape (n_snippets, n_branches, n_classes + 1)
        Logits s of one video, of at least two branches.
    """
    probability = scores.softmax(dim=2).permute(2, 1, 0)  # class, branch, snippet
    dots = probability @ probability.transpose(1, 2)
    norms = probability.norm(dim=2)
    similarity = dots / (norms[:, :, None] * norms[:, None] + 1e-6)
    n_branches = scores.shape[1]
    others = similarity.sum(dim=(1, 2)) - similarity.diagonal(dim1=1, dim2=2).sum(dim=1)
    return (others / (n_branches * (n_branches - 1))).mean()


def imbalance_of_branches(scores: Tensor) -> Tensor:
    r"""How much the branches differ in the mean magnitude of their scores.

    :math:`\tfrac{1}{(C+1)K} \sum_{c,i} |m^i_c - \tfrac1K \sum_j m^j_c|` with
    :math:`m^i_c = \tfrac1T \sum_t |s^i_{tc}|`; scores as for :func:`similarity_of_branches`.
    """
    magnitude = scores.abs().mean(dim=0)
    return (magnitude - magnitude.mean(dim=0)).abs().mean()
