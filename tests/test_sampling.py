import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skdgam.sampling import mirrored_window, stratified_sample, uniform_sample

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
