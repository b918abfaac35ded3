r"""The losses of DGAM's two stages, as the paper writes them (Eq. 4-16).

In every epoch, stage (b) trains the conditional VAE with attention frozen, and then stage (a)
trains attention and classifier with the CVAE frozen.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from skdgam import losses
from skdgam.dgam.kernels import reconstruction_error
from skdgam.dgam.networks import DGAM, ConditionalVAE
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = [
    "CVAE_SCALE",
    "Objective",
    "autoencode",
    "class_probability",
    "kl_to_latent_prior",
    "reconstruct",
]

ADAM_BETAS = (0.8, 0.999)  # released; the paper names none
CVAE_SCALE = 10.0  # of the loss of stage (b), released
SMOOTHING = 1.0  # standard deviation σ_s of Eq. 13, in snippets, released
SMOOTHING_RADIUS = 4  # of its window, in snippets
LOG_VARIANCE_BOUND = 5.0  # compared with a prior's spread of 1, it is twelve times


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The parameters of the losses, in the paper's letters; see DGAMLocalizer."""

    alpha: float
    beta: float
    gamma1: float
    gamma2: float
    r: float
    foreground_weight: float
    pooling: str
    classification: str
    dropout: float
    warmup_epochs: int
    warmup_gamma1: bool
    refresh_every: int

    def stages(self) -> list[Stage]:
        """Stage (b) and stage (a); without γ₁, nothing looks at the CVAE."""
        cvae = Stage("cvae", ("encoder.", "decoder."), self.cvae_losses, ADAM_BETAS)
        heads = Stage("heads", ("attention_head.", "classifier."), self.head_losses, ADAM_BETAS)
        return [cvae, heads] if self.gamma1 else [heads]

    def warmup(self, epoch: int) -> float:
        """Warm-up factor: rises from 0 to 1, and changes only when the draw of snippets does."""
        if not self.warmup_epochs:
            return 1.0
        epoch -= epoch % self.refresh_every
        return min(epoch / self.warmup_epochs, 1.0)

    def cvae_losses(self, network: DGAM, batch: Batch) -> LossTerms:
        r"""Stage (b), Eq. 10: the CVAE learns how snippets look at the attention that they have.

        .. math:: \tfrac{1}{D} \|x_t - \text{decoder}(z_t, \lambda_t)\|^2
            + \beta\, KL(q(z_t | x_t, \lambda_t) \,\|\, \mathcal{N}(r \lambda_t \mathbf{1}, I))
        """
        with torch.no_grad():
            attention = network.attention(batch)
        reconstruction, kl = autoencode(network, batch, attention, self.r)
        scale = CVAE_SCALE * self.warmup(batch.epoch)
        return {
            "cvae_reconstruction": (scale, reconstruction),
            "cvae_kl": (scale * self.beta, kl),
        }

    def head_losses(self, network: DGAM, batch: Batch) -> LossTerms:
        r"""Stage (a), Eq. 16: attention and classifier learn, and the CVAE is frozen.

        .. math:: L_{fg} + \alpha L_{bg} + \gamma_2 L_{guide} + \gamma_1 L_{re}

        Attention is to classify (Eq. 6), to agree with the T-CAMs (Eq. 15), and to be what the
        snippets are best reconstructed from (Eq. 12).
        """
        attention, activation = network(batch, self.dropout)
        bias = network.classifier.bias
        # A video without any label shows background alone, in its foreground too.
        target = losses.with_background(batch.labels, 1 - batch.labels.amax(dim=1))
        is_background = losses.with_background(torch.zeros_like(batch.labels), 1.0)
        if self.classification == "softmax":
            cross_entropy = losses.classification_loss
            target = target / target.sum(dim=1, keepdim=True)
        else:
            cross_entropy = losses.multilabel_loss
        foreground, background = pooled_logits(
            activation, attention, batch.membership, bias, self.pooling
        )
        tcam = losses.smooth(
            class_probability(activation.detach(), bias.detach(), self.classification),
            batch.neighbours(SMOOTHING_RADIUS),
            losses.gaussian(SMOOTHING, SMOOTHING_RADIUS, activation.device),
        )
        labels_of_rows = losses.with_background(batch.labels, 0.0)[batch.video]
        guide = losses.guide_loss(attention, *losses.guidance(tcam, labels_of_rows))
        terms = {
            "foreground": (
                self.foreground_weight,
                batch.mean_of_videos(cross_entropy(foreground, target)),
            ),
            "background": (
                self.alpha,
                batch.mean_of_videos(cross_entropy(background, is_background)),
            ),
            "guide": (self.gamma2, batch.mean(guide)),
        }
        if self.gamma1:
            gamma1 = self.gamma1 * (self.warmup(batch.epoch) if self.warmup_gamma1 else 1.0)
            terms["reconstruction"] = gamma1, reconstruct(network, batch, attention, self.r)
        return terms


