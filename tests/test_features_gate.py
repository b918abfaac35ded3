"""The gate for features: what is accepted in which form, and the words of each refusal."""

import numpy as np
import pytest
import torch

from skdgam._features import Scaling, check_features, grouped

VIDEOS = [np.arange(6.0).reshape(3, 2), np.ones((2, 2))]


class Lazy:
    """A sequence that reads a video only when it is asked for it."""

    shape = (2,)

    def __init__(self):
        self.reads = []

    def __len__(self):
        return 2

    def __getitem__(self, i):
        self.reads.append(i)
        return VIDEOS[i]


def object_array(videos):
    array = np.empty(len(videos), dtype=object)
    array[:] = videos
    return array


@pytest.mark.parametrize(
    "X",
    [
        VIDEOS,
        tuple(VIDEOS),
        object_array(VIDEOS),
        [torch.tensor(v, requires_grad=True) for v in VIDEOS],
        [v.tolist() for v in VIDEOS],
        [v.astype(np.float16) for v in VIDEOS],
        [v.astype(int) for v in VIDEOS],
        Lazy(),
    ],
    ids=["list", "tuple", "object", "tensors", "nested", "float16", "integers", "lazy"],
)
def test_features_in_every_form(X):
    videos = check_features(X)
    assert (len(videos), videos.n_features, videos.lengths.tolist()) == (2, 2, [3, 2])
    for video, expected in zip(videos, VIDEOS, strict=True):
        assert video.dtype == np.float32
        np.testing.assert_array_equal(video, expected)


def test_a_three_dimensional_array_is_videos_of_equal_length():
    assert check_features(np.zeros((4, 3, 2))).lengths.tolist() == [3, 3, 3, 3]


def test_float32_features_are_not_copied():
    video = np.ones((3, 2), dtype=np.float32)
    assert np.shares_memory(check_features([video])[0], video)


def test_a_lazy_sequence_keeps_nothing():
    lazy = Lazy()
    videos = check_features(lazy)
    lazy.reads.clear()
    assert videos[1] is not videos[1]
    assert lazy.reads == [1, 1]


def test_columns_are_those_of_one_stream():
    second = check_features(VIDEOS).columns(slice(1, 2))
    assert second.n_features == 1
    np.testing.assert_array_equal(second[0], [[1], [3], [5]])


def test_a_part_keeps_the_numbers_of_the_videos_for_errors():
    class Spoiling(Lazy):
        def __getitem__(self, i):
            video = super().__getitem__(i)
            return video * np.nan if self.spoilt and i == 1 else video

    lazy = Spoiling()
    lazy.spoilt = False
    part = check_features(lazy).subset(np.array([False, True]))
    assert len(part) == 1
    assert part.lengths.tolist() == [len(VIDEOS[1])]
    np.testing.assert_array_equal(part[0], VIDEOS[1])
    lazy.spoilt = True
    with pytest.raises(ValueError, match=r"X\[1\] is nan"):
        part[0]


def with_value(value):
    video = np.ones((4, 3))
    video[2, 1] = value
    return video


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        (np.ones((5, 3)), ValueError, r"X has shape \(5, 3\): that is one video.*wrap it as \[x\]"),
        (torch.ones(5, 3), ValueError, r"wrap it as \[x\]"),
        ([], ValueError, "X is empty"),
        ("features", TypeError, "X is of type str; it must be a sequence of arrays"),
        ((v for v in VIDEOS), TypeError, "X is of type generator"),
        ([np.ones(3)], ValueError, r"X\[0\] has shape \(3,\); a video must have shape"),
        ([np.ones((3, 2)), np.ones((0, 2))], ValueError, r"X\[1\] has shape \(0, 2\)"),
        ([np.ones((3, 0))], ValueError, r"X\[0\] has shape \(3, 0\); .* at least one snippet"),
        (
            [np.ones((3, 2)), np.ones((3, 4))],
            ValueError,
            r"X\[1\] has 4 features, but X\[0\] has 2; every video must come from one",
        ),
        ([np.array([["a", "b"]])], TypeError, r"X\[0\] has dtype <U1; .* real numbers"),
        ([np.ones((2, 2), dtype=complex)], TypeError, r"X\[0\] has dtype complex128"),
        ([[[1, 2], [3]]], TypeError, r"X\[0\] cannot be read as an array"),
        (
            [np.ones((4, 3)), with_value(np.nan)],
            ValueError,
            r"X\[1\] is nan at snippet 2, feature 1 \(1 such values in this video\)",
        ),
        (
            [np.ones((3, 2)), np.ma.masked_greater(np.ones((3, 2)), 0)],
            ValueError,
            r"X\[1\] has masked values",
        ),
        ([with_value(-np.inf)], ValueError, r"X\[0\] is -inf at snippet 2, feature 1"),
        ([with_value(1e300)], ValueError, r"X\[0\] is inf .* finite in float32"),
    ],
)
def test_features_refused(X, error, match):
    with pytest.raises(error, match=match):
        check_features(X)


def test_features_of_another_extractor_than_in_fit():
    with pytest.raises(ValueError, match=r"X\[0\] has 2 features, but the model was fitted with 5"):
        check_features(VIDEOS, n_features=5)


def test_videos_are_grouped_in_order_and_long_ones_are_alone():
    videos = [np.zeros((n, 1)) for n in (2, 3, 9, 1, 4, 1)]
    groups = [[len(video) for video in group] for group in grouped(videos, n_rows=5)]
    assert groups == [[2, 3], [9], [1, 4], [1]]


def test_tensors_in_bfloat16_are_read():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.5, 2.0]], dtype=torch.bfloat16)
    np.testing.assert_array_equal(check_features([x])[0], [[0.5, 2.0]])


@pytest.mark.parametrize("n_features", [None, 4])
def test_transposed_videos_are_told(n_features):
    X = [np.zeros((4, 7)), np.zeros((4, 9))]
    with pytest.raises(ValueError, match=r"Is it transposed\? Then pass x\.T"):
        check_features(X, n_features)


def test_other_features_are_not_called_transposed():
    with pytest.raises(ValueError, match="one feature extractor.$"):
        check_features([np.zeros((4, 7)), np.zeros((5, 9))])


def test_weights_go_with_their_videos():
    videos = check_features([np.ones((n, 3)) for n in (1, 2, 3)])
    assert videos.weights is None
    assert videos.subset([0, 2]).weights is None
    weighted = videos.weighted(np.array([1.0, 2.0, 3.0]))
    assert weighted.subset([2, 0]).columns([0]).weights.tolist() == [3, 1]


@pytest.mark.parametrize("chosen", [[2, 0], np.array([True, False, True]), slice(None, None, 2)])
def test_a_part_of_videos_has_the_labels_of_its_snippets(chosen):
    videos = check_features([np.full((2, 3), i) for i in range(3)])
    assert videos.subset(chosen).snippet_labels is None
    part = videos.labelled([x[:, :1] > 1 for x in videos]).subset(chosen)
    for x, labels in zip(part, part.snippet_labels, strict=True):
        np.testing.assert_array_equal(labels, x[:, :1] > 1)
    assert videos.weights is None


def test_statistics_for_scaling_are_weighted_as_repeated_videos_are():
    videos = [np.random.default_rng(n).normal(n, n, (5 * n, 2)) for n in (1, 2, 3)]
    repeated = Scaling.of(check_features([videos[0], *videos[1:2] * 3, videos[2]]))
    weighted = Scaling.of(check_features(videos).weighted(np.array([0.5, 1.5, 0.5])))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6)
