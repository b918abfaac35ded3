"""A training that is killed goes on bit for bit; what cannot go on says why."""

import multiprocessing
import os
import random
import time

import numpy as np
import pytest
import torch

from skdgam import DGAMLocalizer, MultiStreamLocalizer, io, load
from skdgam._features import check_features
from skdgam.datasets import make_untrimmed
from skdgam.presets import PAPER
from skdgam.training.checkpoints import digest, is_checkpoint
from skdgam.training.trainer import Trainer

STOPS = {"early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 3}
EXTENDED = {"temporal_context": 1, "classification": "sigmoid", "dropout": 0.3}


@pytest.fixture(scope="module")
def data():
    return make_data()


def make_data():
    return make_untrimmed(n_videos=24, n_features=8, n_classes=2, random_state=0)


def localizer(max_epochs=12, **changes):
    settings = {"latent_dim": 4, "batch_size": 6, "warmup_epochs": 2, "random_state": 0}
    settings |= {"max_epochs": max_epochs, "precision": "float32"}
    return DGAMLocalizer(**(PAPER | settings | changes))


def assert_same(one, other):
    assert one.n_epochs_ == other.n_epochs_
    for name, weight in one.weights_.items():
        np.testing.assert_array_equal(weight, other.weights_[name], err_msg=name)
    for name, values in one.history_.items():
        np.testing.assert_array_equal(values, other.history_[name], err_msg=name)


@pytest.mark.parametrize("changes", [{}, STOPS, EXTENDED, {"refresh_every": 4}, {"gamma1": 0.0}])
def test_what_goes_on_is_what_never_stopped(data, tmp_path, changes):
    path = tmp_path / "checkpoint"
    whole = localizer(**changes).fit(*data)
    localizer(5, **changes).fit(*data, path, checkpoint_every=3)
    resumed = localizer(**changes).fit(*data, path)
    assert_same(resumed, whole)
    assert_same(localizer(**changes).fit(*data, path), whole)  # there is nothing left to do
    more = [
        model.set_params(warm_start=True, max_epochs=2).fit(*data) for model in (resumed, whole)
    ]
    assert_same(*more)


def test_what_was_cut_off_in_the_first_epoch_goes_on(data, tmp_path, monkeypatch):
    def killed(self, *arguments):
        raise SystemError("killed")

    monkeypatch.setattr(Trainer, "run_epoch", killed)
    with pytest.raises(SystemError):
        localizer(3).fit(*data, tmp_path / "checkpoint")
    monkeypatch.undo()
    assert_same(localizer(3).fit(*data, tmp_path / "checkpoint"), localizer(3).fit(*data))


def test_a_warm_start_goes_on_too(data, tmp_path):
    def warm(max_epochs, *checkpoint):
        model = localizer(3, warm_start=True).fit(*data)
        return model.set_params(max_epochs=max_epochs).fit(*data, *checkpoint)

    warm(2, tmp_path / "checkpoint")
    assert_same(warm(5, tmp_path / "checkpoint"), warm(5))


def test_without_a_random_state_it_is_that_of_the_file(data, tmp_path):
    path = tmp_path / "checkpoint"
    first = localizer(3, random_state=None).fit(*data, path)
    second = localizer(6, random_state=None).fit(*data, path)
    np.testing.assert_array_equal(second.history_["foreground"][:3], first.history_["foreground"])
    assert second.training_state_["seed"] == first.training_state_["seed"]


def test_each_stream_has_a_file_of_its_own(data, tmp_path):
    def fit(max_epochs, *checkpoint):
        streams = [(name, localizer(max_epochs), columns) for name, columns in columns_of.items()]
        return MultiStreamLocalizer(streams).fit(*data, *checkpoint)

    columns_of = {"a": slice(0, 4), "b": slice(4, 8)}
    fit(3, tmp_path / "checkpoint")
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.a", "checkpoint.b"]
    resumed, whole = fit(6, tmp_path / "checkpoint"), fit(6)
    for name in columns_of:
        assert_same(resumed.localizers_[name], whole.localizers_[name])


# --- kills ---


def fit_to_be_killed(path, begun):
    torch.set_num_threads(1)
    begun.set()
    localizer(40, **STOPS | {"n_iter_no_change": 40}).fit(*make_data(), path, checkpoint_every=1)


def test_killed_at_any_moment_it_loses_nothing(data, tmp_path):
    path = tmp_path / "checkpoint"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["skdgam.dgam", "skdgam.datasets"])
    moments, n_kills = random.Random(0), 0
    for _ in range(20):
        begun = context.Event()
        process = context.Process(target=fit_to_be_killed, args=(path, begun))
        process.start()
        while not begun.wait(0.1):
            assert process.is_alive()
        time.sleep(moments.uniform(0, 0.6))
        process.kill()
        process.join()
        n_kills += process.exitcode == -9
    assert n_kills
    settings = STOPS | {"n_iter_no_change": 40}
    resumed = localizer(40, **settings).fit(*data, path)
    assert os.listdir(tmp_path) == ["checkpoint"]
    assert_same(resumed, localizer(40, **settings).fit(*data))


