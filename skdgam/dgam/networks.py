"""The networks of DGAM: attention, classifier, and conditional VAE."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skdgam.layers import Linear, TemporalConv
from skdgam.training.batches import Batch

__all__ = ["DGAM", "ConditionalMLP", "ConditionalVAE"]

ATTENTION_WIDTH = 256
CVAE_WIDTH = 128


class ConditionalMLP(nn.Module):
    """A perceptron on ``[x; attention]``: encoder and decoder of the CVAE are one each."""

    def __init__(self, n_inputs: int, n_outputs: int):
        super().__init__()
        self.first = Linear(n_inputs + 1, CVAE_WIDTH)  # attention is the last column
        self.second = Linear(CVAE_WIDTH, CVAE_WIDTH)
        self.third = Linear(CVAE_WIDTH, n_outputs)

    def forward(self, x: Tensor, attention: Tensor) -> Tensor:
        """Map x (n, n_inputs) and attention (n,) to (n, n_outputs)."""
        return self.third(self.hidden(x, attention))

    def hidden(self, x: Tensor, attention: Tensor) -> Tensor:
        """Map x (n, n_inputs) and attention (n,) to what the last layer is given (n, width)."""
        # The product with [x; attention], without a copy of x that is one column wider.
        weight, dtype = self.first.weight.to(x.dtype), x.dtype
        first = F.linear(x, weight[:, :-1], self.first.bias.to(dtype))
        first = torch.addcmul(first, attention[:, None].to(dtype), weight[:, -1])
        return self.second(first.relu_()).relu_()


class ConditionalVAE(nn.Module):
    """What a network does with the encoder and the decoder that it has."""

    latent_dim: int
    encoder: ConditionalMLP
    decoder: ConditionalMLP

    def encode(self, x: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (n, latent_dim) each, of q(z given x, λ)."""
        mean, log_variance = self.encoder(x, attention).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: Tensor, attention: Tensor) -> Tensor:
        """Features (n, n_features) that z (n, latent_dim) stands for at this attention."""
        return self.decoder(z, attention)


class DGAM(ConditionalVAE):
    """All networks of one stream.

    Parameters
    ----------
    n_features, n_classes : int
        Action classes; the classifier has one more output, background, the last.
    latent_dim : int, default=128
        Dimensions of z.
    temporal_context : int, default=0
        Snippets to each side that the heads look at. With any, both heads share the hidden layer,
        which is a temporal convolution then.
    classification : {"softmax", "sigmoid"}, default="softmax"
        Whether one class excludes the others. It changes no layer, but what their outputs mean.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        latent_dim: int = 128,
        temporal_context: int = 0,
        classification: str = "softmax",
    ):
        super().__init__()
        self.classification = classification
        self.latent_dim, self.temporal_context = latent_dim, temporal_context
        self.reach = temporal_context
        self.attention_head = nn.Sequential(
            TemporalConv(n_features, ATTENTION_WIDTH, temporal_context),
            nn.ReLU(),
            Linear(ATTENTION_WIDTH, 1),
        )
        n_inputs = ATTENTION_WIDTH if temporal_context else n_features
        self.classifier = Linear(n_inputs, n_classes + 1)
        self.encoder = ConditionalMLP(n_features, 2 * latent_dim)
        self.decoder = ConditionalMLP(latent_dim, n_features)

    def forward(self, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Attention λ (n_rows,) in [0, 1], and class activation (n_rows, n_classes + 1).

        The class activation are logits without the classifier's bias.
        """
        x = batch.dropout(batch.x, dropout)
        hidden, attention = self._attend(x, batch, dropout)
        given = hidden if self.temporal_context else x
        return attention, F.linear(given, self.classifier.weight.to(given.dtype)).float()

    def attention(self, batch: Batch) -> Tensor:
        """Attention alone, as ``forward`` gives it."""
        return self._attend(batch.x, batch)[1]

    def _attend(self, x: Tensor, batch: Batch, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Hidden layer (n_rows, width) of the attention head, and attention."""
        convolution, _, last = self.attention_head
        hidden = batch.dropout(convolution(x, batch).relu_(), dropout)
        return hidden, last(hidden)[:, 0].float().sigmoid()
