"""What every method of the registry has from the engine, without a line of its own for it."""

import copy
import lzma
import pickle
import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

import skdgam
import skdgam.presets
from skdgam import MultiStreamLocalizer
from skdgam.base import BaseLocalizer
from skdgam.cli import main
from skdgam.datasets import make_untrimmed
from skdgam.formats import write_intervals
from skdgam.methods import METHODS
from skdgam.training.batches import Batch, to_rows
from skdgam.training.loop import train
from skdgam.training.trainer import Trainer

DATA = Path(__file__).parent / "data"
# Small networks, for the methods that have these parameters.
SMALL = {
    **{"latent_dim": 4, "hidden": 8, "attention_width": 4, "branch_width": 4},
    **{"n_refinements": 1, "min_snippets": 1},
}
each_method = pytest.mark.parametrize("method", METHODS)
WEAK = [name for name, method in METHODS.items() if not method.learns_from_intervals]
each_weak_method = pytest.mark.parametrize("method", WEAK)


SECONDS = 1.6  # of a snippet: videos have 38 to 110
DATA_SET = make_untrimmed(
    n_videos=24, n_classes=2, n_features=(4, 3), snippet_seconds=SECONDS, random_state=0
)


@pytest.fixture
def data():
    return DATA_SET


def make(method, **changes):
    settings = {"max_epochs": 4, "batch_size": 6, "random_state": 0, "precision": "float32"}
    settings["snippet_seconds"] = SECONDS
    known = METHODS[method]().get_params()
    small = {name: value for name, value in SMALL.items() if name in known}
    return METHODS[method](**(settings | small | changes))


@cache
def trained(method):
    """A model that tests compare with; those that change it, copy it."""
    return make(method).fit(*DATA_SET)


def assert_same(one, other):
    assert one.weights_.keys() == other.weights_.keys()
    for name, weight in one.weights_.items():
        np.testing.assert_array_equal(weight, other.weights_[name], err_msg=name)
    for name, values in one.history_.items():
        np.testing.assert_array_equal(values, other.history_[name], err_msg=name)


@pytest.mark.filterwarnings("ignore:Attention is near 1")  # of so high a learning rate
@each_method
def test_training_learns_to_classify(method, data):
    names = {"dropout", "attention_dropout", "pseudo"} & METHODS[method]().get_params().keys()
    whole = dict.fromkeys(names, 0.0)
    model = make(method, max_epochs=30, learning_rate=0.01, **whole).fit(*data)
    # A loss of videos that all have to show background, too, cannot fall far.
    terms = "suppressed", "foreground", "classification", "base"
    name = next(name for name in terms if name in model.history_)
    assert model.history_[name][-3:].mean() < 0.9 * model.history_[name][:3].mean()


def test_nothing_but_the_yardstick_reads_times():
    assert {*METHODS} - {*WEAK} == {"supervised"}


@each_weak_method
def test_weak_labels_and_intervals_give_the_same_bits(method, data):
    X, y = data
    labels = [set(intervals["label"].tolist()) for intervals in y]
    assert_same(trained(method), make(method).fit(X, labels))


@each_method
def test_videos_of_unknown_labels_are_left_out(method, data):
    X, y = data
    some = [None if i % 3 == 0 else of_video for i, of_video in enumerate(y)]
    known = [i for i, of_video in enumerate(some) if of_video is not None]
    model = make(method).fit(X, some)
    assert_same(model, make(method).fit([X[i] for i in known], [y[i] for i in known]))


