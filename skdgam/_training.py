"""Training: stage (b) and stage (a) in turn, with sampling, warm-up and history (METHOD §2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skdgam._features import Videos
from skdgam._inference import activations, to_arrays
from skdgam._stages import Batch, Objective, attention_loss, cvae_loss, make_batch
from skdgam.networks import DGAM
from skdgam.sampling import stratified_sample

ADAM_BETAS = (0.8, 0.999)  # released; the paper names none
CVAE_SCALE = 10.0  # of the loss of stage (b), released
HISTORY = (
    *("foreground", "background", "guide", "reconstruction"),
    *("cvae_reconstruction", "cvae_kl", "validation"),
)


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


class Training:
    """A training under way: all that one epoch hands on to the next.

    Parameters
    ----------
    network : DGAM
        Trained in place, on its device.
    objective, schedule : Objective, Schedule
    seed : int
        Of all draws: snippets, order of videos, latent variables.
    dtype : torch.dtype, default=torch.float32
        Of products; weights, losses and optimizers are in float32 in any case.
    """

    def __init__(
        self,
        network: DGAM,
        objective: Objective,
        schedule: Schedule,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ):
        self.network, self.objective, self.schedule = network, objective, schedule
        self._dtype = dtype
        self.epoch, self.seed = 0, seed
        self._device = next(network.parameters()).device
        self._rng = np.random.default_rng(seed)
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._cvae = [*network.encoder.parameters(), *network.decoder.parameters()]
        self._heads = [*network.attention_head.parameters(), *network.classifier.parameters()]
        self._optimizers = {
            name: torch.optim.Adam(group, lr=schedule.learning_rate, betas=ADAM_BETAS, fused=True)
            for name, group in {"cvae": self._cvae, "heads": self._heads}.items()
        }

    def run_epoch(self, videos: Videos, is_labelled: np.ndarray) -> dict[str, float]:
        """Train one epoch: a pass of stage (b), then one of stage (a).

        Parameters
        ----------
        videos : Videos
        is_labelled : ndarray of bool of shape (n_videos, n_classes)

        Returns
        -------
        means : dict of float
            The mean of each loss term; those of the CVAE are left out if γ₁ is 0.
        """
        objective, schedule = self.objective, self.schedule
        # The same draw for `refresh_every` epochs, also if training is resumed between them.
        rng = np.random.default_rng([self.seed, self.epoch // schedule.refresh_every])
        drawn = [_draw(n, schedule.n_snippets, rng) for n in videos.lengths]
        warmup = schedule.warmup(self.epoch)
        gamma1_now = objective.gamma1 * (warmup if schedule.warmup_gamma1 else 1.0)

        terms = []
        if objective.gamma1:  # else nothing looks at the CVAE
            for batch in self._batches(videos, is_labelled, drawn):
                loss, stage_b = cvae_loss(self.network, batch, objective, self._noise(batch))
                _step(self._optimizers["cvae"], self._cvae, CVAE_SCALE * warmup * loss)
                terms.append(stage_b)
        for batch in self._batches(videos, is_labelled, drawn):
            noise = self._noise(batch)
            loss, stage_a = attention_loss(self.network, batch, objective, gamma1_now, noise)
            _step(self._optimizers["heads"], self._heads, loss)
            terms.append(stage_a)

        means = _epoch_means(terms)
        if not np.isfinite(list(means.values())).all():
            raise FloatingPointError(_diverged(self.epoch, f": {means}"))
        self.epoch += 1
        return means

    def state(self) -> dict[str, Any]:
        """Everything but the weights, as numbers and arrays that any machine can read."""
        moments = {
            name: {
                index: {kind: value.cpu().numpy().copy() for kind, value in of_parameter.items()}
                for index, of_parameter in optimizer.state_dict()["state"].items()
            }
            for name, optimizer in self._optimizers.items()
        }
        return {
            "seed": self.seed,
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
        self.seed = state["seed"]
        self._rng.bit_generator.state = state["rng"]
        generator = torch.tensor(state["generator"])
        # The generator of another kind of device has another state; this one keeps its seed.
        if len(generator) == len(self._generator.get_state()):
            self._generator.set_state(generator)
        for name, optimizer in self._optimizers.items():
            moments = {
                index: {kind: torch.tensor(value) for kind, value in of_parameter.items()}
                for index, of_parameter in state["moments"][name].items()
            }
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def _batches(
        self, videos: Videos, is_labelled: np.ndarray, drawn: list[slice | np.ndarray]
    ) -> Iterator[Batch]:
        """One pass over the videos in random order; the last short batch is dropped."""
        order = self._rng.permutation(len(videos))
        size = min(self.schedule.batch_size, len(videos))
        for first in range(0, len(videos) - size + 1, size):
            chosen = order[first : first + size]
            sampled = [videos[i][drawn[i]] for i in chosen]
            labels = is_labelled[chosen]
            yield make_batch(sampled, self.schedule.n_snippets, labels, self._device, self._dtype)

    def _noise(self, batch: Batch) -> Tensor:
        shape = (len(batch.features), self.network.latent_dim)
        noise = torch.randn(shape, generator=self._generator, device=self._device)
        return noise.to(self._dtype)


class EarlyStopping:
    """Watch held-out videos, and keep the training as it was when it knew them best.

    How well it knows them is the cross-entropy of their video-level probabilities and labels,
    for which no time is needed.

    Parameters
    ----------
    videos : Videos
        None of which is trained on.
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    patience : int
        Epochs without a lower loss after which to stop.
    """

    def __init__(self, videos: Videos, is_labelled: np.ndarray, patience: int):
        self._videos, self._patience = videos, patience
        background = ~is_labelled.any(axis=1, keepdims=True)
        target = np.concatenate([is_labelled, background], axis=1)
        self._target = target / target.sum(axis=1, keepdims=True)
        self._least, self._waited = np.inf, 0
        self._best: tuple[dict, dict] | None = None

    def watch(self, training: "Training") -> float:
        """Cross-entropy on the held-out videos, in nats; the least one is remembered."""
        of_videos = activations(training.network, self._videos, self._videos.lengths)
        actions = np.stack([activation.probability for activation in of_videos])
        probability = np.concatenate([actions, 1 - actions.sum(axis=1, keepdims=True)], axis=1)
        log = np.log(np.maximum(probability, np.finfo(np.float32).tiny))
        loss = float(-(self._target * log).sum(axis=1).mean())
        self._waited += 1
        if loss < self._least:
            self._least, self._waited = loss, 0
            self._best = to_arrays(training.network), training.state()
        return loss

    def is_over(self) -> bool:
        """Tell whether the loss has not fallen for too long."""
        return self._waited >= self._patience

    def restore(self, training: "Training") -> None:
        """Put a training back to where its loss was least."""
        if self._best is not None:
            weights, state = self._best
            training.resume(weights, training.epoch, state)


def train(
    training: Training,
    videos: Videos,
    is_labelled: np.ndarray,
    after_epoch: Callable[[int, dict[str, float], bool], bool] | None = None,
    early_stopping: EarlyStopping | None = None,
) -> dict[str, np.ndarray]:
    """Train for as many epochs as the schedule has.

    Parameters
    ----------
    training : Training
    videos : Videos
    is_labelled : ndarray of bool of shape (n_videos, n_classes)
    after_epoch : callable, optional
        Given the number of the epoch, from 0, its mean losses, and whether it is the last one;
        true stops the training.
    early_stopping : EarlyStopping, optional

    Returns
    -------
    history : dict of ndarrays of shape (n_epochs,)
        The mean of each loss term in each epoch; nan for what is not computed.
    """
    history: dict[str, list[float]] = {name: [] for name in HISTORY}
    if early_stopping is not None and training.epoch:
        early_stopping.watch(training)  # what is resumed may stay the best
    for epoch in range(training.schedule.max_epochs):
        means = training.run_epoch(videos, is_labelled)
        if early_stopping is not None:
            means["validation"] = early_stopping.watch(training)
        for name, values in history.items():
            values.append(means.get(name, np.nan))
        last = epoch + 1 == training.schedule.max_epochs
        last = last or (early_stopping is not None and early_stopping.is_over())
        if (after_epoch is not None and after_epoch(epoch, means, last)) or last:
            break
    if early_stopping is not None:
        early_stopping.restore(training)
    # The losses of the last step were computed before it.
    if not all(parameter.isfinite().all() for parameter in training.network.parameters()):
        raise FloatingPointError(_diverged(training.epoch - 1, " in its last step"))
    return {name: np.array(values) for name, values in history.items()}


def _diverged(epoch: int, how: str) -> str:
    return (
        f"Training diverged in epoch {epoch}{how}. Lower learning_rate, or scale the features, for "
        "example with sklearn.preprocessing.StandardScaler."
    )


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
