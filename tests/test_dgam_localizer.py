"""DGAMLocalizer as its users meet it."""

import copy
import pickle
import warnings
from enum import Enum

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from skdgam import DGAMLocalizer, load, presets
from skdgam.datasets import make_untrimmed
from skdgam.metrics import mean_average_precision
from skdgam.presets import PAPER
from skdgam.training import devices, inference
from skdgam.training.early_stopping import _cross_entropy
from skdgam.training.trainer import Trainer


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=24, n_classes=3, n_features=12, random_state=0)


def quick(**params):
    return DGAMLocalizer(**(PAPER | {"max_epochs": 4, "latent_dim": 8, "random_state": 0} | params))


@pytest.fixture(scope="module")
def fitted(data):
    return quick().fit(*data)


def labels_of(y):
    return [set(intervals["label"].tolist()) for intervals in y]


def same_weights(a, b):
    return all(np.array_equal(a.weights_[name], b.weights_[name]) for name in a.weights_)


# --- fit ---


def test_fit_returns_a_fitted_estimator(data):
    X, y = data
    model = quick()
    assert model.fit(X, y) is model
    assert model.classes_.tolist() == ["action 0", "action 1", "action 2"]
    assert model.n_features_in_ == 12
    assert model.n_epochs_ == len(model.history_["foreground"]) == 4


def test_fit_never_sees_a_time(data):
    # The release test of weak supervision: annotations, labels, annotations with their times
    # spoilt, and an indicator matrix all give the same weights, bit for bit.
    X, y = data
    spoilt = [[(np.nan, -7.0, label) for label in labels] for labels in labels_of(y)]
    models = [quick().fit(X, target) for target in (y, labels_of(y), spoilt)]
    assert same_weights(models[0], models[1])
    assert same_weights(models[0], models[2])
    indicator = [[name in labels for name in models[0].classes_] for labels in labels_of(y)]
    assert same_weights(models[0], quick().fit(X, np.array(indicator)))


def test_the_seed_decides_everything(data):
    assert same_weights(quick().fit(*data), quick().fit(*data))
    assert not same_weights(quick().fit(*data), quick(random_state=1).fit(*data))


def test_fit_leaves_its_inputs_alone(data):
    X, y = copy.deepcopy(data)
    for video in X:
        video.setflags(write=False)
    quick().fit(X, y)
    for ours, theirs in zip([*X, *y], [*data[0], *data[1]], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("X", "y", "match"),
    [
        (lambda X: X[0], lambda y: y, r"wrap it as \[x\]"),
        (lambda X: X, lambda y: y[1:], "y has 23 entries, but there are 24 videos"),
        (lambda X: [*X[:-1], X[-1] * np.nan], lambda y: y, r"X\[23\] is nan at snippet 0"),
    ],
)
def test_bad_input_changes_nothing(data, X, y, match):
    model = quick().fit(*data)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=match):
        model.fit(X(data[0]), y(data[1]))
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"alpha": -1}, "'alpha' parameter"),
        ({"pooling": "max"}, "'pooling' parameter"),
        ({"localization": "both"}, "'localization' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"snippet_seconds": 0}, "'snippet_seconds' parameter"),
        ({"learning_rate": 0.0}, "'learning_rate' parameter"),
    ],
)
def test_parameters_are_checked(data, params, match):
    with pytest.raises(InvalidParameterError, match=match):
        quick(**params).fit(*data)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"proposal_threshold": []}, r"proposal_threshold is \[\]; it must be a number in \[0, 1"),
        ({"proposal_threshold": [0.1, 1.0]}, "proposal_threshold is"),
        ({"proposal_threshold": [0.1, np.nan]}, "proposal_threshold is"),
        ({"proposal_threshold": [[0.1]]}, "proposal_threshold is"),
        ({"proposal_threshold": "high"}, "The 'proposal_threshold' parameter"),
        ({"min_snippets": 9, "max_snippets": 4}, "max_snippets=4 is less than min_snippets=9"),
        ({"tiou_thresholds": [0.5, 1.5]}, "tiou_thresholds must be one or more numbers"),
        ({"localization": "both"}, "The 'localization' parameter"),
        ({"eta": -1.0}, "The 'eta' parameter"),
    ],
)
def test_settings_of_localization_are_checked_before_training_and_before_use(
    data, fitted, parameters, match
):
    with pytest.raises(ValueError, match=match):
        quick(**parameters).fit(*data)
    with pytest.raises(ValueError, match=match):
        copy.deepcopy(fitted).set_params(**parameters).score(*data)


