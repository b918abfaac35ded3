"""The gate for weights: of videos, of classes, and what both come to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

from skdgam._weights import check_sample_weight, weigh_videos

CLASSES = np.array(["jump", "run"])
# jump, jump, jump, run, both, background
IS_LABELLED = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 1], [0, 0]], dtype=bool)


def weigh(sample_weight=None, class_weight=None, is_labelled=IS_LABELLED, **how):
    checked = check_sample_weight(sample_weight, len(is_labelled))
    return weigh_videos(checked, class_weight, CLASSES, is_labelled, **how)


def absolute(*given):
    return weigh(*given, relative=False)[1]


# --- of videos ---


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, np.float32])
def test_weights_of_any_form_become_an_array(form):
    checked = check_sample_weight(form([1.0, 0.5]), 2)
    assert checked.dtype == np.float64
    assert checked.tolist() == [1, 0.5]


def test_nothing_given_is_one_for_each_video():
    assert check_sample_weight(None, 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1, 2], ValueError, r"has shape \(2,\), but there are 3 videos; pass one number for each"),
        (np.ones((3, 1)), ValueError, r"has shape \(3, 1\), but there are 3"),
        (2.0, ValueError, r"has shape \(\), but there are 3 videos"),
        ([1, -2, 1], ValueError, r"sample_weight\[1\] is -2; a weight must be finite and not neg"),
        ([1, 1, np.nan], ValueError, r"sample_weight\[2\] is nan; .*, and 0 leaves out a video"),
        ([1, 1, np.inf], ValueError, r"sample_weight\[2\] is inf"),
        ("balanced", TypeError, "sample_weight is 'balanced'; it must be one number for each"),
        ([1, None, 1], ValueError, r"sample_weight\[1\] is nan"),
        ([1, [2, 3], 1], TypeError, "it must be one number for each video"),
        ([1j, 1, 1], TypeError, "it must be one number for each video"),
        ({"a": 1}, TypeError, "goes by the names of videos, such as 'a', but X has none"),
    ],
)
def test_what_no_weights_are_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        check_sample_weight(given, 3)


def test_weights_by_name_are_joined_and_named():
    names = np.array(["a", "b"])
    assert check_sample_weight({"b": 2, "a": 1}, 2, names).tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"sample_weight\[1\] \(b\) is -2"):
        check_sample_weight({"b": -2, "a": 1}, 2, names)
    with pytest.raises(ValueError, match="sample_weight says nothing of 'b'"):
        check_sample_weight({"a": 1}, 2, names)


def test_a_series_goes_by_its_index_and_a_frame_is_refused():
    pd = pytest.importorskip("pandas")
    series = pd.Series([2.0, 1.0], index=["b", "a"])
    assert check_sample_weight(series, 2, ["a", "b"]).tolist() == [1, 2]
    assert check_sample_weight(pd.Series([2, 1], index=[7, 8]), 2).tolist() == [2, 1]
    with pytest.raises(TypeError, match="sample_weight is a frame; pass the one column of it"):
        check_sample_weight(series.to_frame(), 2, ["a", "b"])


# --- of classes ---


def test_a_video_takes_the_mean_of_its_classes_and_background_counts_one():
    assert absolute(None, {"jump": 4, "run": 2}).tolist() == [4, 4, 4, 2, 3, 1]


def test_a_class_that_the_dict_does_not_name_counts_one():
    assert absolute(None, {"run": 3}).tolist() == [1, 1, 1, 3, 2, 1]


def test_weights_of_videos_and_classes_are_multiplied():
    assert absolute([1, 2, 1, 1, 0.5, 3], {"run": 3}).tolist() == [1, 2, 1, 3, 1, 3]


def test_balanced_by_hand():
    # 6 labels of 2 classes: jump counts 6 / (2 * 4), run 6 / (2 * 2).
    assert absolute(None, "balanced").tolist() == [0.75, 0.75, 0.75, 1.5, 1.125, 1]


@given(st.lists(st.integers(0, 1), min_size=1, max_size=20))
def test_balanced_is_that_of_scikit_learn_with_one_label_a_video(column):
    is_labelled = np.eye(2, dtype=bool)[column]
    _, weights = weigh(None, "balanced", is_labelled, relative=False)
    expected = compute_sample_weight("balanced", column)
    np.testing.assert_allclose(np.ones(len(column)) if weights is None else weights, expected)


def test_balanced_of_classes_that_are_equally_frequent_changes_nothing():
    assert weigh(None, "balanced", IS_LABELLED[2:])[1] is None


def test_balanced_counts_videos_by_their_weights():
    repeated = IS_LABELLED[[0, 1, 2, 3, 3, 4, 5]]
    _, of_repeated = weigh(None, "balanced", repeated, relative=False)
    of_weighted = absolute([1, 1, 1, 2, 1, 1], "balanced")
    np.testing.assert_allclose(of_weighted / [1, 1, 1, 2, 1, 1], of_repeated[[0, 1, 2, 3, 5, 6]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"swim": 1}, "class_weight has the class 'swim', but there is nothing but 'jump', 'run'"),
        ({"Jump": 1}, "class_weight has the class 'Jump', .*; is 'jump' meant?"),
        ({"jump": -1}, r"class_weight\['jump'\] is -1; a weight must be finite and not negative"),
        ({"jump": np.nan}, r"class_weight\['jump'\] is nan"),
        ({"jump": np.inf}, r"class_weight\['jump'\] is inf"),
        ({"jump": "2"}, r"class_weight\['jump'\] is '2'"),
    ],
)
def test_what_no_weights_of_classes_are_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        weigh(None, given)


# --- what both come to ---


def test_weights_that_are_all_equal_are_none():
    assert weigh([0.1] * 6)[1] is None
    assert weigh([1] * 6, relative=False)[1] is None
    assert absolute([0.5] * 6).tolist() == [0.5] * 6


def test_relative_weights_have_a_mean_of_one():
    assert weigh([1, 1, 1, 1, 3, 5])[1].tolist() == pytest.approx([0.5] * 4 + [1.5, 2.5])


def test_a_weight_of_zero_leaves_a_video_out():
    is_kept, weights = weigh([0, 1, 1, 3, 0, 0], {"jump": 2})
    assert is_kept.tolist() == [False, True, True, True, False, False]
    assert weights.tolist() == pytest.approx([6 / 7, 6 / 7, 9 / 7])


def test_a_class_of_weight_zero_is_left_out():
    is_kept, _ = weigh(None, {"jump": 0})
    assert is_kept.tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    "given", [([0] * 6,), ([0, 0, 0, 0, 0, 1],), (None, {"jump": 0, "run": 0})]
)
def test_no_action_that_counts_is_refused(given):
    with pytest.raises(ValueError, match="The weight of every video with an action is zero"):
        weigh(*given)


def test_background_alone_may_count_where_there_is_nothing_else():
    is_kept, weights = weigh([0, 2], None, np.zeros((2, 2), dtype=bool), relative=False)
    assert is_kept.tolist() == [False, True]
    assert weights.tolist() == [2]


def test_what_is_given_is_not_changed():
    given, classes = np.array([1.0, 2, 3, 4, 5, 0]), {"jump": 2.0}
    weigh(given, classes)
    assert given.tolist() == [1, 2, 3, 4, 5, 0]
    assert classes == {"jump": 2.0}
