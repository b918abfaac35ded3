import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdgam import DGAMLocalizer, MultiStreamLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.intervals import make_intervals
from skdgam.metrics import error_analysis, mean_average_precision
from skdgam.plotting import (
    ErrorAnalysisDisplay,
    LocalizationDisplay,
    PrecisionRecallDisplay,
    TrainingDisplay,
)
from skdgam.preprocessing import SnippetTransformer

Y_TRUE = [[(1.0, 4.0, "jump"), (6.0, 9.0, "run")], [], [(0.5, 2.0, "swim")]]
Y_PRED = [
    make_intervals([1.5, 2.0, 7.0], [4.0, 3.0, 9.5], ["jump", "jump", "run"], [0.2, 0.9, 0.5]),
    make_intervals([2.0], [5.0], "run", [0.4]),
    make_intervals([], [], "run", []),
]
ATTENTION = [np.linspace(0, 1, 20), np.full(10, 0.3), np.zeros(4)]


@pytest.fixture(autouse=True)
def without_windows():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def bars(ax):
    """Bars of each row of bars, ground truth first, as (start, end, y)."""
    return [
        [
            (bar.get_x(), bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height() / 2)
            for bar in row
        ]
        for row in ax.containers
    ]


def lanes(ax):
    """Height of each label on the axis."""
    texts = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(texts, ax.get_yticks(), strict=True))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_bars_lie_where_the_intervals_are():
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE)
    true, found = bars(display.axes_[0])
    assert [bar[:2] for bar in true] == [(1.0, 4.0), (6.0, 9.0)]
    assert sorted(bar[:2] for bar in found) == [(1.5, 4.0), (2.0, 3.0), (7.0, 9.5)]


def test_each_class_has_a_lane_with_truth_above_detections():
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE)
    lane = lanes(display.axes_[0])
    assert [*lane] == ["jump", "run"]
    assert lane["jump"] == lane["run"] + 1
    true, found = bars(display.axes_[0])
    for part, label, side in [(true, "jump", 1), (true, "run", 1), (found, "jump", -1)]:
        y = [y for start, end, y in part if (end <= 4.0) == (label == "jump")]
        assert all(0 < side * (y - lane[label]) < 0.5 for y in y)


def test_only_classes_that_occur_have_lanes():
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE)
    assert [[*lanes(ax)] for ax in display.axes_] == [["jump", "run"], ["run"], ["swim"]]


def test_higher_scores_are_darker_and_on_top():
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE)
    _, found = display.axes_[0].containers
    by_start = {bar.get_x(): sum(bar.get_facecolor()[:3]) for bar in found}
    assert by_start[2.0] < by_start[7.0] < by_start[1.5]
    assert [bar.get_x() for bar in found] == [1.5, 7.0, 2.0]  # drawn in this order


def test_attention_lies_beneath_at_its_own_times():
    display = LocalizationDisplay.from_predictions(
        Y_PRED, attention=ATTENTION, snippet_seconds=0.5, snippet_offset=0.25
    )
    ax = display.axes_[0]
    (curve,) = ax.patches[len(Y_PRED[0]) :]
    values, edges, _ = curve.get_data()
    np.testing.assert_array_equal(values, ATTENTION[0])
    np.testing.assert_allclose(edges, 0.25 + 0.5 * np.arange(21))
    assert ax.get_xlim() == (0.0, 10.25)
    assert lanes(ax)["attention λ"] == 0.5
    assert all(y > 1 for row in bars(ax) for _, _, y in row)


def test_durations_are_shared_by_the_snippets():
    display = LocalizationDisplay.from_predictions(
        Y_PRED, attention=ATTENTION, durations=[40.0, 5.0, 8.0]
    )
    edges = display.axes_[2].patches[-1].get_data().edges
    np.testing.assert_allclose(edges, [0, 2, 4, 6, 8])
    assert [ax.get_xlim()[1] for ax in display.axes_] == [40.0, 5.0, 8.0]


