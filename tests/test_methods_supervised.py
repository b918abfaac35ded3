"""The yardstick: what it is taught, what it refuses, and that it learns more than weak methods."""

import re

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

import skdgam
from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.losses import multilabel_loss
from skdgam.methods import SupervisedLocalizer
from skdgam.training.batches import Batch, to_rows
from skdgam.training.trainer import Trainer


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=24, n_classes=2, n_features=(4, 3), random_state=0)


def quick(**changes):
    settings = {"max_epochs": 4, "hidden": 8, "random_state": 0, "precision": "float32"}
    return SupervisedLocalizer(**(settings | changes))


def same(one, other):
    weights = [(one.weights_[name], other.weights_[name]) for name in one.weights_]
    return all(np.array_equal(*pair) for pair in weights)


# --- what it is taught ---


def taught(model, X, y, monkeypatch):
    """The batches that a training is given."""
    seen, losses = [], SupervisedLocalizer._losses

    def spied(self, network, batch):
        seen.append(batch)
        return losses(self, network, batch)

    monkeypatch.setattr(SupervisedLocalizer, "_losses", spied)
    model.fit(X, y)
    return seen


@pytest.mark.filterwarnings("ignore:Attention is near")  # after one epoch
def test_snippets_are_taught_what_the_intervals_say(monkeypatch):
    X = [np.full((n, 2), n, dtype=np.float32) for n in (4, 3)]
    y = [[(2.0, 6.0, "jump"), (0.0, 3.0, "run")], []]  # middles are at 1, 3, 5 and 7 seconds
    model = quick(snippet_seconds=2.0, standardize=False, max_epochs=1)
    (batch,) = taught(model, X, y, monkeypatch)
    labels = dict(zip(batch.lengths, batch.of_videos(batch.snippet_labels), strict=True))
    assert labels[4].tolist() == [[0, 1], [1, 0], [1, 0], [0, 0]]
    assert not labels[3].any()


def test_a_draw_of_snippets_takes_their_labels_with_it(data, monkeypatch):
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((n, 1)).astype(np.float32) for n in (30, 50, 80)]
    y = [make_intervals(start := 0.64 * np.flatnonzero(x[:, 0] > 0), start + 0.64, "up") for x in X]
    seen = taught(quick(n_snippets=20, standardize=False, max_epochs=2), X, y, monkeypatch)
    for batch in seen:
        assert set(batch.lengths) == {20}
        np.testing.assert_array_equal(batch.snippet_labels[:60], batch.x[:60] > 0)


def test_the_loss_is_that_of_every_snippet():
    model = quick(dropout=0.0, temporal_context=1)
    network = model._fresh_network(2, 3, seed=0)
    X = [np.random.default_rng(n).standard_normal((n, 2)).astype(np.float32) for n in (2, 5)]
    labels = [np.eye(n, 3, dtype=bool) for n in (2, 5)]
    batch = Batch(
        x=to_rows(X, torch.float32),
        lengths=np.array([2, 5]),
        labels=torch.zeros(2, 3),
        n_snippets=np.array([2, 5]),
        n_videos=2,
        snippet_labels=to_rows(labels, torch.float32),
    )
    ((weight, loss),) = model._losses(network, batch).values()
    hidden, classifier = network.body, network.classifier
    of_videos = []
    for x, of_video in zip(X, labels, strict=True):
        around = np.concatenate([np.zeros((1, 2)), x, np.zeros((1, 2))])
        windows = torch.tensor(np.hstack([around[:-2], around[1:-1], around[2:]])).float()
        units = (windows @ hidden.weight.T + hidden.bias).relu()
        logits = units @ classifier.weight.T + classifier.bias
        of_videos.append(multilabel_loss(logits, torch.tensor(of_video).float()).mean())
    assert weight == 1.0
    assert loss.item() == pytest.approx(sum(of_videos).item() / 2, rel=1e-5)


def test_videos_whose_annotation_is_unknown_are_left_out(data):
    X, y = data
    model = quick().fit([X[0], *X], [None, *y])
    assert same(model, quick().fit(X, y))


def test_annotations_go_by_the_names_of_videos(data):
    X, y = ({f"v{i:02d}": entry for i, entry in enumerate(part)} for part in data)
    backwards = dict(reversed(y.items()))
    assert same(quick().fit(X, backwards), quick().fit(*data))


def test_a_frame_of_intervals_is_an_annotation(data):
    pd = pytest.importorskip("pandas")
    X, y = ({f"v{i:02d}": entry for i, entry in enumerate(part)} for part in data)
    rows = [(name, *interval) for name, v in y.items() for interval in v.tolist()]
    frame = pd.DataFrame(rows, columns=["video", "start", "end", "label"])
    assert same(quick().fit(X, frame), quick().fit(*data))