def test_videos_of_unknown_labels_alone(data):
    with pytest.raises(ValueError, match="y has no label for any video"):
        make("dgam").fit(data[0], [None] * 24)
    with pytest.raises(ValueError, match="y has 3 entries, but there are 24 videos"):
        make("dgam").fit(data[0], [None, "a", "b"])


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@each_method
@pytest.mark.parametrize(
    "ambient",
    [
        lambda: default_dtype(torch.float64),
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        torch.inference_mode,
        torch.no_grad,
    ],
    ids=["default dtype", "autocast", "inference mode", "no gradients"],
)
def test_what_torch_is_told_elsewhere_changes_no_bit(method, data, ambient):
    X, y = data
    expected = trained(method)
    with ambient():
        model = make(method).fit(X, y)
        found = model.class_activation(X[:2])
    assert_same(model, expected)
    for ours, theirs in zip(found, expected.class_activation(X[:2]), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@each_method
def test_layout_of_arrays_changes_no_bit(method, data):
    X, y = data
    model = trained(method)
    other = [np.asfortranarray(x.astype(np.float64)) for x in X]
    strided = [np.repeat(x, 2, axis=1)[:, ::2] for x in X]
    for same in (other, strided):
        assert_same(make(method).fit(same, y), model)
        for ours, theirs in zip(model.predict(same), model.predict(X), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@each_method
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_killed_training_goes_on_bit_for_bit(method, data, tmp_path, early_stopping, monkeypatch):
    settings = {"early_stopping": early_stopping, "max_epochs": 6}
    whole = make(method, **settings).fit(*data)
    run_epoch = Trainer.run_epoch

    def killed(self, *arguments):
        if self.epoch == 4:
            raise SystemError("killed")
        return run_epoch(self, *arguments)

    monkeypatch.setattr(Trainer, "run_epoch", killed)
    with pytest.raises(SystemError):
        make(method, **settings).fit(*data, tmp_path / "file", checkpoint_every=3)
    monkeypatch.undo()
    assert_same(make(method, **settings).fit(*data, tmp_path / "file"), whole)


@each_method
def test_calls_of_partial_fit_are_one_long_training(method, data):
    calls = make(method)
    for _ in range(4):
        calls = pickle.loads(pickle.dumps(calls.partial_fit(*data)))
    assert_same(calls, trained(method))


@each_method
def test_a_warm_start_goes_on_as_calls_of_partial_fit_do(method, data):
    twice = make(method, max_epochs=2, warm_start=True).fit(*data).fit(*data)
    calls = make(method, max_epochs=2)
    for _ in range(4):
        calls.partial_fit(*data)
    assert_same(calls, twice)


@each_method
def test_early_stopping_watches_held_out_videos(method, data):
    model = make(method, early_stopping=True, n_iter_no_change=2, max_epochs=20).fit(*data)
    assert np.isfinite(model.history_["validation"]).all()
    assert model.n_epochs_ <= 20


@each_method
def test_callbacks_are_told_of_every_epoch(method, data):
    pytest.importorskip("sklearn.callback")
    ended = []

    class Recorder:
        max_propagation_depth = 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **task):
            pass

        def on_fit_task_end(self, estimator, context, **task):
            ended.append(context.task_name)

    make(method).set_callbacks(Recorder()).fit(*data)
    assert ended.count("epoch") == 4


@each_method
def test_a_file_gives_the_same_detections(method, data, tmp_path):
    model = trained(method)
    model.save(tmp_path / "model")
    loaded = skdgam.load(tmp_path / "model")
    assert loaded.get_params() | {"proposal_threshold": 0} == model.get_params() | {
        "proposal_threshold": 0
    }
    for ours, theirs in zip(loaded.predict(data[0]), model.predict(data[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@each_method
def test_parameters_that_shape_the_network_may_change_after_fit(method, data, tmp_path):
    model = copy.deepcopy(trained(method))
    before = model.predict_proba(data[0])
    for name in model._architecture:
        if name in SMALL:
            model.set_params(**{name: 99})
    np.testing.assert_array_equal(model.predict_proba(data[0]), before)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(skdgam.load(tmp_path / "model").predict_proba(data[0]), before)


@each_method
def test_streams_are_fused(method, data, tmp_path):
    streams = [("a", make(method), slice(0, 4)), ("b", make(method), slice(4, 7))]
    model = MultiStreamLocalizer(streams).fit(*data)
    assert 0 <= model.score(*data) <= 1
    model.save(tmp_path / "model")
    loaded = skdgam.load(tmp_path / "model")
    assert type(loaded.localizers_["b"]) is METHODS[method]
    for ours, theirs in zip(loaded.predict(data[0]), model.predict(data[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_streams_of_different_methods_are_fused(data):
    names = [*METHODS]
    streams = [("a", make(names[0]), slice(0, 4)), ("b", make(names[1]), slice(4, 7))]
    assert 0 <= MultiStreamLocalizer(streams).fit(*data).score(*data) <= 1


@pytest.mark.parametrize(
    "pair",
    [("dgam", "autoloc"), ("phase_paths", "mil"), ("threecnet", "contrast_evaluator")],
)
def test_streams_that_localize_by_other_rules_each_find_something(pair, data):
    alike = {"min_snippets": 1, "max_snippets": None}
    parts = zip("ab", pair, (slice(0, 4), slice(4, 7)), strict=True)
    streams = [(name, make(method, **alike), columns) for name, method, columns in parts]
    model = MultiStreamLocalizer(streams).fit(*data)
    assert 0 <= model.score(*data) <= 1


def test_streams_of_one_method_but_other_columns_of_scores_each_find_something(data):
    streams = [
        (str(n), make("phase_paths", n_phases=n), columns)
        for n, columns in ((3, slice(0, 4)), (4, slice(4, 7)))
    ]
    assert 0 <= MultiStreamLocalizer(streams).fit(*data).score(*data) <= 1


@each_method
def test_the_ways_of_localization_that_it_takes_are_documented(method):
    cls = METHODS[method]
    (line,) = re.findall(r"^ *localization : (.*), default=", cls.__doc__, flags=re.MULTILINE)
    assert set(re.findall(r'"(\w+)"', line)) == set(
        cls._parameter_constraints["localization"][0].options
    )


@each_method
def test_training_in_bfloat16_goes_the_same_way(method, data, monkeypatch):
    monkeypatch.setattr("skdgam.training.devices.has_bfloat16", lambda device: True)
    rough = make(method, precision="bfloat16").fit(*data)
    for name, values in trained(method).history_.items():
        assert rough.history_[name] == pytest.approx(values, rel=0.1), name


@each_method
def test_from_a_shell_to_a_report(method, data, tmp_path, capsys):
    pytest.importorskip("plotly")
    X, y = data
    np.savez(tmp_path / "X.npz", **{f"v{i:02d}": x for i, x in enumerate(X)})
    rows = [f"v{i:02d},{label}" for i, v in enumerate(y) for label in set(v["label"])]
    (tmp_path / "y.csv").write_text("\n".join(["video,label", *rows]))
    if METHODS[method].learns_from_intervals:
        write_intervals(tmp_path / "y.csv", {f"v{i:02d}": v for i, v in enumerate(y)})
    told = *SMALL, "max_epochs", "snippet_seconds"
    small = {k: v for k, v in make(method).get_params().items() if k in told}
    options = [f"--set={name}={value}" for name, value in small.items()]
    model, found, page = (str(tmp_path / n) for n in ("m.skdgam", "found.json", "page.html"))
    features = str(tmp_path / "X.npz")
    for line in (
        ["fit", features, str(tmp_path / "y.csv"), "-o", model, "--method", method, *options],
        ["predict", model, features, "-o", found],
        ["report", found, "-o", page, "--model", model, "--features", features],
        ["info", model],
    ):
        assert main(line) == 0, capsys.readouterr().err
    assert f"{METHODS[method].__name__} of 7 features" in capsys.readouterr().out
    assert Path(page).stat().st_size > 10_000


def test_an_unknown_method_is_refused(tmp_path, capsys):
    np.savez(tmp_path / "X.npz", a=np.ones((3, 2)))
    (tmp_path / "y.csv").write_text("video,label\na,jump")
    arguments = [str(tmp_path / name) for name in ("X.npz", "y.csv")]
    assert main(["fit", *arguments, "-o", str(tmp_path / "m"), "--method", "best"]) == 1
    assert f"--method is 'best'; there are {', '.join(METHODS)}." in capsys.readouterr().err


# --- shared parameters ---


@each_method
def test_shared_parameters_are_documented_with_their_defaults(method):
    cls = METHODS[method]
    assert "{shared}" not in cls.__doc__
    for name, value in cls().get_params().items():
        assert re.search(rf"^    (\w+, )*{name}(, \w+)* : ", cls.__doc__, re.MULTILINE), name
        assert name in cls._parameter_constraints, name
        cls(**{name: value})._validate_params()


PRESETS = [(method, name) for method, cls in METHODS.items() for name in cls.presets]


@pytest.mark.parametrize(("method", "name"), PRESETS)
def test_presets_are_arguments_of_their_method(method, name):
    preset = getattr(skdgam.presets, name)
    assert preset is METHODS[method].presets[name]  # and no other method has the same name
    METHODS[method](**preset)._check_settings()


def test_parameters_are_those_of_scikit_learn():
    class Mine(BaseLocalizer):
        """A method of one's own.

        Parameters
        ----------
        width : int, default=3
        {shared}
        """

        width: int = 3
        max_epochs: int = 7

    assert list(Mine().get_params()) == sorted([*BaseLocalizer().get_params(), "width"])
    assert repr(clone(Mine(width=4))) == "Mine(width=4)"
    assert "max_epochs : int or None, default=7" in Mine.__doc__
    with pytest.raises(TypeError, match="positional argument"):
        Mine(3)


def test_a_subclass_without_words_has_those_of_its_base():
    class Mine(METHODS["mil"]):
        topk: int = 3

    assert Mine.__doc__ == METHODS["mil"].__doc__
    assert Mine().topk == 3


def test_a_default_needs_no_annotation_and_an_underscore_makes_no_parameter():
    class Mine(METHODS["mil"]):
        learning_rate = 0.5
        _parameter_constraints: dict = METHODS["mil"]._parameter_constraints
        _architecture: tuple = METHODS["mil"]._architecture

    assert Mine().learning_rate == 0.5
    assert Mine().get_params().keys() == METHODS["mil"]().get_params().keys()


def test_shared_parameters_are_put_in_at_any_indentation():
    # Python 3.13 strips the indentation that all lines of a docstring have.
    Mine = type("Mine", (BaseLocalizer,), {"__doc__": "Mine.\n\nParameters\n---\n{shared}\n"})
    assert "\nmax_epochs : int or None, default=None\n    Passes over" in Mine.__doc__
    Mine = type("Mine", (BaseLocalizer,), {"__doc__": "Mine.\n\n  Attributes\n  ---\n  {fitted}\n"})
    assert "\n  classes_ : ndarray of shape (n_classes,)\n      Sorted" in Mine.__doc__


# --- parameters set after fit, ambient state, layers of torch ---


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("mil", {"pooling": "attention"}),
        ("mil", {"topk": 2}),
        ("dgam", {"classification": "sigmoid"}),
    ],
)
def test_what_a_network_was_trained_for_stays(method, change, data):
    model = make(method).fit(*data)
    before = model.predict_proba(data[0]), model.class_activation(data[0])[0]
    model.set_params(**change)
    np.testing.assert_array_equal(model.predict_proba(data[0]), before[0])
    np.testing.assert_array_equal(model.class_activation(data[0])[0], before[1])
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} is .* but the model to go on from has"):
        model.set_params(warm_start=True).fit(*data)


@each_method
def test_a_training_that_diverges_says_so(method, data):
    with pytest.raises(FloatingPointError, match="Training diverged in epoch"):
        make(method, learning_rate=1e38).fit(*data)


@pytest.mark.parametrize(
    ("layer", "message"),
    [(nn.Dropout(0.5), "use batch.dropout"), (nn.BatchNorm1d(7), "the buffer extra.running_mean")],
)
def test_layers_that_break_the_rules_are_refused(data, layer, message):
    class Mine(METHODS["mil"]):
        @staticmethod
        def _network(*arguments, **shape):
            network = METHODS["mil"]._network(*arguments, **shape)
            network.extra = layer
            return network

    with pytest.raises(TypeError, match=message):
        Mine(random_state=0).fit(*data)


# --- memory ---


def count_trainings(monkeypatch):
    trained = []

    def counted(*arguments):
        trained.append(1)
        return train(*arguments)

    monkeypatch.setattr("skdgam.base.train", counted)
    return trained


def test_candidates_that_differ_in_localization_share_one_training(data, tmp_path, monkeypatch):
    grid = {"eta": [0.1, 0.3], "proposal_threshold": [0.05, 0.1], "alpha": [0.03, 0.1]}
    alone = GridSearchCV(make("dgam"), grid, cv=2).fit(*data)
    trained = count_trainings(monkeypatch)
    shared = GridSearchCV(make("dgam", memory=str(tmp_path)), grid, cv=2, refit=False).fit(*data)
    assert len(trained) == 2 * 2
    for k in range(2):
        name = f"split{k}_test_score"
        np.testing.assert_array_equal(shared.cv_results_[name], alone.cv_results_[name])


def test_what_is_recalled_is_what_was_trained_and_goes_on(data, tmp_path, monkeypatch):
    model = make("mil", memory=str(tmp_path)).fit(*data)
    trained = count_trainings(monkeypatch)
    again = make("mil", memory=str(tmp_path), eta=0.1).fit(*data)
    assert not trained
    assert_same(again, model)
    assert_same(again.partial_fit(*data), make("mil", max_epochs=5).fit(*data))


@pytest.mark.parametrize("change", ["features", "labels", "names", "parameters", "seed", "epochs"])
def test_another_training_is_not_recalled(data, tmp_path, monkeypatch, change):
    X, y = data
    make("mil", memory=str(tmp_path)).fit(X, y)
    trained = count_trainings(monkeypatch)
    settings = {"parameters": {"topk": 4}, "seed": {"random_state": 1}, "epochs": {"max_epochs": 2}}
    model = make("mil", memory=str(tmp_path), **settings.get(change, {}))
    X = [*X[:-1], X[-1] + np.float32(1e-3)] if change == "features" else X
    y = [*y[:-1], []] if change == "labels" else y
    if change == "names":
        y = [[label.replace("action", "move") for label in v["label"].tolist()] for v in y]
    model.fit(X, y)
    assert trained


def test_a_training_that_was_cut_off_is_not_kept(data, tmp_path, monkeypatch):
    run_epoch = Trainer.run_epoch

    def interrupted(self, *arguments):
        if self.epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(self, *arguments)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    model = make("mil", memory=str(tmp_path))
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert model.n_epochs_ == 2
    monkeypatch.undo()
    assert model.fit(*data).n_epochs_ == 4


class One(METHODS["mil"]):
    """A method."""


class Other(METHODS["mil"]):
    """Another method with the same parameters."""


def test_another_method_is_not_recalled_and_not_gone_on_with(data, tmp_path, monkeypatch):
    settings = {"max_epochs": 2, "random_state": 0, "precision": "float32"}
    One(**settings, memory=str(tmp_path / "memory")).fit(*data)
    One(**settings).fit(*data, tmp_path / "file")
    trained = count_trainings(monkeypatch)
    Other(**settings, memory=str(tmp_path / "memory")).fit(*data)
    assert trained
    with pytest.raises(ValueError, match="of a training with other method"):
        Other(**settings).fit(*data, tmp_path / "file")


def test_memory_needs_a_seed(data, tmp_path):
    with pytest.raises(ValueError, match="needs an integer random_state, but it is None"):
        make("mil", memory=str(tmp_path), random_state=None).fit(*data)


# --- weights of videos ---


class Repeatable(Batch):
    """A batch whose noise follows from its rows, so that repeated videos have the same."""

    def noise(self, width):
        of_rows = 40 * self.x.sum(dim=1, keepdim=True) + 3 * torch.arange(width)
        return (1.4 * of_rows.sin()).to(self.x.dtype)


def losses_and_gradients(stage, network, X, is_labelled, weights=None):
    lengths = np.array([len(x) for x in X])
    shown = [np.tile(labels, (len(x), 1)) for x, labels in zip(X, is_labelled, strict=True)]
    batch = Repeatable(
        x=to_rows(X, torch.float32),
        lengths=lengths,
        labels=torch.from_numpy(is_labelled).float(),
        n_snippets=np.full(len(X), lengths.max()),
        n_videos=len(X),
        weights=weights,
        epoch=50,
        progress=0.5,
        snippet_labels=to_rows(shown, torch.float32),
        deviates=object(),
    )
    network.zero_grad()
    terms = stage.losses(network, batch)
    sum(weight * value for weight, value in terms.values()).backward()
    of_terms = {name: value.item() for name, (_, value) in terms.items()}
    return of_terms, [p.grad for p in network.parameters() if p.grad is not None]


def both_sources(test):
    """For each method, and for DGAM with both sources of its attention."""
    cases = [(method, {}) for method in METHODS] + [("dgam", {"attention_source": "head"})]
    cases.append(("mil", {"pooling": "attention"}))
    ids = ["-".join([method, *changes.values()]) for method, changes in cases]
    return pytest.mark.parametrize(("method", "changes"), cases, ids=ids)(test)


@both_sources
def test_whole_weights_have_the_losses_and_gradients_of_repeated_videos(method, changes, data):
    X, y = data[0][:4], np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=bool)
    repeats = np.array([2, 1, 3, 1])
    model = make(method, **changes)
    network = model._fresh_network(7, 2, seed=0)
    index = np.repeat(np.arange(4), repeats)
    for stage in model._stages():
        expected = losses_and_gradients(stage, network, [X[i] for i in index], y[index])
        found = losses_and_gradients(stage, network, X, y, repeats / repeats.mean())
        unweighted = losses_and_gradients(stage, network, X, y)
        assert found[0] == pytest.approx(expected[0], rel=1e-5)
        for name, value in unweighted[0].items():  # no term is left without weights
            assert value == 0 or value != pytest.approx(expected[0][name], rel=3e-5)
        assert len(found[1]) == len(expected[1]) > 0
        for ours, theirs in zip(found[1], expected[1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@both_sources
def test_weights_of_one_have_the_bits_of_none(method, changes, data):
    X, y = data[0][:3], np.array([[1, 0], [0, 1], [0, 0]], dtype=bool)
    model = make(method, **changes)
    network = model._fresh_network(7, 2, seed=0)
    for stage in model._stages():
        expected = losses_and_gradients(stage, network, X, y)
        found = losses_and_gradients(stage, network, X, y, np.ones(3))
        assert found[0] == expected[0]
        assert all(map(torch.equal, found[1], expected[1]))


@each_method
def test_weights_that_are_equal_change_no_bit(method, data):
    model = trained(method)
    assert_same(make(method).fit(*data, sample_weight=[0.3] * 24), model)
    assert_same(make(method, class_weight={"action 0": 1}).fit(*data), model)


WEIGHTS = np.arange(24) % 4  # of which one in four is 0


@each_method
def test_a_video_of_weight_zero_is_as_good_as_absent(method, data):
    X, y = data
    kept = np.flatnonzero(WEIGHTS)
    absent = [X[i] for i in kept], [y[i] for i in kept]
    model = make(method).fit(X, y, sample_weight=WEIGHTS)
    assert_same(model, make(method).fit(*absent, sample_weight=WEIGHTS[kept]))
    model = make(method).fit(X, y, sample_weight=WEIGHTS > 0)
    assert_same(model, make(method).fit(*absent))


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_training_on_whole_weights_is_one_on_repeated_videos(class_weight, data):
    X, y = data
    settings = {"batch_size": 99, "dropout": 0.0, "max_epochs": 8, "class_weight": class_weight}
    index = np.repeat(np.arange(24), WEIGHTS)
    repeated = make("mil", **settings).fit([X[i] for i in index], [y[i] for i in index])
    weighted = make("mil", **settings).fit(X, y, sample_weight=WEIGHTS)
    without = make("mil", **settings).fit(X, y)
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-5, atol=1e-6)
    expected = repeated.predict_proba(X)
    np.testing.assert_allclose(weighted.predict_proba(X), expected, atol=2e-5)
    assert abs(without.predict_proba(X) - expected).max() > 1e-3


def test_labels_of_videos_that_weigh_nothing_stay_known(data):
    y = ["rare", *["often"] * 23]
    model = make("mil").fit(data[0], y, sample_weight=[0] + [1] * 23)
    assert model.classes_.tolist() == ["often", "rare"]


def test_videos_of_unknown_labels_take_their_weights_with_them(data):
    X, y = data
    model = make("mil").fit(X, [None, *y[1:]], sample_weight=[100.0, *np.arange(1, 24)])
    assert_same(model, make("mil").fit(X[1:], y[1:], sample_weight=np.arange(1, 24)))


def test_partial_fit_takes_weights_as_they_are_across_calls(data):
    X, y = data
    settings = {"learning_rate": 1e-3, "dropout": 0.0}
    strong = make("mil", **settings).partial_fit(X, y, sample_weight=[4.0] * 24)
    plain = make("mil", **settings).partial_fit(X, y)
    assert strong.history_["classification"][0] == pytest.approx(
        4 * plain.history_["classification"][0], rel=1e-2
    )
    # Of a mean of 1 they are those of fit.
    weights = WEIGHTS[WEIGHTS > 0] / 2
    X, y = [X[i] for i in np.flatnonzero(WEIGHTS)], [y[i] for i in np.flatnonzero(WEIGHTS)]
    calls = make("mil", max_epochs=2).partial_fit(X, y, sample_weight=weights)
    calls.partial_fit(X, y, sample_weight=weights)
    whole = make("mil", max_epochs=2).fit(X, y, sample_weight=weights)
    for name, weight in whole.weights_.items():
        np.testing.assert_allclose(calls.weights_[name], weight, rtol=1e-4, atol=1e-6)


def test_partial_fit_knows_weights_of_classes_but_no_balance(data):
    with pytest.raises(ValueError, match="partial_fit cannot have class_weight='balanced'"):
        make("mil", class_weight="balanced").partial_fit(*data)
    labels = ["a", "b"] * 12
    model = make("mil", class_weight={"a": 2}).partial_fit(data[0], labels)
    expected = make("mil").partial_fit(data[0], labels, sample_weight=[2, 1] * 12)
    assert_same(model, expected)


def test_early_stopping_weighs_the_videos_that_it_watches(data, monkeypatch):
    X, y = data
    labels = ["a"] * 18 + ["b"] * 6
    watched = []
    monkeypatch.setattr(
        "skdgam.base.EarlyStopping.watch",
        lambda self, trainer: watched.append((self._is_labelled, self._videos.weights)) or 0.0,
    )
    make("mil", early_stopping=True, class_weight="balanced", max_epochs=1).fit(X, labels)
    is_labelled, weights = watched[0]
    np.testing.assert_allclose(weights, np.where(is_labelled[:, 1], 2, 2 / 3))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_checkpoint_is_bound_to_weights(data, tmp_path, early_stopping):
    file, weights = tmp_path / "file", np.arange(1.0, 25)
    settings = {"early_stopping": early_stopping}
    make("mil", max_epochs=2, **settings).fit(*data, file, sample_weight=weights)
    resumed = make("mil", **settings).fit(*data, file, sample_weight=2 * weights)
    assert_same(resumed, make("mil", **settings).fit(*data, sample_weight=weights))
    for other in (None, weights[::-1]):
        with pytest.raises(ValueError, match="of a training with other .*weights of videos"):
            make("mil", **settings).fit(*data, file, sample_weight=other)


def test_weights_in_place_of_a_checkpoint_are_refused(data):
    with pytest.raises(TypeError, match=r"checkpoint is of type ndarray.* as sample_weight=…"):
        make("mil").fit(*data, np.ones(24))


def test_what_is_recalled_has_the_same_weights(data, tmp_path, monkeypatch):
    X, labels, kept = data[0], ["a", "b"] * 12, {"memory": str(tmp_path)}
    weights = np.array([2.0, 1.0] * 12)
    model = make("mil", **kept).fit(X, labels, sample_weight=weights)
    trained = count_trainings(monkeypatch)
    assert_same(make("mil", **kept).fit(X, labels, sample_weight=2 * weights), model)
    assert_same(make("mil", class_weight={"a": 2}, **kept).fit(X, labels), model)
    assert not trained
    make("mil", **kept).fit(X, labels)
    make("mil", class_weight={"b": 2}, **kept).fit(X, labels)
    assert len(trained) == 2


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"swim": 1}, "class_weight has the class 'swim'"),
        ({"action 0": -1}, r"class_weight\['action 0'\] is -1"),
        ("balance", "The 'class_weight' parameter .* must be"),
        ([1, 2], "The 'class_weight' parameter .* must be"),
    ],
)
def test_weights_that_are_refused_leave_a_model_as_it_was(data, class_weight, message):
    model = make("mil").fit(*data)
    before = model.weights_
    with pytest.raises(ValueError, match=message):
        model.set_params(class_weight=class_weight).fit(*data)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        model.set_params(class_weight=None).fit(*data, sample_weight=[1])
    assert model.weights_ is before


