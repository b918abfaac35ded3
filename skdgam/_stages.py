"""What the two stages of training minimise, on batches of rows (METHOD §2)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdgam import losses
from skdgam.networks import DGAM
from skdgam.sampling import mirrored_window

SMOOTHING = 1.0  # standard deviation σ_s of Eq. 13, in snippets, released
SMOOTHING_RADIUS = 4
ROWS = 512  # that batches have a multiple of


@dataclass(frozen=True)
class Objective:
    """What the losses depend on, in the paper's letters; see DGAMLocalizer."""

    alpha: float = 0.03
    beta: float = 0.1
    gamma1: float = 0.5
    gamma2: float = 0.1
    r: float = 1.0
    foreground_weight: float = 1.0
    pooling: str = "paper"


class Batch(NamedTuple):
    """Some videos as rows of snippets, one video after the other."""

    features: Tensor  # (n_rows, n_features), of the dtype that products with them have
    membership: Tensor  # (n_videos, n_rows): weight of a row in its video, else 0
    weights: Tensor  # (n_rows,): the column sums of membership
    video: Tensor  # (n_rows,): line of membership that a row belongs to
    neighbours: Tensor  # (n_rows, window): rows under the smoothing window
    is_labelled: Tensor  # (n_videos, n_classes + 1): labels as 0 and 1, background last


def cvae_loss(
    network: DGAM, batch: Batch, objective: Objective, noise: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of stage (b), Eq. 10: attention is frozen and serves as label.

    `noise` (n_rows, latent_dim) is standard normal. Returned with the loss are its terms.
    """
    x = batch.features
    with torch.no_grad():
        attention = network.attention(x)
    mean, log_variance = network.encode(x, attention)
    z = mean + (0.5 * log_variance.clamp(max=losses.LOG_VARIANCE_BOUND)).exp() * noise
    reconstruction = _reconstruction_loss(network, z, attention, batch)
    kl = losses.weighted_mean(
        losses.kl_to_latent_prior(mean, log_variance, attention, objective.r), batch.weights
    )
    loss = reconstruction + objective.beta * kl
    return loss, {"cvae_reconstruction": reconstruction, "cvae_kl": kl}


def attention_loss(
    network: DGAM, batch: Batch, objective: Objective, gamma1: float, noise: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of stage (a), Eq. 16, with γ₁ as it is at this moment of the warm-up.

    `noise` (n_rows, latent_dim) is standard normal. Returned with the loss are its terms.
    """
    x, attention = batch.features, network.attention(batch.features)
    activation = network.activation(x)
    foreground, background = pooled_logits(
        activation, attention, batch.membership, network.classifier.bias, objective.pooling
    )
    # A video without any label shows background alone, in its foreground too.
    target = batch.is_labelled.clone()
    target[:, -1] = 1 - target.amax(dim=1)
    is_background = torch.zeros_like(target)
    is_background[:, -1] = 1
    with torch.no_grad():
        probability = losses.smooth(
            activation.softmax(dim=-1), batch.neighbours, _smoothing_kernel(x.device)
        )
        guides = losses.guidance(probability, batch.is_labelled[batch.video])
    terms = {
        "foreground": losses.classification_loss(
            foreground, target / target.sum(dim=1, keepdim=True)
        ),
        "background": losses.classification_loss(background, is_background),
        "guide": losses.guide_loss(attention, *guides, batch.weights),
    }
    loss = (
        objective.foreground_weight * terms["foreground"]
        + objective.alpha * terms["background"]
        + objective.gamma2 * terms["guide"]
    )
    if objective.gamma1:
        z = objective.r * attention[:, None] + noise
        terms["reconstruction"] = _reconstruction_loss(network, z, attention, batch)
        loss = loss + gamma1 * terms["reconstruction"]
    return loss, terms


def _reconstruction_loss(network: DGAM, z: Tensor, attention: Tensor, batch: Batch) -> Tensor:
    decoder = network.decoder
    hidden = decoder.hidden(z.to(batch.features.dtype), attention)
    last = decoder.third
    return losses.reconstruction_loss(hidden, last.weight, last.bias, batch.features, batch.weights)


def pooled_logits(
    activation: Tensor, attention: Tensor, membership: Tensor, bias: Tensor, pooling: str
) -> tuple[Tensor, Tensor]:
    """Classifier logits, (n_videos, n_classes + 1) each, of foreground and background."""
    offsets = (1.0, 1e-6) if pooling == "released" else (0.0, 0.0)
    foreground = losses.pool(activation, attention, membership, offsets[0])
    background = losses.pool(activation, 1 - attention, membership, offsets[1])
    return foreground + bias, background + bias


def make_batch(
    videos: list[np.ndarray],
    n_snippets: int,
    is_labelled: np.ndarray,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Put sampled videos, each of (n_snippets_i, n_features), together in one batch.

    Every video counts as `n_snippets` snippets. A shorter one weighs each of its snippets
    more, which is what repeating them comes to, without the work. Features are of the `dtype`
    that products with them shall have. Rows of no weight fill up a number of them that kernels
    are ready for: some are prepared anew for each shape that they meet.
    """
    lengths = np.array([len(video) for video in videos])
    n_rows = lengths.sum()
    n_padded = -(-n_rows // ROWS) * ROWS
    features = np.zeros((n_padded, videos[0].shape[1]), dtype=np.float32)
    np.concatenate(videos, out=features[:n_rows])
    video = np.zeros(n_padded, dtype=np.int64)
    video[:n_rows] = np.repeat(np.arange(len(videos)), lengths)
    row = np.arange(n_rows)
    membership = np.zeros((len(videos), n_padded), dtype=np.float32)
    membership[video[:n_rows], row] = (n_snippets / lengths)[video[:n_rows]]
    first = np.cumsum(lengths) - lengths
    windows = [_window(int(n)) + start for n, start in zip(lengths, first, strict=True)]
    neighbours = np.zeros((n_padded, windows[0].shape[1]), dtype=np.int64)
    np.concatenate(windows, out=neighbours[:n_rows])
    background = np.zeros((len(videos), 1))
    arrays = (
        membership,
        membership.sum(axis=0),
        video,
        neighbours,
        np.concatenate([is_labelled, background], axis=1, dtype=np.float32),
    )
    return Batch(
        torch.from_numpy(features).to(device, dtype),
        *(torch.from_numpy(array).to(device) for array in arrays),
    )


@lru_cache(maxsize=1024)
def _window(n: int) -> np.ndarray:
    return mirrored_window(n, SMOOTHING_RADIUS)


@lru_cache(maxsize=8)
def _smoothing_kernel(device: torch.device) -> Tensor:
    offsets = torch.arange(-SMOOTHING_RADIUS, SMOOTHING_RADIUS + 1, device=device)
    return torch.softmax(-0.5 * (offsets / SMOOTHING) ** 2, dim=0)
