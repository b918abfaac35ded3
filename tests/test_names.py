"""What is given by the names of videos: dicts, Series and frames, in whatever order."""

import re

import numpy as np
import pytest

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.formats import read_intervals, write_intervals
from skdgam.methods import SupervisedLocalizer
from skdgam.metrics import (
    error_analysis,
    label_agreement,
    mean_average_precision,
    segment_f1,
)
from skdgam.model_selection import (
    WeakLabelKFold,
    separability_scorer,
    video_level_scorer,
)

pd = pytest.importorskip("pandas")

X, Y = make_untrimmed(n_videos=10, n_features=8, n_classes=2, random_state=0)
NAMES = [f"run_{i}" for i in range(10)]
BY_NAME = dict(zip(NAMES, X, strict=True))
OTHERWISE = NAMES[::-1]  # the order in which the other side is given


def localizer(**params):
    return DGAMLocalizer(max_epochs=2, n_starts=1, device="cpu", random_state=0, **params)


def tidy(intervals, names=OTHERWISE):
    """A frame of the intervals of videos, with a row of its name alone for an empty one."""
    rows = [
        {"video": name, "start": start, "end": end, "label": label}
        for name in names
        for start, end, label in intervals[name].tolist()
    ]
    return pd.DataFrame(rows + [{"video": name} for name in names if not len(intervals[name])])


TRUTH = dict(zip(NAMES, Y, strict=True))
LABELS = {name: sorted(set(TRUTH[name]["label"].tolist())) for name in OTHERWISE}
FORMS_OF_LABELS = {
    "a dict": LABELS,
    "a Series": pd.Series(LABELS),
    "a tidy frame of labels": pd.DataFrame(
        [(name, label) for name in OTHERWISE for label in LABELS[name] or [None]],
        columns=["video", "label"],
    ),
    "a tidy frame of intervals": tidy(TRUTH),
    "an indicator frame": pd.DataFrame(
        {c: [int(c in LABELS[n]) for n in OTHERWISE] for c in ("action 0", "action 1")},
        index=OTHERWISE,
    ),
}


@pytest.fixture(scope="module")
def fitted():
    return localizer().fit(X, Y)


@pytest.mark.parametrize("y", FORMS_OF_LABELS.values(), ids=FORMS_OF_LABELS.keys())
def test_labels_are_joined_to_features_by_name(y, fitted):
    model = localizer().fit(BY_NAME, y)
    for name, weight in fitted.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], weight, err_msg=name)


@pytest.mark.parametrize("form", [dict, pd.Series])
def test_weights_are_joined_to_features_by_name(form):
    weights = {name: i + 1 for i, name in enumerate(OTHERWISE)}
    model = localizer().fit(BY_NAME, LABELS, sample_weight=form(weights))
    expected = localizer().fit(X, Y, sample_weight=[weights[name] for name in NAMES])
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    streams = MultiStreamLocalizer([("all", localizer(), slice(0, 8))])
    streams.fit(BY_NAME, LABELS, sample_weight=form(weights))
    np.testing.assert_array_equal(streams.predict_proba(X), expected.predict_proba(X))


def test_features_may_be_a_series(fitted):
    model = localizer().fit(pd.Series([*X], index=NAMES), LABELS)
    np.testing.assert_array_equal(model.predict_proba(BY_NAME), fitted.predict_proba(X))


def test_an_indicator_frame_without_names_goes_by_position(fitted):
    y = FORMS_OF_LABELS["an indicator frame"].iloc[::-1].reset_index(drop=True)
    model = localizer().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))


def test_unknown_labels_are_none_in_a_dict():
    some = {name: None if name == "run_3" else labels for name, labels in LABELS.items()}
    expected = localizer().fit([*X[:3], *X[4:]], [*Y[:3], *Y[4:]])
    np.testing.assert_array_equal(
        localizer().fit(BY_NAME, some).predict_proba(X), expected.predict_proba(X)
    )


def test_streams_are_joined_by_name():
    streams = [("a", localizer(), slice(0, 4)), ("b", localizer(), slice(4, 8))]
    by_name, plain = (MultiStreamLocalizer(streams).fit(*of) for of in ((BY_NAME, LABELS), (X, Y)))
    np.testing.assert_array_equal(by_name.predict_proba(BY_NAME), plain.predict_proba(X))


@pytest.mark.parametrize("y", [TRUTH, tidy(TRUTH)], ids=["a dict", "a frame"])
def test_score_joins_intervals_and_durations_by_name(fitted, y):
    durations = np.arange(50.0, 60.0)
    by_name = dict(zip(NAMES, durations, strict=True))
    with pytest.warns(UserWarning, match="past their end"):
        expected = fitted.score(X, Y, durations)
    with pytest.warns(UserWarning, match="past their end"):
        assert fitted.score(BY_NAME, y, by_name) == expected


