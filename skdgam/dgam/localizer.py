"""DGAMLocalizer: the method as one scikit-learn estimator."""

from collections.abc import Iterable
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skdgam._labels import check_classes
from skdgam._typing import Indexed, PathOrName
from skdgam.base import BaseLocalizer
from skdgam.dgam import presets
from skdgam.dgam.joint import JointDGAM, JointObjective
from skdgam.dgam.networks import DGAM
from skdgam.dgam.objective import Objective, class_probability
from skdgam.dgam.released import read_released
from skdgam.localization import Activation, linear_softmax
from skdgam.training.batches import Batch
from skdgam.training.inference import to_arrays
from skdgam.training.protocol import Stage

__all__ = ["DGAMLocalizer"]


class DGAMLocalizer(BaseLocalizer):
    r"""Weakly-supervised temporal action localization by generative attention modeling.

    From videos whose labels are known as a whole, it learns when each action happens. An
    attention λ in [0, 1] for each snippet is trained by classification of what it selects,
    and by a conditional VAE that models how snippets look given their attention, so that
    context beside an action is not taken for it [1]_.

    The defaults are for data that nobody has tuned it for. They depart from the paper: attention
    is what the classes say of a snippet (:mod:`skdgam.dgam.joint`). The paper's own method is
    ``attention_source="head"``, with the other parameters as in :mod:`skdgam.presets`.

    Parameters
    ----------
    attention_source : {"classes", "head"}, default="classes"
        Where attention comes from. "classes": from the probabilities of the classes in each
        snippet. "head": from a head of its own, as in the paper.
    n_starts : int, default=5
        For "classes": classifiers that are trained side by side from different initial weights, and
        later learn from each other. Their mean predicts.
    topk : int, default=8
        For "classes": one snippet in so many classifies a video, those where a class is highest.
    alpha : float, default=0.03
        For "head": α of Eq. 6, weight of classifying the background of each video as background.
    beta : float, default=0.1
        β of Eq. 10: weight of the divergence from the latent prior in the CVAE's loss.
    gamma1 : float, default=1.0
        γ₁ of Eq. 16: weight of the reconstruction of snippets from their attention. 0 trains
        without the generative part.
    gamma2 : float, default=0.1
        For "head": γ₂ of Eq. 16, weight of the distance of attention from the T-CAMs.
    r : float, default=1.0
        Distance of the latent priors of attention 0 and attention 1, in each dimension.
    foreground_weight : float, default=1.0
        For "head": weight of classifying the foreground of each video by its labels; 1 in the
        paper.
    latent_dim : int, default=64
        Dimensions of the CVAE's latent variable.
    pooling : {"paper", "released"}, default="released"
        For "head": attention-weighted mean of snippets in training, Eq. 4 and 5, or with the 1
        that the released implementation adds to the foreground's denominator. The mean alone is
        the same for however little attention, which then may vanish everywhere.
    temporal_context : int, default=3
        Snippets to each side that attention and classifier look at. 0 is the paper: a perceptron
        and a linear layer on single snippets. With more, both share a hidden layer, a
        convolution over time. What tells short or similar actions apart is often in their
        surroundings.
    classification : {"softmax", "sigmoid"}, default="softmax"
        For "head": "softmax" is the paper, where one class excludes the others, and labels of a
        video have equal shares. "sigmoid" asks for each class by itself, as several labels a
        video need it, and as "classes" always does.
    dropout : float, in [0, 1), default=0.5
        Share of the units of the hidden layer that attention and classifier are trained without,
        others each time, and of the features; with "classes", 0.4 times that share of the
        features. 0 in the paper.
    warmup_epochs : int, default=50
        For "head": over so many first epochs the weights of the CVAE's loss and of γ₁ rise from
        0; 300 of 6,000 in the paper. For ``partial_fit``, it counts calls. With "classes", γ₁
        rises over the first fifth of the epochs.
    warmup_gamma1 : bool, default=True
        For "head": whether γ₁ takes part in the warm-up.
    {shared}

    Attributes
    ----------
    {fitted}
    history_ : dict of ndarrays of shape (n_epochs,)
        Mean of each loss term in each epoch: ``classification`` and with several starts
        ``agreement``, or with ``attention_source="head"`` ``foreground``, ``background`` and
        ``guide``; with the generative part also ``reconstruction``, ``cvae_reconstruction`` and
        ``cvae_kl``, and with early stopping ``validation``. ``pandas.DataFrame(model.history_)``
        makes a frame of it.

    References
    ----------
    .. [1] B. Shi, Q. Dai, Y. Mu, J. Wang: Weakly-Supervised Action Localization by Generative
       Attention Modeling. CVPR 2020.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.datasets import make_untrimmed
    >>> X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    >>> model = DGAMLocalizer(max_epochs=20, random_state=0).fit(X, y)  # of y, labels only
    >>> detections = model.predict(X)
    >>> detections.shape, detections[0].dtype.names
    ((24,), ('start', 'end', 'label', 'score'))
    >>> 0 <= model.score(X, y) <= 1
    True
    """

    _architecture = (
        *("attention_source", "n_starts"),
        *("latent_dim", "temporal_context", "classification"),
    )
    _remedies = {  # noqa: RUF012
        0: 'train longer, or with attention_source="head", raise gamma2',
        1: 'lower gamma1, or with attention_source="head", raise alpha',
    }
    presets = presets.PRESETS
    loss_groups = {  # noqa: RUF012
        "attention and classifier": (
            *("classification", "agreement", "foreground", "background", "guide", "validation"),
        ),
        "generative part": ("reconstruction", "cvae_reconstruction", "cvae_kl"),
    }

    attention_source: str = "classes"
    n_starts: int = 5
    topk: int = 8
    alpha: float = 0.03
    beta: float = 0.1
    gamma1: float = 1.0
    gamma2: float = 0.1
    r: float = 1.0
    foreground_weight: float = 1.0
    latent_dim: int = 64
    pooling: str = "released"
    temporal_context: int = 3
    classification: str = "softmax"
    dropout: float = 0.5
    warmup_epochs: int = 50
    warmup_gamma1: bool = True
    n_snippets: int | None = None
    max_epochs: int | None = None
    learning_rate: float = 4e-3
    localization: str = "activation"

    _parameter_constraints = BaseLocalizer._parameter_constraints | {
        "attention_source": [StrOptions({"classes", "head"})],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "topk": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "gamma1": [Interval(Real, 0, None, closed="left")],
        "gamma2": [Interval(Real, 0, None, closed="left")],
        "r": [Interval(Real, None, None, closed="neither")],
        "foreground_weight": [Interval(Real, 0, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "pooling": [StrOptions({"paper", "released"})],
        "temporal_context": [Interval(Integral, 0, None, closed="left")],
        "classification": [StrOptions({"softmax", "sigmoid"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
        "warmup_gamma1": ["boolean"],
    }

    def _least_steps(self) -> int:
        # On synthetic videos, mAP was 0.13 after 40 steps, 0.23 after 80, 0.8 after 140, and 1.0
        # after 240. With the paper's attention and settings, it was 0.9 after 60.
        return 100 if self.attention_source == "classes" else 0

    @staticmethod
    def _network(
        n_features: int, n_classes: int, *, attention_source: str, n_starts: int, **shape: Any
    ) -> DGAM | JointDGAM:
        if attention_source == "head":
            return DGAM(n_features, n_classes, **shape)
        del shape["classification"]
        return JointDGAM(n_features, n_classes, n_starts=n_starts, **shape)

    def _stages(self) -> list[Stage]:
        kind = Objective if self.attention_source == "head" else JointObjective
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)}).stages()

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        if isinstance(network, JointDGAM):
            return linear_softmax(attention, logits)
        bias = network.classifier.bias.detach().cpu().numpy()
        # Pooling and the classifier are linear, so the logits are pooled instead of features.
        mass = max(attention.sum(dtype=np.float64), np.finfo(np.float64).tiny)
        pooled = (attention @ logits).astype(np.float64) / mass + bias
        if network.classification == "softmax":
            return Activation(attention, logits[:, :-1], bias[:-1], softmax(pooled)[:-1])
        # Each class by itself, to which its bias belongs.
        tcam = (logits + bias)[:, :-1]
        return Activation(attention, tcam, np.zeros_like(bias[:-1]), expit(pooled)[:-1])

    @property
    def _exclusive_classes(self) -> bool:
        return self.attention_source == "head" and self.classification == "softmax"

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        if isinstance(network, JointDGAM):
            return logits.sigmoid()
        # The T-CAM, without smoothing.
        return class_probability(logits, network.classifier.bias, network.classification)[:, :-1]

    def reconstruction_error(self, X: Indexed) -> list[np.ndarray]:
        """Error of reconstructing every snippet from nothing but its attention, Eq. 12.

        Decoded is the mean of the latent prior. Where the error is high, a snippet does not
        look as others of its attention do.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        error : list of n ndarrays of shape (n_snippets_i,), not negative
            Squared, averaged over features.

        Raises
        ------
        ValueError
            If the generative part has not been trained.
        """
        check_is_fitted(self)
        if not np.isfinite(getattr(self, "history_", {}).get("cvae_kl", [])).any():
            raise ValueError(
                "The generative part of this localizer has not been trained: it was fitted with "
                "gamma1=0, or comes from a released checkpoint, which holds none. Set gamma1, and "
                "fit it; with warm_start=True that goes on from the weights that are there."
            )

        def error(network: Any, batch: Batch) -> Tensor:
            attention, _ = network(batch)
            prior_mean = (self.r * attention)[:, None].to(batch.x.dtype)
            z = prior_mean.expand(-1, network.latent_dim)
            return (network.decode(z, attention) - batch.x).square().mean(dim=-1)

        return list(self._map_snippets(error, self._check(X)))

    @classmethod
    def from_released(cls, path: PathOrName, classes: Iterable[Any], **params: Any) -> Self:
        """Take attention and classifier from a checkpoint of the released implementation.

        Parameters
        ----------
        path : path
            The ``.pth`` file of one stream. What it holds beside the two heads is passed over.
        classes : sequence of n_classes labels
            In the order of the classifier's outputs, of which background is one more, the last.
        **params
            Parameters of the localizer, such as ``**skdgam.presets.THUMOS14_RGB``.

        Returns
        -------
        localizer : DGAMLocalizer
            Fitted but for its generative part, which has weights that are not trained, so that
            ``reconstruction_error`` is not there.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is no such checkpoint, or has another number of classes.
        """
        paper: dict[str, Any] = {"attention_source": "head", "temporal_context": 0}
        model = cls(**paper | params)
        model._check_settings()
        labels, order = np.unique(check_classes(classes), return_index=True)
        weights = read_released(path)
        n_outputs, n_features = weights["classifier.weight"].shape
        if len(labels) != n_outputs - 1 or order.max() >= n_outputs - 1:
            raise ValueError(
                f"classes has {len(labels)} different labels, but the classifier in {path} has "
                f"{n_outputs - 1} beside background."
            )
        for name in ("classifier.weight", "classifier.bias"):
            weights[name] = weights[name][[*order, n_outputs - 1]]
        fresh = model._fresh_network(n_features, n_outputs - 1, seed=0)
        return model._set_weights(labels, to_arrays(fresh) | weights, n_features)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Of versions that knew one source of attention.
        super().__setstate__({"attention_source": "head"} | state)

    @classmethod
    def _from_description(cls, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        if "n_features" not in description:  # files of version 1 do not say it
            description["n_features"] = arrays["weights.decoder.third.bias"].size
        if "attention_source" not in description["params"]:  # of versions that knew one
            description["params"]["attention_source"] = "head"
        return super()._from_description(description, arrays)