@pytest.mark.parametrize("device", ["cuda:7", "cuda"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there(data, device):
    with pytest.raises(ValueError, match="0 CUDA devices that torch can use; use device="):
        quick(device=device).fit(*data)


def test_a_model_of_a_machine_with_cuda_works_without(data, fitted):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    model = copy.deepcopy(fitted).set_params(device="cuda")
    with pytest.warns(UserWarning, match="the CPU is used instead"):
        proba = model.predict_proba(data[0])
    np.testing.assert_array_equal(proba, fitted.predict_proba(data[0]))


@pytest.mark.parametrize("device", ["gpu", "mps", "meta", "cuda:x"])
def test_a_device_of_no_kind(data, device):
    with pytest.raises(ValueError, match=f"device='{device}', but it must be"):
        quick(device=device).fit(*data)


def test_one_snippet_one_class_and_background_only():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 4)) for n in (1, 2, 30, 8)]
    model = quick().fit(X, ["jump", "jump", [], ["jump"]])
    assert model.predict_proba(X).shape == (4, 1)
    assert all(len(a) == len(x) for a, x in zip(model.attention(X), X, strict=True))
    model.predict(X)


def test_integer_labels_stay_integers(data):
    X, y = data
    names = np.unique(np.concatenate([v["label"] for v in y])).tolist()
    model = quick().fit(X, [[names.index(label) for label in labels] for labels in labels_of(y)])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict(X)[0]["label"].dtype.kind == "i"


# --- predict ---


@pytest.mark.parametrize("method", ["predict", "predict_frame", "predict_proba", "attention"])
def test_not_fitted(data, method):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(quick(), method)(data[0])


def test_predict_gives_sorted_intervals_inside_each_video(data, fitted):
    X, _ = data
    detections = fitted.predict(X)
    assert detections.shape == (24,)
    assert detections.dtype == object
    for video, found in zip(X, detections, strict=True):
        assert found.dtype.names == ("start", "end", "label", "score")
        assert found["label"].dtype == fitted.classes_.dtype
        assert (np.diff(found["start"]) >= 0).all()
        assert (found["start"] >= 0).all()
        assert (found["end"] <= len(video) * 0.64 + 1e-9).all()
        assert (found["start"] < found["end"]).all()
        assert np.isin(found["label"], fitted.classes_).all()
    assert sum(map(len, detections)) > 0


def test_predict_of_a_video_does_not_depend_on_the_others(data, fitted):
    X, _ = data
    together, alone = fitted.predict(X)[5], fitted.predict([X[5]])[0]
    assert together["label"].tolist() == alone["label"].tolist()
    for name in ("start", "end", "score"):
        np.testing.assert_allclose(together[name], alone[name], atol=1e-5)


def test_offset_moves_and_hop_stretches_time(data, fitted):
    X, _ = data
    base = np.concatenate(fitted.predict(X))
    moved = copy.deepcopy(fitted).set_params(snippet_seconds=1.28, snippet_offset=0.5)
    moved = np.concatenate(moved.predict(X))
    np.testing.assert_allclose(moved["start"], 2 * base["start"] + 0.5)
    np.testing.assert_allclose(moved["end"], 2 * base["end"] + 0.5)


def test_durations_stretch_each_video(data, fitted):
    X, _ = data
    durations = np.array([3 * 0.64 * len(video) for video in X])
    base, stretched = fitted.predict(X), fitted.predict(X, durations=durations)
    np.testing.assert_allclose(
        np.concatenate(stretched)["end"], 3 * np.concatenate(base)["end"], rtol=1e-9
    )


