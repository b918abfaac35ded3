"""I3D, the network that most published features of videos come from.

Inception-v1, inflated to three dimensions (Carreira and Zisserman, CVPR 2017). Weights are those
of files that others publish; batch normalization is folded into convolutions when they are read.
"""

import os
import re
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["I3D", "random_i3d_weights", "read_i3d_weights"]

EPSILON = 1e-3  # of batch normalization
N_LOGITS = 400
N_CHANNELS = {"rgb": 3, "flow": 2}
# Kernel, stride and outputs of units; kernel and stride of pools; outputs of the branches of mixed
# blocks: b0, b1a, b1b, b2a, b2b, b3b.
LAYERS: dict[str, tuple[tuple, ...]] = {
    "Conv3d_1a_7x7": ((7, 7, 7), (2, 2, 2), (64,)),
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "Conv3d_2b_1x1": ((1, 1, 1), (1, 1, 1), (64,)),
    "Conv3d_2c_3x3": ((3, 3, 3), (1, 1, 1), (192,)),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((64, 96, 128, 16, 32, 32),),
    "Mixed_3c": ((128, 128, 192, 32, 96, 64),),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": ((192, 96, 208, 16, 48, 64),),
    "Mixed_4c": ((160, 112, 224, 24, 64, 64),),
    "Mixed_4d": ((128, 128, 256, 24, 64, 64),),
    "Mixed_4e": ((112, 144, 288, 32, 64, 64),),
    "Mixed_4f": ((256, 160, 320, 32, 128, 128),),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": ((256, 160, 320, 32, 128, 128),),
    "Mixed_5c": ((384, 192, 384, 48, 128, 128),),
}
# Branches in kinetics_i3d_pytorch, whose first part is in lower case there.
BRANCHES = {
    **{"branch_0": "b0", "branch_1.0": "b1a", "branch_1.1": "b1b"},
    **{"branch_2.0": "b2a", "branch_2.1": "b2b", "branch_3.1": "b3b"},
}
ONE, THREE = (1, 1, 1), (3, 3, 3)


class I3D(nn.Module):
    """The network, for what it says of snippets; it is not made to be trained.

    Parameters
    ----------
    weights : mapping of str to Tensor
        As :func:`read_i3d_weights` or :func:`random_i3d_weights` return them. The first
        convolution says whether they are for RGB or flow.
    """

    def __init__(self, weights: Mapping[str, Tensor]):
        super().__init__()
        self.layers = nn.ModuleDict()
        for name, layer in LAYERS.items():
            if len(layer) == 1:
                self.layers[name] = _Mixed(weights, name)
            elif len(layer) == 2:
                self.layers[name] = _Pool(*layer)
            else:
                self.layers[name] = _Unit(*_folded(weights, name), layer[1])
        self.logits_weight = nn.Parameter(weights["logits.conv3d.weight"][:, :, 0, 0, 0])
        self.logits_bias = nn.Parameter(weights["logits.conv3d.bias"])
        self.requires_grad_(False).eval()

    def stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the output of each layer (n, channels, time, height, width), by its name."""
        for name, layer in self.layers.items():
            x = layer(x)
            yield name, x

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 1024) of snippets (n, channels, time, height, width), in [-1, 1].

        The mean over time and space: what the published average pool gives for 16 frames of
        224 × 224, and the mean of it for more frames or larger ones.
        """
        return self.pooled(x).mean(dim=(2, 3, 4))

    def pooled(self, x: Tensor) -> Tensor:
        """The published average pool (n, 1024, time, height, width); of small snippets the mean."""
        *_, (_, last) = self.stages(x)
        size = [min(n, most) for n, most in zip(last.shape[2:], (2, 7, 7), strict=True)]
        return F.avg_pool3d(last, size, stride=1)

    def logits(self, pooled: Tensor) -> Tensor:
        """Logits (n, 400, time, height, width) of the actions of Kinetics."""
        by_class = F.linear(pooled.movedim(1, -1), self.logits_weight, self.logits_bias)
        return by_class.movedim(-1, 1)


