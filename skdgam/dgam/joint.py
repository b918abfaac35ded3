r"""DGAM with an attention that is what the classes say, by several starts and their student.

The paper's attention is a head of its own, and on some data it settles on the wrong side: on what
is beside an action, or on nothing. Here no attention stands beside the classes. The probability
of class c in snippet t is the product of two sigmoids of one hidden layer,

.. math:: p_{tc} = \sigma(u_{tc})\, \sigma(v_t),

where :math:`v_t` says that there is an action, of whatever class, and attention is that of the
surest class of the video, :math:`\lambda_t = \max_c p_{tc}`. The mean of the highest logits of a
class classifies the video. Eq. 10 and 12 of the paper, its generative half, hold on this λ.

Several networks of that kind are trained side by side from different initial weights. In the same
steps one more, their student, learns of each snippet of the training videos what their mean says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skdgam import losses
from skdgam.dgam.networks import ConditionalMLP, ConditionalVAE
from skdgam.dgam.objective import autoencode, gaussian, reconstruct
from skdgam.layers import Linear, TemporalConv
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["JointDGAM", "JointObjective"]

WIDTH = 128  # of the hidden layer
# What the sigmoids begin with: an action everywhere, and of no class in particular.
ACTION_BIAS, CLASS_BIAS = 1.0, -1.0
FEATURE_DROPOUT = 0.4  # in relation to that of hidden units
WARM_UP = 0.2  # share of the epochs over which γ₁ rises from 0
SMOOTHING = 1.0  # standard deviation, in snippets, of the Gaussian over what a student is taught
SMOOTHING_RADIUS = 3
IS_ACTION = 0.5  # share of a class's highest probability in a video above which it is taught
TAUGHT, WEAKLY = 10.0, 0.5  # weights of what the student is taught, and of the labels of the video


class Network(ConditionalVAE):
    """One network: classes and action on a hidden layer over time, and perhaps a CVAE."""

    def __init__(
        self, n_features: int, n_classes: int, temporal_context: int, latent_dim: int | None = None
    ):
        super().__init__()
        self.hidden = TemporalConv(n_features, WIDTH, temporal_context)
        self.heads = Linear(WIDTH, n_classes + 1)  # action is the last
        if latent_dim is not None:
            self.latent_dim = latent_dim
            self.encoder = ConditionalMLP(n_features, 2 * latent_dim)
            self.decoder = ConditionalMLP(latent_dim, n_features)

    def initialize(self, generator: torch.Generator) -> None:
        """Set the biases of the heads, whose weights are drawn."""
        with torch.no_grad():
            self.heads.bias.fill_(CLASS_BIAS)[-1] = ACTION_BIAS

    def forward(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Logits (n_rows, n_classes) of the probability of each class in each snippet."""
        x = batch.dropout(batch.x, FEATURE_DROPOUT * dropout)
        hidden = batch.dropout(self.hidden(x, batch).relu_(), dropout)
        heads = self.heads(hidden).float()
        classes, action = heads[:, :-1], heads[:, -1:]
        # The odds of a product of two sigmoids are 1 / ((1 + e^-u) (1 + e^-v) - 1).
        either = torch.logaddexp(-classes, -action)
        return -torch.logaddexp(either, -classes - action)


class JointDGAM(nn.Module):
    """Several networks that start from different weights, and their student.

    Parameters
    ----------
    n_features, n_classes : int
    latent_dim : int
        Dimensions of z.
    temporal_context : int
        Snippets to each side that the hidden layers look at.
    n_starts : int
        1 is a network alone, without a student.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        latent_dim: int,
        temporal_context: int,
        n_starts: int,
    ):
        super().__init__()
        self.reach = temporal_context
        starts = [
            Network(n_features, n_classes, temporal_context, latent_dim) for _ in range(n_starts)
        ]
        self.starts: Sequence[Network] = nn.ModuleList(starts)  # type: ignore[assignment]
        self.student = Network(n_features, n_classes, temporal_context) if n_starts > 1 else None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Attention λ (n_rows,) in [0, 1], and logits (n_rows, n_classes) of the classes."""
        network = self.starts[0] if self.student is None else self.student
        logits = network(batch)
        return logits.amax(dim=1).sigmoid(), logits