@pytest.mark.filterwarnings("ignore:X has one video")
def test_subsampled_snippets_keep_their_times(data):
    # 3,000 snippets, of which 100 are used: an action in the middle third stays there.
    X = [np.concatenate([np.zeros((1000, 2)), np.ones((1000, 2)), np.zeros((1000, 2))])]
    model = quick(max_snippets=100, proposal_threshold=0.5).fit(X, ["jump"])
    attention = np.array([[0.0, 8.0]]).repeat(256, axis=0)
    model.weights_["attention_head.0.weight"][:] = attention
    model.weights_["attention_head.0.bias"][:] = 0
    model.weights_["attention_head.2.weight"][:] = 1
    model.weights_["attention_head.2.bias"][:] = -30
    model.weights_["classifier.weight"][0] = 9
    (found,) = model.predict(X)
    assert len(found) == 1
    assert found["start"] == pytest.approx(1000 * 0.64, abs=30 * 0.64)
    assert found["end"] == pytest.approx(2000 * 0.64, abs=30 * 0.64)


def test_attention_localization_thresholds_attention(data, fitted):
    X, _ = data
    model = copy.deepcopy(fitted)
    model.set_params(localization="attention", proposal_threshold=0.5, class_threshold=0.0)
    for video, attention, found in zip(X, model.attention(X), model.predict(X), strict=True):
        inside = np.zeros(len(video), dtype=bool)
        for interval in found:
            first, stop = np.rint([interval["start"] / 0.64, interval["end"] / 0.64]).astype(int)
            inside[first:stop] = True
        np.testing.assert_array_equal(inside, attention > 0.5)


def test_several_thresholds_compete(data, fitted):
    X, _ = data
    model = copy.deepcopy(fitted).set_params(proposal_threshold=[0.05, 0.2, 0.4], nms_threshold=1)
    n_all = sum(map(len, model.predict(X)))
    n_kept = sum(map(len, model.set_params(nms_threshold=0.3).predict(X)))
    assert n_kept < n_all


def test_predict_proba_leaves_a_share_to_background(data, fitted):
    proba = fitted.predict_proba(data[0])
    assert proba.shape == (24, 3)
    assert (proba >= 0).all()
    assert (proba.sum(axis=1) < 1).all()


def test_curves_have_one_value_a_snippet(data, fitted):
    X, _ = data
    lengths = [len(video) for video in X]
    for curves in (fitted.attention(X), fitted.reconstruction_error(X)):
        assert [curve.shape for curve in curves] == [(n,) for n in lengths]
        assert all((curve >= 0).all() for curve in curves)
    assert all((curve <= 1).all() for curve in fitted.attention(X))
    tcam = fitted.class_activation(X)
    assert [curve.shape for curve in tcam] == [(n, 3) for n in lengths]
    assert all((curve.sum(axis=1) < 1).all() for curve in tcam)


