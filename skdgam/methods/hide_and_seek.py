"""HideAndSeekLocalizer: parts of a video are hidden in training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri, softmax
from sklearn.utils._param_validation import StrOptions
from torch import Tensor, nn

from skdgam import losses
from skdgam.base import BaseLocalizer
from skdgam.clock import SnippetClock
from skdgam.layers import Linear, TemporalConv
from skdgam.localization import Activation, check_proposal_thresholds
from skdgam.methods._localization import logit_proposals
from skdgam.methods._settings import COUNT, SHARE
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["HideAndSeekLocalizer"]


class HideAndSeekLocalizer(BaseLocalizer):
    r"""Hide-and-Seek of Singh and Lee [1]_: all of an action is learned where parts are hidden.

    In training, a video is divided into equal segments, each of which is hidden with a certain
    probability: its features become their mean over the training snippets. A network that relies
    on the most telling part of an action alone then fails. The network is two convolutions over
    time, whose maxima over the video are classified by a linear layer with softmax; its class
    activation map localizes.

    Parameters
    ----------
    n_segments : int, default=20
        Segments of a video that are hidden or shown as a whole.
    hidden_share : float, in [0, 1), default=0.5
        Probability that a segment is hidden. 0 hides nothing.
    hidden : int, default=512
        Units of both convolutions, which look at three snippets.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of the loss in each epoch: ``classification``.

    Notes
    -----
    Only the hiding is well known: the code that was published is for images. The network follows
    the paper's description; its width and everything of the training are uncertain, so that
    there is no preset. Where all segments of a video would be hidden, the likeliest one is shown.
    Hidden features are 0, which is their mean with ``standardize=True``.

    A class is searched for if it is more probable than `class_threshold`, and a video may yield
    nothing. Where its activation exceeds a share of its maximum, `proposal_threshold`, there is a
    proposal, which scores the maximum inside. `proposal_smoothing`, `eta` and `stream_weight` have
    no effect. Attention is the probability of the surest class.

    References
    ----------
    .. [1] K. K. Singh, Y. J. Lee: Hide-and-Seek: Forcing a Network to be Meticulous for
       Weakly-supervised Object and Action Localization. ICCV 2017.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import HideAndSeekLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, random_state=0)
    >>> model = HideAndSeekLocalizer(hidden=32, max_epochs=3, random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (20,)
    """

    _architecture = ("hidden",)

    n_segments: int = 20
    hidden_share: float = 0.5
    hidden: int = 512
    learning_rate: float = 1e-3
    proposal_threshold: Any = 0.5

    _exclusive_classes = True
    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "n_segments": COUNT,
        "hidden_share": SHARE,
        "hidden": COUNT,
        "localization": [StrOptions({"tcam"})],
    }

    class _network(nn.Module):  # noqa: N801
        """Two convolutions over time, and a linear classifier."""

        reach = 2

        def __init__(self, n_features: int, n_classes: int, *, hidden: int):
            super().__init__()
            self.first = TemporalConv(n_features, hidden, 1, padding="zeros")
            self.second = TemporalConv(hidden, hidden, 1, padding="zeros")
            self.classifier = Linear(hidden, n_classes)

        def describe(self, x: Tensor, batch: Batch) -> Tensor:
            """Hidden features (n_rows, hidden), not negative, of x (n_rows, n_features)."""
            return self.second(self.first(x, batch).relu(), batch).relu()

        def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
            """Probability (n_rows,) of the surest class; activation, and behind it features."""
            features = self.describe(batch.x, batch)
            activation = self.classifier(features).float()
            columns = torch.cat([activation, features.float()], dim=1)
            return activation.softmax(dim=1).amax(dim=1), columns

    def _stages(self) -> list[Stage]:
        return [Stage("network", ("",), self._losses)]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        x = batch.x
        if batch.deviates is not None and self.hidden_share:
            x = x * shown(batch, self.n_segments, self.hidden_share)[:, None].to(x.dtype)
        features = batch.of_videos(network.describe(x, batch))
        pooled = network.classifier(torch.stack([h.amax(dim=0) for h in features])).float()
        loss = losses.classification_loss(pooled, losses.equal_shares(batch.labels))
        return {"classification": (1.0, batch.mean_of_videos(loss))}

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        n_classes = network.classifier.out_features
        most = torch.from_numpy(logits[:, n_classes:].max(axis=0, keepdims=True))
        with torch.no_grad():
            pooled = network.classifier(most.to(network.classifier.weight.device))[0].cpu().numpy()
        bias = network.classifier.bias.detach().cpu().numpy()
        return Activation(attention, logits[:, :n_classes] - bias, bias, softmax(pooled))

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        return logits[:, : network.classifier.out_features].softmax(dim=1)

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        proposals = logit_proposals(
            activation,
            np.flatnonzero(activation.probability > self.class_threshold),
            check_proposal_thresholds(self.proposal_threshold, self.localization),
            activation.probability,
            video_weight=0.0,
            least=0.0,
            shortest=1,
        )
        return self._in_seconds(proposals, clock)


def shown(batch: Batch, n_segments: int, hidden_share: float) -> Tensor:
    """Draw which rows (n_rows,) of a batch are shown, by segments of its videos.

    Segment j begins at row ``j * T // n_segments`` of a video of T rows. At least one segment of
    each video is shown.
    """
    noise = batch.noise(1)[:, 0].float()
    of_segments = []
    for deviates in batch.of_videos(noise):
        n = len(deviates)
        rows = torch.arange(n, device=noise.device)
        segment = ((rows + 1) * n_segments - 1) // n
        of_segment = deviates[segment * n // n_segments]  # at the first row of each
        of_segments.append((of_segment > ndtri(hidden_share)) | (of_segment == of_segment.max()))
    of_rows = torch.cat(of_segments)
    return torch.cat([of_rows, of_rows.new_zeros(len(noise) - len(of_rows))])