def autoencode(
    network: ConditionalVAE, batch: Batch, attention: Tensor, r: float
) -> tuple[Tensor, Tensor]:
    """The two terms of Eq. 10: error of the CVAE, and divergence from the latent prior."""
    mean, log_variance = network.encode(batch.x, attention)
    deviation = (0.5 * bound(log_variance)).exp()
    z = torch.addcmul(mean, deviation, batch.noise(network.latent_dim))
    kl = kl_to_latent_prior(mean, log_variance, attention, r)
    return _decoding_error(network, batch, z, attention), batch.mean(kl)


def reconstruct(network: ConditionalVAE, batch: Batch, attention: Tensor, r: float) -> Tensor:
    """Error of decoding what the latent prior draws at this attention (n_rows,), Eq. 12."""
    prior_mean = (r * attention)[:, None].to(batch.x.dtype)
    z = prior_mean + batch.noise(network.latent_dim)
    return _decoding_error(network, batch, z, attention)


def _decoding_error(network: ConditionalVAE, batch: Batch, z: Tensor, attention: Tensor) -> Tensor:
    """Mean squared error of decoding z (n_rows, latent_dim) at this attention."""
    last = network.decoder.third
    hidden = network.decoder.hidden(z, attention)
    return reconstruction_error(hidden, last.weight, last.bias, batch.x, batch.shares)


def kl_to_latent_prior(
    mean: Tensor, log_variance: Tensor, attention: Tensor, r: float = 1.0
) -> Tensor:
    r"""Kullback-Leibler divergence from the CVAE's posterior to its attention-dependent prior.

    The prior of a snippet is a unit Gaussian whose mean moves with attention (Eq. 10):
    :math:`z_t \sim \mathcal{N}(r \lambda_t \mathbf{1}, I)`.

    Parameters
    ----------
    mean, log_variance : Tensors of shape (n_rows, n_latent)
        Parameters of the posterior :math:`q(z_t \mid x_t, \lambda_t)`.
    attention : Tensor of shape (n_rows,), in [0, 1]
    r : float, default=1.0
        Distance between the prior means at attention 0 and attention 1.

    Returns
    -------
    kl : Tensor of shape (n_rows,), float32
        Divergence in nats, averaged over the latent dimensions: the published weight β belongs
        to an average, not to a sum.
    """

    def average(values: Tensor) -> Tensor:
        return values.sum(dim=1, dtype=torch.float32) / values.shape[1]

    shift = mean - (r * attention)[:, None].to(mean.dtype)
    # Beyond the bound the variance goes on as its tangent. As an exponential, the variance of one
    # odd snippet would outweigh everything else, and stay in Adam's moments for long.
    bounded = bound(log_variance)
    slope = math.exp(LOG_VARIANCE_BOUND)
    # Averages of each term, since one of their sum would need more passes over memory.
    variance = average(bounded.exp()) + slope * (average(log_variance) - average(bounded))
    return 0.5 * (average(shift.square()) + variance - average(log_variance) - 1)


def bound(log_variance: Tensor) -> Tensor:
    """Clip from above. As ``clamp(max=...)``, whose way back takes three times as long."""
    return F.hardtanh(log_variance, -math.inf, LOG_VARIANCE_BOUND)


def class_probability(activation: Tensor, bias: Tensor, classification: str) -> Tensor:
    """Probability (n_rows, n_classes + 1) of each class in each snippet, Eq. 13.

    The softmax leaves the bias out, as released; each class by itself makes no sense without it.
    """
    if classification == "softmax":
        return activation.softmax(dim=-1)
    return (activation + bias).sigmoid()


def pooled_logits(
    activation: Tensor, attention: Tensor, membership: Tensor, bias: Tensor, pooling: str
) -> tuple[Tensor, Tensor]:
    """Classifier logits, (n_videos, n_classes + 1) each, of foreground and background."""
    offsets = (1.0, 1e-6) if pooling == "released" else (0.0, 0.0)
    foreground = losses.pool(activation, attention, membership, offsets[0])
    background = losses.pool(activation, 1 - attention, membership, offsets[1])
    return foreground + bias, background + bias
