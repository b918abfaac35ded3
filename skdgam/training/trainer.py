"""One epoch of training: a pass over the videos for each stage of a method."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdgam.sampling import batches_of_pairs, stratified_sample
from skdgam.training.batches import Batch, Deviates, DeviceFeatures, HostFeatures, split
from skdgam.training.protocol import Stage

__all__ = ["Sampling", "Trainer"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What of the videos is trained on in each step.

    Attributes
    ----------
    n_snippets : int or None
        Snippets of a video in an epoch, at most; None is all.
    batch_size : int
        Videos in a step.
    refresh_every : int
        Epochs for which a draw of snippets is kept.
    crops : bool
        Whether the snippets of a longer video are consecutive ones from a random place, and not
        one from each of equal parts.
    """

    n_snippets: int | None
    batch_size: int
    refresh_every: int
    crops: bool = False

    def draw(self, lengths: np.ndarray, rng: np.random.Generator) -> list[slice | np.ndarray]:
        """Draw the snippets of each video that are trained on."""
        return [
            slice(None)
            if self.n_snippets is None or n <= self.n_snippets
            else self._draw_of_longer(n, self.n_snippets, rng)
            for n in lengths.tolist()
        ]

    def _draw_of_longer(
        self, n: int, n_snippets: int, rng: np.random.Generator
    ) -> slice | np.ndarray:
        if not self.crops:
            return stratified_sample(n, n_snippets, rng)
        first = int(rng.integers(n - n_snippets, endpoint=True))
        return slice(first, first + n_snippets)


