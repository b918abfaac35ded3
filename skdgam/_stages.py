"""The two stages of training: their losses, and the gradients of these.

Several models of one shape learn at once, from the same snippets and with the same noise. Weights,
and what they make of snippets, have a leading axis (n_models,); snippets are columns. The wide
gradients are written out: automatic ones pass over memory twice as often, which takes the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from skdgam import losses
from skdgam._batches import SMOOTHING_RADIUS, Chunk
from skdgam._layers import (
    AttentionHead,
    FirstLayers,
    Perceptron,
    Reconstruction,
    Tensors,
    product,
    relu_backward,
    row_sums,
    shares_hidden_layer,
    squared_norm,
)

SMOOTHING = 1.0  # standard deviation σ_s of Eq. 13, in snippets, released
LOG_VARIANCE_BOUND = 5.0  # of a prior's spread of 1, it is twelve times


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
    classification: str = "softmax"
    dropout: float = 0.0


class CVAEStage:
    r"""Stage (b), Eq. 10: attention is frozen, and the label of snippets that the CVAE learns.

    A chunk's part of the loss is the weighted mean over its snippets of

    .. math:: \tfrac{1}{D} \|x_t - \text{decoder}(z_t, \lambda_t)\|^2
        + \beta\, KL(q(z_t | x_t, \lambda_t) \,\|\, \mathcal{N}(r \lambda_t \mathbf{1}, I)),

    the divergence averaged over latent dimensions: the published weights belong to means, which
    the released implementation takes.

    Parameters
    ----------
    weights : dict of Tensors of shape (n_models, ...)
        Of all networks, by their names in DGAM.
    objectives : sequence of n_models Objectives
    scale : float, default=1.0
        Factor of the gradients.
    dtype : torch.dtype, default=torch.float32
        Of products.
    """

    def __init__(
        self,
        weights: Tensors,
        objectives: Sequence[Objective],
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ):
        self._scale = scale
        work = {name: value.to(dtype) for name, value in weights.items()}
        self._reconstruction = Reconstruction(weights, dtype)
        self._attention = AttentionHead(work)
        self._encoder, self._decoder = Perceptron(work, "encoder"), Perceptron(work, "decoder")
        self._last, self._last_bias = work["encoder.third.weight"], work["encoder.third.bias"]
        self._first = FirstLayers(
            [self._attention.first],
            [self._encoder.first, self._reconstruction.first],
            together=not shares_hidden_layer(weights),
        )
        self._r, self._beta = (
            _column(objectives, name, self._last.device) for name in ("r", "beta")
        )

    @torch.no_grad()
    def sums(self, chunk: Chunk, noise: Tensor) -> Tensors:
        """Sum up over a chunk what gradients and loss terms are made of.

        `noise` (latent_dim, n_rows) is standard normal.
        """
        x, dtype = chunk.features, chunk.features.dtype
        on_attention, on_encoder, projected = self._first(chunk)
        _, attention = self._attention(on_attention)
        label = attention.to(dtype)
        encoder = self._encoder.forward(on_encoder, label)
        posterior = product(self._last, encoder[1], self._last_bias)
        mean, log_variance = posterior.chunk(2, dim=1)
        # Beyond the bound the variance goes on as its tangent. As an exponential, the variance of
        # one odd snippet would outweigh all else, and stay in Adam's moments for long.
        bounded = log_variance.clamp(max=LOG_VARIANCE_BOUND)
        deviation = (0.5 * bounded).exp_()
        moved = deviation * noise
        z = mean + moved
        decoder = self._decoder.forward(self._decoder.on_input(z), label)
        error = self._reconstruction.error(decoder[1], projected)

        share = chunk.shares / x.shape[1]
        to_decoder = self._decoder.backward(error.mul_(2 * share.to(dtype)), decoder)
        to_z = product(self._decoder.first[0].mT, to_decoder[0])
        per_nat = self._beta * chunk.shares / mean.shape[1]
        shift = mean - (self._r * attention).to(dtype)
        excess = torch.addcmul(shift.new_tensor(-1), deviation, deviation)  # of the variance over 1
        to_posterior = torch.empty_like(posterior)
        to_mean, to_log_variance = to_posterior.chunk(2, dim=1)
        torch.addcmul(to_z, per_nat.to(dtype), shift, out=to_mean)
        through_z = torch.ops.aten.hardtanh_backward(
            to_z.mul_(moved), log_variance, -torch.inf, LOG_VARIANCE_BOUND
        )
        torch.addcmul(through_z, per_nat.to(dtype), excess, out=to_log_variance).mul_(0.5)
        to_encoder = self._encoder.backward(product(self._last.mT, to_posterior), encoder)

        weighted = decoder[1] * share.to(dtype)
        rows = torch.cat([to_encoder[0], weighted, share.to(dtype).expand(len(mean), 1, -1)], dim=1)
        slope = torch.e**LOG_VARIANCE_BOUND
        divergence = (
            row_sums(shift.square_().add_(excess))
            + (slope - 1) * row_sums(log_variance)
            - slope * row_sums(bounded)
        )
        return {
            "features": product(rows, x),
            "decoder.gram": product(weighted, decoder[1].mT),
            "decoder.weighted": weighted.sum(dim=-1),
            "decoder.first.input": product(to_decoder[0], z.mT),
            "encoder.third.weight": product(to_posterior, encoder[1].mT),
            "encoder.third.bias": to_posterior.sum(dim=-1),
            **self._decoder.sums(to_decoder, decoder, label),
            **self._encoder.sums(to_encoder, encoder, label),
            "squared": share @ squared_norm(x),
            "share": share.sum(),
            "cvae_kl": 0.5 / mean.shape[1] * (divergence @ chunk.shares),
        }

    @torch.no_grad()
    def gradients(self, sums: Tensors) -> tuple[Tensors, Tensors]:
        """Gradients of encoder and decoder, and the terms (n_models,) of the loss."""
        width = self._encoder.first[0].shape[1]
        of_features = sums["features"]
        gradients, reconstruction = self._reconstruction.gradients(
            of_features[:, width:-1],
            of_features[:, -1],
            *(sums[name] for name in ("decoder.gram", "decoder.weighted", "squared", "share")),
        )
        for name, value in sums.items():
            if name.endswith((".weight", ".bias")):
                gradients[name] = value
        for part, of_input in (
            ("encoder", of_features[:, :width]),
            ("decoder", sums["decoder.first.input"]),
        ):
            first = [of_input, sums[f"{part}.first.attention"]]
            gradients[f"{part}.first.weight"] = torch.cat(first, dim=-1)
        terms = {"cvae_reconstruction": reconstruction, "cvae_kl": sums["cvae_kl"]}
        return {name: self._scale * value for name, value in gradients.items()}, terms


class AttentionStage:
    r"""Stage (a), Eq. 16: attention and classifier learn, and the CVAE is frozen.

    .. math:: L_{fg} + \alpha L_{bg} + \gamma_2 L_{guide} + \gamma_1 L_{re}

    Parameters
    ----------
    weights, objectives, dtype
        As for :class:`CVAEStage`.
    warmup : float, default=1.0
        Factor of γ₁. If γ₁ is 0, for all models, no model looks at its CVAE.
    """

    def __init__(
        self,
        weights: Tensors,
        objectives: Sequence[Objective],
        warmup: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ):
        work = {name: value.to(dtype) for name, value in weights.items()}
        device = weights["classifier.weight"].device
        self._attention, self._bias = AttentionHead(work), weights["classifier.bias"]
        self._objective = objectives[0]  # of what all have in common
        self._shared = shares_hidden_layer(weights)
        self._classifier = work["classifier.weight"]
        self._alpha, self._gamma1, self._gamma2, self._foreground_weight = (
            _column(objectives, name, device)[:, 0, 0]
            for name in ("alpha", "gamma1", "gamma2", "foreground_weight")
        )
        self._gamma1 = warmup * self._gamma1
        self._generative = any(objective.gamma1 for objective in objectives)
        no_bias = torch.zeros_like(work["classifier.bias"])
        of_heads = [self._attention.first]
        if not self._shared:
            of_heads.append((self._classifier, no_bias))
        of_cvae = []
        if self._generative:
            self._reconstruction = Reconstruction(weights, dtype)
            self._decoder = Perceptron(work, "decoder")
            # z = r λ + noise, of which only λ has a gradient: what moves with λ is one vector.
            r = _column(objectives, "r", device).to(dtype)
            of_input = self._decoder.first[0].sum(dim=-1, keepdim=True)
            self._decoder.on_attention = self._decoder.on_attention + r * of_input
            of_cvae = [self._reconstruction.first, self._reconstruction.of_bias]
        self._first = FirstLayers(
            of_heads, of_cvae, together=not self._shared and not self._objective.dropout
        )

    @torch.no_grad()
    def sums(self, chunk: Chunk, noise: Tensor | None) -> Tensors:
        """Sum up over a chunk what gradients and loss terms are made of.

        `noise` (latent_dim, n_rows) is standard normal; without γ₁ there is no use for it.
        """
        dtype = chunk.features.dtype
        on_attention, *first = self._first(chunk)
        hidden, attention = self._attention(on_attention, chunk.keep)
        activation = product(self._classifier, hidden) if self._shared else first.pop(0)
        (to_attention, to_activation, to_bias), terms = self._classify(
            attention[:, 0], activation.float().mT, chunk
        )
        to_attention = to_attention[:, None]
        if self._generative:
            to_it, terms["reconstruction"] = self._reconstruct(
                attention.to(dtype), *first, chunk, noise
            )
            to_attention = to_attention + self._gamma1[:, None, None] * to_it
        to_logit = (to_attention * attention * (1 - attention)).to(dtype)
        to_hidden = self._attention.second.mT * to_logit
        to_activation = to_activation.mT.to(dtype)
        of_classifier = {}
        if self._shared:
            of_classifier["classifier.weight"] = product(to_activation, hidden.mT)
            to_hidden += product(self._classifier.mT, to_activation)
        if chunk.keep is not None:
            to_hidden.mul_(chunk.keep)
        to_hidden = relu_backward(to_hidden, hidden)
        on_seen = to_hidden if self._shared else torch.cat([to_hidden, to_activation], dim=1)
        return {
            "seen": product(on_seen, chunk.seen),
            **of_classifier,
            "attention_head.0.bias": to_hidden.sum(dim=-1),
            "attention_head.2.weight": product(to_logit, hidden.mT),
            "attention_head.2.bias": to_logit.sum(dim=-1),
            "classifier.bias": to_bias,
            **terms,
        }

    @torch.no_grad()
    def gradients(self, sums: Tensors) -> tuple[Tensors, Tensors]:
        """Gradients of attention and classifier, and the terms (n_models,) of the loss."""
        width = self._attention.second.shape[-1]
        gradients = {name: value for name, value in sums.items() if "." in name}
        gradients["attention_head.0.weight"] = sums["seen"][:, :width]
        if not self._shared:
            gradients["classifier.weight"] = sums["seen"][:, width:]
        terms = {name: sums[name] for name in sums if name not in gradients and name != "seen"}
        return gradients, terms

    def _classify(
        self, attention: Tensor, activation: Tensor, chunk: Chunk
    ) -> tuple[tuple[Tensor, ...], Tensors]:
        """Gradients of attention, activation and bias by all terms but one, and the terms."""
        # A video without any label shows background alone, in its foreground too.
        target = chunk.is_labelled.clone()
        target[:, -1] = 1 - target.amax(dim=1)
        is_background = torch.zeros_like(target)
        is_background[:, -1] = 1
        loss_of = losses.multilabel_loss
        if self._objective.classification == "softmax":
            loss_of = losses.classification_loss
            target = target / target.sum(dim=1, keepdim=True)
        probability = losses.smooth(
            class_probability(activation, self._bias, self._objective.classification),
            chunk.neighbours,
            _smoothing_kernel(activation.device),
        )
        guides = losses.guidance(probability, chunk.is_labelled[chunk.video])
        with torch.enable_grad():
            given = [
                value.detach().requires_grad_() for value in (attention, activation, self._bias)
            ]
            attention, activation, bias = given
            foreground, background = pooled_logits(
                activation, attention, chunk.membership, bias, self._objective.pooling
            )
            terms = {
                "foreground": loss_of(foreground, target).sum(dim=-1) / chunk.n_videos,
                "background": loss_of(background, is_background).sum(dim=-1) / chunk.n_videos,
                "guide": losses.guide_loss(attention, *guides) @ chunk.shares,
            }
            loss = (
                self._foreground_weight * terms["foreground"]
                + self._alpha * terms["background"]
                + self._gamma2 * terms["guide"]
            )
            gradients = torch.autograd.grad(loss.sum(), given)
        return gradients, {name: value.detach() for name, value in terms.items()}

    def _reconstruct(
        self, attention: Tensor, projected: Tensor, of_bias: Tensor, chunk: Chunk, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradient of attention by the reconstruction loss, Eq. 12, and that loss."""
        x = chunk.features
        share = chunk.shares / x.shape[1]
        hidden = self._decoder.forward(self._decoder.on_input(noise), attention)
        error = self._reconstruction.error(hidden[1], projected)
        squared = (
            squared_norm(x)
            + self._reconstruction.squared_bias
            - 2 * of_bias[:, 0].float()
            + row_sums((error - projected).mul_(hidden[1]))
        )
        to_decoder, _ = self._decoder.backward(error.mul_(2 * share.to(x.dtype)), hidden)
        return product(self._decoder.on_attention.mT, to_decoder).float(), squared @ share


