"""Networks at work on whole recordings."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from skdgam._features import grouped
from skdgam.training.batches import Batch, to_rows
from skdgam.training.devices import limited_threads, shielded

__all__ = ["map_snippets", "to_arrays"]

# Snippets that go through the network at once: what bounds the memory of inference. On a CPU they
# stay in a cache from one layer to the next.
ROWS_AT_ONCE = {"cpu": 1_024, "cuda": 65_536}


def to_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """Copy the weights of a network into arrays."""
    return {name: value.cpu().numpy().copy() for name, value in network.state_dict().items()}


def map_snippets(
    function: Callable[[nn.Module, Batch], Tensor],
    network: nn.Module,
    videos: Iterable[np.ndarray],
    dtype: torch.dtype = torch.float32,
) -> Iterator[np.ndarray]:
    """Yield function(network, batch) for the snippets of each video, as a float32 array.

    The function returns a row for each row of the batch. Short videos go through the network
    together, long ones in pieces, which overlap by the snippets that the network looks at to each
    side: its attribute ``reach``, if it has one. With None there, it looks at all of a video, which
    then comes whole, however long it is.

    Raises
    ------
    FloatingPointError
        If something is not finite.
    """
    device = next(network.parameters()).device
    n_rows, reach = ROWS_AT_ONCE[device.type], getattr(network, "reach", 0)
    n_weights = sum(parameter.numel() for parameter in network.parameters())
    for group in grouped(videos, n_rows // 4):
        results = []
        for pieces in _pieces(group, n_rows, reach):
            rows = to_rows([piece for piece, _ in pieces], dtype).to(device)
            lengths = np.array([len(piece) for piece, _ in pieces])
            batch = Batch(rows, lengths, rows.new_zeros(len(pieces), 0), lengths, len(pieces))
            was_training = network.training
            with shielded(), torch.inference_mode(), limited_threads(len(rows) * n_weights):
                values = function(network.eval(), batch).float().cpu().numpy()
            network.train(was_training)
            for (_, inner), of_piece in zip(
                pieces, np.split(values, np.cumsum(lengths))[:-1], strict=True
            ):
                results.append(of_piece[inner])
        values = results[0] if len(results) == 1 else np.concatenate(results)
        if not np.isfinite(values).all():
            largest = max(np.abs(video).max() for video in group)
            raise FloatingPointError(
                f"The networks overflow on features of up to {largest:.2g}. Give them "
                "features of the scale that they were trained on."
            )
        yield from np.split(values, np.cumsum([len(video) for video in group[:-1]]))


def _pieces(
    group: list[np.ndarray], n_rows: int, reach: int | None
) -> Iterator[list[tuple[np.ndarray, slice]]]:
    """Yield what goes through the network at once: pieces of videos, and which rows are new.

    A video that is too long is cut. Its pieces overlap, since what lies near a cut is computed as
    if the video ended there.
    """
    if len(group) > 1 or len(group[0]) <= n_rows or reach is None:
        yield [(video, slice(None)) for video in group]
        return
    (video,) = group
    for first in range(0, len(video), n_rows):
        begin = max(first - reach, 0)
        new = slice(first - begin, first - begin + n_rows)
        yield [(video[begin : first + n_rows + reach], new)]