class Trainer:
    """A training under way: all that one epoch hands on to the next.

    Parameters
    ----------
    network : nn.Module
        Trained in place, on its device.
    stages : sequence of Stage
    sampling : Sampling
    learning_rate : float
        Of Adam.
    n_epochs : int
        Epochs that a whole training has. One that goes on after them begins anew, as far as
        learning rates and warm-up are concerned.
    seed : int
        Of all draws: snippets, order of videos, noise.
    dtype : torch.dtype, default=torch.float32
        Of products; weights, losses and optimizers are in float32 in any case.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: Sequence[Stage],
        sampling: Sampling,
        learning_rate: float,
        n_epochs: int,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ):
        self.network, self.stages, self.sampling = network, tuple(stages), sampling
        self.learning_rate, self.n_epochs, self.dtype = learning_rate, n_epochs, dtype
        self.epoch = 0
        self.device = next(network.parameters()).device
        self._set_seed(seed)
        self._optimizers = {
            stage.name: torch.optim.Adam(
                [p for name, p in self._learned(stage).items() if _rate(stage, name) is None],
                lr=learning_rate,
                betas=stage.betas,
                weight_decay=stage.weight_decay,
                fused=self.device.type in ("cpu", "cuda"),
            )
            for stage in stages
        }
        # Without momentum, so that there is no state to go on with.
        self._descents = {
            stage.name: torch.optim.SGD(
                [
                    {"params": [p], "lr": rate}
                    for name, p in self._learned(stage).items()
                    if (rate := _rate(stage, name)) is not None
                ]
            )
            for stage in stages
            if stage.plain
        }

    def _set_seed(self, seed: int) -> None:
        self.seed = seed
        self._deviates = Deviates(seed, self.device, self.dtype)

    @property
    def _progress(self) -> float:
        """How far the training is, in [0, 1)."""
        return self.epoch % self.n_epochs / self.n_epochs

    def _learned(self, stage: Stage) -> dict[str, nn.Parameter]:
        """The parameters that a stage trains, by name."""
        named = self.network.named_parameters()
        return {name: value for name, value in named if name.startswith(stage.learns)}

    def run_epoch(
        self, features: HostFeatures | DeviceFeatures, is_labelled: np.ndarray
    ) -> dict[str, float]:
        """Train one epoch: a pass over the videos for each stage.

        Parameters
        ----------
        features : HostFeatures or DeviceFeatures
        is_labelled : ndarray of bool of shape (n_videos, n_classes)

        Returns
        -------
        means : dict of float
            The mean of each loss term over the batches.

        Raises
        ------
        FloatingPointError
            If a loss or a weight is no longer finite.
        """
        # The same draw for `refresh_every` epochs, also if training is resumed between them.
        rng = np.random.default_rng([self.seed, self.epoch // self.sampling.refresh_every])
        drawn = self.sampling.draw(features.lengths, rng)
        on_device = {
            stage.name: self._pass(k, stage, features, is_labelled, drawn)
            for k, stage in enumerate(self.stages)
        }
        losses = {  # from the device in one go for each stage
            name: dict(zip(of_stage, torch.stack([*of_stage.values()]).cpu().numpy(), strict=True))
            for name, of_stage in on_device.items()
        }
        went_first = _not_finite(losses)
        # The losses of the last step were computed before it.
        if went_first is None and not self._is_finite():
            went_first = "all losses are finite, but no longer the weights after the last step"
        if went_first is not None:
            raise FloatingPointError(
                f"Training diverged in epoch {self.epoch + 1}: {went_first}. Lower learning_rate, "
                f"which is {self.learning_rate:g}, or set standardize=True, if it is not."
            )
        self.epoch += 1
        return {name: float(v.mean()) for terms in losses.values() for name, v in terms.items()}

    def _is_finite(self) -> bool:
        finite = [weight.detach().isfinite().all() for weight in self.network.parameters()]
        return bool(torch.stack(finite).all())

    def _pass(
        self,
        k: int,
        stage: Stage,
        features: HostFeatures | DeviceFeatures,
        is_labelled: np.ndarray,
        drawn: list[slice | np.ndarray],
    ) -> dict[str, Tensor]:
        """Step over the videos in random order, and return each term of the loss.

        That is one of shape (n_batches,). The last short batch is dropped. A stage that asks for
        pairs has as many batches, of videos that are drawn.
        """
        (group,) = self._optimizers[stage.name].param_groups
        group["lr"] = self.learning_rate * stage.rate(self._progress)
        learned = self._learned(stage)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in learned)
        rng = np.random.default_rng([self.seed, self.epoch, k])
        n_videos = len(features.lengths)
        size = min(self.sampling.batch_size, n_videos)
        if stage.n_pairs:
            batches: Iterable[np.ndarray] = batches_of_pairs(
                is_labelled, stage.n_pairs, size, rng, stage.distinct_pairs
            )
        else:
            order = rng.permutation(n_videos)
            batches = (order[k : k + size] for k in range(0, n_videos - size + 1, size))
        of_batches = [
            self._step(stage, chosen, features, is_labelled, drawn, rng) for chosen in batches
        ]
        return {name: torch.stack([terms[name] for terms in of_batches]) for name in of_batches[0]}

    def _step(
        self,
        stage: Stage,
        chosen: np.ndarray,
        features: HostFeatures | DeviceFeatures,
        is_labelled: np.ndarray,
        drawn: list[slice | np.ndarray],
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Make a step of Adam on some videos, and return the terms of their loss."""
        lengths, n_snippets = features.lengths[chosen], self.sampling.n_snippets
        weights = features.weights
        counts_as = lengths
        if n_snippets is not None:
            lengths = np.minimum(lengths, n_snippets)
            counts_as = np.full_like(lengths, n_snippets)
        total: dict[str, Tensor] = {}
        n_pairs = min(stage.n_pairs, len(chosen) // 2)
        whole = [np.arange(len(chosen))]
        in_one = stage.whole or n_pairs
        for piece in whole if in_one else split(lengths, self.device, self.dtype):
            batch = Batch(
                x=features.rows(chosen[piece], drawn),
                lengths=lengths[piece],
                labels=torch.from_numpy(is_labelled[chosen[piece]]).to(self.device, torch.float32),
                n_snippets=counts_as[piece],
                n_videos=len(chosen),
                weights=None if weights is None else weights[chosen[piece]],
                epoch=self.epoch,
                progress=self._progress,
                n_pairs=n_pairs,
                snippet_labels=features.snippet_labels(chosen[piece], drawn),
                counts=features.counts(chosen[piece]),
                deviates=self._deviates,
                rng=rng,
            )
            terms = stage.losses(self.network, batch)
            torch.stack([weight * value for weight, value in terms.values()]).sum().backward()
            for name, (_, value) in terms.items():
                total[name] = value.detach() + total.get(name, 0)
        for optimizer in (self._optimizers[stage.name], self._descents.get(stage.name)):
            if optimizer is not None:
                optimizer.step()
                optimizer.zero_grad()
        return total

    def weights(self) -> dict[str, Tensor]:
        """Copy all weights."""
        return {name: weight.clone() for name, weight in self.network.state_dict().items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Put weights back to what they were."""
        self.network.load_state_dict(weights)

    def state(self) -> dict[str, Any]:
        """Everything but the weights, as numbers and arrays that any machine reads."""
        moments = {
            name: {
                index: {kind: value.cpu().numpy().copy() for kind, value in of_parameter.items()}
                for index, of_parameter in optimizer.state_dict()["state"].items()
            }
            for name, optimizer in self._optimizers.items()
        }
        return {"seed": self.seed, "moments": moments}

    def resume(
        self, weights: dict[str, np.ndarray], epoch: int, state: dict[str, Any] | None
    ) -> None:
        """Go on from weights that were trained for so many epochs.

        With the `state` of that training it is as if it had never stopped; without, Adam
        starts anew.
        """
        self.check(weights, state)
        self.network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        self.epoch = epoch
        if state is None:
            return
        if state["seed"] != self.seed:
            self._set_seed(state["seed"])
        for name, optimizer in self._optimizers.items():
            moments = {
                index: {
                    kind: torch.tensor(value, dtype=torch.float32)
                    for kind, value in of_parameter.items()
                }
                for index, of_parameter in state["moments"].get(name, {}).items()
            }
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def check(self, weights: dict[str, np.ndarray], state: dict[str, Any] | None) -> None:
        """Refuse weights of other networks, and moments that are not theirs."""
        shapes = {name: tuple(value.shape) for name, value in self.network.state_dict().items()}
        if shapes != {name: value.shape for name, value in weights.items()}:
            raise ValueError(
                "The network is not that of the model to go on from, since a parameter that shapes "
                "it has changed; set it back, or fit anew with warm_start=False."
            )
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise ValueError("the weights to go on from are not finite")
        if state is None:
            return
        for name, optimizer in self._optimizers.items():
            parameters = optimizer.param_groups[0]["params"]
            for index, of_parameter in state["moments"].get(name, {}).items():
                sizes = dict.fromkeys(("exp_avg", "exp_avg_sq"), tuple(parameters[index].shape))
                if {k: v.shape for k, v in of_parameter.items()} != sizes | {"step": ()}:
                    raise ValueError(f"the moments of Adam are not those of parameter {index}")


def _rate(stage: Stage, name: str) -> float | None:
    """Learning rate of a parameter that plain gradient descent trains."""
    return next((rate for begin, rate in stage.plain.items() if name.startswith(begin)), None)


def _not_finite(losses: dict[str, dict[str, np.ndarray]]) -> str | None:
    """Say which term of the losses (n_batches,) of the stages went first, if one did."""
    for stage, terms in losses.items():
        for batch, values in enumerate(zip(*terms.values(), strict=True)):
            for name, value in zip(terms, values, strict=True):
                if not np.isfinite(value):
                    return f"{name} is {value} in batch {batch + 1} of stage {stage!r}"
    return None