def class_probability(activation: Tensor, bias: Tensor, classification: str) -> Tensor:
    """Probability (..., n_rows, n_classes + 1) of each class in each snippet, Eq. 13.

    Their softmax leaves the bias out, as released; each by itself makes no sense without it.
    """
    if classification == "softmax":
        return activation.softmax(dim=-1)
    return (activation + bias[..., None, :]).sigmoid()


def pooled_logits(
    activation: Tensor, attention: Tensor, membership: Tensor, bias: Tensor, pooling: str
) -> tuple[Tensor, Tensor]:
    """Classifier logits, (..., n_videos, n_classes + 1) each, of foreground and background."""
    offsets = (1.0, 1e-6) if pooling == "released" else (0.0, 0.0)
    foreground = losses.pool(activation, attention, membership, offsets[0])
    background = losses.pool(activation, 1 - attention, membership, offsets[1])
    return foreground + bias[..., None, :], background + bias[..., None, :]


def _column(objectives: Sequence[Objective], name: str, device: torch.device) -> Tensor:
    """One field of all objectives, (n_models, 1, 1)."""
    values = [getattr(objective, name) for objective in objectives]
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


@lru_cache(maxsize=8)
def _smoothing_kernel(device: torch.device) -> Tensor:
    offsets = torch.arange(-SMOOTHING_RADIUS, SMOOTHING_RADIUS + 1, device=device)
    return torch.softmax(-0.5 * (offsets / SMOOTHING) ** 2, dim=0)