def test_what_a_kill_left_of_a_file_goes(data, tmp_path):
    of_others = [".checkpoint.12-34.bak", ".checkpoint.backup.npz", "checkpoint.12-34.skdgam-part"]
    for name in [".checkpoint.12-34.skdgam-part", *of_others]:
        (tmp_path / name).write_bytes(b"half")
    localizer(1).fit(*data, tmp_path / "checkpoint")
    assert sorted(os.listdir(tmp_path)) == [*of_others[:2], "checkpoint", of_others[2]]


# --- what is wrong ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.3}, "other alpha. Go on with what it began with, or remove the file"),
        ({"learning_rate": 1e-4, "beta": 0.2}, "other beta, learning_rate"),
        ({"random_state": 1}, "other random_state"),
        ({"latent_dim": 5}, "other latent_dim"),
        (STOPS, "other .*early_stopping"),
        ({"max_epochs": 2}, "has 3 epochs, more than max_epochs=2"),
    ],
)
def test_other_settings_are_refused(data, tmp_path, changes, message):
    path = tmp_path / "checkpoint"
    localizer(3).fit(*data, path)
    before, model = path.read_bytes(), localizer().set_params(**changes)
    with pytest.raises(ValueError, match=message):
        model.fit(*data, path)
    assert path.read_bytes() == before
    assert not hasattr(model, "weights_")


def test_other_data_are_refused(data, tmp_path):
    X, y = data
    localizer(3).fit(X, y, tmp_path / "checkpoint")
    for other, name in [((X, y[::-1]), "labels"), (([x + 1 for x in X], y), "features")]:
        with pytest.raises(ValueError, match=f"other {name}"):
            localizer().fit(*other, tmp_path / "checkpoint")


def test_the_same_snippets_in_videos_of_other_lengths_are_other_features():
    snippets = np.random.default_rng(0).normal(size=(9, 2))
    one, other = ([snippets[:cut], snippets[cut:]] for cut in (4, 5))
    assert digest(check_features(one)) != digest(check_features(other))


class Lazy:
    """A sequence that is no list."""

    def __init__(self, videos):
        self.videos = videos

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, i):
        return self.videos[i]


def digest_of_lazy(videos, **options):
    return digest(check_features(Lazy(videos)), **options)


@pytest.mark.parametrize("video", [0, -1])
def test_a_lazy_sequence_is_known_by_its_first_and_last_video(video):
    videos = np.random.default_rng(0).normal(size=(20, 3, 2))
    other = videos.copy()
    other[video, 0] += 1
    assert digest_of_lazy(other) != digest_of_lazy(videos)


def test_of_a_lazy_sequence_later_snippets_count_only_as_a_whole():
    videos = np.random.default_rng(0).normal(size=(20, 3, 2))
    other = videos.copy()
    other[:, 1] += 1
    assert digest_of_lazy(other) == digest_of_lazy(videos)
    assert digest_of_lazy(other, whole=True) != digest_of_lazy(videos, whole=True)


def test_a_file_that_is_none_is_refused(data, tmp_path):
    localizer(1).fit(*data).save(tmp_path / "model")
    with pytest.raises(ValueError, match="model is no checkpoint; name another file"):
        localizer().fit(*data, tmp_path / "model")
    (tmp_path / "text").write_text("no")
    with pytest.raises(ValueError, match="text is no model file of skdgam, or is damaged"):
        localizer().fit(*data, tmp_path / "text")


def test_files_that_are_whole_checkpoints_are_known(data, tmp_path):
    localizer(1).fit(*data, tmp_path / "checkpoint").save(tmp_path / "model")
    (tmp_path / "text").write_text("no")
    found = {path.name: is_checkpoint(path) for path in tmp_path.iterdir()}
    assert found == {"checkpoint": True, "model": False, "text": False}


def test_a_checkpoint_is_no_model(data, tmp_path):
    localizer(1).fit(*data, tmp_path / "file")
    with pytest.raises(ValueError, match="file holds a 'checkpoint', but load knows only DGAMLoc"):
        load(tmp_path / "file")


def test_the_interval_between_files_must_be_an_epoch(data, tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every is 0; it must be at least 1"):
        localizer().fit(*data, tmp_path / "checkpoint", checkpoint_every=0)


def test_a_folder_that_is_not_there_is_known_at_once(data, tmp_path):
    model = localizer()
    with pytest.raises(FileNotFoundError):
        model.fit(*data, tmp_path / "none" / "checkpoint")
    assert not hasattr(model, "weights_")


def test_training_outlives_a_full_disk(data, tmp_path, monkeypatch):
    path, write, n_written = tmp_path / "checkpoint", io.write_model, []

    def full(*arguments):
        if len(n_written) > 2:
            raise OSError(28, "No space left on device")
        n_written.append(write(*arguments))

    monkeypatch.setattr(io, "write_model", full)
    with pytest.warns(UserWarning, match="not be written after epoch .*No space left") as caught:
        model = localizer(4).fit(*data, path, checkpoint_every=1)
    assert len(caught) == 2
    monkeypatch.undo()
    assert io.read_model(path)[0]["n_epochs"] == 2
    assert_same(model, localizer(4).fit(*data))
    assert_same(localizer(4).fit(*data, path), model)
