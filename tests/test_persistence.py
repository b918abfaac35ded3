"""Fitted localizers that are put away and taken out again."""

import copy
import pickle
import pickletools

import joblib
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import skdgam
from skdgam import DGAMLocalizer, MultiStreamLocalizer, io
from skdgam.datasets import make_untrimmed
from skdgam.preprocessing import SnippetTransformer
from skdgam.presets import PAPER


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=12, n_classes=2, n_features=(5, 4), random_state=0)


def make(**params):
    return DGAMLocalizer(**(PAPER | {"max_epochs": 3, "latent_dim": 4, "random_state": 0} | params))


@pytest.fixture(scope="module", params=["one stream", "two streams"])
def fitted(request, data):
    if request.param == "one stream":
        return make(proposal_threshold=(0.05, 0.1)).fit(*data)
    streams = [("i3d", make(), slice(0, 5)), ("i3d.2", make(eta=np.float64(0.2)), (5, 6, 7, 8))]
    return MultiStreamLocalizer(streams, tiou_thresholds=np.array([0.3, 0.5])).fit(*data)


def through_skops(model):
    skops = pytest.importorskip("skops.io")
    dumped = skops.dumps(model)
    trusted = skops.get_untrusted_types(data=dumped)
    assert all(name.startswith("skdgam.") for name in trusted), trusted
    return skops.loads(dumped, trusted=trusted)


def through_file(dump, load):
    def copied(model, folder):
        dump(model, folder / "model")
        return load(folder / "model")

    return copied


WAYS = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "skops": lambda model, _: through_skops(model),
    "joblib": through_file(joblib.dump, joblib.load),
    "joblib, memory-mapped": through_file(
        joblib.dump, lambda path: joblib.load(path, mmap_mode="r")
    ),
    "model file": through_file(lambda model, path: model.save(path), skdgam.load),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_detections_to_the_bit(data, fitted, way, tmp_path):
    X, y = data
    loaded = WAYS[way](fitted, tmp_path)
    for ours, theirs in zip(loaded.predict(X), fitted.predict(X), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.score(X, y) == fitted.score(X, y)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_a_localizer_that_trains_on(data, way, tmp_path):
    model = make().fit(*data)
    loaded = WAYS[way](model, tmp_path).partial_fit(*data)
    assert loaded.history_["foreground"].shape == (model.n_epochs_ + 1,)
    np.testing.assert_array_equal(loaded.history_["guide"][:-1], model.history_["guide"])


def test_no_torch_object_is_in_a_pickle(fitted):
    names = [
        argument
        for opcode, argument, _ in pickletools.genops(pickle.dumps(fitted))
        if opcode.name in ("GLOBAL", "SHORT_BINUNICODE", "BINUNICODE")
    ]
    assert "skdgam.dgam.localizer" in names
    assert not [name for name in names if name.split(".")[0] == "torch"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_model_for_cuda_opens_without_it(data, tmp_path):
    model = make().fit(*data)
    model.device = "cuda"
    model.save(tmp_path / "model")
    for loaded in (pickle.loads(pickle.dumps(model)), skdgam.load(tmp_path / "model")):
        assert loaded.device == "cuda"
        with pytest.warns(UserWarning, match="the CPU is used instead"):
            loaded.predict(data[0])


@pytest.mark.parametrize("version", [None, 0, 2])
def test_states_of_another_version_are_refused(fitted, version):
    state = fitted.__getstate__() | {"_state_version": version}
    if version is None:
        del state["_state_version"]
    model = type(fitted).__new__(type(fitted))
    with pytest.raises(ValueError, match=f"states of version {version}, and this skdgam reads"):
        model.__setstate__(state)


# --- model files ---


def test_a_file_names_no_folder_for_trainings(data, tmp_path):
    make(memory=str(tmp_path / "memory")).fit(*data).save(tmp_path / "model")
    spoil(tmp_path / "model", lambda description, _: description["params"].update(memory="x"))
    assert skdgam.load(tmp_path / "model").memory is None


@pytest.fixture
def path(fitted, tmp_path):
    fitted.save(tmp_path / "model.skdgam")
    return tmp_path / "model.skdgam"


def test_parameters_of_a_model_file_are_those_that_were_saved(fitted, path):
    loaded = skdgam.load(path).get_params()
    for name, value in fitted.get_params().items():
        if isinstance(value, tuple | np.ndarray):
            assert loaded[name] == list(value)
        elif name not in ("streams", "i3d", "i3d.2"):
            assert loaded[name] == value, name


def test_a_generator_is_not_saved(data, tmp_path):
    make(random_state=np.random.RandomState(0)).fit(*data).save(tmp_path / "model")
    assert skdgam.load(tmp_path / "model").random_state is None


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64, "U7"])
def test_labels_keep_their_dtype(data, tmp_path, dtype):
    labels = np.array([1, 2] * 6).astype(dtype)
    model = make().fit(data[0], labels)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(
        skdgam.load(tmp_path / "model").classes_, model.classes_, strict=True
    )


def test_what_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError, match="not fitted"):
        make().save(tmp_path / "model")


def spoil(path, change):
    """Rewrite a model file with a change to its description and arrays."""
    description, arrays = skdgam.io.read_model(path)
    change(description, arrays)
    skdgam.io.write_model(path, description, arrays)


