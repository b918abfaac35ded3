"""The life of a localizer: fit, predict, clone, pickle, parameters, in any order."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed

X, Y = make_untrimmed(n_videos=6, n_classes=2, n_features=4, random_state=0)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "alpha": st.sampled_from([0.0, 0.1]),
        "gamma1": st.sampled_from([0.0, 0.5]),
        "warm_start": st.booleans(),
        "eta": st.sampled_from([0.0, 0.3]),
        "localization": st.sampled_from(["tcam", "attention"]),
    },
)


class Life(RuleBasedStateMachine):
    """A localizer, and what is known of it: parameters, epochs, and what it last found."""

    def __init__(self):
        super().__init__()
        self.model = DGAMLocalizer(max_epochs=2, latent_dim=2, batch_size=3, random_state=0)
        self.params, self.n_epochs, self.found = self.model.get_params(), 0, None

    @rule()
    def fit(self):
        self.n_epochs = 2 + (self.n_epochs if self.params["warm_start"] else 0)
        assert self.model.fit(X, Y) is self.model
        self.found = None

    @rule()
    def partial_fit(self):
        self.model.partial_fit(X, Y)
        self.n_epochs, self.found = self.n_epochs + 1, None

    @rule(params=PARAMETERS)
    def set_params(self, params):
        self.model.set_params(**params)
        self.params |= params
        if params:
            self.found = None

    @precondition(lambda self: self.n_epochs)
    @rule()
    def predict(self):
        found = pickle.dumps([detections.tolist() for detections in self.model.predict(X)])
        assert self.found in (None, found)  # nothing has changed since
        self.found = found

    @rule(copied=st.sampled_from([lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy]))
    def goes_on_as_a_copy(self, copied):
        self.model = copied(self.model)

    @rule()
    def cloned(self):
        fresh = clone(self.model)
        assert fresh.get_params() == self.params
        with pytest.raises(NotFittedError):
            fresh.predict(X)

    @rule(bad=st.sampled_from(["features", "labels", "parameter"]))
    def refuses(self, bad):
        """What is wrong changes nothing."""
        calls = {
            "features": lambda: self.model.fit([x[:, :0] for x in X], Y),
            "labels": lambda: self.model.partial_fit(X, Y[:-1]),
            "parameter": lambda: clone(self.model).set_params(alpha=-1).fit(X, Y),
        }
        before = pickle.dumps(vars(self.model))
        with pytest.raises((ValueError, TypeError)):
            calls[bad]()
        assert pickle.dumps(vars(self.model)) == before

    @precondition(lambda self: not self.n_epochs)
    @rule()
    def is_not_fitted(self):
        with pytest.raises(NotFittedError):
            self.model.predict(X)

    @invariant()
    def is_what_it_should_be(self):
        assert self.model.get_params() == self.params
        assert getattr(self.model, "n_epochs_", 0) == self.n_epochs
        if self.n_epochs:
            assert {len(values) for values in self.model.history_.values()} == {self.n_epochs}
            assert all(np.isfinite(weight).all() for weight in self.model.weights_.values())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