def test_snippets_that_begin_before_zero_are_shown():
    display = LocalizationDisplay.from_predictions(Y_PRED, attention=ATTENTION, snippet_offset=-1.0)
    assert display.axes_[0].get_xlim()[0] == -1.0


def test_without_ground_truth_detections_have_the_lanes():
    display = LocalizationDisplay.from_predictions(Y_PRED)
    ax = display.axes_[0]
    (found,) = bars(ax)
    assert sorted({y for _, _, y in found}) == pytest.approx(sorted(lanes(ax).values()))
    assert legend(ax) == ["detection, score 0.20 (light) to 0.90 (dark)"]


def test_nothing_is_drawn_where_nothing_is():
    display = LocalizationDisplay.from_predictions([Y_PRED[2]], [[]])
    (ax,) = display.axes_
    assert bars(ax) == [[], []]
    assert lanes(ax) == {}
    assert ax.get_title(loc="left") == "video 0: no intervals"
    assert legend(ax) == ["ground truth"]
    display.figure_.canvas.draw()


def test_one_score_is_no_range():
    display = LocalizationDisplay.from_predictions([Y_PRED[1]])
    assert legend(display.axes_[0]) == ["detection, score 0.4"]


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([5.8e-5, 0.87], "0.00 (light) to 0.87 (dark)"),
        ([-0.31, 0.02], "-0.31 (light) to 0.02 (dark)"),
        ([0.9991, 0.9998], "0.99910 (light) to 0.99980 (dark)"),
        ([-3.0, 120.0], "-3 (light) to 120 (dark)"),
        ([3e-5], "3e-05"),
    ],
)
def test_scores_have_the_decimals_that_tell_them_apart(scores, told):
    n = len(scores)
    found = make_intervals(np.arange(n), np.arange(n) + 1, "jump", scores)
    assert legend(LocalizationDisplay.from_predictions([found]).axes_[0]) == [
        f"detection, score {told}"
    ]


def test_the_legend_shows_how_dark_scores_are():
    (ax, *_) = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE).axes_
    shown = [patch.get_facecolor() for patch in ax.get_legend().findobj(Rectangle)]
    truth, weakest, middle, best = shown
    found = [bar.get_facecolor() for bar in ax.containers[1]]  # by score
    assert (weakest, best) == (found[0], found[-1])
    assert sum(weakest) > sum(middle) > sum(best)


def test_truth_is_hatched_which_is_seen_in_grey_and_in_the_legend():
    (ax, *_) = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE).axes_
    true, found = ax.containers
    in_legend = ax.get_legend().findobj(Rectangle)
    assert {bar.get_hatch() for bar in true} == {in_legend[0].get_hatch()} != {None}
    assert {bar.get_hatch() for bar in [*found, *in_legend[1:]]} == {None}


def test_long_names_are_broken_and_long_classes_cut():
    found = make_intervals([1.0], [2.0], "one " * 20, [0.5])
    (ax,) = LocalizationDisplay.from_predictions([found], names=["x" * 100]).axes_
    (label,) = lanes(ax)
    assert label == "one one one one one one\none one one one one …"
    assert ax.get_title(loc="left") == "\n".join(["x" * 40, "x" * 40, "x" * 20])


def test_text_has_6_points_in_a_column_of_85_mm(model, data):
    X, y = data
    displays = [
        LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE),
        TrainingDisplay.from_estimator(model),
        PrecisionRecallDisplay.from_estimator(model, X, y),
        ErrorAnalysisDisplay.from_estimator(model, X, y),
    ]
    for display in displays:
        texts = [text for text in display.figure_.findobj(Text) if text.get_text()]
        scale = 85 / 25.4 / display.figure_.get_figwidth()
        assert min(text.get_fontsize() for text in texts) * scale > 6


