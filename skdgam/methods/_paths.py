"""Paths of phases through the snippets of videos."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["maximal_paths", "path_scores"]


def maximal_paths(scores: Tensor) -> Tensor:
    """Find the phases of the greatest sum of scores, with steps that an action may take.

    From one snippet to the next, a path stays in its phase or goes on to the next one: from
    background, 0, to phase 1, and from the last phase K to background, or to phase 1 again.
    It begins and ends anywhere.

    Parameters
    ----------
    scores : Tensor of shape (n_snippets, ..., n_phases)
        Of phases 1 to K; background scores 0.

    Returns
    -------
    path : Tensor of int of shape (n_snippets, ...), in [0, n_phases]

    Examples
    --------
    >>> maximal_paths(torch.tensor([[-1.0, -1], [2, -1], [-1, 2], [2, -1], [-1, 2], [-1, -1]]))
    tensor([0, 1, 2, 1, 2, 0])
    """
    n_phases = scores.shape[-1]
    state = torch.arange(n_phases + 1, device=scores.device)
    # What may come before each state: itself, the one below it, and before phase 1 the last one.
    before = torch.stack([state, state.roll(1), state.where(state != 1, n_phases)])
    scores = F.pad(scores, (1, 0))
    total, chosen = scores[0], []
    for of_snippet in scores[1:]:
        best, which = total[..., before].max(dim=-2)
        chosen.append(which.to(torch.uint8))
        total = best + of_snippet
    path = [total.argmax(dim=-1)]
    for which in reversed(chosen):
        last = path[-1]
        path.append(before[which.gather(-1, last[..., None])[..., 0].long(), last])
    return torch.stack(path[::-1])


def path_scores(scores: Tensor, n_before: Tensor) -> tuple[Tensor, Tensor]:
    """Find the path of each class in each video, and the mean of the scores on it.

    Parameters
    ----------
    scores : Tensor of shape (longest, n_videos, n_classes, n_phases)
        With zeros before shorter videos.
    n_before : Tensor of int of shape (n_videos,)
        How many zeros.

    Returns
    -------
    path : Tensor of int of shape (longest, n_videos, n_classes), in [0, n_phases]
    means : Tensor of shape (n_videos, n_classes)
        Over snippets that are not background; without any, the highest of all scores.
    """
    path = maximal_paths(scores.detach())
    is_there = torch.arange(len(scores), device=scores.device)[:, None, None] >= n_before[:, None]
    is_action = (path > 0) & is_there
    on_path = scores.gather(-1, (path - 1).clamp_min(0)[..., None])[..., 0]
    n_action = is_action.sum(dim=0)
    mean = (on_path * is_action).sum(dim=0) / n_action.clamp_min(1)
    highest = scores.masked_fill(~is_there[..., None], -torch.inf).amax(dim=(0, 3))
    return path, mean.where(n_action > 0, highest)
