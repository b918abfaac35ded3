"""What the tests of CO2-Net and DELU share: their networks have the same parts."""

import numpy as np
from released_methods import batch_of

PARTS = {
    "of_video": "channel_conv.0",
    "of_snippets": "bit_wise_attn.0",
    "attention.first": "attention.0",
    "attention.second": "attention.3",
    "attention.last": "attention.5",
}
NAMES = {
    **{
        f"{stream}.{ours}": f"{stream_there}Attn.{theirs}"
        for stream, stream_there in (("first", "v"), ("second", "f"))
        for ours, theirs in PARTS.items()
    },
    "fusion": "fusion.0",
    "convolution": "classifier.1",
    "classifier": "classifier.4",
}
# In the order in which they are applied, and what share each drops.
MASKS = {
    **{
        f"{stream}Attn.{part}": 0.5
        for stream in "vf"
        for part in ("channel_conv.2", "bit_wise_attn.2", "attention.2", "attention.6")
    },
    **dict.fromkeys(("fusion.2", "classifier.0", "classifier.3"), 0.7),
}


def released_weights(reference, prefix):
    """Weights, or gradients; of the convolution of one value, only the middle takes part."""
    found = reference.weights(prefix)
    for name in ("first.of_video.weight", "second.of_video.weight"):
        before, middle, behind = np.split(found[name], 3, axis=1)
        found[name] = middle
        if "grad" in prefix:
            assert not before.any()
            assert not behind.any()
    return found


def training_batch(reference, run="train", **changes):
    """The batch of the released implementation; its first six videos are three pairs."""
    masks = None
    if run == "drop":
        masks = []
        for name, share in MASKS.items():
            mask = reference[f"drop.mask.{name}"]
            mask = np.broadcast_to(mask, (*mask.shape[:2], 40)).swapaxes(1, 2)
            masks.append(mask.reshape(400, -1) / (1 - share))
    X, labels = [*reference["train.x"]], reference["train.labels"]
    return batch_of(X, labels, n_pairs=3, masks=masks, **changes)
