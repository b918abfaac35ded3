"""Training: stage (b) and stage (a) in turn, with sampling, warm-up and history (METHOD §2)."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

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
TERMS = (
    *("foreground", "background", "guide", "reconstruction"),
    *("cvae_reconstruction", "cvae_kl"),
)


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


class Training:
    """A training under way: all that one epoch hands on to the next.

    Parameters
    ----------
    network : DGAM
        Trained in place, on its device.
    objective, schedule : Objective, Schedule
    seed : int
        Of all draws: snippets, order of videos, latent variables.
    """

    def __init__(self, network: DGAM, objective: Objective, schedule: Schedule, seed: int):
        self.network, self.objective, self.schedule = network, objective, schedule
        self.epoch = 0
        self._device = next(network.parameters()).device
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._cvae = [*network.encoder.parameters(), *network.decoder.parameters()]
        self._heads = [*network.attention_head.parameters(), *network.classifier.parameters()]
        self._optimizers = {
            name: torch.optim.Adam(group, lr=schedule.learning_rate, betas=ADAM_BETAS, fused=True)
            for name, group in {"cvae": self._cvae, "heads": self._heads}.items()
        }
        self._drawn: list[slice | np.ndarray] = []

    def run_epoch(self, videos: Videos, is_labelled: np.ndarray) -> dict[str, float]:
        """Train one epoch: a pass of stage (b), then one of stage (a).

        Parameters
        ----------
        videos : Videos
        is_labelled : ndarray of bool of shape (n_videos, n_classes)

        Returns
        -------
        means : dict of float
            The mean of each loss term; nan for those of the CVAE if γ₁ is 0.
        """
        objective, schedule = self.objective, self.schedule
        if self.epoch % schedule.refresh_every == 0 or not self._drawn:
            self._drawn = [_draw(n, schedule.n_snippets, self._rng) for n in videos.lengths]
        warmup = schedule.warmup(self.epoch)
        gamma1_now = objective.gamma1 * (warmup if schedule.warmup_gamma1 else 1.0)

        terms = []
        if objective.gamma1:  # else nothing looks at the CVAE
            for batch in self._batches(videos, is_labelled):
                loss, stage_b = cvae_loss(self.network, batch, objective, self._noise(batch))
                _step(self._optimizers["cvae"], self._cvae, CVAE_SCALE * warmup * loss)
                terms.append(stage_b)
        for batch in self._batches(videos, is_labelled):
            noise = self._noise(batch)
            loss, stage_a = attention_loss(self.network, batch, objective, gamma1_now, noise)
            _step(self._optimizers["heads"], self._heads, loss)
            terms.append(stage_a)

        means = _epoch_means(terms)
        if not np.isfinite(list(means.values())).all():
            raise FloatingPointError(_diverged(self.epoch, f": {means}"))
        self.epoch += 1
        return dict.fromkeys(TERMS, np.nan) | means

    def state(self) -> dict[str, Any]:
        """Everything but the weights, as numbers and arrays that any machine can read."""
        moments = {
            f"{name}.{index}.{kind}": value.cpu().numpy().copy()
            for name, optimizer in self._optimizers.items()
            for index, of_parameter in optimizer.state_dict()["state"].items()
            for kind, value in of_parameter.items()
        }
        return {
            "moments": moments,
            "rng": self._rng.bit_generator.state,
            "generator": self._generator.get_state().numpy().copy(),
        }

    def resume(
        self, weights: dict[str, np.ndarray], epoch: int, state: dict[str, Any] | None
    ) -> None:
        """Go on from weights that were trained for so many epochs.

        With the `state` of that training it is as if it had never stopped; without, Adam
        starts anew.
        """
        of_network = self.network.state_dict()
        if any(of_network[name].shape != value.shape for name, value in weights.items()):
            raise ValueError(
                "latent_dim is not that of the model to go on from; set it back, or fit anew with "
                "warm_start=False."
            )
        tensors = {name: torch.tensor(value) for name, value in weights.items()}
        self.network.load_state_dict(of_network | tensors)
        self.epoch = epoch
        if state is None:
            return
        self._rng.bit_generator.state = state["rng"]
        generator = torch.tensor(state["generator"])
        # The generator of another kind of device has another state; this one keeps its seed.
        if len(generator) == len(self._generator.get_state()):
            self._generator.set_state(generator)
        for name, optimizer in self._optimizers.items():
            moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
            for key, value in state["moments"].items():
                group, index, kind = key.split(".")
                if group == name:
                    moments[int(index)][kind] = torch.tensor(value)
            optimizer.load_state_dict(optimizer.state_dict() | {"state": dict(moments)})

    def _batches(self, videos: Videos, is_labelled: np.ndarray) -> Iterator[Batch]:
        """One pass over the videos in random order; the last short batch is dropped."""
        order = self._rng.permutation(len(videos))
        size = min(self.schedule.batch_size, len(videos))
        for first in range(0, len(videos) - size + 1, size):
            chosen = order[first : first + size]
            sampled = [videos[i][self._drawn[i]] for i in chosen]
            labels = is_labelled[chosen]
            yield make_batch(sampled, self.schedule.n_snippets, labels, self._device)

    def _noise(self, batch: Batch) -> Tensor:
        shape = (len(batch.features), self.network.latent_dim)
        return torch.randn(shape, generator=self._generator, device=self._device)


def train(
    training: Training,
    videos: Videos,
    is_labelled: np.ndarray,
    after_epoch: Callable[[int, dict[str, float]], bool] | None = None,
) -> dict[str, np.ndarray]:
    """Train for as many epochs as the schedule has.

    Parameters
    ----------
    training : Training
    videos : Videos
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    after_epoch : callable, optional
        Given the number of the epoch, from 0, and its mean losses; true stops the training.

    Returns
    -------
    history : dict of ndarrays of shape (n_epochs,)
        The mean of each loss term in each epoch.
    """
    history: dict[str, list[float]] = {name: [] for name in TERMS}
    for epoch in range(training.schedule.max_epochs):
        means = training.run_epoch(videos, is_labelled)
        for name, value in means.items():
            history[name].append(value)
        if after_epoch is not None and after_epoch(epoch, means):
            break
    # The losses of the last step were computed before it.
    if not all(parameter.isfinite().all() for parameter in training.network.parameters()):
        raise FloatingPointError(_diverged(training.epoch - 1, " in its last step"))
    return {name: np.array(values) for name, values in history.items()}


def _diverged(epoch: int, how: str) -> str:
    return (
        f"Training diverged in epoch {epoch}{how}. Lower learning_rate, or scale the features, for "
        "example with sklearn.preprocessing.StandardScaler."
    )


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