def test_a_frame_of_detections_has_the_names(fitted):
    frame = fitted.predict_frame(BY_NAME)
    assert set(frame["video"]) <= set(NAMES)
    assert mean_average_precision(TRUTH, frame) == mean_average_precision(Y, fitted.predict(X))


def test_a_frame_of_detections_without_names_goes_by_index(fitted):
    expected = mean_average_precision(Y, fitted.predict(X))
    assert mean_average_precision(Y, fitted.predict_frame(X)) == expected


@pytest.mark.parametrize("measure", [mean_average_precision, error_analysis, label_agreement])
def test_measures_join_by_name(fitted, measure):
    found = dict(zip(NAMES, fitted.predict(X), strict=True))
    expected = measure(Y, [*found.values()])
    joined = measure(tidy(TRUTH, NAMES), {name: found[name] for name in OTHERWISE})
    np.testing.assert_equal(joined, expected)


@pytest.mark.parametrize("scorer", [separability_scorer, video_level_scorer])
def test_scorers_join_by_name(fitted, scorer):
    assert scorer(fitted, BY_NAME, LABELS) == scorer(fitted, X, Y)


def test_folds_are_balanced_by_name():
    folds = [
        [test.tolist() for _, test in WeakLabelKFold(2, random_state=0).split(features, labels)]
        for features, labels in ((BY_NAME, LABELS), (X, Y))
    ]
    assert folds[0] == folds[1]


def test_a_video_without_an_entry_is_named():
    without = {name: labels for name, labels in LABELS.items() if name != "run_7"}
    with pytest.raises(ValueError, match=r"y says nothing of 'run_7' \(1 such videos of 10\)"):
        localizer().fit(BY_NAME, without)


def test_an_index_that_repeats_names_is_refused():
    of_labels = pd.Series({"run_0": "action 0"})
    for twice in (pd.concat([of_labels] * 2), pd.get_dummies(pd.concat([of_labels] * 2))):
        with pytest.raises(ValueError, match="has 'run_0' twice in its index, .* reset_index"):
            localizer().fit(BY_NAME, twice)


def test_a_series_by_name_does_not_go_by_position(fitted):
    truth = pd.Series([*Y], index=NAMES)[::-1]
    for score in (
        lambda: fitted.score(X, truth),
        lambda: localizer().fit(X, truth),
        lambda: mean_average_precision(truth, fitted.predict(X)),
    ):
        with pytest.raises(TypeError, match="by the names of videos"):
            score()


def test_series_of_numbers_go_by_their_index(fitted):
    shuffled = pd.Series([*Y])[::-1]
    model = localizer().fit(pd.Series([*X]), shuffled)
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    model = localizer().fit(X, pd.Series([*Y], index=range(100, 110)))
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))


def test_a_series_goes_by_position_where_features_have_no_names_also_with_unknown_labels(fitted):
    y = [*Y]
    y[3] = None
    expected = localizer().fit(X, y)
    for index in (range(100, 110), [1, 0, 3, 2, 4, 5, 9, 8, 7, 6]):
        model = localizer().fit(X, pd.Series(y, index=index))
        np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


def test_what_is_missing_in_a_series_of_text_is_unknown():
    y = ["a", None, *["b", "a"] * 4]
    expected = localizer().fit(X, y).predict_proba(X)
    for series in (pd.Series(y), pd.Series(y, dtype="string"), pd.Series(y, dtype=object)):
        np.testing.assert_array_equal(localizer().fit(X, series).predict_proba(X), expected)


@pytest.mark.parametrize("named", [False, True])
def test_messages_call_videos_what_was_passed_where_others_are_left_out(named):
    wrong = {9: [3.5], 5: ["a", "zz"]}
    where = {i: f"y['{NAMES[i]}']" if named else f"y[{i}]" for i in range(10)}
    for i, entry in wrong.items():
        y = [None, ["a"], None, *[["b"]] * 7]
        y[i] = entry
        model = localizer()
        with pytest.raises(ValueError, match=re.escape(where[i])):
            model.partial_fit(BY_NAME if named else X, y, classes=["a", "b"])
    late = [None, [(0, 1, "a")], None, *[[(0, 1, "b")]] * 6, [(0, 9e9, "b")]]
    model = SupervisedLocalizer(max_epochs=1)
    with pytest.warns(UserWarning, match=re.escape(f"the first is {where[9]}: ")):
        model.fit(BY_NAME if named else X, late)