# --- of earlier versions ---


@pytest.fixture(scope="module")
def version_1():
    with np.load(DATA / "version_1.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", ["one", "two", "mil"])
def test_pickles_of_version_1_still_open_and_train_on(name, version_1):
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("NumPy 1 does not open arrays that NumPy 2 has pickled")
    with lzma.open(DATA / "state_1.pkl.xz") as file:
        model = pickle.load(file)[name]
    X = list(version_1["X"])
    np.testing.assert_allclose(model.predict_proba(X), version_1[f"{name}_proba"], rtol=1e-4)
    model.partial_fit(X, ["run"] * 6)
    assert clone(model).get_params().keys() == model.get_params().keys()


@pytest.mark.parametrize("name", ["one", "two"])
def test_files_of_version_1_still_open(name, version_1, tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "model").write_bytes(lzma.decompress((DATA / f"{name}_1.skdgam.xz").read_bytes()))
    model = skdgam.load(tmp_path / "model")
    proba = model.predict_proba(list(version_1["X"]))
    np.testing.assert_allclose(proba, version_1[f"{name}_proba"], rtol=1e-4)


# --- standardized features ---


@each_method
def test_features_are_standardized_by_the_training_snippets(method, data):
    model = trained(method)
    rows = np.concatenate(data[0])
    np.testing.assert_allclose(model.mean_, rows.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(model.scale_, rows.std(axis=0), rtol=1e-5)


@each_method
def test_standardized_features_are_those_scaled_beforehand(method, data):
    inside = trained(method)
    X = [(x - inside.mean_) / inside.scale_ for x in data[0]]
    beforehand = make(method, standardize=False).fit(X, data[1])
    assert beforehand.mean_ is None
    assert_same(inside, beforehand)
    np.testing.assert_array_equal(inside.predict_proba(data[0]), beforehand.predict_proba(X))


def test_a_constant_feature_is_as_if_it_were_not_there(data):
    X = [np.column_stack([x, np.full(len(x), 7.0)]) for x in data[0]]
    model = make("dgam").fit(X, data[1])
    assert (model.mean_[-1], model.scale_[-1]) == (7.0, 1.0)


@each_method
def test_what_goes_on_keeps_its_statistics(method, data):
    model = make(method).partial_fit(*data)
    mean = model.mean_
    model.partial_fit([2 * x + 5 for x in data[0]], data[1])
    assert model.mean_ is mean


@each_method
def test_statistics_go_into_the_file(method, data, tmp_path):
    pytest.importorskip("safetensors")
    model = trained(method)
    model.save(tmp_path / "model")
    loaded = skdgam.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.mean_, model.mean_)
    np.testing.assert_array_equal(loaded.predict_proba(data[0]), model.predict_proba(data[0]))


