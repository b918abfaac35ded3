r"""Pooling and losses that methods share: one pure function an equation.

The snippets of several videos lie one after the other as rows. A matrix says which row belongs
to which video and how much it counts: `membership` (n_videos, n_rows) holds the weight of a row
in the line of its video, and 0 elsewhere.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "center_distances",
    "classification_loss",
    "coactivity",
    "coactivity_loss",
    "coactivity_of_pairs",
    "contrastive_loss",
    "completeness_target",
    "equal_shares",
    "gaussian",
    "guidance",
    "guide_loss",
    "imbalance_of_branches",
    "marginal_weights",
    "multilabel_loss",
    "multiple_instance_loss",
    "overlaps",
    "pool",
    "probability_loss",
    "rank_inconsistency",
    "similarity_of_branches",
    "smooth",
    "soft_selection",
    "suppress",
    "top_k_mean",
    "uncertainty_loss",
    "with_background",
]

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
    attention = torch.where(attention < attention.mean(dim=0), 0.0, attention)
    inside = attention.T @ features / attention.sum(dim=0)[:, None]
    return (inside - centers).square().sum(dim=1)


def overlaps(start: Tensor, end: Tensor) -> Tensor:
    """Temporal intersection over union of intervals (n,) with one another, (n, n).

    Those of no length overlap nothing.

    Examples
    --------
    >>> overlaps(torch.tensor([0.0, 2.0]), torch.tensor([4.0, 8.0]))
    tensor([[1.0000, 0.2500],
            [0.2500, 1.0000]])
    """
    shared = torch.minimum(end[:, None], end) - torch.maximum(start[:, None], start)
    union = torch.maximum(end[:, None], end) - torch.minimum(start[:, None], start)
    return shared.clamp_min(0) / union.clamp_min(torch.finfo(union.dtype).tiny)


def rank_inconsistency(logits: Tensor, target: Tensor, is_near: Tensor) -> Tensor:
    r"""How differently two networks rank the proposals around some of them.

    Among the proposals N(p) around p, with :math:`t_p = \operatorname{softmax}_{q \in N(p)} s'_q`
    of the other network, it is the divergence :math:`\sum_q t_{pq} (\log t_{pq} - \log
    \operatorname{softmax}_{q \in N(p)} (s)_q)`.

    Parameters
    ----------
    logits, target : Tensors of shape (n_proposals, n_classes)
        s of the network that learns, and s' of the other one, through which no gradient flows.
    is_near : boolean Tensor of shape (n_chosen, n_proposals)
        N(p) of the proposals that are asked about.

    Returns
    -------
    divergence : Tensor of shape (n_chosen, n_classes)
        In nats.

    Examples
    --------
    >>> one, other = torch.tensor([[0.0], [0.0], [9.0]]), torch.tensor([[0.0], [99.0], [5.0]])
    >>> rank_inconsistency(one, other, torch.tensor([[True, True, False]]))  # log 2
    tensor([[0.6931]])
    """
    far = -1000.0 * ~is_near[..., None]  # as released
    log_target = (target.detach() + far).log_softmax(dim=1)
    return F.kl_div(
        (logits + far).log_softmax(dim=1), log_target, reduction="none", log_target=True
    ).sum(dim=1)


def completeness_target(attention: Tensor, overlap: Tensor, share: float = 0.8) -> Tensor:
    """Greatest overlap of each proposal with a pseudo instance.

    The candidates are the proposals whose attention exceeds a share of the highest one. The best of
    them is a pseudo instance, all that overlap it are candidates no more, and so on.

    Parameters
    ----------
    attention : Tensor of shape (n_proposals,), in [0, 1]
        Of one video. No gradient flows through it.
    overlap : Tensor of shape (n_proposals, n_proposals)
        As :func:`overlaps` returns it.
    share : float, in [0, 1), default=0.8

    Returns
    -------
    target : Tensor of shape (n_proposals,), in [0, 1]

    Examples
    --------
    >>> overlap = overlaps(torch.tensor([0.0, 1.0, 5.0]), torch.tensor([4.0, 4.0, 9.0]))
    >>> completeness_target(torch.tensor([0.85, 0.9, 0.1]), overlap)
    tensor([0.7500, 1.0000, 0.0000])
    """
    order = attention.argsort(descending=True)
    candidates = order[attention[order] > share * attention.max()]
    target = torch.zeros_like(attention)
    while len(candidates):
        of_best = overlap[candidates[0]]
        target = torch.maximum(target, of_best)
        candidates = candidates[1:][of_best[candidates[1:]] == 0]
    return target


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
