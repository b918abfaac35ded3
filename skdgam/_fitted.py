"""What a fitted DGAMLocalizer does: all that follows from its weights."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skdgam import _inference
from skdgam._base import LocalizerMixin
from skdgam._features import check_features
from skdgam._validation import check_classes
from skdgam.intervals import make_intervals, non_maximum_suppression
from skdgam.io import read_released
from skdgam.localization import Search, propose
from skdgam.metrics import check_thresholds
from skdgam.networks import DGAM

__all__ = ["FittedMixin"]


class FittedMixin(LocalizerMixin):
    """Methods of DGAMLocalizer that need ``weights_`` and the parameters of localization."""

    def predict_proba(self, X):
        """Probability that each action occurs in each video.

        The classifier's softmax on the attention-pooled feature; what is missing to 1 is the
        probability of background.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        probability : ndarray of shape (n, n_classes), in [0, 1]
            Columns as in ``classes_``.
        """
        activations = self._activations(self._check(X))
        return np.stack([activation.probability for activation in activations])

    def attention(self, X):
        """Attention λ of every snippet: how much it takes part in an action, of any class.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        attention : list of n ndarrays of shape (n_snippets_i,), in [0, 1]
        """
        return self._of_snippets(X, DGAM.attention)

    def class_activation(self, X):
        """T-CAM of every snippet: the softmax of w·x over classes and background, Eq. 13.

        Not smoothed, and without the classifier's bias.

        Parameters
        ----------
        X : sequence of n arrays of shape (n_snippets_i, n_features)

        Returns
        -------
        tcam : list of n ndarrays of shape (n_snippets_i, n_classes), in [0, 1]
            Columns as in ``classes_``; what is missing to 1 is background.
        """

        def tcam(network, x):
            return network.activation(x).softmax(dim=-1)[:, :-1]

        return self._of_snippets(X, tcam)

    def reconstruction_error(self, X):
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
        """
        check_is_fitted(self)
        if "decoder.first.weight" not in self.weights_:
            raise ValueError(
                "This localizer has no generative part, which the released checkpoint that it "
                "comes from does not hold; partial_fit or fit would train one."
            )

        def error(network, x):
            attention = network.attention(x)
            z = (self.r * attention)[:, None].expand(-1, network.latent_dim)
            return (network.decode(z, attention) - x).square().mean(dim=-1)

        return self._of_snippets(X, error)

    @classmethod
    def from_released(cls, path, classes, **params):
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
        n_outputs, n_features = network.classifier.weight.shape
        if classes.dtype.kind not in "Uiubf" or classes.shape != (n_outputs - 1,):
            raise ValueError(f"{classes.tolist()} are not the {n_outputs - 1} classes.")
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise ValueError("Not all weights are finite.")
        self.classes_, self.n_features_in_, self.weights_ = classes, n_features, weights
        return self

    def _check_settings(self):
        """Check all parameters, also those that are not needed before predict and score."""
        self._validate_params()
        self._settings(Search)
        check_thresholds(self.tiou_thresholds)

    def _check(self, X):
        """Check features against the fitted ones."""
        check_is_fitted(self)
        return check_features(X, self.n_features_in_)

    def _settings(self, kind):
        """Gather the parameters that a part of the computation depends on."""
        return kind(**{name: getattr(self, name) for name in kind.__dataclass_fields__})

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
        return _inference.activations(self._network(), videos, n_used)

    def _propose(self, activation, n_snippets, duration=None, others=()):
        """Proposals of one video, in seconds."""
        proposals = propose(activation, self._settings(Search), others)
        hop, offset = self.snippet_seconds, self.snippet_offset
        if duration is not None:
            hop, offset = duration / n_snippets, 0.0
        scale = hop * n_snippets / len(activation.attention)
        return make_intervals(
            offset + scale * proposals["start"],
            offset + scale * proposals["end"],
            self.classes_[proposals["label"]],
            proposals["score"],
        )

    def _detect(self, videos, durations):
        """Yield the detections of each video, best first."""
        for i, activation in enumerate(self._activations(videos)):
            duration = None if durations is None else durations[i]
            proposals = self._propose(activation, videos.lengths[i], duration)
            yield non_maximum_suppression(proposals, self.nms_threshold)

    def _ends(self, videos, durations):
        """Where each video ends; a last snippet that was cut short has no features."""
        if durations is not None:
            return durations
        # The last window ends by the offset later than the time that its snippet stands for.
        last = self.snippet_offset + max(self.snippet_offset, 0.0)
        return (videos.lengths + 1) * self.snippet_seconds + last