def of_first(description, arrays):
    """Description and names of the arrays of a file's only or first localizer."""
    if "streams" in description:
        return description["streams"][0]["fitted"], "0."
    return description, ""


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"slice": [0, 4, None]}, "takes 4 columns"),
        ({"slice": None}, "takes the columns None"),
        ({"name": "i3d.2"}, "Names provided are not unique"),
    ],
)
def test_streams_that_do_not_go_together(data, tmp_path, change, match):
    streams = [("i3d", make(), slice(0, 5)), ("i3d.2", make(), slice(5, 9))]
    MultiStreamLocalizer(streams).fit(*data).save(tmp_path / "model")
    spoil(tmp_path / "model", lambda description, _: description["streams"][0].update(change))
    with pytest.raises(ValueError, match=match):
        skdgam.load(tmp_path / "model")


def test_a_localizer_of_another_class(path):
    spoil(path, lambda description, arrays: description.update({"class": "Mine"}))
    with pytest.raises(ValueError, match="holds a 'Mine', but load knows only DGAMLocalizer, MIL"):
        skdgam.load(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d, a: of_first(d, a)[0]["params"].update(zeta=1), "argument 'zeta'"),
        (lambda d, a: of_first(d, a)[0]["params"].update(eta=-1), "The 'eta' parameter"),
        (lambda d, a: of_first(d, a)[0]["classes"].pop(), "features and 1 classes ask for"),
        (lambda d, a: of_first(d, a)[0].update(classes=[None, "a"]), "none may be missing"),
        (lambda d, a: of_first(d, a)[0].update(classes=[1, 2]), "are no classes of dtype"),
        (lambda d, a: of_first(d, a)[0].update(classes_dtype="O"), "are no classes"),
        (lambda d, a: of_first(d, a)[0]["classes"].reverse(), "are not sorted, or some are equal"),
        (lambda d, a: a.pop(of_first(d, a)[1] + "weights.classifier.bias"), "classifier.bias"),
        (
            lambda d, a: a.update({of_first(d, a)[1] + "weights.decoder.first.bias": np.ones(3)}),
            r"decoder.first.bias has the shape \(3,\), but",
        ),
        (lambda d, a: a.update({of_first(d, a)[1] + "trap.x": np.ones(3)}), "KeyError: 'trap'"),
        (lambda d, a: a.clear(), "attention_head.0.bias, .* are missing"),
        (lambda d, a: of_first(d, a)[0].update(n_epochs=-100), "n_epochs is -100"),
        (lambda d, a: of_first(d, a)[0].update(n_epochs=7), "The history is not of 7 epochs"),
        (
            lambda d, a: a[of_first(d, a)[1] + "weights.classifier.bias"].fill(np.nan),
            "Not all weights are finite",
        ),
        (
            lambda d, a: of_first(d, a)[0]["params"].update(proposal_threshold=[2.0]),
            "proposal_threshold is",
        ),
        (
            lambda d, a: of_first(d, a)[0]["params"].update(proposal_threshold=[0.5] * 100_000),
            "up to 1000 such numbers",
        ),
        (
            lambda d, a: of_first(d, a)[0]["params"].update(min_snippets=10**9),
            "The 'min_snippets' parameter",
        ),
        (
            lambda d, a: of_first(d, a)[0]["params"].update(class_weight=[["a"]]),
            "has length 1; 2 is required",
        ),
        (
            lambda d, a: of_first(d, a)[0]["params"].update(class_weight="much"),
            "The 'class_weight' parameter",
        ),
    ],
)
def test_contents_that_do_not_make_a_localizer(path, change, match):
    spoil(path, change)
    with pytest.raises(ValueError, match=f"model.skdgam is no model file .* damaged: .*{match}"):
        skdgam.load(path)


def test_a_claim_of_long_labels_takes_no_memory(path):
    spoil(path, lambda d, a: of_first(d, a)[0].update(classes_dtype="<U300000000"))
    assert skdgam.load(path).classes_.dtype.itemsize < 100


def test_a_pipeline_goes_through_skops(data):
    X, y = data
    pipe = make_pipeline(SnippetTransformer(PCA(2)), DGAMLocalizer(max_epochs=1, random_state=0))
    again = through_skops(pipe.fit(X, y))
    for ours, theirs in zip(again.predict(X), pipe.predict(X), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


# --- weights of classes ---


@pytest.mark.parametrize(
    "class_weight",
    [None, "balanced", {0: 1, 1: np.float64(2.5)}, {np.int64(1): 0.5}],
    ids=["none", "balanced", "dict", "numpy"],
)
def test_weights_of_classes_that_are_numbers_are_kept(data, class_weight, tmp_path):
    X, labels = data[0], [0, 1] * 6
    model = make(class_weight=class_weight).fit(X, labels)
    streams = MultiStreamLocalizer([("all", model, slice(None))]).fit(X, labels)
    for fitted in (model, streams):
        fitted.save(tmp_path / "model")
        loaded = skdgam.load(tmp_path / "model")
        for each in loaded.get_params().values():
            if isinstance(each, DGAMLocalizer):
                assert each.class_weight == class_weight
        one = getattr(loaded, "localizers_", {"all": loaded})["all"]
        assert one.class_weight == class_weight
        assert one.set_params(warm_start=True).fit(X, labels).n_epochs_ == 6


def test_a_file_from_before_there_were_weights_has_none(data, tmp_path):
    make(class_weight="balanced").fit(*data).save(tmp_path / "model")
    description, arrays = io.read_model(tmp_path / "model")
    del description["params"]["class_weight"]
    io.write_model(tmp_path / "older", description, arrays)
    assert skdgam.load(tmp_path / "older").class_weight is None