def test_long_videos_go_through_the_networks_in_folds(data, fitted, monkeypatch):
    X, _ = data
    whole = fitted.attention(X)
    monkeypatch.setitem(inference.ROWS_AT_ONCE, "cpu", 16)
    for a, b in zip(whole, fitted.attention(X), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


# --- temporal context, classes by themselves, dropout ---

EXTENDED = {"temporal_context": 3, "classification": "sigmoid", "dropout": 0.3}


@pytest.fixture(scope="module")
def extended(data):
    return quick(**EXTENDED).fit(*data)


def test_context_stays_in_its_video_and_its_part(data, extended, monkeypatch):
    X, _ = data
    together = extended.attention(X)
    np.testing.assert_allclose(extended.attention([X[5]])[0], together[5], atol=1e-6)
    monkeypatch.setitem(inference.ROWS_AT_ONCE, "cpu", 16)
    for a, b in zip(together, extended.attention(X), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_attention_reaches_as_far_as_the_context(data, extended):
    X = [data[0][0].copy()]
    before = extended.attention(X)[0]
    X[0][20] += 5
    changed = np.flatnonzero(extended.attention(X)[0] != before)
    assert changed.min() == 17
    assert changed.max() == 23


def test_classes_by_themselves_have_probabilities_by_themselves(data, extended):
    X, _ = data
    bias = extended.weights_["classifier.bias"]
    shifted = copy.deepcopy(extended)
    shifted.weights_["classifier.bias"] = bias + np.array([0, 3, 0, 0], dtype=np.float32)
    ours, theirs = shifted.predict_proba(X), extended.predict_proba(X)
    np.testing.assert_array_equal(ours[:, [0, 2]], theirs[:, [0, 2]])
    odds = ours[:, 1] / (1 - ours[:, 1]) * (1 - theirs[:, 1]) / theirs[:, 1]
    np.testing.assert_allclose(odds, np.exp(3), rtol=1e-3)
    ours, theirs = (model.class_activation(X)[0] for model in (shifted, extended))
    assert (ours[:, 1] > theirs[:, 1]).all()
    np.testing.assert_array_equal(ours[:, [0, 2]], theirs[:, [0, 2]])


def test_a_bias_counts_once_in_scores(data, extended):
    model = copy.deepcopy(extended).set_params(localization="attention", proposal_threshold=0.1)
    model.set_params(eta=0.0, class_threshold=0.0)
    before = np.concatenate(model.predict(data[0]))
    model.weights_["classifier.bias"] = model.weights_["classifier.bias"] + np.float32(20)
    after = np.concatenate(model.predict(data[0]))
    np.testing.assert_allclose(np.sort(after["score"]), np.sort(before["score"]) + 20, atol=1e-4)


def test_an_extended_training_goes_on_bit_for_bit(data, extended):
    model = quick(**EXTENDED, max_epochs=2, warm_start=True).fit(*data)
    assert same_weights(pickle.loads(pickle.dumps(model)).fit(*data), extended)


def test_dropout_changes_the_training_alone(data, extended):
    without = quick(**EXTENDED | {"dropout": 0.0}).fit(*data)
    assert not same_weights(without, extended)
    again = copy.deepcopy(extended).set_params(dropout=0.0)
    np.testing.assert_array_equal(again.predict_proba(data[0]), extended.predict_proba(data[0]))


def test_dropout_without_context(data):
    assert np.isfinite(quick(dropout=0.5).fit(*data).history_["foreground"]).all()


def test_early_stopping_by_classes_by_themselves(data):
    model = quick(**EXTENDED, early_stopping=True, validation_fraction=0.3).fit(*data)
    held_out = model.history_["validation"]
    assert np.isfinite(held_out).all()
    assert 0 < held_out[-1] < 3 * np.log(4)


def test_a_file_knows_the_context(data, extended, tmp_path):
    extended.save(tmp_path / "model")
    model = load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict_proba(data[0]), extended.predict_proba(data[0]))


def test_activations_in_bfloat16_are_nearly_those_in_float32(data, fitted, monkeypatch):
    exact, rough = copy.deepcopy(fitted), copy.deepcopy(fitted).set_params(precision="bfloat16")
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: True)
    theirs, ours = exact.predict_proba(data[0]), rough.predict_proba(data[0])
    assert not np.array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_where_there_is_no_bfloat16_prediction_is_in_float32(data, fitted, monkeypatch):
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)
    model = copy.deepcopy(fitted).set_params(precision="bfloat16")
    np.testing.assert_array_equal(model.predict_proba(data[0]), fitted.predict_proba(data[0]))


def test_features_of_another_extractor(data, fitted):
    with pytest.raises(ValueError, match=r"X\[0\] has 5 features, .* fitted with 12"):
        fitted.predict([np.ones((9, 5))])


def test_predict_frame_is_tidy(data, fitted):
    pd = pytest.importorskip("pandas")
    X, _ = data
    frame, detections = fitted.predict_frame(X), fitted.predict(X)
    assert list(frame.columns) == ["video", "start", "end", "label", "score"]
    assert len(frame) == sum(map(len, detections))
    third = frame[frame["video"] == 3].drop(columns="video").reset_index(drop=True)
    pd.testing.assert_frame_equal(
        third, pd.DataFrame.from_records(detections[3]), check_dtype=False
    )


# --- score ---


def test_score_is_the_mean_of_map(data, fitted):
    X, y = data
    model = copy.deepcopy(fitted).set_params(tiou_thresholds=[0.1, 0.3])
    expected = mean_average_precision(y, model.predict(X), [0.1, 0.3]).mean()
    assert model.score(X, y) == pytest.approx(expected)


def test_score_needs_intervals_and_names_what_does_without(data, fitted):
    with pytest.raises(ValueError, match="needs the annotated intervals .*weak_label_scorer"):
        fitted.score(data[0], labels_of(data[1]))


