"""One epoch of training: stage (b), then stage (a), with sampling and warm-up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from skdgam._batches import DeviceFeatures, HostFeatures, in_context, make_chunk, split
from skdgam._layers import Tensors
from skdgam._stages import AttentionStage, CVAEStage, Objective
from skdgam.networks import ATTENTION_WIDTH, DGAM
from skdgam.sampling import stratified_sample

ADAM_BETAS = (0.8, 0.999)  # released; the paper names none
CVAE_SCALE = 10.0  # of the loss of stage (b), released
# Normal deviates, drawn once; noise is a piece of them from a random place. To draw it anew each
# time would take a sixth of the training, and on one core only.
NOISE = 2**22
# What the stages train, by the beginnings of names.
PARTS = {"cvae": ("encoder.", "decoder."), "heads": ("attention_head.", "classifier.")}


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
    networks : sequence of n_models DGAMs of one shape
        Trained in place, on their device: side by side, on the same draws.
    objectives : sequence of n_models Objectives
        All with one pooling, classification and dropout, and all with γ₁ or all without.
    schedule : Schedule
    seed : int
        Of all draws: snippets, order of videos, latent variables.
    dtype : torch.dtype, default=torch.float32
        Of products; weights, losses and optimizers are in float32 in any case.
    """

    def __init__(
        self,
        networks: Sequence[DGAM],
        objectives: Sequence[Objective],
        schedule: Schedule,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ):
        self.networks, self.objectives, self.schedule = networks, objectives, schedule
        self.epoch = 0
        self.device = next(networks[0].parameters()).device
        self.finite = np.ones(len(networks), dtype=bool)  # what losses and weights have been
        self.dtype = dtype
        self._set_seed(seed)
        states = [network.state_dict() for network in networks]
        self._weights = {name: torch.stack([s[name] for s in states]) for name in states[0]}
        for k, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                parameter.data = self._weights[name][k]  # a view
        self._optimizers = {
            part: torch.optim.Adam(
                [weight for name, weight in self._weights.items() if name.startswith(names)],
                lr=schedule.learning_rate,
                betas=ADAM_BETAS,
                fused=True,
            )
            for part, names in PARTS.items()
        }

    def _set_seed(self, seed: int) -> None:
        self.seed = seed
        generator = torch.Generator(self.device).manual_seed(seed)
        noise = torch.randn(NOISE, generator=generator, device=self.device)
        self._noise = noise.to(self.dtype)

    def run_epoch(
        self, features: HostFeatures | DeviceFeatures, is_labelled: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Train one epoch: a pass of stage (b), then one of stage (a).

        Parameters
        ----------
        features : HostFeatures or DeviceFeatures
        is_labelled : ndarray of bool of shape (n_videos, n_classes)

        Returns
        -------
        means : dict of ndarrays of shape (n_models,)
            The mean of each loss term; those of the CVAE are left out if γ₁ is 0.

        Raises
        ------
        FloatingPointError
            If the training of every model has diverged; of some, `finite` tells.
        """
        schedule = self.schedule
        # The same draw for `refresh_every` epochs, also if training is resumed between them.
        rng = np.random.default_rng([self.seed, self.epoch // schedule.refresh_every])
        drawn = [_draw(n, schedule.n_snippets, rng) for n in features.lengths]
        warmup = schedule.warmup(self.epoch)
        gamma1_warmup = warmup if schedule.warmup_gamma1 else 1.0
        sampled = features, is_labelled, drawn
        terms = {}
        if any(objective.gamma1 for objective in self.objectives):  # else none looks at its CVAE
            terms |= self._pass("cvae", CVAEStage, CVAE_SCALE * warmup, *sampled)
        terms |= self._pass("heads", AttentionStage, gamma1_warmup, *sampled)
        # The losses of the last step were computed before it.
        finite = [weight.isfinite().flatten(1).all(dim=1) for weight in self._weights.values()]
        self.finite &= torch.stack(finite).all(dim=0).cpu().numpy()
        losses = torch.stack(list(terms.values())).cpu().numpy()  # from the device in one go
        self.finite &= np.isfinite(losses).all(axis=(0, 1))
        if not self.finite.any():
            went_first = _not_finite(dict(zip(terms, losses[..., 0], strict=True)))
            raise FloatingPointError(
                f"Training diverged in epoch {self.epoch + 1}: {went_first}. Lower learning_rate, "
                f"which is {schedule.learning_rate:g}, or scale the features, for example by "
                "SnippetTransformer(StandardScaler())."
            )
        self.epoch += 1
        return dict(zip(terms, losses.mean(axis=1), strict=True))

    def weights(self) -> Tensors:
        """Copy the weights of all models."""
        return {name: weight.clone() for name, weight in self._weights.items()}

    def restore(self, weights: Tensors) -> None:
        """Put weights back to what they were."""
        for name, weight in self._weights.items():
            weight.copy_(weights[name])

    def state(self, model: int = 0) -> dict[str, Any]:
        """Everything of a model but its weights, as numbers and arrays that any machine reads."""
        moments = {
            part: {
                index: {
                    kind: (value[model] if value.dim() else value).cpu().numpy().copy()
                    for kind, value in of_parameter.items()
                }
                for index, of_parameter in optimizer.state_dict()["state"].items()
            }
            for part, optimizer in self._optimizers.items()
        }
        return {"seed": self.seed, "moments": moments}

    def resume(
        self, weights: dict[str, np.ndarray], epoch: int, state: dict[str, Any] | None
    ) -> None:
        """Go on, with one model, from weights that were trained for so many epochs.

        With the `state` of that training it is as if it had never stopped; without, Adam
        starts anew.
        """
        self.check(weights, state)
        for name, value in weights.items():
            self._weights[name][0] = torch.tensor(value)
        self.epoch = epoch
        if state is None:
            return
        if state["seed"] != self.seed:
            self._set_seed(state["seed"])
        for part, optimizer in self._optimizers.items():
            moments = {
                index: {
                    kind: torch.tensor(value[None] if value.ndim else value, dtype=torch.float32)
                    for kind, value in of_parameter.items()
                }
                for index, of_parameter in state["moments"][part].items()
            }
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def check(self, weights: dict[str, np.ndarray], state: dict[str, Any] | None) -> None:
        """Refuse weights of other networks, and moments that are not theirs."""
        if any(self._weights[name].shape[1:] != value.shape for name, value in weights.items()):
            raise ValueError(
                "latent_dim or temporal_context is not that of the model to go on from; set it "
                "back, or fit anew with warm_start=False."
            )
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise ValueError("the weights to go on from are not finite")
        if state is None:
            return
        for part, optimizer in self._optimizers.items():
            parameters = optimizer.param_groups[0]["params"]
            for index, of_parameter in state["moments"][part].items():
                sizes = dict.fromkeys(("exp_avg", "exp_avg_sq"), parameters[index].shape[1:])
                if {k: v.shape for k, v in of_parameter.items()} != sizes | {"step": ()}:
                    raise ValueError(f"the moments of Adam are not those of parameter {index}")

    def _pass(
        self,
        part: str,
        kind: type[CVAEStage | AttentionStage],
        factor: float,
        features: HostFeatures | DeviceFeatures,
        is_labelled: np.ndarray,
        drawn: list[slice | np.ndarray],
    ) -> Tensors:
        """Step over the videos in random order, and return each term of the loss.

        That is one of shape (n_batches, n_models). The last short batch is dropped.
        """
        rng = np.random.default_rng([self.seed, self.epoch, list(PARTS).index(part)])
        dropout = self.objectives[0].dropout if part == "heads" else 0.0
        n_videos = len(features.lengths)
        order = rng.permutation(n_videos)
        size = min(self.schedule.batch_size, n_videos)
        terms = []
        for first in range(0, n_videos - size + 1, size):
            batch = order[first : first + size]
            stages = [
                kind(weights, objectives, factor, self.dtype)
                for weights, objectives in self._stacks()
            ]
            totals: list[Tensors] = [{} for _ in stages]
            lengths = np.minimum(features.lengths[batch], self.schedule.n_snippets)
            for chosen in split(lengths, self.device):
                rows = features.rows(batch[chosen], drawn)
                noise = self._deviates(self.networks[0].latent_dim, len(rows), rng)
                seen, keep = rows, None
                if dropout:
                    seen = rows * self._keep(dropout, *rows.shape, rng)
                    keep = self._keep(dropout, ATTENTION_WIDTH, len(rows), rng)
                chunk = make_chunk(
                    rows,
                    lengths[chosen],
                    self.schedule.n_snippets,
                    is_labelled[batch[chosen]],
                    size,
                    in_context(seen, lengths[chosen], self.networks[0].temporal_context),
                    keep,
                )
                for stage, total in zip(stages, totals, strict=True):
                    _add(total, stage.sums(chunk, noise))
            results = [stage.gradients(t) for stage, t in zip(stages, totals, strict=True)]
            gradients, of_batch = (_joined(parts) for parts in zip(*results, strict=True))
            for name, gradient in gradients.items():
                self._weights[name].grad = gradient.contiguous()  # as the fused Adam takes it
            self._optimizers[part].step()
            terms.append(of_batch)
        return {name: torch.stack([t[name] for t in terms]) for name in terms[0]}

    def _stacks(self) -> Iterator[tuple[Tensors, Sequence[Objective]]]:
        """Weights and objectives of models that one operation serves.

        On a CPU that is each model by itself: several would push each other out of the caches.
        """
        n_models = len(self.networks)
        size = 1 if self.device.type == "cpu" else n_models
        for first in range(0, n_models, size):
            of_stack = slice(first, first + size)
            weights = {name: weight[of_stack] for name, weight in self._weights.items()}
            yield weights, self.objectives[of_stack]

    def _deviates(self, n: int, m: int, rng: np.random.Generator) -> Tensor:
        """Normal deviates (n, m) from a random place among those that are drawn."""
        times = 1 + 2 * n * m // NOISE  # once, but for videos of thousands of snippets
        deviates = self._noise.expand(times, -1).reshape(-1)
        first = int(rng.integers(len(deviates) - n * m))
        return deviates[first : first + n * m].view(n, m)

    def _keep(self, dropout: float, n: int, m: int, rng: np.random.Generator) -> Tensor:
        """Factors (n, m) of dropout: 0, or what makes up for zeros in the mean."""
        kept = self._deviates(n, m, rng) > ndtri(dropout)
        return kept.to(self.dtype).mul_(1 / (1 - dropout))


def _not_finite(losses: dict[str, np.ndarray]) -> str:
    """Say what went first: a term of the losses (n_batches,) of one model, or its weights."""
    of_cvae = [name for name in losses if name.startswith("cvae_")]
    of_heads = [name for name in losses if name not in of_cvae]
    for names, stage in [(of_cvae, "(b), of the CVAE"), (of_heads, "(a), of attention")]:
        for batch, values in enumerate(zip(*(losses[name] for name in names), strict=True)):
            for name, value in zip(names, values, strict=True):
                if not np.isfinite(value):
                    return f"{name} is {value} in batch {batch + 1} of stage {stage}"
    return "all losses are finite, but no longer the weights after the last step"


def _draw(n: int, n_snippets: int, rng: np.random.Generator) -> slice | np.ndarray:
    """Snippets of one video to train on."""
    return slice(None) if n <= n_snippets else stratified_sample(n, n_snippets, rng)


def _add(total: Tensors, part: Tensors) -> None:
    """Add each tensor of a part to the total, in float32."""
    for name, value in part.items():
        total[name] = total[name].add_(value) if name in total else value.float()


def _joined(parts: Sequence[Tensors]) -> Tensors:
    """Concatenate what belongs to several stacks of models."""
    if len(parts) == 1:
        return parts[0]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