def read_i3d_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a file that others publish.

    Parameters
    ----------
    path : path
        Of pytorch-i3d (``rgb_imagenet.pt``, ``flow_imagenet.pt``) or kinetics_i3d_pytorch
        (``model_rgb.pth``, ``model_flow.pth``). Nothing in it is executed.

    Returns
    -------
    weights : dict of str to Tensor
        By the names of pytorch-i3d.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such file; the message names the first tensor that is missing, or of another
        shape.
    """
    with open(path, "rb"):  # that it is missing, or a folder, is said by the usual errors
        pass
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of whatever kind unpickling stumbles over
        raise ValueError(
            f"{path} cannot be read as weights of I3D: it is no file that torch has saved, is "
            "damaged, or holds more than tensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no weights by name, as files of I3D do.")
    weights = {
        _plain_name(name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    first = weights.get("Conv3d_1a_7x7.conv3d.weight")
    n_channels = first.shape[1] if first is not None and first.ndim == 5 else 3
    shapes = _shapes(n_channels, len(weights.get("logits.conv3d.bias", range(N_LOGITS))))
    for name, shape in shapes.items():
        if name not in weights or tuple(weights[name].shape) != shape:
            there = tuple(weights[name].shape) if name in weights else "not there"
            raise ValueError(
                f"{path} is no file of I3D: {name} must have shape {shape}, and is {there}. Files "
                "of pytorch-i3d and of kinetics_i3d_pytorch are read."
            )
    return {name: weights[name].float() for name in shapes}


def random_i3d_weights(stream: str = "rgb", seed: int = 0) -> dict[str, Tensor]:
    """Weights of no meaning, for trying things out: each is drawn by its name.

    Parameters
    ----------
    stream : {"rgb", "flow"}, default="rgb"
    seed : int, default=0

    Returns
    -------
    weights : dict of str to Tensor
    """
    if stream not in N_CHANNELS:
        raise ValueError(f'stream is {stream!r}; it must be "rgb" or "flow".')
    ranges = {"bn.weight": (0.75, 1.25), "bn.running_var": (0.5, 1.5), "conv3d.bias": (-0.1, 0.1)}
    weights = {}
    for name, shape in _shapes(N_CHANNELS[stream], N_LOGITS).items():
        rng = np.random.default_rng(zlib.crc32(name.encode()) + seed)
        high = np.sqrt(6 / np.prod(shape[1:]))
        low, high = (-high, high) if len(shape) == 5 else ranges.get(_kind(name), (-0.2, 0.2))
        weights[name] = torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))
    return weights


class _Unit(nn.Module):
    """A convolution and ReLU, padded as TensorFlow does."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: tuple[int, ...] = ONE):
        super().__init__()
        self.weight, self.bias, self.stride = nn.Parameter(weight), nn.Parameter(bias), stride

    def forward(self, x: Tensor) -> Tensor:
        kernel = tuple(self.weight.shape[2:])
        if self.stride == ONE:  # the padding is the same on both sides
            return F.conv3d(x, self.weight, self.bias, padding=[k // 2 for k in kernel]).relu_()
        x = _padded(x, kernel, self.stride)
        return F.conv3d(x, self.weight, self.bias, self.stride).relu_()


class _Pool(nn.Module):
    """The maximum, padded as TensorFlow does: with zeros, since nothing here is below."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(_padded(x, self.kernel, self.stride), self.kernel, self.stride)


class _Mixed(nn.Module):
    """Four branches side by side. The first layers of three of them are one convolution."""

    def __init__(self, weights: Mapping[str, Tensor], name: str):
        super().__init__()
        firsts = [_folded(weights, f"{name}.{branch}") for branch in ("b0", "b1a", "b2a")]
        weight, bias = (torch.cat(parts) for parts in zip(*firsts, strict=True))
        self.widths = [len(bias) for _, bias in firsts]
        self.first = _Unit(weight, bias)
        self.second = _Unit(*_folded(weights, f"{name}.b1b"))
        self.third = _Unit(*_folded(weights, f"{name}.b2b"))
        self.fourth = _Unit(*_folded(weights, f"{name}.b3b"))

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = self.first(x).split(self.widths, dim=1)
        fourth = self.fourth(F.max_pool3d(x, THREE, ONE, padding=1))
        return torch.cat([first, self.second(second), self.third(third), fourth], dim=1)


def _padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Pad with zeros so that every step of a stride has an output; the odd one goes behind."""
    pads: list[int] = []
    for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads = [total // 2, total - total // 2, *pads]  # the last axis comes first
    return F.pad(x, pads) if any(pads) else x


def _folded(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch normalization behind it."""
    scale, shift, mean, variance = (
        weights[f"{name}.bn.{part}"].double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / (variance + EPSILON).sqrt()
    weight = weights[f"{name}.conv3d.weight"] * factor[:, None, None, None, None]
    return weight.float(), (shift - mean * factor).float()


def _shapes(n_channels: int, n_logits: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors, by the names of pytorch-i3d."""
    convolutions: dict[str, tuple[int, ...]] = {}
    width = n_channels
    for name, layer in LAYERS.items():
        if len(layer) == 3:
            kernel, _, (n_outputs,) = layer
            convolutions[name] = (n_outputs, width, *kernel)
            width = n_outputs
        elif len(layer) == 1:
            b0, b1a, b1b, b2a, b2b, b3b = layer[0]
            convolutions |= {
                f"{name}.b0": (b0, width, *ONE),
                f"{name}.b1a": (b1a, width, *ONE),
                f"{name}.b1b": (b1b, b1a, *THREE),
                f"{name}.b2a": (b2a, width, *ONE),
                f"{name}.b2b": (b2b, b2a, *THREE),
                f"{name}.b3b": (b3b, width, *ONE),
            }
            width = b0 + b1b + b2b + b3b
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in convolutions.items():
        shapes[f"{name}.conv3d.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = shape[:1]
    shapes["logits.conv3d.weight"] = (n_logits, width, *ONE)
    shapes["logits.conv3d.bias"] = (n_logits,)
    return shapes


def _kind(name: str) -> str:
    """The last two parts of the name of a tensor: what it is for."""
    return ".".join(name.split(".")[-2:])


def _plain_name(name: str) -> str:
    """The name in pytorch-i3d of a tensor of kinetics_i3d_pytorch, or of pytorch-i3d itself."""
    name = name.replace("conv3d_0c_1x1.", "logits.").replace(".batch3d.", ".bn.")
    layer, dot, rest = name.partition(".")
    layer = {known.lower(): known for known in LAYERS}.get(layer.lower(), layer)
    branch = re.match(r"branch_\d(\.\d)?(?=\.)", rest)
    if branch:
        whole = branch[0] if branch[0] in BRANCHES else "branch_0"
        rest = BRANCHES[whole] + rest[len(whole) :]
    return layer + dot + rest