@dataclass(frozen=True, kw_only=True)
class JointObjective:
    """The parameters of the losses; see DGAMLocalizer."""

    beta: float
    gamma1: float
    r: float
    topk: int
    dropout: float
    n_starts: int

    def stages(self) -> list[Stage]:
        """Stage (b) and stage (a); without γ₁, nothing looks at the CVAE."""
        vaes = tuple(
            f"starts.{k}.{part}." for k in range(self.n_starts) for part in ("encoder", "decoder")
        )
        heads = tuple(
            f"starts.{k}.{part}." for k in range(self.n_starts) for part in ("hidden", "heads")
        )
        cvae = Stage("cvae", vaes, self.cvae_losses, cosine=True)
        joint = Stage("heads", (*heads, "student."), self.head_losses, cosine=True)
        return [cvae, joint] if self.gamma1 else [joint]

    def cvae_losses(self, network: JointDGAM, batch: Batch) -> LossTerms:
        """Stage (b), Eq. 10: the CVAEs learn how snippets look at the attention that they have."""
        found = []
        for start in network.starts:
            with torch.no_grad():
                attention = attention_of_labels(start(batch).sigmoid(), batch)
            found.append(torch.stack(autoencode(start, batch, attention, self.r)))
        reconstruction, kl = torch.stack(found).mean(dim=0)
        return {"cvae_reconstruction": (1.0, reconstruction), "cvae_kl": (self.beta, kl)}

    def head_losses(self, network: JointDGAM, batch: Batch) -> LossTerms:
        r"""Stage (a): :math:`L_{cls} + \gamma_1 L_{re}` of each start, and the student's losses."""
        logits = [start(batch, self.dropout) for start in network.starts]
        terms = {
            "classification": (1.0, torch.stack([self.classify(x, batch) for x in logits]).mean())
        }
        if self.gamma1:
            errors = [
                reconstruct(start, batch, attention_of_labels(x.sigmoid(), batch), self.r)
                for start, x in zip(network.starts, logits, strict=True)
            ]
            gamma1 = self.gamma1 * min(batch.progress / WARM_UP, 1.0)
            terms["reconstruction"] = gamma1, torch.stack(errors).mean()
        if network.student is not None:
            found = network.student(batch, self.dropout)
            taught = teach(torch.stack([x.detach().sigmoid() for x in logits]).mean(dim=0), batch)
            terms["student_classification"] = WEAKLY, self.classify(found, batch)
            terms["student_teaching"] = TAUGHT, batch.mean(losses.multilabel_loss(found, taught))
        return terms

    def classify(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the labels of each video, by the highest logits of each class."""
        pooled = losses.top_k_mean(batch.of_videos(logits), self.topk)
        return losses.multilabel_loss(pooled, batch.labels).sum() / batch.n_videos


def attention_of_labels(probability: Tensor, batch: Batch) -> Tensor:
    """Attention (n_rows,) of the surest class among the labels of the video."""
    return (probability * batch.labels[batch.video]).amax(dim=1)


def teach(probability: Tensor, batch: Batch) -> Tensor:
    """Which classes (n_rows, n_classes) each snippet has, by probabilities of that shape.

    A class that the video has, where its smoothed probability is above half of its highest.
    """
    kernel = gaussian(SMOOTHING, SMOOTHING_RADIUS, probability.device)
    smoothed = losses.smooth(probability, batch.neighbours(SMOOTHING_RADIUS), kernel)
    highest = torch.stack([video.amax(dim=0) for video in batch.of_videos(smoothed)])
    is_high = smoothed > IS_ACTION * highest[batch.video]
    return is_high * batch.labels[batch.video]