def test_score_refuses_unknown_labels(data, fitted):
    X, y = data
    y = [[(0, 1, "swim")], *y[1:]]
    with pytest.raises(
        ValueError,
        match=r"y\[0\] has the label 'swim', .* knows nothing but 'action 0', 'action 1'",
    ):
        fitted.score(X, y)


def test_score_clips_what_runs_past_the_end(data, fitted):
    X, y = data
    late = [[(0.0, 1e6, "action 0")], *y[1:]]
    with pytest.warns(UserWarning, match=r"1 of 24 videos have intervals past their end"):
        fitted.score(X, late)


@pytest.mark.parametrize("offset", [0.0, -0.32, 0.48])
def test_a_last_snippet_cut_short_is_no_reason_to_warn(data, fitted, offset):
    X, y = data
    model = copy.deepcopy(fitted).set_params(snippet_offset=offset)
    end = len(X[0]) * 0.64 + offset  # of its snippets; that of its windows is `offset` later
    late = end + max(offset, 0.0) + 0.5
    with warnings.catch_warnings(record=True) as caught:
        model.score(X, [[(end - 3, late, "action 0")], *y[1:]])
    assert not caught
    with pytest.warns(UserWarning, match="past their end"):
        model.score(X, [[(end - 3, late + 0.2, "action 0")], *y[1:]])


# --- training that goes on ---


@pytest.mark.parametrize("refresh_every", [1, 4])
def test_warm_start_goes_on_as_if_training_had_never_stopped(data, refresh_every):
    X, y = data
    settings = {"refresh_every": refresh_every, "n_snippets": 10}
    whole = quick(max_epochs=5, **settings).fit(X, y)
    parts = quick(max_epochs=3, warm_start=True, **settings).fit(X, y)
    parts.set_params(max_epochs=2).fit(X, y)
    assert same_weights(whole, parts)
    assert parts.n_epochs_ == 5
    for name, values in whole.history_.items():
        np.testing.assert_array_equal(parts.history_[name], values)


def test_warm_start_goes_on_with_the_generator_it_began_with(data):
    whole = quick(max_epochs=4, random_state=np.random.RandomState(0)).fit(*data)
    parts = quick(max_epochs=2, random_state=np.random.RandomState(0), warm_start=True)
    assert same_weights(whole, parts.fit(*data).fit(*data))


