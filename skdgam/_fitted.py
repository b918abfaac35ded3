"""What a fitted localizer says of recordings, and how it is kept in files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from skdgam._features import Scaling, Videos
from skdgam._localizer import LocalizerMixin
from skdgam._parameters import SharedParameters
from skdgam._typing import Indexed
from skdgam.clock import SnippetClock
from skdgam.features._folder import check_times
from skdgam.intervals import make_intervals, non_maximum_suppression, plain_labels
from skdgam.localization import Activation, check_proposal_thresholds, propose
from skdgam.sampling import uniform_sample
from skdgam.training import devices
from skdgam.training.batches import Batch
from skdgam.training.inference import map_snippets
from skdgam.training.protocol import Stage

__all__ = ["FittedLocalizer"]

# Of features that do not say how they were made: 16 frames at 25 a second, without overlap.
DEFAULT_TIMES = {"snippet_seconds": 0.64, "snippet_offset": 0.0}


class FittedLocalizer(LocalizerMixin, SharedParameters):
    """What follows from the weights and parameters of a localizer.

    What a method brings is described at :class:`skdgam.base.BaseLocalizer`.
    """

    _network: ClassVar[Callable[..., nn.Module]]
    _architecture: ClassVar[tuple[str, ...]] = ()
    _remedies: ClassVar[dict[int, str]] = {0: "train longer", 1: "scale the features"}
    _crops: ClassVar[bool] = False  # as Sampling.crops
    # Whether fit reads times: it needs intervals then, and batches have labels of snippets.
    learns_from_intervals: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    # Titles and names of the loss terms that are drawn together.
    loss_groups: ClassVar[dict[str, tuple[str, ...]]] = {}

    def _stages(self) -> list[Stage]:
        raise NotImplementedError

    def _activation(self, network: Any, attention: np.ndarray, logits: np.ndarray) -> Activation:
        raise NotImplementedError

    @property
    def _exclusive_classes(self) -> bool:
        """Whether probabilities of classes, with that of background, sum to 1."""
        return False

    def _class_probability(self, network: Any, logits: Tensor) -> Tensor:
        """Probability (n_rows, n_classes) of each class in each snippet, for people to look at."""
        return logits.sigmoid()

    def predict_proba(self, X: Indexed) -> np.ndarray:
        """Probability that each action occurs in each video as a whole.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        probability : ndarray of shape (n, n_classes), in [0, 1]
            Columns as in ``classes_``. Where classes exclude each other, what is missing to 1 is
            the probability of background.
        """
        activations = self._activations(self._check(X))
        return np.stack([activation.probability for activation in activations])

    def attention(self, X: Indexed) -> list[np.ndarray]:
        """Attention λ of every snippet: how much it takes part in an action, of any class.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,), in [0, 1]
        """
        return [values[:, 0] for values in self._map_snippets(_heads, self._check(X))]

    def class_activation(self, X: Indexed) -> list[np.ndarray]:
        """Probability of each class in every snippet, not weighted by attention.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
            Columns as in ``classes_``. Where classes exclude each other, what is missing to 1 is
            background.
        """

        def probability(network: nn.Module, batch: Batch) -> Tensor:
            return self._class_probability(network, network(batch)[1])

        return list(self._map_snippets(probability, self._check(X)))

    @property
    def clock(self) -> SnippetClock:
        """Which seconds of a recording each snippet stands for."""
        return self._clock_of(getattr(self, "about_features_", None))

    def _clock_of(self, about: dict[str, Any] | None) -> SnippetClock:
        """The clock of features of which this is known. What parameters say goes before it."""
        told = DEFAULT_TIMES if about is None else about
        seconds, offset = self.snippet_seconds, self.snippet_offset
        return SnippetClock(
            told["snippet_seconds"] if seconds is None else seconds,
            told["snippet_offset"] if offset is None else offset,
        )

    def _blank_network(self, n_features: int, n_classes: int, shape: dict[str, Any]) -> nn.Module:
        """A network without values: nothing is drawn, and no memory taken."""
        with torch.device("meta"):
            return type(self)._network(n_features, n_classes, **shape).float()

    def _fitted_network(self) -> nn.Module:
        network = self._blank_network(
            self.n_features_in_, len(self.classes_), self._fitted_architecture()
        )
        # torch.tensor copies: arrays that were loaded as memory maps are not writable.
        state = {name: torch.tensor(value) for name, value in self.weights_.items()}
        network.load_state_dict(state, assign=True)
        network.to(devices.resolve_device(self.device, fallback=True))
        return network.eval().requires_grad_(False)

    def _asked_architecture(self) -> dict[str, Any]:
        """The parameters that shape the network of the next training."""
        return {name: getattr(self, name) for name in self._architecture}

    def _fitted_architecture(self) -> dict[str, Any]:
        """What shaped the network; the parameters may have been set to something else since."""
        return getattr(self, "architecture_", self._asked_architecture())

    def _map_snippets(
        self,
        function: Callable[[nn.Module, Batch], Tensor],
        videos: Iterable[np.ndarray],
        network: nn.Module | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield function(network, batch) of the fitted network for the snippets of each video."""
        network = self._fitted_network() if network is None else network
        # In float32 unless asked otherwise, so that what is found does not depend on the machine.
        device = next(network.parameters()).device
        rough = self.precision == "bfloat16" and devices.has_bfloat16(device)
        scaling = self._scaling()
        if scaling is not None:
            videos = map(scaling.apply, videos)
        return map_snippets(function, network, videos, torch.bfloat16 if rough else torch.float32)

    def _scaling(self) -> Scaling | None:
        """What standardizes the features; None for models that were trained on them as they are."""
        mean, scale = (getattr(self, name, None) for name in ("mean_", "scale_"))
        return None if mean is None or scale is None else Scaling(mean, scale)

    def _activations(self, videos: Videos) -> Iterator[Activation]:
        """Yield what the network says of each video, on the snippets used for localization."""
        self._check_settings()  # parameters may have been set since fit
        network = self._fitted_network()
        n_used = np.clip(videos.lengths, self.min_snippets, self.max_snippets)
        used = (
            video if len(video) == n else video[uniform_sample(len(video), n)]
            for video, n in zip(videos, n_used.tolist(), strict=True)
        )
        for values in self._map_snippets(_heads, used, network):
            yield self._activation(network, values[:, 0], values[:, 1:])

    def _predict_proba(self, network: nn.Module, videos: Videos) -> np.ndarray:
        """Probability of each class in each video, by a network that is being trained."""
        of_videos = (
            self._activation(network, values[:, 0], values[:, 1:])
            for values in map_snippets(_heads, network, videos)
        )
        return np.stack([activation.probability for activation in of_videos])

    def _propose(
        self, activation: Activation, clock: SnippetClock, others: Sequence[Activation] = ()
    ) -> np.ndarray:
        """Proposals of one video, in seconds by the clock of the snippets that were used."""
        proposals = propose(
            activation,
            localization=self.localization,
            thresholds=check_proposal_thresholds(self.proposal_threshold, self.localization),
            smoothing=self.proposal_smoothing,
            class_threshold=self.class_threshold,
            eta=self.eta,
            others=others,
            stream_weight=self.stream_weight,
        )
        return self._in_seconds(proposals, clock)

    def _in_seconds(self, proposals: np.ndarray, clock: SnippetClock) -> np.ndarray:
        """Proposals in seconds, by their labels, from those in snippets, by columns."""
        return make_intervals(
            clock.to_seconds(proposals["start"]),
            clock.to_seconds(proposals["end"]),
            self.classes_[proposals["label"]],
            proposals["score"],
        )

    def _suppress(self, proposals: np.ndarray) -> np.ndarray:
        """Leave out proposals of one video that overlap better ones."""
        return non_maximum_suppression(proposals, self.nms_threshold)

    def _detect(self, videos: Videos, clocks: list[SnippetClock]) -> Iterator[np.ndarray]:
        """Yield the detections of each video, best first."""
        lengths = videos.lengths.tolist()
        for activation, clock, n in zip(self._activations(videos), clocks, lengths, strict=True):
            of_used = clock.resampled(n, len(activation.attention))
            yield self._suppress(self._propose(activation, of_used))

    # --- files ---

    def _plain_params(self) -> dict[str, Any]:
        """Parameters for JSON, in which no generator and no memory has a place."""
        params = self.get_params(deep=False)
        if isinstance(self.random_state, np.random.RandomState):
            params["random_state"] = None
        if isinstance(self.class_weight, dict):  # JSON would make text of classes that are numbers
            params["class_weight"] = [*self.class_weight.items()]
        return params | {"memory": None}

    @classmethod
    def _from_plain_params(cls, params: dict[str, Any]) -> Self:
        """An unfitted localizer with the parameters that ``_plain_params`` has described."""
        params = params | {"memory": None}  # no file opens a folder
        if isinstance(params.get("class_weight"), list):
            params["class_weight"] = dict(params["class_weight"])
        return cls(**params)

    def _describe(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Describe a fitted localizer by a dict that JSON can hold, and arrays."""
        description = {
            "params": self._plain_params(),
            "architecture": self._fitted_architecture(),
            "classes": self.classes_,
            "classes_dtype": self.classes_.dtype.str,
            "n_features": self.n_features_in_,
            "n_epochs": getattr(self, "n_epochs_", 0),
            "features": getattr(self, "about_features_", None),
        }
        arrays = {f"weights.{name}": value for name, value in self.weights_.items()}
        scaling = self._scaling()
        if scaling is not None:
            arrays |= {f"scaling.{name}": value for name, value in scaling._asdict().items()}
        history = getattr(self, "history_", {})
        return description, arrays | {f"history.{name}": v for name, v in history.items()}

    @classmethod
    def _from_description(cls, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Rebuild what ``_describe`` has described; whatever is wrong with it is an error."""
        model = cls._from_plain_params(description["params"])
        model._check_settings()
        of_kind: dict[str, dict[str, np.ndarray]] = {"weights": {}, "history": {}, "scaling": {}}
        for name, array in arrays.items():
            kind, _, name = name.partition(".")
            of_kind[kind][name] = array
        classes, dtype = (
            plain_labels(description["classes"]),
            np.dtype(description["classes_dtype"]),
        )
        if (classes.dtype.kind == "U") != (dtype.kind == "U"):
            raise ValueError(f"{classes.tolist()} are no classes of dtype {dtype}.")
        if dtype.kind != "U":  # the width of text is that of what is there
            classes = classes.astype(dtype)
        model._set_weights(
            classes,
            of_kind["weights"],
            description["n_features"],
            description.get("architecture", {}),
            Scaling(**of_kind["scaling"]) if of_kind["scaling"] else None,
        )
        n_epochs, history = description["n_epochs"], of_kind["history"]
        if type(n_epochs) is not int or n_epochs < 0:
            raise ValueError(f"n_epochs is {n_epochs!r}.")
        if any(values.shape != (n_epochs,) for values in history.values()):
            raise ValueError(f"The history is not of {n_epochs} epochs.")
        model.history_, model.n_epochs_ = history, n_epochs
        about = description.get("features")
        if about is not None:
            check_times(about)
            if not all(isinstance(extractor, dict) for extractor in about["extractor"]):
                raise TypeError("What it says of features is of another kind.")
        model.about_features_ = about
        return model

    def _set_weights(
        self,
        classes: np.ndarray,
        weights: dict[str, np.ndarray],
        n_features: int,
        architecture: dict[str, Any] | None = None,
        scaling: Scaling | None = None,
    ) -> Self:
        """Become fitted by weights; the architecture is by default that of the parameters."""
        if classes.dtype.kind not in "Uiubf" or classes.ndim != 1 or not len(classes):
            raise ValueError(f"{classes.tolist()} are no classes.")
        if not np.array_equal(np.unique(classes), classes):
            raise ValueError(f"The classes {classes.tolist()} are not sorted, or some are equal.")
        shape = self._asked_architecture() | (architecture or {})
        expected = self._blank_network(n_features, len(classes), shape).state_dict()
        if weights.keys() != expected.keys():
            odd = sorted(weights.keys() ^ expected.keys())
            raise ValueError(f"The weights {', '.join(odd)} are missing, or of no use.")
        for name, value in weights.items():
            if value.shape != tuple(expected[name].shape):
                raise ValueError(
                    f"{name} has the shape {value.shape}, but {n_features} features and "
                    f"{len(classes)} classes ask for {tuple(expected[name].shape)}."
                )
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                raise ValueError("Not all weights are finite real numbers.")
        if scaling is not None and not (
            all(values.shape == (n_features,) for values in scaling)
            and np.isfinite(scaling).all()
            and (scaling.scale > 0).all()
        ):
            raise ValueError(f"The means and scales are not those of {n_features} features.")
        self.classes_, self.n_features_in_ = classes, n_features
        self.architecture_, self.weights_ = shape, weights
        self.mean_ = None if scaling is None else scaling.mean
        self.scale_ = None if scaling is None else scaling.scale
        return self


def _heads(network: nn.Module, batch: Batch) -> Tensor:
    """Attention and class activation side by side, (n_rows, 1 + n_columns)."""
    return torch.column_stack(network(batch))