def test_a_training_is_told_of_its_times_by_features_that_know_them(data):
    class Folder(list):
        about = {"snippet_seconds": 0.7, "snippet_offset": 0.1, "extractor": []}

    X, y = data
    told = quick().fit(Folder(X), y)
    assert same(told, quick(snippet_seconds=0.7, snippet_offset=0.1).fit(X, y))
    further = told.partial_fit(X, y)
    whole = quick(snippet_seconds=0.7, snippet_offset=0.1)
    for _ in range(5):
        whole.partial_fit(X, y)
    assert same(further, whole)


# --- what it refuses ---


@pytest.mark.parametrize(
    ("y", "given"),
    [
        (["jump", "run"], "y[0] is 'jump'"),
        ([[(0, 1, "jump")], {"run"}], "y[1] is {'run'}"),
        (np.eye(2, dtype=int), "y is an indicator matrix"),
    ],
)
def test_labels_without_times_are_refused(y, given):
    model = quick()
    told = re.escape(
        f"{given}, but SupervisedLocalizer learns from the annotated intervals of each video: a "
        "list of (start, end, label) with times in seconds. Other methods need labels alone."
    )
    with pytest.raises(ValueError, match=told):
        model.fit([np.ones((3, 2))] * 2, y)
    with pytest.raises(ValueError, match=told):
        model.partial_fit([np.ones((3, 2))] * 2, y)
    assert not hasattr(model, "weights_")


def test_times_that_are_no_seconds_are_refused(data):
    X, y = data
    milliseconds = [make_intervals(1e6 + v["start"], 1e6 + v["end"], v["label"]) for v in y]
    with pytest.raises(ValueError, match="Every interval of y starts after the end of its video"):
        quick().fit(X, milliseconds)


def test_intervals_past_the_end_are_told(data):
    X, y = data
    longer = [*y[:-1], make_intervals([0.0], [1e4], "action 0")]
    with pytest.warns(UserWarning, match="1 of 24 videos have intervals past their end"):
        quick().fit(X, longer)


def test_one_video_is_enough_to_learn_from(data):
    X, y = data
    assert quick().fit(X[:1], y[:1]).n_epochs_ == 4  # without a warning


# --- trainings that are kept are of the same intervals ---


def moved(y):
    return [make_intervals(v["start"] + 1, v["end"] + 1, v["label"]) for v in y]


def test_a_checkpoint_is_bound_to_the_intervals(data, tmp_path):
    pytest.importorskip("safetensors")
    X, y = data
    model = quick().fit(X, y, tmp_path / "file")
    for other, intervals in ((quick(), moved(y)), (quick(snippet_seconds=0.7), y)):
        with pytest.raises(ValueError, match="of a training with other labels of snippets"):
            other.fit(X, intervals, tmp_path / "file")
    assert same(quick().fit(X, y, tmp_path / "file"), model)


def test_what_is_recalled_is_of_the_same_intervals(data, tmp_path, monkeypatch):
    X, y = data
    kept = {"memory": str(tmp_path)}
    model = quick(**kept).fit(X, y)
    other = quick(**kept).fit(X, moved(y))
    assert not same(other, model)
    assert same(other, quick().fit(X, moved(y)))
    monkeypatch.setattr(Trainer, "run_epoch", None)  # nothing is trained any more
    assert same(quick(**kept, eta=0.3).fit(X, [v.tolist() for v in y]), model)


# --- what it finds ---


def test_it_finds_what_labels_alone_do_not_tell():
    X, y = make_untrimmed(n_videos=40, n_classes=2, random_state=0)
    model = SupervisedLocalizer(max_epochs=40, batch_size=5, random_state=0).fit(X[:30], y[:30])
    assert model.history_["classification"][-1] < 0.2 * model.history_["classification"][0]
    assert model.set_params(tiou_thresholds=0.7).score(X[30:], y[30:]) > 0.9
    proba = model.predict_proba(X[30:])
    is_there = np.array([np.isin(model.classes_, video["label"]) for video in y[30:]])
    assert proba[is_there].min() > proba[~is_there].max()


def test_it_goes_with_a_weak_method_as_a_stream(data, tmp_path):
    pytest.importorskip("safetensors")
    weak = DGAMLocalizer(max_epochs=3, latent_dim=4, random_state=0)
    streams = [("weak", weak, slice(0, 4)), ("told", quick(), slice(4, 7))]
    model = MultiStreamLocalizer(streams).fit(*data)
    model.save(tmp_path / "model")
    loaded = skdgam.load(tmp_path / "model")
    assert type(loaded.localizers_["told"]) is SupervisedLocalizer
    for ours, theirs in zip(loaded.predict(data[0]), model.predict(data[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_search_hands_annotations_on(data):
    search = GridSearchCV(quick(), {"temporal_context": [0, 2]}, cv=2, error_score="raise")
    assert 0 <= search.fit(*data).best_score_ <= 1
