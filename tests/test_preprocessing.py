"""Transformers on snippets: what they are fitted on, what they are given, what stays lazy."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skdgam import DGAMLocalizer, preprocessing
from skdgam._features import check_features
from skdgam.datasets import FeatureFolder, make_untrimmed
from skdgam.preprocessing import SnippetTransformer


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=12, n_classes=2, n_features=6, random_state=0)


@pytest.fixture
def folder(data, tmp_path):
    for i, x in enumerate(data[0]):
        np.save(tmp_path / f"video{i:02d}", x)
    return FeatureFolder(tmp_path)


@pytest.fixture
def counted(folder, monkeypatch):
    """The folder, and a list of the videos that are read from it."""
    reads = []
    read = FeatureFolder._read

    def counting(self, name):
        reads.append(name)
        return read(self, name)

    monkeypatch.setattr(FeatureFolder, "_read", counting)
    return folder, reads


@pytest.mark.parametrize("transformer", [StandardScaler(), PCA(3), PCA(3, whiten=True)])
def test_it_is_that_transformer_fitted_on_all_snippets(data, transformer):
    X, _ = data
    expected = clone(transformer).fit(np.concatenate(X))
    found = SnippetTransformer(transformer).fit_transform(X)
    for x, ours in zip(X, found, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected.transform(x), rtol=1e-3, atol=1e-4)


def test_features_on_disk_are_given_to_partial_fit_some_at_a_time(data, folder, monkeypatch):
    X, _ = data
    monkeypatch.setattr(preprocessing, "SNIPPETS_AT_ONCE", 300)
    sizes = []

    class Counting(IncrementalPCA):
        def partial_fit(self, X, y=None):
            sizes.append(len(X))
            return super().partial_fit(X, y)

    model = SnippetTransformer(Counting(6)).fit(folder)
    assert sum(sizes) == sum(map(len, X))
    assert len(sizes) > 1
    assert max(sizes) <= 300
    exact = PCA(6).fit(np.concatenate(X))
    found = model.transformer_.explained_variance_
    np.testing.assert_allclose(found, exact.explained_variance_, rtol=1e-3)


def test_features_in_memory_are_fitted_as_a_whole(data):
    X, _ = data
    transformer = MiniBatchKMeans(4, n_init=1, max_iter=20, random_state=0)
    expected = clone(transformer).fit(np.concatenate(X))
    found = SnippetTransformer(transformer).fit(X).transformer_
    np.testing.assert_array_equal(found.cluster_centers_, expected.cluster_centers_)


def test_errors_behind_it_name_the_video(folder):
    spoil = SnippetTransformer(FunctionTransformer(lambda x: x * np.nan))
    with pytest.raises(ValueError, match=r"X\[1\] \(video02\) is nan|X\[0\] \(video05\) is nan"):
        check_features(spoil.fit_transform(folder)[[5, 2]])


def test_features_are_not_changed(data):
    X = [x.copy() for x in data[0]]
    SnippetTransformer(StandardScaler(copy=False)).fit_transform(X)
    for x, before in zip(X, data[0], strict=True):
        np.testing.assert_array_equal(x, before)


def test_features_on_disk_are_read_when_they_are_used(data, counted):
    folder, reads = counted
    model = SnippetTransformer(StandardScaler()).fit(folder)
    transformed = model.transform(folder)
    reads.clear()
    part = transformed[[5, 2]][np.array([False, True])]
    assert reads == []
    assert part.shape == (1,)
    np.testing.assert_array_equal(part[0], model.transform([data[0][2]])[0])
    assert reads == ["video02"]


def test_transformed_features_on_disk_pickle_without_being_read(counted):
    folder, reads = counted
    transformed = SnippetTransformer(StandardScaler()).fit_transform(folder)
    reads.clear()
    copied = pickle.loads(pickle.dumps(transformed))
    assert reads == []
    np.testing.assert_array_equal(copied[3], transformed[3])


def test_transformed_features_are_indexed_as_a_list(folder):
    transformed = SnippetTransformer(StandardScaler()).fit_transform(folder)
    assert [len(x) for x in transformed] == [len(x) for x in folder]
    assert len(transformed[2:5]) == 3
    np.testing.assert_array_equal(transformed[-1], transformed[len(folder) - 1])
    with pytest.raises(IndexError):
        transformed[len(folder)]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_search_over_a_pipeline(data, folder, lazy):
    X, y = data
    model = DGAMLocalizer(max_epochs=2, latent_dim=4, random_state=0)
    pipeline = make_pipeline(SnippetTransformer(StandardScaler()), model)
    grid = {
        "snippettransformer__transformer__with_std": [True, False],
        "dgamlocalizer__alpha": [0.03],
    }
    search = GridSearchCV(pipeline, grid, cv=KFold(2, shuffle=True, random_state=0))
    search.fit(folder if lazy else X, y)
    best = search.best_estimator_
    scaled = SnippetTransformer(clone(best[0].transformer)).fit_transform(X)
    alone = clone(best[1]).fit(scaled, y)
    assert search.score(X, y) == alone.score(scaled, y)


def test_representations():
    model = SnippetTransformer(StandardScaler())
    assert repr(model) == "SnippetTransformer(transformer=StandardScaler())"
    assert "StandardScaler" in model._repr_html_()


def test_not_fitted(data):
    with pytest.raises(NotFittedError, match="not fitted"):
        SnippetTransformer(StandardScaler()).transform(data[0])


def test_features_of_another_width(data):
    model = SnippetTransformer(StandardScaler()).fit(data[0])
    with pytest.raises(ValueError, match=r"X\[0\] has 3 features, but the model was fitted with 6"):
        model.transform([np.ones((4, 3))])


@pytest.mark.parametrize(
    ("transformer", "match"),
    [
        (FunctionTransformer(lambda x: x[::2]), r"made ndarray of shape .* a row a snippet"),
        (FunctionTransformer(lambda x: x.ravel()), r"made ndarray of shape \(\d+,\)"),
        (OneHotEncoder(handle_unknown="ignore"), r"made cs._.* it must make a dense array"),
    ],
)
def test_transformers_that_do_not_map_each_snippet_to_a_row(data, transformer, match):
    with pytest.raises(ValueError, match=match):
        SnippetTransformer(transformer).fit_transform([np.round(x) for x in data[0]])