def test_integer_labels_sort_as_numbers():
    found = make_intervals([0.0, 0.0], [1.0, 1.0], [10, 9], [0.1, 0.2])
    display = LocalizationDisplay.from_predictions([found], [[]])
    assert [*lanes(display.axes_[0])] == ["9", "10"]


def test_legend_and_time_are_there_once():
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE, attention=ATTENTION)
    assert [ax.get_legend() is not None for ax in display.axes_] == [True, False, False]
    assert [ax.get_xlabel() for ax in display.axes_] == ["", "", "time (s)"]
    assert legend(display.axes_[0])[::2] == ["ground truth", "attention λ"]


@pytest.mark.parametrize("n_classes", [1, 40])
def test_no_two_texts_overlap(n_classes):
    labels = [f"a class with quite a long name, number {k}" for k in range(n_classes)]
    times = np.linspace(0, 7200, n_classes + 1)
    found = make_intervals(times[:-1], times[1:], labels, times[1:])
    names = ["a_recording_with_a_long_name_2024-05-17T12-34-56_camera3_left.mp4", "short"]
    display = LocalizationDisplay.from_predictions(
        [found] * 2, [found] * 2, attention=[np.ones(11250)] * 2, names=names
    )
    display.figure_.canvas.draw()
    texts = [
        text for text in display.figure_.findobj(Text) if text.get_text() and text.get_visible()
    ]
    boxes = [text.get_window_extent() for text in texts]
    overlaps = [
        (texts[i].get_text(), texts[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]
    assert overlaps == []
    words = [box for text, box in zip(texts, boxes, strict=True) if not text.get_text().isdigit()]
    assert min(box.x0 for box in words) >= 0
    assert max(box.x1 for box in words) <= display.figure_.bbox.x1


def test_axes_may_be_given():
    _, axes = plt.subplots(1, 3)
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE, ax=axes, names=["a", "b", "c"])
    assert [*display.axes_] == [*axes]
    assert display.figure_ is axes[0].figure
    assert [ax.get_title(loc="left") for ax in axes] == ["a", "b", "c"]


def test_plot_draws_the_same_again():
    display = LocalizationDisplay.from_predictions(Y_PRED, Y_TRUE)
    before = [bars(ax) for ax in display.axes_]
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first
    assert [bars(ax) for ax in display.axes_] == before


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=8, n_classes=2, n_features=(8, 8), random_state=0)


@pytest.fixture(scope="module")
def settings():
    return {"max_epochs": 3, "snippet_seconds": 0.5, "snippet_offset": 0.2, "random_state": 0}


@pytest.fixture(scope="module")
def model(data, settings):
    return DGAMLocalizer(**settings).fit(*data)


def test_estimator_draws_what_the_model_says(data, model):
    X, y = data
    display = LocalizationDisplay.from_estimator(model, X, y, videos=[5, 2])
    for ax, i in zip(display.axes_, [5, 2], strict=True):
        true, found = bars(ax)
        detections = model.predict([X[i]])[0]
        assert sorted(bar[0] for bar in found) == pytest.approx(sorted(detections["start"]))
        assert [bar[0] for bar in true] == y[i]["start"].tolist()
        values, edges, _ = ax.patches[-1].get_data()
        np.testing.assert_allclose(values, model.attention([X[i]])[0], rtol=1e-5)
        np.testing.assert_allclose(edges, 0.2 + 0.5 * np.arange(len(X[i]) + 1))
        assert ax.get_title(loc="left") == f"video {i}"


@pytest.mark.parametrize(
    ("videos", "titles"),
    [
        (None, [f"video {i}" for i in range(8)]),
        (3, ["video 3"]),
        (-1, ["video 7"]),
        (slice(2), ["video 0", "video 1"]),
        (np.array([4, 1]), ["video 4", "video 1"]),
    ],
    ids=str,
)
def test_estimator_draws_the_videos_asked_for(data, model, videos, titles):
    display = LocalizationDisplay.from_estimator(model, data[0], videos=videos)
    assert [ax.get_title(loc="left").split(":")[0] for ax in display.axes_] == titles


