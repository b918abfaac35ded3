"""A folder of features knows how it was made, is never half written, and is gone on with."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from skdgam.datasets import FeatureFolder
from skdgam.features._sources import SourceTransformer


class Letters(SourceTransformer):
    """How often letters occur in the lines of a text: a snippet a line."""

    _parameter_constraints = {"letters": [str]}  # noqa: RUF012

    def __init__(self, letters="ab", n_jobs=None, progress=False):
        self.letters, self.n_jobs, self.progress = letters, n_jobs, progress

    made = ()  # names of what was made, for the tests

    def _times(self):
        return {"snippet_seconds": 0.5, "snippet_offset": 0.25}

    def _features_of(self, source, name):
        lines = Path(source).read_text().splitlines()
        if not lines:
            raise ValueError(f"{name} has no lines.")
        Letters.made = (*Letters.made, Path(source).stem)
        counts = [[line.count(letter) for letter in self.letters] for line in lines]
        return np.array(counts, dtype=np.float32)


@pytest.fixture
def texts(tmp_path):
    """Paths of some texts; nothing has been made of them."""
    Letters.made = ()
    contents = {"one": "aab\nb", "two": "bb", "ü – 2": "a\na\na"}
    for name, content in contents.items():
        (tmp_path / f"{name}.txt").write_text(content)
    return [tmp_path / f"{name}.txt" for name in contents]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "features"


def test_features_are_written_beside_how_they_were_made(texts, folder):
    Letters().to_folder(texts, folder)
    X = FeatureFolder(folder)
    assert X.names.tolist() == ["one", "two", "ü – 2"]
    np.testing.assert_array_equal(X[0], [[2, 1], [0, 1]])
    assert X.about == {
        "extractor": [{"class": "Letters", "letters": "ab"}],
        "snippet_seconds": 0.5,
        "snippet_offset": 0.25,
    }
    assert X[:2].about == X.about
    told = json.loads((folder / "features.json").read_text(encoding="utf-8"))["recordings"]["one"]
    assert (told["source"], told["n_snippets"]) == ("one.txt", 2)


def test_what_is_there_is_not_made_again(texts, folder):
    Letters().to_folder(texts[:2], folder)
    Letters.made = ()
    Letters(n_jobs=2).to_folder(texts, folder)
    assert Letters.made == ("ü – 2",)
    assert len(FeatureFolder(folder)) == 3


@pytest.mark.parametrize("what", ["source", "array"])
def test_what_has_changed_is_made_again(texts, folder, what):
    Letters().to_folder(texts, folder)
    Letters.made = ()
    if what == "source":
        texts[1].write_text("ba")  # as long as before
    else:
        (folder / "two.npy").unlink()
    Letters().to_folder(texts, folder)
    assert Letters.made == ("two",)
    assert FeatureFolder(folder)[1].tolist() == ([[1, 1]] if what == "source" else [[0, 2]])


def test_what_fails_keeps_nothing_else_from_being_made(texts, folder, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    sources = [texts[0], tmp_path / "empty.txt", tmp_path / "absent.txt", texts[1]]
    with pytest.raises(ValueError, match=r"2 of 4 recordings failed.*empty.*has no lines.*absent"):
        Letters().to_folder(sources, folder)
    assert FeatureFolder(folder).names.tolist() == ["one", "two"]
    (tmp_path / "empty.txt").write_text("b")
    Letters.made = ()
    Letters().to_folder(sources[:2], folder)
    assert Letters.made == ("empty",)


def test_an_interruption_keeps_what_was_done(texts, folder, monkeypatch):
    def interrupted(self, source, name, features_of=Letters._features_of):
        if "two" in name:
            raise KeyboardInterrupt
        return features_of(self, source, name)

    monkeypatch.setattr(Letters, "_features_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Letters().to_folder(texts, folder)
    monkeypatch.undo()
    Letters.made = ()
    Letters().to_folder(texts, folder)
    assert Letters.made == ("two", "ü – 2")


def test_a_full_disk_leaves_nothing_half_written(texts, folder, monkeypatch):
    save = np.save

    def full(file, array):
        if len(array) == 1:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        save(file, array)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ValueError, match=r"1 of 3 recordings failed.*two\.txt.*No space left"):
        Letters().to_folder(texts, folder)
    assert sorted(os.listdir(folder)) == ["features.json", "one.npy", "ü – 2.npy"]


def test_features_made_otherwise_are_not_mixed(texts, folder):
    Letters().to_folder(texts, folder)
    with pytest.raises(ValueError, match="made otherwise: letters='ab', and here it is 'abc'"):
        Letters("abc").to_folder(texts, folder)


def test_files_of_others_are_not_replaced(texts, folder):
    folder.mkdir(parents=True)
    np.save(folder / "two.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"two\.npy is there, and was not made here"):
        Letters().to_folder(texts, folder)
    assert os.listdir(folder) == ["two.npy"]


def test_two_recordings_of_one_name_are_refused(texts, folder, tmp_path):
    (tmp_path / "one.md").write_text("a")
    with pytest.raises(ValueError, match=r"one\.txt and .*one\.md would both be one\.npy"):
        Letters().to_folder([*texts, tmp_path / "one.md"], folder)
    assert not folder.exists()


def test_a_recording_that_is_given_twice_is_named(texts, folder):
    with pytest.raises(ValueError, match=r"one\.txt and .*one\.txt would both be one\.npy"):
        Letters().to_folder([texts[0], Path(str(texts[0]))], folder)


def test_what_failed_after_a_change_keeps_no_features_of_before(texts, folder):
    Letters().to_folder(texts, folder)
    texts[1].write_text("")
    with pytest.raises(ValueError, match="1 of 3 recordings failed"):
        Letters().to_folder(texts, folder)
    assert FeatureFolder(folder).names.tolist() == ["one", "ü – 2"]


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_files_that_are_damaged_are_made_again(texts, folder, damage):
    Letters().to_folder(texts, folder)
    whole = (folder / "one.npy").read_bytes()
    if damage == "other":
        np.save(folder / "one.npy", np.zeros((7, 2)))
    else:
        (folder / "one.npy").write_bytes(whole[:-3] if damage == "cut" else b"")
    Letters().to_folder(texts, folder)
    assert (folder / "one.npy").read_bytes() == whole


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_a_name_that_is_no_text_is_written(tmp_path, folder):
    path = os.fsencode(tmp_path) + b"/bad\xff.txt"
    with open(path, "w") as file:
        file.write("ab")
    Letters().to_folder([os.fsdecode(path)], folder)
    assert FeatureFolder(folder)[0].tolist() == [[1, 1]]


def test_only_paths_have_names(folder):
    with pytest.raises(TypeError, match="was given int; use transform"):
        Letters().to_folder([3], folder)
    with pytest.raises(TypeError, match="A list of recordings is needed, and there is one, a.txt"):
        Letters().to_folder("a.txt", folder)


def test_a_name_as_long_as_may_be_is_written(tmp_path, folder):
    path = tmp_path / ("é" * 125 + "x.txt")  # 255 bytes
    path.write_text("ab")
    Letters().to_folder([path], folder)
    assert FeatureFolder(folder)[0].tolist() == [[1, 1]]


NO_TIME = {"format": 1, "snippet_seconds": 0, "snippet_offset": 0, "extractor": {}}
NO_PARTS = {"format": 1, "snippet_seconds": 1, "snippet_offset": 0, "extractor": 3}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"format": 2}', "[" * 100_000),
        *(json.dumps({"recordings": {}, **note}) for note in (NO_TIME, NO_PARTS)),
    ],
)
def test_a_damaged_note_is_named(texts, folder, text):
    Letters().to_folder(texts, folder)
    (folder / "features.json").write_text(text)
    for act in (lambda: Letters().to_folder(texts, folder), lambda: FeatureFolder(folder)):
        with pytest.raises(ValueError, match=r"features\.json cannot be read as what skdgam"):
            act()


def test_streams_must_share_their_snippets(texts, tmp_path):
    class Longer(Letters):
        def _times(self):
            return {"snippet_seconds": 2.0, "snippet_offset": 0.0}

    Letters().to_folder(texts, tmp_path / "short")
    Longer().to_folder(texts, tmp_path / "long")
    with pytest.raises(ValueError, match=r"long has snippets of 2 s.*short has 0\.5 s"):
        FeatureFolder([tmp_path / "short", tmp_path / "long"])
    Letters("b").to_folder(texts, tmp_path / "b")
    about = FeatureFolder([tmp_path / "short", tmp_path / "b"]).about
    assert [extractor["letters"] for extractor in about["extractor"]] == ["ab", "b"]


def test_a_folder_that_says_nothing_has_features_like_any_others(texts, folder):
    Letters().to_folder(texts, folder)
    (folder / "features.json").unlink()
    assert FeatureFolder(folder).about is None
