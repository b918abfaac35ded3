"""Training: stage (b) and stage (a) in turn, with sampling, warm-up and history (METHOD §2)."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skdgam import losses
from skdgam._features import Videos
from skdgam.networks import DGAM
from skdgam.sampling import mirrored_window, stratified_sample

ADAM_BETAS = (0.8, 0.999)  # released; the paper names none
CVAE_SCALE = 10.0  # of the loss of stage (b), released
SMOOTHING = 1.0  # standard deviation σ_s of Eq. 13, in snippets, released
SMOOTHING_RADIUS = 4


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


@dataclass(frozen=True)
class Schedule:
    """How long and in what steps to train; see DGAMLocalizer."""

    n_snippets: int
    max_epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: int
    warmup_gamma1: bool
    refresh_every: int

    def warmup(self, epoch: int) -> float:
        """Warm-up factor: rises from 0 to 1, and changes only when the draw of snippets does."""
        if not self.warmup_epochs:
            return 1.0
        epoch -= epoch % self.refresh_every
        return min(epoch / self.warmup_epochs, 1.0)


class Batch(NamedTuple):
    """Some videos as rows of snippets, one video after the other."""

    features: Tensor  # (n_rows, n_features)
    membership: Tensor  # (n_videos, n_rows): weight of a row in its video, else 0
    weights: Tensor  # (n_rows,): the column sums of membership
    video: Tensor  # (n_rows,): line of membership that a row belongs to
    neighbours: Tensor  # (n_rows, window): rows under the smoothing window
    is_labelled: Tensor  # (n_videos, n_classes + 1): labels as 0 and 1, background last


def train(
    network: DGAM,
    videos: Videos,
    is_labelled: np.ndarray,
    objective: Objective,
    schedule: Schedule,
    seed: int,
    after_epoch: Callable[[int, dict[str, float]], bool],
) -> dict[str, np.ndarray]:
    """Train a network in place.

    Parameters
    ----------
    network : DGAM
        On the device to train on.
    videos : Videos
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    objective, schedule : Objective, Schedule
    seed : int
        Of all draws: snippets, order of videos, latent variables.
    after_epoch : callable
        Given the number of the epoch and its mean losses; true stops the training.

    Returns
    -------
    history : dict of ndarrays of shape (n_epochs,)
        The mean of each loss term in each epoch.
    """
    device = next(network.parameters()).device
    rng = np.random.default_rng(seed)
    generator = torch.Generator(device).manual_seed(seed)
    cvae = [*network.encoder.parameters(), *network.decoder.parameters()]
    heads = [*network.attention_head.parameters(), *network.classifier.parameters()]
    of_cvae, of_heads = (
        torch.optim.Adam(group, lr=schedule.learning_rate, betas=ADAM_BETAS, fused=True)
        for group in (cvae, heads)
    )
    history: dict[str, list[float]] = defaultdict(list)
    for epoch in range(schedule.max_epochs):
        if epoch % schedule.refresh_every == 0:
            drawn = [_draw(n, schedule.n_snippets, rng) for n in videos.lengths]
        warmup = schedule.warmup(epoch)
        gamma1_now = objective.gamma1 * (warmup if schedule.warmup_gamma1 else 1.0)

        terms = []
        if objective.gamma1:  # else nothing looks at the CVAE
            for batch in _batches(videos, is_labelled, drawn, schedule, rng, device):
                noise = _noise(network, batch, generator)
                loss, stage_b = cvae_loss(network, batch, objective, noise)
                _step(of_cvae, cvae, CVAE_SCALE * warmup * loss)
                terms.append(stage_b)
        for batch in _batches(videos, is_labelled, drawn, schedule, rng, device):
            noise = _noise(network, batch, generator)
            loss, stage_a = attention_loss(network, batch, objective, gamma1_now, noise)
            _step(of_heads, heads, loss)
            terms.append(stage_a)

        means = _epoch_means(terms)
        for name, value in means.items():
            history[name].append(value)
        if not np.isfinite(list(means.values())).all():
            raise FloatingPointError(
                f"Training diverged in epoch {epoch}: {means}. Lower learning_rate, or scale the "
                "features, for example with sklearn.preprocessing.StandardScaler."
            )
        if after_epoch(epoch, means):
            break
    return {name: np.array(values) for name, values in history.items()}


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
    z = mean + (0.5 * log_variance).exp() * noise
    reconstruction = losses.reconstruction_loss(network.decode(z, attention), x, batch.weights)
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
        terms["reconstruction"] = losses.reconstruction_loss(
            network.decode(z, attention), x, batch.weights
        )
        loss = loss + gamma1 * terms["reconstruction"]
    return loss, terms


def pooled_logits(
    activation: Tensor, attention: Tensor, membership: Tensor, bias: Tensor, pooling: str
) -> tuple[Tensor, Tensor]:
    """Classifier logits, (n_videos, n_classes + 1) each, of foreground and background."""
    offsets = (1.0, 1e-6) if pooling == "released" else (0.0, 0.0)
    foreground = losses.pool(activation, attention, membership, offsets[0])
    background = losses.pool(activation, 1 - attention, membership, offsets[1])
    return foreground + bias, background + bias


def make_batch(
    videos: list[np.ndarray], n_snippets: int, is_labelled: np.ndarray, device: torch.device
) -> Batch:
    """Put sampled videos, each of (n_snippets_i, n_features), together in one batch.

    Every video counts as `n_snippets` snippets. A shorter one weighs each of its snippets
    more, which is what repeating them comes to, without the work.
    """
    lengths = np.array([len(video) for video in videos])
    video = np.repeat(np.arange(len(videos)), lengths)
    row = np.arange(len(video))
    membership = np.zeros((len(videos), len(video)), dtype=np.float32)
    membership[video, row] = (n_snippets / lengths)[video]
    first = np.cumsum(lengths) - lengths
    windows = [_window(int(n)) + start for n, start in zip(lengths, first, strict=True)]
    background = np.zeros((len(videos), 1))
    arrays = (
        np.concatenate(videos),
        membership,
        membership.sum(axis=0),
        video,
        np.concatenate(windows),
        np.concatenate([is_labelled, background], axis=1, dtype=np.float32),
    )
    return Batch(*(torch.from_numpy(array).to(device) for array in arrays))


def _draw(n: int, n_snippets: int, rng: np.random.Generator) -> slice | np.ndarray:
    """Snippets of one video to train on."""
    return slice(None) if n <= n_snippets else stratified_sample(n, n_snippets, rng)


def _batches(
    videos: Videos,
    is_labelled: np.ndarray,
    drawn: list,
    schedule: Schedule,
    rng: np.random.Generator,
    device: torch.device,
) -> Iterator[Batch]:
    """One pass over the videos in random order; the last short batch is dropped."""
    order = rng.permutation(len(videos))
    size = min(schedule.batch_size, len(videos))
    for first in range(0, len(videos) - size + 1, size):
        chosen = order[first : first + size]
        sampled = [videos[i][drawn[i]] for i in chosen]
        yield make_batch(sampled, schedule.n_snippets, is_labelled[chosen], device)


def _noise(network: DGAM, batch: Batch, generator: torch.Generator) -> Tensor:
    shape = (len(batch.features), network.latent_dim)
    return torch.randn(shape, generator=generator, device=batch.features.device)


def _step(optimizer: torch.optim.Optimizer, parameters: list[Tensor], loss: Tensor) -> None:
    """One step of some parameters; the others are frozen by not being asked for gradients."""
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()


def _epoch_means(terms: list[dict[str, Tensor]]) -> dict[str, float]:
    """Mean of each term over the batches of an epoch, brought from the device in one go."""
    names = dict.fromkeys(name for batch in terms for name in batch)
    means = [torch.stack([b[name].detach() for b in terms if name in b]).mean() for name in names]
    return dict(zip(names, torch.stack(means).tolist(), strict=True))


@lru_cache(maxsize=1024)
def _window(n: int) -> np.ndarray:
    return mirrored_window(n, SMOOTHING_RADIUS)


@lru_cache(maxsize=8)
def _smoothing_kernel(device: torch.device) -> Tensor:
    offsets = torch.arange(-SMOOTHING_RADIUS, SMOOTHING_RADIUS + 1, device=device)
    return torch.softmax(-0.5 * (offsets / SMOOTHING) ** 2, dim=0)
