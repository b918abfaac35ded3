"""Fitted weights at work: from arrays to networks, from features to activations."""

import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor

from skdgam._batches import to_tensor, windows
from skdgam._features import Videos, grouped
from skdgam.localization import Activation
from skdgam.networks import DGAM
from skdgam.sampling import uniform_sample

# Snippets that go through the networks at once: what bounds the memory of inference. On a CPU
# they stay in a cache from one layer to the next.
ROWS_AT_ONCE = {"cpu": 1_024, "cuda": 65_536}
CVAE = ("encoder.", "decoder.")  # how the names of its weights begin


def resolve_device(device: str, fallback: bool = False) -> torch.device:
    """Find the device that a user's string names.

    Without CUDA, a CUDA device is an error, or with `fallback` the CPU and a warning.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = torch.device("meta")
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f'device={device!r}, but it must be "auto", "cpu" or "cuda", "cuda:1", ….')
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        message = (
            f"device={device!r}, but this machine has {torch.cuda.device_count()} CUDA devices "
            "that torch can use"
        )
        if not fallback:
            raise ValueError(f'{message}; use device="auto" or "cpu".')
        warnings.warn(f"{message}; the CPU is used instead.", UserWarning, stacklevel=2)
        return torch.device("cpu")
    return resolved


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Find the dtype of products in training.

    "auto" is bfloat16 where the device has units for it, else float32.
    """
    supported = has_bfloat16(device)
    if precision == "bfloat16" and not supported:
        raise ValueError(
            f'precision="bfloat16", but the device {device} has no units for it and would be '
            'slower with it; use "float32" or "auto".'
        )
    return torch.bfloat16 if supported and precision != "float32" else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has units for products in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_amx_tile_supported()  # private, and the only way to ask


def to_arrays(network: DGAM) -> dict[str, np.ndarray]:
    """Copy the weights of a network into arrays."""
    return {name: value.cpu().numpy().copy() for name, value in network.state_dict().items()}


def from_arrays(
    weights: dict[str, np.ndarray], device: torch.device, dtype: torch.dtype = torch.float32
) -> DGAM:
    """Build the network that has these weights, if they are those of one."""
    n_outputs, n_features = weights["classifier.weight"].shape
    latent_dim, temporal_context = 1, 0
    generative = "encoder.third.bias" in weights  # a released checkpoint has no CVAE
    if generative:
        latent_dim = weights["encoder.third.bias"].size // 2
        n_features = weights["decoder.third.bias"].size
        temporal_context = weights["attention_head.0.weight"].shape[1] // n_features // 2
    # Of sizes alone, so that weights which belong to no network take no memory in one.
    network = DGAM(
        *(n_features, n_outputs - 1, latent_dim),
        temporal_context=temporal_context,
        device="meta",
    )
    # torch.tensor copies: arrays that were loaded as memory maps are not writable.
    state = {name: torch.tensor(value) for name, value in weights.items()}
    if not generative:  # its layers stay without values
        sizes = {n: v.shape for n, v in network.state_dict().items() if n.startswith(CVAE)}
        state = {name: torch.empty(size) for name, size in sizes.items()} | state
    network.load_state_dict(state, assign=True)
    return network.to(device, dtype)


def map_snippets(
    function: Callable[[DGAM, Tensor, Tensor], Tensor],
    network: DGAM,
    videos: Iterable[np.ndarray],
) -> Iterator[np.ndarray]:
    """Yield function(network, x, seen) for the snippets of each video, as a float32 array.

    `seen` is what attention and classifier are given of the snippets x. Short videos go through
    the networks together, long ones in parts; both are of the dtype of the networks.

    Raises
    ------
    FloatingPointError
        If something is not finite.
    """
    weight = network.classifier.weight
    n_rows = ROWS_AT_ONCE[weight.device.type]
    for group in grouped(videos, n_rows // 4):
        rows = group[0] if len(group) == 1 else np.concatenate(group)
        lengths = np.array([len(video) for video in group])
        if network.temporal_context:
            around = windows(lengths, network.temporal_context, len(rows))
        parts = []
        for first in range(0, len(rows), n_rows):
            part = slice(first, first + n_rows)
            x = seen = to_tensor(rows[part]).to(weight.device, weight.dtype)
            if network.temporal_context:
                seen = torch.from_numpy(rows[around[part]]).to(weight.device, weight.dtype)
                seen = seen.flatten(1)
            with torch.inference_mode():
                parts.append(function(network, x, seen).float().cpu().numpy())
        values = np.concatenate(parts)
        if not np.isfinite(values).all():
            raise FloatingPointError(
                f"The networks overflow on features of up to {np.abs(rows).max():.2g}. Give them "
                "features of the scale that they were trained on."
            )
        yield from np.split(values, np.cumsum(lengths[:-1]))


def activations(
    network: DGAM, videos: Videos, n_used: np.ndarray, classification: str
) -> Iterator[Activation]:
    """Yield what the networks say of each video, on n_used[i] of its snippets."""
    used = (
        video if len(video) == n else video[uniform_sample(len(video), n)]
        for video, n in zip(videos, n_used, strict=True)
    )
    bias = network.classifier.bias.detach().float().cpu().numpy()

    def attention_and_tcam(network: DGAM, x: Tensor, seen: Tensor) -> Tensor:
        return torch.column_stack(network.heads(seen))

    for values in map_snippets(attention_and_tcam, network, used):
        attention, tcam = values[:, 0], values[:, 1:]
        # Pooling and the classifier are linear, so the logits are pooled instead of features.
        mass = max(attention.sum(dtype=np.float64), np.finfo(np.float64).tiny)
        logits = (attention @ tcam).astype(np.float64) / mass + bias
        if classification == "softmax":
            yield Activation(attention, tcam[:, :-1], bias[:-1], softmax(logits)[:-1])
        else:  # of each class by itself, to which its bias belongs
            tcam, no_bias = (tcam + bias)[:, :-1], np.zeros_like(bias[:-1])
            yield Activation(attention, tcam, no_bias, expit(logits)[:-1])
