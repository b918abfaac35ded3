"""Losses of proposals, by how they overlap."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["completeness_target", "overlaps", "rank_inconsistency"]


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