def interrupt_epoch(monkeypatch, interrupted):
    """Press Ctrl-C in the middle of an epoch, counted from 0."""
    run_pass = Trainer._pass

    def in_the_middle(self, part, *arguments):
        terms = run_pass(self, part, *arguments)
        if self.epoch == interrupted:
            raise KeyboardInterrupt
        return terms

    monkeypatch.setattr(Trainer, "_pass", in_the_middle)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interrupted_fit_leaves_what_it_has(data, monkeypatch, early_stopping):
    model = quick(max_epochs=9, early_stopping=early_stopping)
    interrupt_epoch(monkeypatch, 3)
    with (
        pytest.warns(UserWarning, match="interrupted after epoch 3. This DGAMLocalizer is fitted"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(*data)
    assert model.n_epochs_ == 3
    assert {len(values) for values in model.history_.values()} == {3}
    assert len(model.predict(data[0])) == len(data[0])
    monkeypatch.undo()
    assert model.set_params(warm_start=True, max_epochs=1).fit(*data).n_epochs_ == 4


def test_a_fit_that_is_interrupted_at_once_changes_nothing(data, monkeypatch):
    model = quick().fit(*data)
    before = vars(model).copy()
    interrupt_epoch(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert vars(model) == before


def test_without_warm_start_a_second_fit_starts_anew(data, fitted):
    assert same_weights(copy.deepcopy(fitted).fit(*data), fitted)


def test_calls_of_partial_fit_are_the_epochs_of_fit(data, fitted):
    X, y = data
    model = quick()
    for _ in range(fitted.max_epochs):
        assert model.partial_fit(X, y) is model
    assert same_weights(model, fitted)
    assert model.n_epochs_ == fitted.n_epochs_


def test_partial_fit_checks_parameters_at_every_call(data, fitted):
    model = copy.deepcopy(fitted).set_params(gamma1=-1.0)
    with pytest.raises(InvalidParameterError, match="The 'gamma1' parameter"):
        model.partial_fit(*data)


def test_partial_fit_survives_a_pickle(data, fitted):
    X, y = data
    model = quick()
    for _ in range(fitted.max_epochs):
        model = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    assert same_weights(model, fitted)


def test_partial_fit_learns_from_a_stream_of_batches(data):
    X, y = data
    model = quick(learning_rate=1e-2, warmup_epochs=0)
    for k in range(60):
        part = slice(8 * (k % 3), 8 * (k % 3) + 8)
        model.partial_fit(X[part], y[part], classes=["action 2", "action 0", "action 1"])
    assert model.history_["foreground"][-6:].mean() < 0.5 * model.history_["foreground"][:6].mean()


def test_partial_fit_takes_batches_without_some_labels(data):
    X, y = data
    model = quick().partial_fit(X[:4], [[]] * 4, classes=["jump", "run"])
    assert model.classes_.tolist() == ["jump", "run"]
    assert model.partial_fit(X[:2], ["run", []]).n_epochs_ == 2


def test_going_on_from_weights_alone_keeps_them_and_starts_the_optimizer_anew(data, fitted):
    X, y = data
    model = copy.deepcopy(fitted).set_params(learning_rate=1e-9)
    del model.training_state_
    model.partial_fit(X, y)
    for name, value in fitted.weights_.items():
        np.testing.assert_allclose(model.weights_[name], value, atol=1e-6)
    assert model.n_epochs_ == fitted.n_epochs_ + 1


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"y": ["swim"]},
            r"y\[0\] has the label 'swim', but the model knows nothing but 'action 0'",
        ),
        (
            {"classes": ["action 0", "swim"]},
            r"classes is \['action 0', 'swim'\], but training began",
        ),
        ({"X": [np.zeros((5, 3))]}, r"X\[0\] has 3 features, but the model was fitted with 12"),
        (
            {"latent_dim": 16},
            "latent_dim is 16, but the model to go on from has 8; set it back",
        ),
    ],
)
def test_what_does_not_go_with_the_model_to_go_on_from(data, fitted, changes, match):
    X, y = data
    model = copy.deepcopy(fitted)
    arguments = {"X": X[:1], "y": y[:1]} | changes
    if "latent_dim" in arguments:
        model.set_params(latent_dim=arguments.pop("latent_dim"))
    with pytest.raises(ValueError, match=match):
        model.partial_fit(**arguments)
    assert same_weights(model, fitted)


def test_early_stopping_holds_videos_out_and_stops(data):
    X, y = data
    model = quick(
        early_stopping=True, max_epochs=300, n_iter_no_change=3, learning_rate=0.02, warmup_epochs=0
    ).fit(X, y)
    assert model.n_epochs_ < 300
    assert model.history_["validation"].argmin() == model.n_epochs_ - 1 - 3


def test_early_stopping_never_holds_out_the_only_video_of_a_class(data):
    X, _ = data
    labels = ["rare", *["often"] * 23]
    for seed in range(5):
        model = quick(early_stopping=True, validation_fraction=0.5, max_epochs=1)
        held_out = model._held_out(np.array([[x == "often", x == "rare"] for x in labels]), seed)
        assert not held_out[0]
        assert 10 <= held_out.sum() <= 13
    assert model.fit(X, labels).classes_.tolist() == ["often", "rare"]


@pytest.mark.filterwarnings("ignore:X has one video")
@pytest.mark.parametrize(
    ("labels", "fraction"),
    [(["a"], 0.1), (["a", "b", "c"], 0.1)],
)
def test_early_stopping_without_videos_to_hold_out_or_to_train_on(data, labels, fraction):
    with pytest.raises(ValueError, match="early_stopping cannot hold out .* of . videos and keep"):
        quick(early_stopping=True, validation_fraction=fraction).fit(data[0][: len(labels)], labels)


def test_early_stopping_holds_the_same_videos_out_when_training_goes_on(data, monkeypatch):
    held_out = []
    real = DGAMLocalizer._held_out

    def spy(self, *arguments):
        held_out.append(real(self, *arguments))
        return held_out[-1]

    monkeypatch.setattr(DGAMLocalizer, "_held_out", spy)
    model = quick(early_stopping=True, warm_start=True, random_state=None, max_epochs=1)
    model.fit(*data).fit(*data)
    np.testing.assert_array_equal(*held_out)


