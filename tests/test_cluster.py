"""Searches and predictions on a cluster of processes."""

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV, KFold

from skdgam import DGAMLocalizer
from skdgam.datasets import FeatureFolder, make_untrimmed

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=12, n_classes=2, n_features=6, random_state=0)


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        parallel_config("dask"),
    ):
        yield cluster


@pytest.fixture
def folder(data, tmp_path):
    for i, x in enumerate(data[0]):
        np.save(tmp_path / f"video{i:02d}", x)
    return FeatureFolder(tmp_path)


def make():
    return DGAMLocalizer(max_epochs=2, latent_dim=4, random_state=0)


def test_a_grid_search_over_files_runs_on_the_cluster(data, folder, cluster):
    search = GridSearchCV(make(), {"alpha": [0.01, 0.1]}, cv=KFold(2, shuffle=True, random_state=0))
    search.fit(folder, data[1])
    assert search.cv_results_["split0_test_score"].shape == (2,)
    assert search.best_estimator_.n_epochs_ == 2


def test_predictions_over_files_run_on_the_cluster(data, folder, cluster):
    model = make().fit(folder, data[1])
    parts = np.array_split(np.arange(len(folder)), 3)
    found = np.concatenate(Parallel()(delayed(model.predict)(folder[part]) for part in parts))
    for ours, alone in zip(found, model.predict(folder), strict=True):
        assert ours["label"].tolist() == alone["label"].tolist()
        np.testing.assert_allclose(ours["start"], alone["start"], atol=1e-3)