@pytest.mark.parametrize("n_steps", [0, 1])
def test_a_pipeline_is_drawn_as_its_localizer(data, model, n_steps):
    X, y = data
    steps = [SnippetTransformer(StandardScaler(with_std=False)).fit(X)] * n_steps
    shifted = [x + steps[0].transformer_.mean_.astype(np.float32) if steps else x for x in X]
    pipeline = make_pipeline(*steps, model)
    display = LocalizationDisplay.from_estimator(pipeline, shifted, y, videos=[1])
    expected = LocalizationDisplay.from_estimator(model, X, y, videos=[1])
    np.testing.assert_allclose(display.attention[0], expected.attention[0], atol=1e-4)


def test_videos_are_drawn_by_name(data, model):
    X, y = ({f"run {i}": each for i, each in enumerate(given)} for given in data)
    display = LocalizationDisplay.from_estimator(model, X, dict(reversed(y.items())), videos=[2])
    assert display.axes_[0].get_title(loc="left") == "run 2"
    np.testing.assert_array_equal(display.y_true[0]["start"], y["run 2"]["start"])
    for kind in (PrecisionRecallDisplay, ErrorAnalysisDisplay):
        kind.from_estimator(model, X, dict(reversed(y.items())))


def test_only_good_detections_are_drawn_if_so_asked(data, model):
    X, _ = data
    found = np.concatenate(model.predict(X))["score"]
    display = LocalizationDisplay.from_estimator(model, X, min_score=np.median(found))
    drawn = np.concatenate(display.y_pred)["score"]
    assert sorted(drawn) == sorted(found[found >= np.median(found)])


def test_estimator_reads_no_other_video(data, model):
    X, y = data
    broken = [None, X[1], None]
    display = LocalizationDisplay.from_estimator(
        model, broken, [None, y[1], None], videos=1, names=["a", "b", "c"]
    )
    assert display.axes_[0].get_title(loc="left") == "b"


def test_durations_go_with_their_videos(data, model):
    X, _ = data
    durations = 10.0 + np.arange(8)
    display = LocalizationDisplay.from_estimator(model, X, videos=[6, 3], durations=durations)
    assert [ax.get_xlim()[1] for ax in display.axes_] == [16.0, 13.0]
    found = model.predict([X[6]], durations=[16.0])[0]
    assert sorted(bar[0] for bar in bars(display.axes_[0])[0]) == pytest.approx(found["start"])


def test_times_of_several_streams_are_those_of_the_first(data, settings):
    X, y = data
    model = MultiStreamLocalizer(
        [
            ("rgb", DGAMLocalizer(**settings), slice(0, 8)),
            ("flow", DGAMLocalizer(**settings), slice(8, 16)),
        ]
    ).fit(X, y)
    display = LocalizationDisplay.from_estimator(model, X, y, videos=0)
    values, edges, _ = display.axes_[0].patches[-1].get_data()
    np.testing.assert_allclose(values, model.attention([X[0]])[0], rtol=1e-5)
    np.testing.assert_allclose(edges[:2], [0.2, 0.7])


def test_mistakes_are_named():
    draw = LocalizationDisplay.from_predictions
    with pytest.raises(ValueError, match="attention has 1 entries, but y_pred has 3 videos"):
        draw(Y_PRED, attention=ATTENTION[:1])
    with pytest.raises(ValueError, match="names has 2 entries, but y_pred has 3 videos"):
        draw(Y_PRED, names=["a", "b"])
    with pytest.raises(ValueError, match="y has 2 entries, but there are 3 videos"):
        draw(Y_PRED, Y_TRUE[:2])
    with pytest.raises(ValueError, match="ax holds 1 Axes, but there are 3 videos to draw"):
        draw(Y_PRED, ax=plt.figure().subplots())
    with pytest.raises(ValueError, match=r"y_pred\[0\] is .*; detections must be interval arrays"):
        draw(Y_TRUE)
    with pytest.raises(TypeError, match="unexpected keyword argument 'attentions'"):
        draw(Y_PRED, attentions=ATTENTION)