def test_early_stopping_never_ends_worse_than_it_began(data):
    X, y = data

    def held_out_loss(model):
        is_labelled = np.array([[c in labels for c in model.classes_] for labels in labels_of(y)])
        held_out = model._held_out(is_labelled, model.training_state_["seed"])
        probability = model.predict_proba([X[i] for i in np.flatnonzero(held_out)])
        return _cross_entropy(probability, is_labelled[held_out], exclusive=True)

    model = quick(early_stopping=True, warm_start=True, max_epochs=30, warmup_epochs=0).fit(X, y)
    before = held_out_loss(model)
    model.set_params(learning_rate=0.1, max_epochs=2).fit(X, y)
    assert held_out_loss(model) <= before * (1 + 1e-5)


@pytest.mark.parametrize(("n_classes", "n_videos", "fraction"), [(20, 80, 0.1), (10, 30, 0.1)])
def test_early_stopping_holds_out_about_its_share_of_many_classes(n_classes, n_videos, fraction):
    is_labelled = np.eye(n_classes, dtype=bool)[np.arange(n_videos) % n_classes]
    held_out = quick(validation_fraction=fraction)._held_out(is_labelled, 0)
    assert abs(held_out.sum() - fraction * n_videos) <= 1


def test_partial_fit_cannot_stop_early(data):
    with pytest.raises(ValueError, match="partial_fit cannot stop early"):
        quick(early_stopping=True).partial_fit(*data)


def test_warm_start_refuses_labels_that_are_new(data, fitted):
    X, y = data
    model = copy.deepcopy(fitted).set_params(warm_start=True)
    with pytest.raises(ValueError, match=r"y\[1\] has the label 'swim'"):
        model.fit(X[:2], [y[0], "swim"])


def test_weights_that_burst_in_the_last_step_are_reported(data):
    with pytest.raises(FloatingPointError, match="in epoch 1: all losses are finite, but no"):
        quick(learning_rate=1e39, max_epochs=1, gamma1=0.0, batch_size=24).fit(*data)


def test_a_fit_that_diverges_keeps_its_good_weights(data, monkeypatch):
    burst_in_epoch = 4
    real = Trainer.run_epoch

    def run_epoch(self, *arguments):
        if self.epoch + 1 == burst_in_epoch:
            self.network.decoder.third.weight.data.fill_(torch.inf)
        return real(self, *arguments)

    monkeypatch.setattr(Trainer, "run_epoch", run_epoch)
    model = quick(max_epochs=9)
    with pytest.raises(FloatingPointError, match="(?s)cvae_.* in batch 1 .* fit goes on from ther"):
        model.fit(*data)
    assert same_weights(model, quick(max_epochs=2).fit(*data))
    assert model.n_epochs_ == len(model.history_["guide"]) == 2
    assert not hasattr(model, "training_state_")
    burst_in_epoch = None
    model.set_params(warm_start=True, max_epochs=1, learning_rate=1e-4).fit(*data)
    assert model.n_epochs_ == 3


def test_networks_that_overflow_are_no_result(data, fitted):
    with pytest.raises(FloatingPointError, match="overflow on features of up to 3e[+]38. .* scale"):
        fitted.predict([np.full((5, 12), 3e38)])


# --- checkpoints of the released implementation ---


