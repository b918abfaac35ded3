"""Layers that compute in the dtype of what they are given, with weights in float32.

With rows in bfloat16 their products are in bfloat16, and gradients arrive at the weights in
float32. No ambient setting of torch takes part.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from skdgam.training.batches import Batch

__all__ = [
    "BatchNorm",
    "ColumnwiseConv",
    "Linear",
    "TemporalConv",
    "initialize",
    "kaiming_uniform",
    "xavier_uniform",
]


class Linear(nn.Linear):
    """A linear layer on rows, (n_rows, n_inputs) -> (n_rows, n_outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer in the dtype of x."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights: uniform in ±1/√n_inputs, which is torch's rule for linear layers."""
        bound = self.in_features**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)


class TemporalConv(Linear):
    """A convolution over time, within each recording.

    Parameters
    ----------
    n_inputs, n_outputs : int
    radius : int
        Snippets to each side that it looks at; the kernel has ``2 * radius + 1``.
    padding : {"mirror", "zeros"}, default="mirror"
        What lies beyond the ends of a recording.
    bias : bool, default=True

    Notes
    -----
    The weight has the shape (n_outputs, (2 * radius + 1) * n_inputs), with the earliest snippet
    first. A weight (n_outputs, n_inputs, kernel) of ``torch.nn.Conv1d`` becomes it by
    ``weight.transpose(1, 2).flatten(1)``.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        radius: int,
        padding: str = "mirror",
        bias: bool = True,
    ):
        super().__init__((2 * radius + 1) * n_inputs, n_outputs, bias)
        self.radius, self.padding = radius, padding

    def forward(self, x: Tensor, batch: "Batch") -> Tensor:  # type: ignore[override]
        """Map the rows x (n_rows, n_inputs) of a batch to (n_rows, n_outputs)."""
        return super().forward(batch.windows(x, self.radius, self.padding))


class BatchNorm(nn.Module):
    """Normalize each column by its mean and variance over the rows of a batch.

    Predictions take running means of both, which are weights without a gradient, so that a model
    file has them, and a training goes on with them. Videos count alike, or by their weights. In a
    training, it needs a stage whose batches come ``whole``.

    Parameters
    ----------
    n_columns : int

    Notes
    -----
    The constants are those of ``torch.nn.BatchNorm1d``. Unlike there, the running variance is not
    corrected for the number of rows.
    """

    MOMENTUM, EPSILON = 0.1, 1e-5

    def __init__(self, n_columns: int):
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.empty(n_columns)) for _ in range(2))
        self.mean, self.variance = (nn.Parameter(torch.empty(n_columns)) for _ in range(2))

    def initialize(self, generator: torch.Generator) -> None:
        """Begin without any effect but the normalization."""
        for parameter in (self.scale, self.variance):
            nn.init.ones_(parameter)
        for parameter in (self.shift, self.mean):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, batch: "Batch", learns: bool) -> Tensor:
        """Normalize rows x (n_rows, n_columns), and if the layer learns, keep their statistics."""
        rows = x.float()
        if learns:
            weights = batch.shares / batch.shares.sum()
            mean = weights @ rows
            variance = weights @ (rows - mean).square()
            with torch.no_grad():
                self.mean.lerp_(mean, self.MOMENTUM)
                self.variance.lerp_(variance, self.MOMENTUM)
        else:
            mean, variance = self.mean.detach(), self.variance.detach()
        normalized = (rows - mean) * (variance + self.EPSILON).rsqrt()
        return (self.scale * normalized + self.shift).to(x.dtype)


class ColumnwiseConv(nn.Module):
    """A convolution over time of each column by itself; beyond the ends of a recording are zeros.

    Parameters
    ----------
    n_columns : int
    n_taps : int
        Snippets that it looks at, an odd number.
    dilation : int, default=1
        Snippets from one of these to the next.

    Notes
    -----
    The weight has the shape (n_columns, n_taps), with the earliest snippet first. There is no bias.
    """

    def __init__(self, n_columns: int, n_taps: int, dilation: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_columns, n_taps))
        self.dilation, self.radius = dilation, n_taps // 2 * dilation

    def forward(self, x: Tensor, batch: "Batch") -> Tensor:
        """Map the rows x (n_rows, n_columns) of a batch to (n_rows, n_columns)."""
        windows = batch.windows(x, self.radius, "zeros").view(len(x), -1, x.shape[1])
        return torch.einsum("tkc,ck->tc", windows[:, :: self.dilation], self.weight.to(x.dtype))

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights: uniform in ±1/√n_taps, which is torch's rule for convolutions."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound, generator=generator)


def xavier_uniform(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all linear layers by the rule of Glorot, and set their biases to 0.

    They are uniform in ±√(6 / (n_inputs + n_outputs)). A network whose layers are to begin so
    calls it in its method ``initialize(generator)``.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def kaiming_uniform(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all linear layers by the rule of He, and set their biases to 0.

    They are uniform in ±√(6 / n_inputs); of a convolution, n_inputs counts the whole kernel. As
    :func:`xavier_uniform` otherwise.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            bound = (6 / layer.in_features) ** 0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of a network from a generator; the global one stays untouched.

    Each layer that has a method ``initialize(generator)`` is asked to; a network may have one too,
    which is asked last.

    Raises
    ------
    TypeError
        If a layer has weights that nothing would give a value, has buffers, which are neither
        trained nor kept, or draws from the global generator.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            raise TypeError(f"{name} is a {type(module).__name__}; use batch.dropout in its place.")
    for name, _ in network.named_buffers():
        raise TypeError(f"The network has the buffer {name}; nothing but weights is kept.")
    drawn: set[Tensor] = set()
    for module in reversed([*network.modules()]):
        draw = getattr(module, "initialize", None)
        if callable(draw):
            draw(generator)
            drawn.update(module.parameters())
    for name, parameter in network.named_parameters():
        if parameter not in drawn:
            layer = network.get_submodule(name.rpartition(".")[0])
            raise TypeError(
                f"Nothing draws the weights {name}, since {type(layer).__name__} has no method "
                "initialize(generator). Use the layers of skdgam.layers, or give the network such "
                "a method."
            )
