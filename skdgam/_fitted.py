"""What a fitted DGAMLocalizer does: all that follows from its weights."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skdgam import _inference
from skdgam._base import ActivationMixin, SaveMixin
from skdgam._stages import class_probability
from skdgam._typing import Indexed, PathOrName
from skdgam._validation import check_classes
from skdgam.io import read_released
from skdgam.localization import Search
from skdgam.metrics import check_thresholds

__all__ = ["FittedMixin"]


class FittedMixin(SaveMixin, ActivationMixin):
    """Methods of DGAMLocalizer that need ``weights_`` and the parameters of localization."""

    def attention(self, X: Indexed) -> list[np.ndarray]:
        """Attention λ of every snippet: how much it takes part in an action, of any class.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,), in [0, 1]
        """
        return self._of_snippets(X, lambda network, x, seen: network.attention(seen))

    def class_activation(self, X: Indexed) -> list[np.ndarray]:
        """T-CAM of every snippet: the softmax of w·x over classes and background, Eq. 13.

        Not smoothed, and without the classifier's bias; with ``classification="sigmoid"``, the
        sigmoid of each logit with its bias.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
            Columns as in ``classes_``; what a softmax lacks to 1 is background.
        """

        def tcam(network, x, seen):
            bias = network.classifier.bias.float()
            return class_probability(network.activation(seen), bias, self.classification)[:, :-1]

        return self._of_snippets(X, tcam)

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

        def error(network, x, seen):
            attention = network.attention(seen)
            z = (self.r * attention)[:, None].expand(-1, network.latent_dim)
            return (network.decode(z, attention) - x).square().mean(dim=-1)

        return self._of_snippets(X, error)

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
            Fitted but for its generative part, so that ``reconstruction_error`` is not there.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is no such checkpoint, or has another number of classes.
        """
        model = cls(**params)
        model._check_settings()
        labels, order = np.unique(check_classes(classes), return_index=True)
        weights = read_released(path)
        n_classes = len(weights["classifier.bias"]) - 1
        if len(labels) != n_classes or order.max() >= n_classes:
            raise ValueError(
                f"classes has {len(labels)} different labels, but the classifier in {path} has "
                f"{n_classes} beside background."
            )
        for name in ("classifier.weight", "classifier.bias"):
            weights[name] = weights[name][[*order, n_classes]]
        return model._set_weights(labels, weights)

    def _plain_params(self):
        """Parameters for JSON, in which no generator has a place."""
        params = self.get_params(deep=False)
        if isinstance(self.random_state, np.random.RandomState):
            params["random_state"] = None
        return params

    def _describe(self):
        """Describe a fitted localizer by a dict that JSON can hold, and arrays."""
        description = {
            "params": self._plain_params(),
            "classes": self.classes_,
            "classes_dtype": self.classes_.dtype.str,
            "n_epochs": getattr(self, "n_epochs_", 0),
        }
        arrays = {f"weights.{name}": value for name, value in self.weights_.items()}
        history = getattr(self, "history_", {})
        return description, arrays | {f"history.{name}": v for name, v in history.items()}

    @classmethod
    def _from_description(cls, description, arrays):
        """Rebuild what ``_describe`` has described; whatever is wrong with it is an error."""
        model = cls(**description["params"])
        model._check_settings()
        parts = {"weights": {}, "history": {}}
        for name, array in arrays.items():
            part, _, name = name.partition(".")
            parts[part][name] = array
        classes = np.array(description["classes"], dtype=description["classes_dtype"])
        model._set_weights(classes, parts["weights"])
        n_epochs, history = description["n_epochs"], parts["history"]
        if type(n_epochs) is not int or n_epochs < 0:
            raise ValueError(f"n_epochs is {n_epochs!r}.")
        if any(values.shape != (n_epochs,) for values in history.values()):
            raise ValueError(f"The history is not of {n_epochs} epochs.")
        model.history_, model.n_epochs_ = history, n_epochs
        return model

    def _set_weights(self, classes, weights):
        """Become fitted by weights, of which those of the CVAE may be missing."""
        network = _inference.from_arrays(weights, torch.device("cpu"))
        n_outputs = len(network.classifier.bias)
        if classes.dtype.kind not in "Uiubf" or classes.shape != (n_outputs - 1,):
            raise ValueError(f"{classes.tolist()} are not the {n_outputs - 1} classes.")
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise ValueError("Not all weights are finite.")
        self.classes_, self.n_features_in_ = classes, network.n_features
        self.weights_ = weights
        return self

    def _check_settings(self):
        """Check all parameters, also those that are not needed before predict and score."""
        self._validate_params()
        self._settings(Search)
        check_thresholds(self.tiou_thresholds)

    def _network(self):
        # In float32 unless asked otherwise, so that what is found does not depend on the machine.
        device = _inference.resolve_device(self.device, fallback=True)
        in_bfloat16 = self.precision == "bfloat16" and _inference.has_bfloat16(device)
        dtype = torch.bfloat16 if in_bfloat16 else torch.float32
        return _inference.from_arrays(self.weights_, device, dtype)

    def _of_snippets(self, X, function):
        """Evaluate function(network, x) for all snippets, an array for each video."""
        videos = self._check(X)
        return list(_inference.map_snippets(function, self._network(), videos))

    def _activations(self, videos):
        """Yield what the networks say of each video, on the snippets used for localization."""
        self._validate_params()  # those of localization may have been set since fit
        n_used = self._settings(Search).n_used(videos.lengths)
        network = self._network()
        return _inference.activations(network, videos, n_used, self.classification)
