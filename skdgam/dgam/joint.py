r"""DGAM with an attention that is what the classes say, by several starts that come to agree.

The paper's attention is a head of its own, and on some data it settles on the wrong side: on what
is beside an action, or on nothing. Here no attention stands beside the classes. The probability
of class c in snippet t is the product of two sigmoids of one hidden layer,

.. math:: p_{tc} = \sigma(u_{tc})\, \sigma(v_t),

where :math:`v_t` says that there is an action, of whatever class. The mean of the highest logits of
a class classifies the video. Which snippets a class settles on is still a matter of chance, so that
several such classifiers start from different weights. What is right is found by most of them, what
is wrong by each elsewhere; once they have made up their minds, they also learn from each other,
each snippet from the mean of all (deep mutual learning, Zhang et al., CVPR 2018).

Attention is that of the surest class, :math:`\lambda_t = \max_c \bar p_{tc}`, by the mean. Eq. 10
and 12 of the paper, its generative half, hold on this λ, with one CVAE.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam import losses
from skdgam.dgam.networks import ConditionalMLP, ConditionalVAE
from skdgam.dgam.objective import autoencode, reconstruct
from skdgam.layers import Linear, TemporalConv
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["JointDGAM", "JointObjective"]

WIDTH = 128  # of the hidden layer of each start
# What the sigmoids begin with: an action everywhere, and of no class in particular.
ACTION_BIAS, CLASS_BIAS = 1.0, -1.0
FEATURE_DROPOUT = 0.4  # in relation to that of hidden units
WARM_UP = 0.2  # share of the epochs over which γ₁ rises from 0
AGREE_FROM = 0.3  # share of the epochs after which starts learn from each other


class JointDGAM(ConditionalVAE):
    """Several classifiers of snippets that start from different weights, and one CVAE.

    Parameters
    ----------
    n_features, n_classes : int
    latent_dim : int
        Dimensions of z.
    temporal_context : int
        Snippets to each side that the hidden layers look at.
    n_starts : int
        Classifiers.
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
        self.reach, self.latent_dim = temporal_context, latent_dim
        self.hidden = TemporalConv(n_features, n_starts * WIDTH, temporal_context)
        heads = [Linear(WIDTH, n_classes + 1) for _ in range(n_starts)]  # action is the last
        self.heads: Sequence[Linear] = nn.ModuleList(heads)  # type: ignore[assignment]
        self.encoder = ConditionalMLP(n_features, 2 * latent_dim)
        self.decoder = ConditionalMLP(latent_dim, n_features)

    def initialize(self, generator: torch.Generator) -> None:
        """Set the biases of the heads, whose weights are drawn."""
        with torch.no_grad():
            for head in self.heads:
                head.bias.fill_(CLASS_BIAS)[-1] = ACTION_BIAS

    def of_starts(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        """Logits (n_rows, n_starts, n_classes) of the probability of each class by each start."""
        x = batch.dropout(batch.x, FEATURE_DROPOUT * dropout)
        hidden = batch.dropout(self.hidden(x, batch).relu_(), dropout).split(WIDTH, dim=1)
        found = [head(part) for head, part in zip(self.heads, hidden, strict=True)]
        classes, action = torch.stack(found, dim=1).float().tensor_split([-1], dim=2)
        # The odds of a product of two sigmoids are 1 / ((1 + e^-u) (1 + e^-v) - 1).
        either = torch.logaddexp(-classes, -action)
        return -torch.logaddexp(either, -classes - action)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Attention λ (n_rows,) in [0, 1], and logits (n_rows, n_classes) of the classes.

        Of the mean probability of all starts.
        """
        of_starts = self.of_starts(batch)
        logits = F.logsigmoid(of_starts).logsumexp(1) - F.logsigmoid(-of_starts).logsumexp(1)
        return logits.amax(dim=1).sigmoid(), logits


@dataclass(frozen=True, kw_only=True)
class JointObjective:
    """The parameters of the losses; see DGAMLocalizer."""

    beta: float
    gamma1: float
    r: float
    topk: int
    dropout: float

    def stages(self) -> list[Stage]:
        """Stage (b) and stage (a); without γ₁, nothing looks at the CVAE."""
        cvae = Stage("cvae", ("encoder.", "decoder."), self.cvae_losses, cosine=True)
        heads = Stage("heads", ("hidden.", "heads."), self.head_losses, cosine=True)
        return [cvae, heads] if self.gamma1 else [heads]

    def cvae_losses(self, network: JointDGAM, batch: Batch) -> LossTerms:
        """Stage (b), Eq. 10: the CVAE learns how snippets look at the attention that they have."""
        with torch.no_grad():
            probability = network.of_starts(batch).sigmoid().mean(dim=1)
            attention = attention_of_labels(probability, batch)
        reconstruction, kl = autoencode(network, batch, attention, self.r)
        return {"cvae_reconstruction": (1.0, reconstruction), "cvae_kl": (self.beta, kl)}

    def head_losses(self, network: JointDGAM, batch: Batch) -> LossTerms:
        r"""Stage (a): :math:`L_{cls} + L_{agree} + \gamma_1 L_{re}`.

        The first two are means over starts. Each classifies the videos, and later takes the mean of
        all for the truth, in the classes that a video has.
        """
        logits = network.of_starts(batch, self.dropout)
        probability = logits.sigmoid().mean(dim=1)
        pooled = losses.top_k_mean(batch.of_videos(logits.flatten(1)), self.topk)
        pooled = pooled.unflatten(1, logits.shape[1:])
        classification = losses.multilabel_loss(pooled, batch.labels[:, None]).mean(dim=1)
        terms = {"classification": (1.0, batch.mean_of_videos(classification))}
        if logits.shape[1] > 1:
            said = probability.detach() * batch.labels[batch.video]
            agreement = losses.multilabel_loss(logits, said[:, None]).mean(dim=1)
            terms["agreement"] = float(batch.progress > AGREE_FROM), batch.mean(agreement)
        if self.gamma1:
            attention = attention_of_labels(probability, batch)
            gamma1 = self.gamma1 * min(batch.progress / WARM_UP, 1.0)
            terms["reconstruction"] = gamma1, reconstruct(network, batch, attention, self.r)
        return terms


def attention_of_labels(probability: Tensor, batch: Batch) -> Tensor:
    """Attention (n_rows,) of the surest class among the labels of the video."""
    return (probability * batch.labels[batch.video]).amax(dim=1)