def test_rows_without_a_label_are_background_and_said_to_be():
    frame = pd.DataFrame({"Video": NAMES, "Label": ["a", None] * 5})
    with pytest.warns(UserWarning, match=r"no label for 'run_1' \(5 such videos\), which is taken"):
        model = localizer().fit(BY_NAME, frame)
    expected = localizer().fit(X, [["a"], []] * 5)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


def test_lists_in_a_tidy_frame():
    frame = pd.DataFrame({"video": NAMES, "label": [["a", "b"]] * 10})
    with pytest.raises(ValueError, match=r"several labels in a row of 'run_0'; .* frame.explode"):
        localizer().fit(BY_NAME, frame)


def test_a_wrong_interval_of_a_frame_is_named(fitted):
    frame = tidy(TRUTH).rename(columns={"start": "end", "end": "start"})
    with pytest.raises(ValueError, match="A frame has, for 'run_9': Interval 0 is"):
        fitted.score(BY_NAME, frame)


def test_a_name_that_differs_by_a_hair_is_asked_for():
    named = {name.upper() + ".npy": labels for name, labels in LABELS.items()}
    with pytest.raises(ValueError, match="nothing of 'run_0' .*; is 'RUN_0.npy' meant?"):
        localizer().fit(BY_NAME, named)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (["Run", "run"], "'Run' and 'run' are two classes; are they meant to be one?"),
        (["run", "run "], "'run' and 'run ' are two classes"),
        (["a", "b", "a,b"], "'a,b' is one class; is it meant to be a, b?"),
    ],
)
def test_classes_that_are_likely_meant_otherwise(labels, match):
    with pytest.warns(UserWarning, match=match):
        localizer().fit(X, [[label] for label in (labels * 10)[:10]])


def test_durations_of_segments_go_by_name(fitted):
    durations = dict(zip(NAMES, np.arange(50.0, 60.0), strict=True))
    found = dict(zip(NAMES, fitted.predict(X), strict=True))
    expected = segment_f1(Y, [*found.values()], threshold=0.0, durations=[*durations.values()])
    joined = segment_f1(tidy(TRUTH), found, threshold=0.0, durations=durations)
    assert joined == expected
    with pytest.raises(TypeError, match="durations do not; pass a dict by name"):
        segment_f1(TRUTH, found, durations=[*durations.values()])


def test_intervals_are_written_from_frames(fitted, tmp_path):
    write_intervals(tmp_path / "found.csv", fitted.predict_frame(BY_NAME))
    again = read_intervals(tmp_path / "found.csv")
    assert mean_average_precision(TRUTH, again) == pytest.approx(
        mean_average_precision(Y, fitted.predict(X)), abs=1e-4
    )
    with pytest.raises(TypeError, match="by the names of videos: a dict, such as dict"):
        write_intervals(tmp_path / "found.json", fitted.predict(X))


def test_intervals_that_are_all_there_twice_are_told(fitted):
    twice = {name: np.concatenate([of_video] * 2) for name, of_video in TRUTH.items()}
    found = dict(zip(NAMES, fitted.predict(X), strict=True))
    with pytest.warns(UserWarning, match="Every interval of y_true is there twice"):
        mean_average_precision(twice, found)


def test_names_on_one_side_only():
    with pytest.raises(TypeError, match="y goes by the names of videos, such as 'run_9', but X"):
        localizer().fit(X, LABELS)
    with pytest.raises(TypeError, match="y_true goes by the names of videos, but y_pred does not"):
        mean_average_precision(TRUTH, [()] * 10)


def test_detections_in_a_video_that_the_truth_does_not_know(fitted):
    found = dict(zip(NAMES, fitted.predict(X), strict=True))
    with pytest.raises(ValueError, match=r"y_pred has detections in 'other' \(1 such videos"):
        mean_average_precision(TRUTH, found | {"other": found["run_0"]})


def test_a_frame_that_is_neither_tidy_nor_an_indicator():
    with pytest.raises(TypeError, match="A frame has the columns name, action; it must have video"):
        localizer().fit(BY_NAME, pd.DataFrame({"name": NAMES, "action": ["a"] * 10}))


def test_detections_may_be_tuples():
    found = [[(0.0, 4.0, "a", 0.9)], []]
    assert mean_average_precision([[(0, 4, "a")], [(1, 2, "a")]], found, 0.5) == 0.5


def test_an_error_names_the_video(fitted):
    broken = BY_NAME | {"run_4": np.full_like(X[4], np.nan)}
    with pytest.raises(ValueError, match=r"X\[4\] \(run_4\) is nan"):
        fitted.predict(broken)
