import pickle
import shutil
import zipfile
from io import BytesIO

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils import resample

from skdgam._features import check_features
from skdgam.datasets import FeatureFolder

LENGTHS = {"jump": 3, "run": 5, "swim": 4, "walk": 2}


@pytest.fixture
def folders(tmp_path):
    """Two streams of four videos: 6 features and 2."""
    rng = np.random.default_rng(0)
    for stream, n_features in {"rgb": 6, "flow": 2}.items():
        (tmp_path / stream).mkdir()
        for name, n_snippets in LENGTHS.items():
            video = rng.standard_normal((n_snippets, n_features)).astype(np.float32)
            np.save(tmp_path / stream / f"{name}.npy", video)
    return [tmp_path / "rgb", tmp_path / "flow"]


def as_hdf5(folder):
    """The same stream as one HDF5 file."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder.with_suffix(".h5"), "w") as file:
        for path in folder.glob("*.npy"):
            file[path.stem] = np.load(path)
    return folder.with_suffix(".h5")


def test_hdf5_files_and_folders_hold_the_same(folders):
    X = FeatureFolder(folders)
    mixed = FeatureFolder([as_hdf5(folders[0]), folders[1]])
    assert mixed.names.tolist() == X.names.tolist()
    assert mixed.columns() == X.columns()
    for ours, theirs in zip(mixed[[2, 0]], X[[2, 0]], strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def as_npz(folder):
    """The same stream as one .npz file."""
    videos = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    np.savez(folder.with_suffix(".npz"), **videos)
    return folder.with_suffix(".npz")


def test_npz_files_and_folders_hold_the_same(folders):
    X, archived = FeatureFolder(folders), FeatureFolder([as_npz(folder) for folder in folders])
    assert archived.names.tolist() == X.names.tolist()
    for ours, theirs in zip(pickle.loads(pickle.dumps(archived)), X, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("content", [b"text", b"PK\x03\x04 no archive"])
def test_a_damaged_npz_file(tmp_path, content):
    (tmp_path / "rgb.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"rgb.npz (is no .npz file|cannot be read)"):
        FeatureFolder(tmp_path / "rgb.npz")


def test_an_npz_file_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "rgb.npz", jump=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="rgb.npz/jump cannot be read as an array"):
        FeatureFolder(tmp_path / "rgb.npz")[0]


def test_hdf5_files_pickle_by_their_path(folders):
    X = FeatureFolder(as_hdf5(folders[0]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X[[3, 1]]))[1], X[1])


def test_a_video_has_its_streams_side_by_side(folders):
    X = FeatureFolder(folders, ["run", "jump"])
    expected = np.hstack([np.load(folder / "jump.npy") for folder in folders])
    np.testing.assert_array_equal(X[1], expected, strict=True)


def test_one_folder_is_memory_mapped(folders):
    assert isinstance(FeatureFolder(folders[0], ["run"])[0], np.memmap)


@pytest.mark.parametrize("kind", ["folders", "files"])
@pytest.mark.parametrize("n_streams", [1, 2])
def test_features_keep_the_dtype_of_their_file(folders, n_streams, kind):
    for folder in folders:
        np.save(folder / "run.npy", np.ones((5, 3), dtype=np.float64))
    streams = folders if kind == "folders" else [as_hdf5(folder) for folder in folders]
    assert FeatureFolder(streams[:n_streams], ["run"])[0].dtype == np.float64


def test_names_default_to_all_files_of_the_first_folder(folders):
    (folders[0] / "notes.txt").write_text("not a video")
    assert FeatureFolder(folders).names.tolist() == sorted(LENGTHS)


def test_numbered_files_are_in_the_order_of_their_numbers(tmp_path):
    names = ["1", "2", "10", "a1b2", "a1b10", "a10b1", "b"]
    for name in reversed(names):
        np.save(tmp_path / name, np.zeros((2, 3)))
    assert FeatureFolder(tmp_path).names.tolist() == names


def test_numbers_are_names_too(folders):
    np.save(folders[0] / "7.npy", np.zeros((1, 6), dtype=np.float32))
    assert FeatureFolder(folders[0], [7])[0].shape == (1, 6)


def test_shape_is_that_of_a_vector_of_videos(folders):
    X = FeatureFolder(folders)
    assert (X.shape, X.ndim, len(X)) == ((4,), 1, 4)


@pytest.mark.parametrize(
    ("index", "names"),
    [
        ([2, 0], ["swim", "jump"]),
        (np.array([1, 1]), ["run", "run"]),
        (slice(1, 3), ["run", "swim"]),
        ([True, False, False, True], ["jump", "walk"]),
        (np.array([False, True, False, False]), ["run"]),
        ([], []),
    ],
)
def test_several_videos_are_a_view(folders, index, names):
    view = FeatureFolder(folders)[index]
    assert isinstance(view, FeatureFolder)
    assert view.names.tolist() == names


@pytest.mark.parametrize("index", [3, -1, np.int64(3), np.array(3)])
def test_one_video_is_read(folders, index):
    assert FeatureFolder(folders)[index].shape == (LENGTHS["walk"], 8)


def test_a_view_reads_nothing(folders):
    X = FeatureFolder(folders)
    shutil.rmtree(folders[0])
    assert len(X[[0, 2]]) == 2


def test_iterates_over_the_videos(folders):
    assert [len(video) for video in FeatureFolder(folders)] == list(LENGTHS.values())


def test_an_index_past_the_end_is_an_error(folders):
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        FeatureFolder(folders)[4]


def test_a_pickle_of_a_thousand_videos_is_small(folders):
    names = [f"video_validation_{i:07d}" for i in range(1000)]
    for name in names:
        (folders[0] / f"{name}.npy").touch()
    X = FeatureFolder(folders[0], names)
    data = pickle.dumps(X)
    assert len(data) < 40_000
    assert pickle.loads(data).names.tolist() == names
    assert repr(pickle.loads(data)) == repr(X)


def test_scikit_learn_splits_it(folders):
    train, test = train_test_split(FeatureFolder(folders), test_size=1, random_state=0)
    assert sorted([*train.names, *test.names]) == sorted(LENGTHS)


def test_searches_read_nothing_at_a_split(folders, monkeypatch):
    class Idle(BaseEstimator):
        def __init__(self, alpha=1):
            self.alpha = alpha

        def fit(self, X, y):
            return self

        def score(self, X, y):
            return len(X)

    X = FeatureFolder(folders)
    monkeypatch.setattr(FeatureFolder, "_read", None)
    search = GridSearchCV(Idle(), {"alpha": [1, 2]}, cv=2, error_score="raise").fit(X, list("abcd"))
    assert search.best_score_ == 2


def test_scikit_learn_resamples_it(folders):
    assert isinstance(resample(FeatureFolder(folders), random_state=0), FeatureFolder)


def test_estimators_take_it_as_it_is(folders):
    videos = check_features(FeatureFolder(folders))
    assert videos.lengths.tolist() == list(LENGTHS.values())


def test_columns_of_each_stream(folders):
    assert FeatureFolder(folders).columns() == [slice(0, 6), slice(6, 8)]


def test_repr_tells_how_many_videos_where(folders):
    assert repr(FeatureFolder(folders[0])) == f"<FeatureFolder: 4 videos in {folders[0]}>"


def test_a_path_that_is_no_folder(folders):
    with pytest.raises(NotADirectoryError, match=r"run\.npy is no folder; each stream needs one"):
        FeatureFolder(folders[0] / "run.npy")


def test_streams_without_features(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no .npy file"):
        FeatureFolder(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="none.h5 has no array"):
        FeatureFolder(as_hdf5(tmp_path / "none"))


def test_no_stream_at_all():
    with pytest.raises(ValueError, match="FeatureFolder was given no stream"):
        FeatureFolder([])


@pytest.mark.parametrize("names", ["run", []])
def test_names_that_are_no_list(folders, names):
    with pytest.raises(ValueError, match="names is .*; it must be a list"):
        FeatureFolder(folders, names)


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_file_that_is_damaged(folders, content):
    (folders[1] / "run.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"flow.run\.npy cannot be read as an array"):
        FeatureFolder(folders)[1]


def test_a_file_that_was_cut_off(folders):
    content = (folders[0] / "run.npy").read_bytes()
    (folders[0] / "run.npy").write_bytes(content[:-40])
    with pytest.raises(ValueError, match=r"rgb.run\.npy cannot be read as an array"):
        FeatureFolder(folders)[1]


def test_an_hdf5_file_that_is_damaged(folders):
    pytest.importorskip("h5py")
    folders[0].with_suffix(".h5").write_bytes(b"text")
    with pytest.raises(ValueError, match="rgb.h5 is no HDF5 file, or is damaged"):
        FeatureFolder(folders[0].with_suffix(".h5"))


def test_a_dataset_that_is_damaged(folders):
    path = as_hdf5(folders[0])
    X = FeatureFolder(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"rgb.h5.jump cannot be read as an array"):
        X[0]


def test_hdf5_is_known_by_its_content(folders):
    path = as_hdf5(folders[0])
    other = path.rename(path.with_suffix(".features"))
    assert FeatureFolder(other).names.tolist() == sorted(LENGTHS)


def test_what_matlab_keeps_for_itself_is_no_video(folders):
    h5py = pytest.importorskip("h5py")
    path = as_hdf5(folders[0])
    with h5py.File(path, "a") as file:
        file.create_group("#refs#")
    assert FeatureFolder(path.rename(path.with_suffix(".MAT"))).names.tolist() == sorted(LENGTHS)


@pytest.mark.parametrize("kind", ["external storage", "external link", "behind a link", "virtual"])
def test_hdf5_reads_nothing_outside_its_file(folders, kind):
    h5py = pytest.importorskip("h5py")
    path = as_hdf5(folders[0])
    secret = folders[1].with_suffix(".h5")
    with h5py.File(secret, "w") as file:
        file["x"] = np.ones((5, 6))
    with h5py.File(path, "a") as file:
        if kind == "external storage":
            file.create_dataset("zoo", (5, 1), "f8", external=[(bytes(secret), 0, 40)])
        elif kind == "external link":
            file["zoo"] = h5py.ExternalLink(secret, "/x")
        elif kind == "behind a link":
            file.create_group("a")["b"] = h5py.ExternalLink(secret, "/")
            file["zoo"] = h5py.SoftLink("/a/b/x")
        else:
            layout = h5py.VirtualLayout((5, 6), "f8")
            layout[:] = h5py.VirtualSource(secret, "x", (5, 6))
            file.create_virtual_dataset("zoo", layout)
    with pytest.raises(ValueError, match=r"zoo cannot be read .*another file, and those are not"):
        FeatureFolder(path, ["zoo"])[0]


def test_hdf5_of_references(folders):
    h5py = pytest.importorskip("h5py")
    path = as_hdf5(folders[0])
    with h5py.File(path, "a") as file:
        file.create_dataset("zoo", (2, 2), h5py.ref_dtype)
    with pytest.raises(ValueError, match="holds objects or references"):
        FeatureFolder(path, ["zoo"])[0]


def test_hidden_files_are_no_videos(folders):
    (folders[0] / "._run.npy").write_bytes(b"of a Mac")
    assert "._run" not in FeatureFolder(folders[0]).names


def test_a_group_in_place_of_a_dataset(folders):
    h5py = pytest.importorskip("h5py")
    path = as_hdf5(folders[0])
    with h5py.File(path, "a") as file:
        file.create_group("zoo/rgb")
    with pytest.raises(ValueError, match=r"rgb\.h5.zoo .* holds rgb; arrays must not be nested"):
        FeatureFolder(path)[-1]


def test_estimators_name_the_video_by_its_index_and_its_name(folders):
    np.save(folders[0] / "run.npy", np.full((5, 6), np.nan))
    with pytest.raises(ValueError, match=r"X\[1\] \(run\) is nan at snippet 0"):
        check_features(FeatureFolder(folders[0])[[2, 1]])


@pytest.mark.parametrize(
    ("video", "error", "match"),
    [
        (np.array([["a", "b"]]), TypeError, r"X\[1\] \(run\) has dtype <U1; .* real numbers"),
        (np.ones((2, 2), dtype=complex), TypeError, r"X\[1\] \(run\) has dtype complex128"),
        (np.full((2, 6), 1e300), ValueError, r"X\[1\] \(run\) is inf .* finite in float32"),
    ],
)
def test_estimators_see_what_a_file_holds(folders, video, error, match):
    np.save(folders[0] / "run.npy", video)
    with pytest.raises(error, match=match):
        check_features(FeatureFolder(folders[0]))


def test_a_missing_file(folders):
    (folders[1] / "swim.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"flow.swim\.npy is missing \(1 such videos\)"):
        FeatureFolder(folders)


def test_streams_of_different_length(folders):
    np.save(folders[1] / "run.npy", np.zeros((6, 2), dtype=np.float32))
    with pytest.raises(
        ValueError, match=r"flow.run\.npy has shape \(6, 2\), but .*rgb.run\.npy has \(5, 6\)"
    ):
        FeatureFolder(folders)[1]


def test_a_file_without_snippets(folders):
    np.save(folders[0] / "run.npy", np.zeros(6, dtype=np.float32))
    with pytest.raises(ValueError, match=r"run\.npy has shape \(6,\); a video must have shape"):
        FeatureFolder(folders)[1]


def test_no_code_is_unpickled(folders):
    np.save(folders[0] / "run.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        FeatureFolder(folders[0])[1]


def test_archives_within_a_folder_are_told(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.savez(tmp_path / "b.npz", features=np.zeros((2, 3)))
    with pytest.warns(
        UserWarning, match="b.npz is left out .1 such files.: in a folder a video is"
    ):
        X = FeatureFolder(tmp_path)
    assert X.names.tolist() == ["a"]


def test_pickles_are_not_loaded_and_nobody_is_told_how(tmp_path):
    (tmp_path / "a.npy").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="a.npy cannot .* it is damaged, or holds Python objects$"):
        FeatureFolder(tmp_path)[0]


@pytest.mark.parametrize("shape", [(10**12, 10), (10**30, 1), (-5, 2), (10**6, 4)])
def test_a_header_that_claims_more_than_there_is(tmp_path, shape):
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    content = header.getvalue() + bytes(100)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match="a.npy cannot be read"):
        FeatureFolder(tmp_path / "folder")[0]
    with pytest.raises(ValueError, match="b.npz/a cannot be read"):
        FeatureFolder(tmp_path / "b.npz")[0]


def test_a_dataset_that_was_never_written_fills_no_memory(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_dataset("a", shape=(10**9, 100), dtype="f4", chunks=(1000, 100))
        zeros = np.zeros((10_000, 8), dtype=np.float32)
        file.create_dataset("b", data=zeros, compression="gzip")
    with pytest.raises(
        ValueError, match="a cannot .* its shape is .1000000000, 100., and for that"
    ):
        FeatureFolder(tmp_path / "file.h5")[0]
    assert FeatureFolder(tmp_path / "file.h5")[1].shape == (10_000, 8)


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_what_unpacks_to_very_much_is_refused_before(tmp_path, monkeypatch, ending):
    path = tmp_path / f"file.{ending}"
    noise = np.random.default_rng(0).normal(size=(3000, 100)).astype(np.float32)
    arrays = {"constant": np.zeros((3000, 100), dtype=np.float32), "noise": noise}
    if ending == "npz":
        np.savez_compressed(path, **arrays)
    else:
        with pytest.importorskip("h5py").File(path, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, compression="gzip")
    constant, varied = FeatureFolder(path)
    assert constant.shape == varied.shape  # 1.1 MiB are no danger
    monkeypatch.setattr("skdgam.datasets.features.LARGE", 2**20)
    with pytest.raises(ValueError, match=r"constant cannot be read .* from 0.0 to 1 MiB, as feat"):
        FeatureFolder(path)[0]
    np.testing.assert_array_equal(FeatureFolder(path)[1], noise)


def test_published_files_of_a_video_each_are_read_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    crops = {
        name: rng.normal(size=(n, 5, 3)).astype(np.float32) for name, n in (("a", 10), ("b", 1))
    }
    for name, feature in crops.items():
        np.savez(tmp_path / f"v.{name}.npz", feature=feature, frame_cnt=80, video_name=name)
    np.save(tmp_path / "c", crops["a"][0])
    X = FeatureFolder(tmp_path)
    assert X.names.tolist() == ["c", "v.a", "v.b"]
    np.testing.assert_allclose(X[1], crops["a"].mean(axis=0))
    np.testing.assert_array_equal(X[2], crops["b"][0])


def test_a_published_file_that_is_damaged_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", feature=np.zeros((2, 3, 4, 5)))
    with pytest.raises(ValueError, match=r"a\.npz has shape \(2, 3, 4, 5\)"):
        FeatureFolder(tmp_path)[0]
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"a\.npz is no \.npz file, or is damaged"):
        FeatureFolder(tmp_path)
