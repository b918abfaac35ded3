"""Equality with the released implementation, and proposals worked out by hand."""

import numpy as np
import pytest
from scipy.special import expit

from skdgam.localization import Activation, select_classes, tcam_proposals
from skdgam.sampling import uniform_sample

SETTINGS = {
    "thumos14": {
        "n_snippets": (50, 400),
        "threshold": {"rgb": 0.03, "flow": 0.08},
        "smoothing": 0.0,
        "weight": {"rgb": 0.35, "flow": 0.65},
    },
    "activitynet12": {
        "n_snippets": (2, 200),
        "threshold": {"rgb": 0.01, "flow": 0.01},
        "smoothing": 25.0,
        "weight": {"rgb": 0.5, "flow": 0.5},
    },
}


def activation_of(released, i, stream):
    """Attention and T-CAM from the released weights, in numpy."""
    x = released[f"video{i}_{stream}"]
    least, most = SETTINGS[released.benchmark]["n_snippets"]
    x = x[uniform_sample(len(x), min(max(len(x), least), most))]
    w = released.weights(f"{stream}.")
    hidden = np.maximum(x @ w["att_head.fc1.weight"].T + w["att_head.fc1.bias"], 0)
    logit = hidden @ w["att_head.fc2.weight"].T + w["att_head.fc2.bias"]
    return Activation(
        expit(logit[:, 0]),
        x @ w["clf_head.fc1.weight"][:-1].T,
        w["clf_head.fc1.bias"][:-1],
        released[f"video{i}_{stream}_probability"],
    )


@pytest.mark.parametrize("i", range(10))
@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_tcam_proposals_are_those_of_the_released_implementation(released, i, stream):
    settings = SETTINGS[released.benchmark]
    own = activation_of(released, i, stream)
    np.testing.assert_allclose(own.attention, released[f"video{i}_{stream}_attention"], rtol=1e-4)
    other = activation_of(released, i, "flow" if stream == "rgb" else "rgb")
    proposals = tcam_proposals(
        own,
        select_classes(own.probability, 0.1),
        [settings["threshold"][stream]],
        eta=0.3,
        smoothing=settings["smoothing"],
        others=[other],
        stream_weight=settings["weight"][stream],
    )
    seconds = 0.64 * len(released[f"video{i}_{stream}"]) / len(own.attention)
    rows = np.array(
        [(p["label"], p["score"], p["start"] * seconds, p["end"] * seconds) for p in proposals]
    ).reshape(-1, 4)
    theirs = released[f"video{i}_{stream}_proposals"]
    np.testing.assert_allclose(
        rows[np.lexsort(rows.T[::-1])], theirs[np.lexsort(theirs.T[::-1])], atol=1e-4
    )