@pytest.fixture
def released_checkpoint(fitted, tmp_path):
    """The heads of the fitted localizer as the released implementation would keep them."""
    names = {"att_head.fc1": "attention_head.0", "att_head.fc2": "attention_head.2"}
    names["clf_head.fc1"] = "classifier"
    state = {
        f"{theirs}.{kind}": torch.from_numpy(fitted.weights_[f"{ours}.{kind}"])
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    torch.save(state, tmp_path / "rgb.pth")
    return tmp_path / "rgb.pth"


def test_a_released_checkpoint_touches_no_global_generator(fitted, released_checkpoint):
    before = torch.get_rng_state()
    DGAMLocalizer.from_released(released_checkpoint, fitted.classes_)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_released_checkpoint_localizes(data, fitted, released_checkpoint):
    model = DGAMLocalizer.from_released(
        released_checkpoint, fitted.classes_, **PAPER | {"eta": 0.2}
    )
    expected = copy.deepcopy(fitted).set_params(eta=0.2)
    for ours, theirs in zip(model.predict(data[0]), expected.predict(data[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_classes_of_a_released_checkpoint_as_an_enumeration(data, fitted, released_checkpoint):
    names = Enum("Names", {"C": "c", "B": "b", "A": "a"}, type=str)
    model = DGAMLocalizer.from_released(released_checkpoint, list(names))
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(
        model.predict_proba(data[0]), fitted.predict_proba(data[0])[:, [2, 1, 0]], rtol=1e-6
    )


def test_classes_of_a_released_checkpoint_stand_in_the_order_of_its_outputs(
    data, fitted, released_checkpoint
):
    model = DGAMLocalizer.from_released(released_checkpoint, ["run", "jump", "swim"])
    assert model.classes_.tolist() == ["jump", "run", "swim"]
    np.testing.assert_allclose(
        model.predict_proba(data[0]), fitted.predict_proba(data[0])[:, [1, 0, 2]], rtol=1e-6
    )


def test_a_released_checkpoint_has_no_generative_part_until_it_is_trained_on(
    data, fitted, released_checkpoint
):
    model = DGAMLocalizer.from_released(released_checkpoint, fitted.classes_)
    with pytest.raises(ValueError, match="generative part of this localizer has not been trained"):
        model.reconstruction_error(data[0])
    model.partial_fit(*data)
    assert len(model.reconstruction_error(data[0])) == len(data[0])


def test_a_generative_part_that_was_not_trained_says_nothing(data):
    model = quick(gamma1=0.0, warm_start=True).fit(*data)
    with pytest.raises(ValueError, match="fitted with gamma1=0, .*; with warm_start=True that"):
        model.reconstruction_error(data[0])
    model.set_params(gamma1=0.5).fit(*data)
    assert len(model.reconstruction_error(data[0])) == len(data[0])


@pytest.mark.parametrize("classes", ["abc", 3, ["a", "b", 1], ["a", "b", None]])
def test_classes_of_a_released_checkpoint_that_are_no_labels(released_checkpoint, classes):
    with pytest.raises((TypeError, ValueError), match="classes (is|has the labels) "):
        DGAMLocalizer.from_released(released_checkpoint, classes)


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "b"], ["a", "b", "c", "d"]])
def test_a_released_checkpoint_of_another_number_of_classes(released_checkpoint, classes):
    with pytest.raises(ValueError, match="different labels, but the classifier .* has 3 beside"):
        DGAMLocalizer.from_released(released_checkpoint, classes)


# --- an estimator among others ---


def test_clone_and_pickle(data, fitted):
    assert clone(fitted).get_params() == fitted.get_params()
    loaded = pickle.loads(pickle.dumps(fitted))
    for a, b in zip(loaded.predict(data[0]), fitted.predict(data[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_tensor_is_in_the_state(fitted):
    assert {type(value) for value in fitted.weights_.values()} == {np.ndarray}
    assert b"torch" not in pickle.dumps(fitted)


@pytest.mark.parametrize("name", DGAMLocalizer.presets)
def test_presets_are_arguments(data, name):
    preset = getattr(presets, name)
    model = DGAMLocalizer(**preset).set_params(max_epochs=2, random_state=0).fit(*data)
    assert len(model.predict(data[0])) == 24


def test_verbose_prints_the_losses(data, capsys):
    quick(max_epochs=20, verbose=1).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("epoch 20/20")
    assert "foreground" in lines[-1]


def test_nothing_is_printed_by_default(data, capsys):
    quick().fit(*data)
    assert capsys.readouterr() == ("", "")


# --- what the method is for ---


def test_the_generative_part_tells_action_from_context():
    # Less of what benchmarks/suite.py measures.
    X, y = make_untrimmed(n_videos=80, n_classes=3, random_state=0)
    scores = {}
    for gamma1 in (0.0, 1.0):
        model = DGAMLocalizer(gamma1=gamma1, max_epochs=100, random_state=0)
        scores[gamma1] = model.fit(X[:40], y[:40]).score(X[40:], y[40:])
    assert scores[1.0] > scores[0.0] + 0.3
