"""CO2NetLocalizer: two streams, each filtered by what the other one says of its features."""

from typing import Any

import numpy as np
from torch import Tensor

from skdgam import losses
from skdgam.localization import Activation
from skdgam.methods._consensus import ConsensusNetwork
from skdgam.methods._settings import ACTIVITYNET12, COUNT, SHARE, THUMOS14, WEIGHT
from skdgam.methods._suppression import SuppressionLocalizer, guide
from skdgam.training.batches import Batch
from skdgam.training.protocol import LossTerms, Stage

__all__ = ["CO2NetLocalizer"]

N_PAIRS = 3  # of videos that share a class, in each batch
MARGIN = 0.5  # how much farther what is outside a class must be than what is inside
POOLED = 10  # one snippet in so many classifies a video, for localization


class CO2NetLocalizer(SuppressionLocalizer):
    r"""Cross-modal consensus network of Hong, Feng, Xu, Shan and Zheng [1]_.

    The two halves of the features are two streams, RGB v and flow f. The mean of a stream over
    time and the snippets of the other one, both through a layer, give a gate for each of its
    values, :math:`\sigma(g \odot h_t)`. Each filtered stream has an attention,
    :math:`\lambda^v` and :math:`\lambda^f`, the mean of which is :math:`\lambda`; both together
    are fused to features :math:`x_t`, which are classified into logits :math:`s_t` of the actions
    and of background. The loss is a weighted sum of

    - ``base``, in which there has to be background, and ``suppressed``, by
      :math:`\lambda`, in which there has to be none (:func:`skdgam.losses.multiple_instance_loss`,
      :func:`skdgam.losses.suppress`);
    - ``coactivity`` of videos in pairs, which should look alike where a class is that both show
      (:func:`skdgam.losses.coactivity_loss`);
    - ``mutual``, the squared distance of :math:`\lambda^v` and :math:`\lambda^f`;
    - ``sparsity``, the mean of the three kinds of attention, and ``guide``, their mean distance
      from the probability of any action.

    Parameters
    ----------
    hidden : int or None, default=None
        Units of the layer that fuses the streams and of the classifier; None is as many as there
        are features.
    attention_width : int, default=512
        Units of both convolutions of each attention.
    topk : int, default=7
        One snippet in so many is pooled in training; for localization it is one in ten.
    dropout : float, in [0, 1), default=0.7
        Share of the units of the fusion and of the classifier that training leaves out.
    attention_dropout : float, in [0, 1), default=0.5
        The same of the gates and of the attentions. It comes last, too, so that this share of
        the snippets has an attention of 1/2 in training.
    coactivity, mutual : float, default=1.0
        Weights of these losses.
    sparsity, guide : float, default=0.8
        Weights of these losses.
    weight_decay : float, default=1e-3
        Of Adam.
    smoothing_radius : int, default=0
        Logits and attention are averaged over so many snippets to each side, in training, too;
        beyond the ends of a video there is 0.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch, by the names above.

    Notes
    -----
    Network, losses and localization are by default as released for THUMOS14; the presets have the
    released training, too. An epoch has as many batches as the videos fill, but its videos are
    drawn: each begins with three pairs of different videos that share a class
    (:func:`skdgam.sampling.batches_of_pairs`). The release keeps the weights that are best on the
    test set, and scores without the parts of videos that are ambiguous, on whole snippets: its
    figures are up to three points above mAP in seconds. It leaves videos of up to ten snippets out
    of ActivityNet.

    Proposals are runs of attention above each `proposal_threshold`, the same for every class;
    unlike the release, one of the first snippet alone counts, too. Their scores are logits,
    lowered by :func:`skdgam.intervals.soft_non_maximum_suppression`, for which each is a snippet
    longer, as released. `nms_threshold`, `proposal_smoothing` and `stream_weight` have no effect. A
    gate depends on the whole of a video, which goes through the network at once.

    References
    ----------
    .. [1] F.-T. Hong, J.-C. Feng, D. Xu, Y. Shan, W.-S. Zheng: Cross-modal Consensus Network for
       Weakly Supervised Temporal Action Localization. ACM Multimedia 2021.

    Examples
    --------
    >>> from skdgam.datasets import make_untrimmed
    >>> from skdgam.methods import CO2NetLocalizer
    >>> X, y = make_untrimmed(n_videos=20, n_classes=2, n_features=(8, 8), random_state=0)
    >>> model = CO2NetLocalizer(attention_width=16, max_epochs=3, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (20,)
    """

    _architecture = ("hidden", "attention_width", "smoothing_radius")
    presets = {  # noqa: RUF012
        "CO2NET_THUMOS14": {
            **THUMOS14,
            "max_epochs": 250,  # 5,000 steps on 200 videos
            "learning_rate": 5e-5,
        },
        "CO2NET_ACTIVITYNET12": {
            **ACTIVITYNET12,
            "n_snippets": 60,
            "max_epochs": 46,  # 22,000 steps on 4,819 videos
            **{"learning_rate": 3e-5, "weight_decay": 5e-4},
            **{"topk": 5, "smoothing_radius": 6},
        },
    }

    topk: int = 7
    attention_dropout: float = 0.5
    coactivity: float = 1.0
    mutual: float = 1.0
    weight_decay: float = 1e-3
    batch_size: int = 10

    _parameter_constraints = SuppressionLocalizer._parameter_constraints | {
        "topk": COUNT,
        "attention_dropout": SHARE,
        **dict.fromkeys(("coactivity", "mutual", "weight_decay"), WEIGHT),
    }

    _network = ConsensusNetwork

    def _stages(self) -> list[Stage]:
        return [
            Stage(
                *("network", ("",), self._losses),
                weight_decay=self.weight_decay,
                n_pairs=N_PAIRS,
                distinct_pairs=True,
            )
        ]

    def _losses(self, network: Any, batch: Batch) -> LossTerms:
        return self._terms(batch, *network.describe(batch, self.dropout, self.attention_dropout))

    def _terms(
        self, batch: Batch, features: Tensor, logits: Tensor, attention: Tensor
    ) -> LossTerms:
        suppressed = losses.suppress(logits, attention[:, 0])

        def classification(values: Tensor, background: float) -> Tensor:
            loss = losses.multiple_instance_loss(
                batch.of_videos(values), batch.labels, self.topk, background
            )
            return batch.mean_of_videos(loss)

        in_pairs = slice(2 * batch.n_pairs)
        of_pairs = losses.coactivity_of_pairs(
            batch.of_videos(features)[in_pairs],
            batch.of_videos(suppressed[:, :-1])[in_pairs],
            batch.labels,
            MARGIN,
        )
        _, one, other = attention.unbind(dim=1)
        apart = (one - other.detach()).square() + (one.detach() - other).square()
        return {
            "base": (1.0, classification(logits, 1.0)),
            "suppressed": (1.0, classification(suppressed, 0.0)),
            "coactivity": (self.coactivity, batch.mean_of_pairs(*of_pairs)),
            "mutual": (self.mutual, batch.mean(apart / 2)),
            "sparsity": (self.sparsity, batch.mean(attention.mean(dim=1))),
            "guide": (self.guide, batch.mean(guide(attention, logits))),
        }

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        return self._attended(attention, logits, POOLED)