@pytest.mark.parametrize(("n_videos", "expected"), [(3, 400), (48, 134), (96, 67), (500, 60)])
def test_small_data_are_trained_for_more_epochs(n_videos, expected):
    # At least 400 steps of 16 videos, and at least 60 epochs.
    assert make("dgam", batch_size=16)._enough_epochs(n_videos) == expected


def test_epochs_follow_from_the_data_by_default(data, monkeypatch):
    monkeypatch.setattr("skdgam.base.LEAST_EPOCHS", 2)
    monkeypatch.setattr("skdgam.base.LEAST_STEPS", 12)
    assert make("dgam", max_epochs=None).fit(*data).n_epochs_ == 3  # of 4 steps each


@pytest.mark.parametrize("parameter", ["max_epochs", "batch_size", "learning_rate", "eta"])
def test_a_boolean_is_no_number(data, parameter):
    model = make(next(iter(METHODS)), **{parameter: True})
    with pytest.raises(ValueError, match=f"{parameter} is True; it must be a number"):
        model.fit(*data)


@pytest.mark.parametrize("offset", [5e3, -5e3])
def test_an_offset_past_the_longest_video_is_refused(data, offset):
    X, y = data
    model = make(next(iter(METHODS)), snippet_offset=offset)
    told = f"snippet_offset is {offset:g} s, but the longest video has .* not in milliseconds"
    with pytest.raises(ValueError, match=told):
        model.fit(X, y)
    assert not hasattr(model, "classes_")
    model.set_params(snippet_offset=60 * model.clock.seconds).fit(X, y)
    model.predict([X[0][:3]])  # of a window of 121 snippets, three are a short video
    model.set_params(snippet_offset=offset)
    with pytest.raises(ValueError, match=told):
        model.predict(X)