def test_dollars_are_drawn_as_they_are():
    found = [make_intervals([1.0], [2.0], "pay $5 or $6", [0.5])]
    (ax,) = LocalizationDisplay.from_predictions(found, names=["$x_1$"]).axes_
    texts = [*ax.get_yticklabels(), ax._left_title]
    assert [text.get_text() for text in texts] == ["pay $5 or $6", "$x_1$"]
    assert not any(text.get_parse_math() for text in texts)


def test_mistakes_are_named_before_the_work(data, model):
    X, y = data
    draw = LocalizationDisplay.from_estimator
    with pytest.raises(ValueError, match="y has 2 entries, but X has"):
        draw(model, X, y[:2], videos=[0])
    with pytest.raises(ValueError, match="names has 1 entries, but X has"):
        draw(model, X, names=["a"], videos=[0])
    with pytest.raises(ValueError, match="videos is 99, but X has"):
        draw(model, X, videos=99)
    with pytest.raises(ValueError, match="y_pred is empty; there must be a video to draw"):
        LocalizationDisplay.from_predictions([])


def test_without_matplotlib_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "skdgam\[plot\]"'):
        LocalizationDisplay.from_predictions(Y_PRED)


def test_activation_of_a_class_lies_beneath_its_lane():
    activation = [np.column_stack([np.linspace(0, 1, 20), np.full(20, 0.5), np.ones(20)])]
    display = LocalizationDisplay.from_predictions(
        Y_PRED[:1], Y_TRUE[:1], class_activation=activation, classes=["jump", "run", "swim"]
    )
    (ax,) = display.axes_
    curves = sorted((patch.get_data() for patch in ax.patches[-2:]), key=lambda data: data[2])
    for (values, edges, baseline), column in zip(curves, [1, 0], strict=True):  # run is lower
        np.testing.assert_allclose(values - baseline, 0.9 * 0.6 * activation[0][:, column])
        np.testing.assert_allclose(edges, 0.64 * np.arange(21))
    lowest = {label.get_text(): y for label, y in zip(*lane_places(ax), strict=True)}
    assert curves[1][2] < lowest["jump"] - 0.5  # beneath the bars of its own lane
    assert curves[0][0].max() < lowest["run"] - 0.5 + 1e-9


def lane_places(ax):
    return ax.get_yticklabels(), ax.get_yticks()


# --- curves ---


def test_training_draws_each_loss(model):
    display = TrainingDisplay.from_estimator(model)
    lines = {line.get_label(): line for ax in display.axes_ for line in ax.lines}
    assert set(lines) == set(model.history_) - {"validation"}
    for name, line in lines.items():
        assert line.get_xdata().tolist() == [1, 2, 3]
        np.testing.assert_array_equal(line.get_ydata(), model.history_[name])


def test_training_of_a_pipeline_is_that_of_its_localizer(model):
    display = TrainingDisplay.from_estimator(make_pipeline(model))
    assert display.history is model.history_


def test_training_without_the_generative_part_has_one_axes(data, settings):
    model = DGAMLocalizer(**settings, gamma1=0.0).fit(*data)
    (ax,) = TrainingDisplay.from_estimator(model).axes_
    assert ax.get_title(loc="left") == "attention and classifier"


def test_terms_differ_in_color_and_dashes_however_many_there_are():
    history = {f"term {k}": np.full(4, 1.0) for k in range(7)}
    (ax,) = TrainingDisplay(history=history).plot().axes_
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 7
    assert len({line.get_linestyle() for line in ax.lines[:4]}) == 4
    assert legend(ax) == [*history]


