"""The networks of one stream: attention, classifier, and conditional VAE."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DGAM", "ConditionalMLP"]

ATTENTION_WIDTH = 256
CVAE_WIDTH = 128


class ConditionalMLP(nn.Module):
    """A perceptron on ``[x; attention]``: encoder and decoder of the CVAE are one each."""

    def __init__(self, n_inputs: int, n_outputs: int, device: str = "cpu"):
        super().__init__()
        # Attention is the last column.
        self.first = _blank_linear(n_inputs + 1, CVAE_WIDTH, device)
        self.second = _blank_linear(CVAE_WIDTH, CVAE_WIDTH, device)
        self.third = _blank_linear(CVAE_WIDTH, n_outputs, device)

    def forward(self, x: Tensor, attention: Tensor) -> Tensor:
        """Map x (n, n_inputs) and attention (n,) to (n, n_outputs)."""
        return linear(self.hidden(x, attention), self.third)

    def hidden(self, x: Tensor, attention: Tensor) -> Tensor:
        """Map x (n, n_inputs) and attention (n,) to what the last layer is given (n, width)."""
        # The product with [x; attention], without a copy of x that is one column wider.
        of_x, of_attention = self.first.weight[:, :-1], self.first.weight[:, -1]
        hidden = F.linear(x, of_x.to(x.dtype), self.first.bias.to(x.dtype))
        hidden = torch.addcmul(hidden, attention[:, None].to(x.dtype), of_attention.to(x.dtype))
        return linear(hidden.relu_(), self.second).relu_()


class DGAM(nn.Module):
    """All networks of one stream.

    Parameters
    ----------
    n_features, n_classes : int
        Action classes; the classifier has one more output, background, the last.
    latent_dim : int, default=128
        Dimensions of z.
    generator : torch.Generator, optional
        For the initial weights; the global one is never used.
    temporal_context : int, default=0
        Snippets to each side that the heads look at. With any, both heads share the hidden layer,
        which is a temporal convolution then, of what ``skdgam._batches.in_context`` returns.
    device : str, default="cpu"
        Where weights are; "meta" gives them shapes and no memory.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        latent_dim: int = 128,
        generator: torch.Generator | None = None,
        temporal_context: int = 0,
        device: str = "cpu",
    ):
        super().__init__()
        self.n_features, self.latent_dim = n_features, latent_dim
        self.temporal_context = temporal_context
        self.attention_head = nn.Sequential(
            _blank_linear((2 * temporal_context + 1) * n_features, ATTENTION_WIDTH, device),
            nn.ReLU(),
            _blank_linear(ATTENTION_WIDTH, 1, device),
        )
        n_inputs = ATTENTION_WIDTH if temporal_context else n_features
        self.classifier = _blank_linear(n_inputs, n_classes + 1, device)
        self.encoder = ConditionalMLP(n_features, 2 * latent_dim, device)
        self.decoder = ConditionalMLP(latent_dim, n_features, device)
        if generator is not None:
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    # The rule of nn.Linear, which can only draw from the global generator.
                    bound = module.in_features**-0.5
                    nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                    nn.init.uniform_(module.bias, -bound, bound, generator=generator)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attention λ (n,) in [0, 1], and class activation (n, n_classes + 1), logits without bias.

        x is (n, n_features), or with temporal context (n, (2 * temporal_context + 1) * n_features).
        """
        first, _, second = self.attention_head
        hidden = linear(x, first).relu_()
        attention = linear(hidden, second).squeeze(-1).float().sigmoid()
        given = hidden if self.temporal_context else x
        return attention, F.linear(given, self.classifier.weight.to(x.dtype)).float()

    def attention(self, x: Tensor) -> Tensor:
        """Attention alone, as ``heads`` gives it."""
        return self.heads(x)[0]

    def activation(self, x: Tensor) -> Tensor:
        """Class activation alone, as ``heads`` gives it."""
        return self.heads(x)[1]

    def encode(self, x: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (n, latent_dim) each, of q(z given x, λ)."""
        mean, log_variance = self.encoder(x, attention).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: Tensor, attention: Tensor) -> Tensor:
        """Features (n, n_features) that z (n, latent_dim) stands for at this attention."""
        return self.decoder(z, attention)


def linear(x: Tensor, layer: Any) -> Tensor:
    """Apply a linear layer in the dtype of x; its weights are kept in float32."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _blank_linear(n_inputs: int, n_outputs: int, device: str) -> nn.Linear:
    """A linear layer without values yet: nothing is drawn from the global generator."""
    return nn.utils.skip_init(nn.Linear, n_inputs, n_outputs, device=device)
