"""MultiStreamLocalizer, and equality of both streams with the released implementation."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdgam import DGAMLocalizer, MultiStreamLocalizer, presets
from skdgam.datasets import make_untrimmed
from skdgam.metrics import mean_average_precision


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=16, n_classes=3, n_features=(6, 9), random_state=0)


def make(**params):
    return DGAMLocalizer(**({"max_epochs": 3, "latent_dim": 4, "random_state": 0} | params))


def make_streams(**params):
    return [
        ("rgb", make(**params), slice(0, 6)),
        ("flow", make(gamma1=0.3, **params), slice(6, 15)),
    ]


@pytest.fixture(scope="module")
def fitted(data):
    return MultiStreamLocalizer(make_streams()).fit(*data)


@pytest.fixture
def released_localizers(released, tmp_path):
    """The localizers of both streams, from checkpoints as the released implementation has them."""
    localizers = {}
    for stream in ("rgb", "flow"):
        preset = getattr(presets, f"{released.benchmark.upper()}_{stream.upper()}")
        weights = released.weights(f"{stream}.")
        state = {f"module.{name}": torch.from_numpy(value) for name, value in weights.items()}
        path = tmp_path / f"{stream}.pth"
        torch.save(state, path)
        classes = [f"c{k}" for k in range(6)]
        localizers[stream] = DGAMLocalizer.from_released(path, classes, **preset)
    return localizers


@pytest.fixture
def released_model(released_localizers):
    return MultiStreamLocalizer.from_fitted(
        [
            ("rgb", released_localizers["rgb"], slice(0, 24)),
            ("flow", released_localizers["flow"], slice(24, None)),
        ]
    )


@pytest.fixture
def released_videos(released):
    return [
        np.concatenate([released[f"video{i}_rgb"], released[f"video{i}_flow"]], axis=1)
        for i in range(10)
    ]


def test_detections_are_those_of_the_released_implementation(
    released, released_model, released_videos
):
    for i, found in enumerate(released_model.predict(released_videos)):
        theirs = released[f"video{i}_detections"]
        ours = np.array(
            [(float(d["label"][1:]), d["score"], d["start"], d["end"]) for d in found]
        ).reshape(-1, 4)
        # To the last bit of the times, which are exact, in any order.
        order, their_order = (np.lexsort(np.round(a[:, [0, 2, 3]], 6).T) for a in (ours, theirs))
        np.testing.assert_allclose(ours[order], theirs[their_order], atol=1e-4)


def test_map_is_that_of_the_released_implementation(
    released, released_model, released_videos, to_intervals
):
    truth = released.ground_truth
    y = [to_intervals(truth[f"v{i}"]["annotations"]) for i in range(10)]
    thresholds = released["map_thresholds"]
    ours = mean_average_precision(y, released_model.predict(released_videos), thresholds)
    np.testing.assert_allclose(ours, released["map"], atol=1e-9)


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_attention_and_probabilities_are_those_of_the_released_implementation(
    released, released_localizers, stream
):
    model = released_localizers[stream]
    videos = [released[f"video{i}_{stream}"] for i in range(10)]
    for i, activation in enumerate(model._activations(model._check(videos))):
        theirs = released[f"video{i}_{stream}_attention"].ravel()
        np.testing.assert_allclose(activation.attention, theirs, atol=1e-5)
    theirs = [released[f"video{i}_{stream}_probability"] for i in range(10)]
    np.testing.assert_allclose(model.predict_proba(videos), theirs, atol=1e-5)


def test_each_stream_is_fitted_to_its_columns(data, fitted):
    X, y = data
    alone = make().fit([video[:, :6] for video in X], y)
    for name, value in alone.weights_.items():
        np.testing.assert_array_equal(fitted.localizers_["rgb"].weights_[name], value)
    assert fitted.localizers_["flow"].n_features_in_ == 9
    assert fitted.n_features_in_ == 15
    assert not hasattr(fitted.streams[0][1], "classes_")  # what was passed in stays unfitted


def test_columns_as_a_list(data, fitted):
    streams = [("rgb", make(), list(range(6))), ("flow", make(gamma1=0.3), np.arange(6, 15))]
    model = MultiStreamLocalizer(streams).fit(*data)
    for a, b in zip(model.predict(data[0]), fitted.predict(data[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_stream_is_that_localizer(data):
    X, y = data
    X = [video[:, :6] for video in X]
    alone = make().fit(X, y)
    model = MultiStreamLocalizer([("rgb", make(), slice(0, 6))]).fit(X, y)
    for a, b in zip(model.predict(X), alone.predict(X), strict=True):
        np.testing.assert_array_equal(a, b)


def test_curves_and_probabilities_are_means_over_streams(data, fitted):
    X, _ = data
    streams = {
        "rgb": [video[:, :6] for video in X],
        "flow": [video[:, 6:] for video in X],
    }
    for method in ("predict_proba", "attention", "class_activation"):
        parts = [getattr(fitted.localizers_[name], method)(x) for name, x in streams.items()]
        whole = getattr(fitted, method)(X)
        for a, b, mean in zip(*parts, whole, strict=True):
            np.testing.assert_allclose(mean, (a + b) / 2, atol=1e-6)


def test_from_fitted_equals_fit(data, fitted):
    model = MultiStreamLocalizer.from_fitted(
        [
            ("rgb", fitted.localizers_["rgb"], slice(0, 6)),
            ("flow", fitted.localizers_["flow"], slice(6, None)),
        ]
    )
    assert model.n_features_in_ == 15
    assert model.score(*data) == fitted.score(*data)


def test_score_and_frame(data, fitted):
    expected = mean_average_precision(data[1], fitted.predict(data[0]), 0.5).mean()
    assert fitted.score(*data) == pytest.approx(expected)
    pytest.importorskip("pandas")
    assert list(fitted.predict_frame(data[0]).columns)[0] == "video"


def test_calls_of_partial_fit_are_the_epochs_of_fit(data, fitted):
    model = MultiStreamLocalizer(make_streams())
    for _ in range(3):
        model.partial_fit(*data)
    for a, b in zip(model.predict(data[0]), fitted.predict(data[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_parameters_set_since_fitting_are_those_of_the_next_training(data):
    X, y = data
    model = MultiStreamLocalizer(make_streams()).partial_fit(X, y)
    model.set_params(rgb__learning_rate=0.5).partial_fit(X, y)
    assert model.localizers_["rgb"].learning_rate == 0.5
    assert model.localizers_["rgb"].n_epochs_ == 2


def test_partial_fit_goes_on_with_the_same_columns(data):
    model = MultiStreamLocalizer(make_streams()).partial_fit(*data)
    (rgb, flow) = make_streams()
    model.set_params(streams=[(*rgb[:2], slice(0, 5)), flow])
    with pytest.raises(ValueError, match=r"'rgb' takes .*\(0, 5, None\), but training began with"):
        model.partial_fit(*data)


def test_warm_start_of_a_stream(data):
    model = MultiStreamLocalizer(make_streams(warm_start=True)).fit(*data)
    assert model.fit(*data).localizers_["rgb"].n_epochs_ == 6


def test_streams_changed_since_fitting_do_not_matter_to_predictions(data, fitted):
    model = copy.deepcopy(fitted)
    model.set_params(streams=[("other", make(), slice(0, 15))])
    for a, b in zip(model.predict(data[0]), fitted.predict(data[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nms_threshold_is_checked_when_it_is_used(data, fitted):
    with pytest.raises(ValueError, match="The 'nms_threshold' parameter"):
        copy.deepcopy(fitted).set_params(nms_threshold=-3).predict(data[0])


def test_partial_fit_trains_all_streams_or_none(data):
    X, y = data
    model = MultiStreamLocalizer(make_streams()).partial_fit(X, y)
    model.set_params(flow__learning_rate=1e39)
    before = {name: localizer.weights_ for name, localizer in model.localizers_.items()}
    with pytest.raises(FloatingPointError, match="diverged"):
        model.partial_fit(X, y)
    for name, localizer in model.localizers_.items():
        assert localizer.weights_ is before[name]


def test_nested_parameters():
    model = MultiStreamLocalizer(make_streams())
    model.set_params(rgb__alpha=0.5, flow=make(beta=0.7), nms_threshold=0.4)
    assert model.get_params()["rgb__alpha"] == 0.5
    assert model.get_params()["flow__beta"] == 0.7
    assert model.streams[1][2] == slice(6, 15)
    assert clone(model).get_params()["nms_threshold"] == 0.4


def test_pickle(data, fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.score(*data) == fitted.score(*data)


def test_not_fitted(data):
    with pytest.raises(NotFittedError, match="not fitted"):
        MultiStreamLocalizer(make_streams()).predict(data[0])
    with pytest.raises(NotFittedError, match="not fitted"):
        MultiStreamLocalizer.from_fitted(make_streams())


@pytest.mark.parametrize(
    ("streams", "error", "match"),
    [
        ([], ValueError, "streams is empty"),
        ([("rgb", make())], ValueError, r"streams must be a list of \(name, localizer, columns\)"),
        ([("rgb", "localizer", slice(0, 6))], TypeError, "Stream 'rgb' has a str"),
        ([("rgb", make(), slice(0, 6))] * 2, ValueError, "Names provided are not unique"),
        ([("a__b", make(), slice(0, 6))], ValueError, "must not contain __"),
        ([("rgb", make(), slice(0, 99))], ValueError, "'rgb' takes the columns .* 15 features"),
        ([("rgb", make(), [3, 20])], ValueError, r"columns \[3, 20\], but X has 15 features"),
        ([("rgb", make(), [])], ValueError, r"columns \[\]"),
        ([("rgb", make(), 3)], ValueError, "columns 3, .* a slice or a list of indices"),
        ([("rgb", make(), None)], ValueError, "columns None"),
        ([("rgb", make(), "all")], ValueError, "columns 'all'"),
        ([("rgb", make(), (slice(0, 6), 1))], ValueError, "columns "),
        ([(1, make(), slice(0, 6))], TypeError, r"names of streams must be text; got \[1\]"),
        (
            [("rgb", make(), slice(0, 6)), ("flow", make(snippet_offset=0.1), slice(6, 15))],
            ValueError,
            "Stream 'flow' has snippet_offset=0.1, but 'rgb' has 0.0",
        ),
        (
            [("rgb", make(), slice(0, 6)), ("flow", make(max_snippets=9), slice(6, 15))],
            ValueError,
            "Stream 'flow' has max_snippets=9, but 'rgb' has None",
        ),
    ],
)
def test_bad_streams(data, streams, error, match):
    with pytest.raises(error, match=match):
        MultiStreamLocalizer(streams).fit(*data)


@pytest.mark.parametrize("columns", [slice(6, 14), slice(6, 15, 2), [*range(6, 16)]])
def test_fitted_localizers_need_as_many_columns_as_they_were_fitted_with(fitted, columns):
    with pytest.raises(ValueError, match="'flow' takes .+ columns, .* fitted with 9 features"):
        MultiStreamLocalizer.from_fitted(
            [
                ("rgb", fitted.localizers_["rgb"], slice(0, 6)),
                ("flow", fitted.localizers_["flow"], columns),
            ]
        )


@pytest.mark.parametrize("columns", [slice(-9, -1), slice(None, -6), [-1, -2], []])
def test_columns_of_fitted_localizers_count_from_the_left(fitted, columns):
    with pytest.raises(ValueError, match="do not say how many features X has"):
        MultiStreamLocalizer.from_fitted([("flow", fitted.localizers_["flow"], columns)])


def test_columns_of_fitted_localizers_as_a_mask(data, fitted):
    masks = np.arange(15) < 6, np.arange(15) >= 6
    model = MultiStreamLocalizer.from_fitted(
        [
            (name, fitted.localizers_[name], mask)
            for name, mask in zip(("rgb", "flow"), masks, strict=True)
        ]
    )
    assert model.score(*data) == fitted.score(*data)


def test_fitted_localizers_on_every_second_column(fitted):
    model = MultiStreamLocalizer.from_fitted(
        [("flow", fitted.localizers_["flow"], slice(1, None, 2))]
    )
    assert model.n_features_in_ == 18


def test_streams_of_other_classes(fitted):
    other = copy.deepcopy(fitted.localizers_["flow"])
    other.classes_ = np.array(["a", "b", "c"])
    with pytest.raises(ValueError, match="Stream 'flow' knows the classes .*, but 'rgb' knows"):
        MultiStreamLocalizer.from_fitted(
            [("rgb", fitted.localizers_["rgb"], slice(0, 6)), ("flow", other, slice(6, 15))]
        )


# --- weights of videos ---


def test_every_stream_is_trained_with_the_weights(data):
    X, y = data
    weights = np.arange(16)
    model = MultiStreamLocalizer(make_streams(class_weight="balanced"))
    model.fit(X, y, sample_weight=weights)
    parts = MultiStreamLocalizer(make_streams()).partial_fit(X, y, sample_weight=weights)
    for name, localizer, columns in make_streams(class_weight="balanced"):
        of_stream = [x[:, columns] for x in X]
        alone = clone(localizer).fit(of_stream, y, sample_weight=weights)
        part = clone(localizer).set_params(class_weight=None)
        part.partial_fit(of_stream, y, sample_weight=weights)
        for key, weight in alone.weights_.items():
            np.testing.assert_array_equal(model.localizers_[name].weights_[key], weight)
            np.testing.assert_array_equal(parts.localizers_[name].weights_[key], part.weights_[key])