def test_a_single_epoch_is_seen_and_epochs_are_whole():
    (ax,) = TrainingDisplay(history={"a": np.array([0.5])}).plot().axes_
    assert ax.lines[0].get_marker() == "."
    assert ax.get_xticks().tolist() == np.round(ax.get_xticks()).tolist()
    (ax,) = TrainingDisplay(history={"a": np.array([0.5, 0.4, 0.3])}).plot().axes_
    assert ax.get_xticks().tolist() == np.round(ax.get_xticks()).tolist()


def test_losses_begin_at_zero_or_below():
    (positive,) = TrainingDisplay(history={"a": np.array([5.0, 4.0])}).plot().axes_
    (negative,) = TrainingDisplay(history={"a": np.array([1.0, -4.0])}).plot().axes_
    assert positive.get_ylim()[0] == 0
    assert negative.get_ylim()[0] < -4


def test_training_refuses(model):
    with pytest.raises(ValueError, match="The history has no epochs"):
        TrainingDisplay(history={"foreground": np.array([])}).plot()
    with pytest.raises(ValueError, match="ax holds 1 Axes, but there are 2 to draw"):
        TrainingDisplay.from_estimator(model, ax=plt.figure().subplots())


def test_precision_over_recall_has_the_area_of_map(data, model):
    X, y = data
    display = PrecisionRecallDisplay.from_estimator(model, X, y, [0.1, 0.3])
    expected = mean_average_precision(y, model.predict(X), [0.1, 0.3])
    areas = [np.mean(line.get_ydata()) for line in display.lines_]
    np.testing.assert_allclose(areas, expected, atol=0.02)
    assert [line.get_label() for line in display.lines_] == ["tIoU 0.1", "tIoU 0.3"]
    with pytest.raises(ValueError, match="there is nothing to recall"):
        PrecisionRecallDisplay.from_predictions([[]], Y_PRED[1:2])


def test_equal_curves_do_not_hide_each_other():
    perfect = [make_intervals([0.0], [4.0], "jump", [0.9])]
    display = PrecisionRecallDisplay.from_predictions([[(0.0, 4.0, "jump")]], perfect)
    widths = [line.get_linewidth() for line in display.lines_]
    assert widths == sorted(set(widths), reverse=True)  # later ones lie on top
    lightness = [sum(line.get_color()[:3]) for line in display.lines_]
    assert lightness == sorted(set(lightness), reverse=True)


def test_without_errors_costs_begin_at_zero():
    perfect = [make_intervals([0.0], [4.0], "jump", [0.9])]
    display = ErrorAnalysisDisplay.from_predictions([[(0.0, 4.0, "jump")]], perfect)
    assert display.ax_.get_xlim() == (0, 1)


def test_costs_of_two_models_share_their_axis(data, model):
    X, y = data
    _, axes = plt.subplots(1, 2, sharex=True, sharey=True)
    for ax, threshold in zip(axes, [0.1, 0.7], strict=True):
        ErrorAnalysisDisplay.from_estimator(model, X, y, threshold, ax=ax)
    left, right = ([bar.get_y() for bar in ax.patches] for ax in axes)
    assert left == right
    assert len({*left}) == len(axes[0].get_yticklabels()) == 8


def test_costs_of_errors(data, model):
    X, y = data
    display = ErrorAnalysisDisplay.from_estimator(model, X, y, 0.3)
    analysis = error_analysis(y, model.predict(X), 0.3)
    widths = [bar.get_width() for bar in display.ax_.patches]
    assert widths == pytest.approx([100 * cost for cost in analysis.cost.values()][::-1])
    told = [text.get_text() for text in display.ax_.texts]
    pairs = zip(analysis.cost.values(), analysis.count.values(), strict=True)
    assert told == [f" {100 * cost:.1f} ({count})" for cost, count in pairs][::-1]
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == [*analysis.cost][::-1]
