import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skdgam.sampling import (
    balanced_folds,
    batches_of_pairs,
    mirrored_window,
    stratified_sample,
    uniform_sample,
)

counts = st.integers(1, 200)


@given(counts, st.integers(0, 200), st.integers(0, 9))
def test_stratified_sample_takes_one_snippet_from_each_part(n_samples, more, seed):
    n = n_samples + more
    indices = stratified_sample(n, n_samples, np.random.default_rng(seed))
    edges = [i * n // n_samples for i in range(n_samples + 1)]
    for i, index in enumerate(indices):
        assert edges[i] <= index < edges[i + 1]


def test_stratified_sample_reaches_every_snippet():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([stratified_sample(17, 5, rng) for _ in range(200)])
    assert set(drawn) == set(range(17))


@given(counts, counts)
def test_uniform_sample_covers_the_video(n, n_samples):
    indices = uniform_sample(n, n_samples)
    assert indices[0] == 0
    assert indices[-1] == int((n_samples - 1) * n / n_samples)
    assert (np.diff(indices) >= 0).all()
    assert len(np.unique(indices)) == min(n, n_samples)


@given(counts, st.integers(0, 9))
def test_mirrored_window_is_that_of_scipy(n, radius):
    from scipy.ndimage import correlate1d

    values = np.random.default_rng(n).normal(size=n)
    kernel = np.arange(2 * radius + 1.0)
    ours = values[mirrored_window(n, radius)] @ kernel
    np.testing.assert_allclose(ours, correlate1d(values, kernel, mode="reflect"))


def label_sets():
    return arrays(bool, st.tuples(st.integers(4, 40), st.integers(1, 5)))


@given(is_labelled=label_sets(), n_folds=st.integers(2, 4), seed=st.integers(0, 9))
def test_balanced_folds_hold_about_as_many_videos_each(is_labelled, n_folds, seed):
    part = balanced_folds(is_labelled, n_folds, np.random.default_rng(seed))
    sizes = np.bincount(part, minlength=n_folds)
    assert sizes.sum() == len(is_labelled)
    assert sizes.max() - sizes.min() <= 3


@given(n_first=st.integers(3, 40), n_second=st.integers(3, 12), n_folds=st.integers(2, 3))
def test_balanced_folds_of_single_labels_are_within_a_video_of_even(n_first, n_second, n_folds):
    is_labelled = np.repeat(np.eye(2, dtype=bool), [n_first, n_second], axis=0)
    part = balanced_folds(is_labelled, n_folds)
    for of_class in is_labelled.T:
        counts = np.bincount(part[of_class], minlength=n_folds)
        assert counts.max() - counts.min() <= 1


@given(
    is_labelled=label_sets(), n_groups=st.integers(1, 6), n_folds=st.integers(2, 3), data=st.data()
)
def test_balanced_folds_keep_groups_together(is_labelled, n_groups, n_folds, data):
    groups = data.draw(arrays(int, len(is_labelled), elements=st.integers(0, n_groups)))
    part = balanced_folds(is_labelled, n_folds, groups=groups)
    for group in np.unique(groups):
        assert len(set(part[groups == group])) == 1


def test_balanced_folds_are_shuffled_by_the_generator():
    is_labelled = np.ones((20, 1), dtype=bool)
    parts = [balanced_folds(is_labelled, 2, np.random.default_rng(s)) for s in (0, 0, 1)]
    np.testing.assert_array_equal(parts[0], parts[1])
    assert (parts[0] != parts[2]).any()


def test_batches_begin_with_pairs_that_share_a_class_and_rare_classes_are_as_frequent():
    is_labelled = np.zeros((50, 3), dtype=bool)
    is_labelled[:45, 0] = is_labelled[45:48, 1] = True  # the last class has no video
    is_labelled = np.tile(is_labelled, (20, 1))
    drawn = np.stack([*batches_of_pairs(is_labelled, 2, 5, np.random.default_rng(0))])
    assert drawn.shape == (200, 5)
    pairs = is_labelled[drawn[:, :4]].reshape(-1, 2, 3).all(axis=1)
    assert pairs.any(axis=1).all()
    assert pairs[:, 1].mean() == pytest.approx(0.5, abs=0.1)
    assert len(np.unique(drawn[:, 4])) > 150


@pytest.mark.parametrize(("size", "n_pairs"), [(1, 0), (3, 1)])
def test_a_batch_has_the_pairs_that_it_has_room_for(size, n_pairs):
    is_labelled = np.eye(6, dtype=bool)
    for chosen in batches_of_pairs(is_labelled, 3, size, np.random.default_rng(0)):
        assert len(chosen) == size
        assert all(chosen[2 * k] == chosen[2 * k + 1] for k in range(n_pairs))


def test_no_video_is_paired_with_itself_but_the_only_one_of_a_class():
    is_labelled = np.repeat(np.eye(3, dtype=bool), [2, 3, 1], axis=0)
    draw = batches_of_pairs(np.tile(is_labelled, (40, 1))[:120], 1, 2, np.random.default_rng(0))
    assert any(one == other for one, other in draw)
    is_labelled[:, 0] |= True  # which the last video shows, too
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for one, other in batches_of_pairs(is_labelled, 1, 2, rng, distinct=True):
            assert (is_labelled[one] & is_labelled[other]).any()
            assert one != other or one == 5


def test_without_any_label_there_are_no_pairs_to_draw():
    (chosen,) = batches_of_pairs(np.zeros((4, 2), dtype=bool), 2, 4, np.random.default_rng(0))
    assert set(chosen) <= set(range(4))
