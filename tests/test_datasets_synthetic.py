import json

import numpy as np
import pytest

from skdgam.datasets import make_untrimmed
from skdgam.intervals import tiou


def test_shapes_and_order():
    X, y = make_untrimmed(n_videos=7, n_classes=4, n_features=(5, 3), random_state=0)
    assert len(X) == len(y) == 7
    for video, intervals in zip(X, y, strict=True):
        assert video.dtype == np.float32
        assert video.shape[1] == 8
        assert (np.diff(intervals["start"]) > 0).all()
        assert (intervals["end"] <= 0.64 * len(video)).all()
        assert len(intervals) >= 1
    assert set(np.concatenate(y)["label"]) == {f"action {c}" for c in range(4)}


def test_random_state_decides_everything():
    (X, y), (X2, y2) = (make_untrimmed(n_videos=3, random_state=5) for _ in range(2))
    for a, b in zip([*X, *y], [*X2, *y2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(X[0], make_untrimmed(n_videos=3, random_state=6)[0][0])


def test_videos_have_one_to_max_labels():
    _, y = make_untrimmed(n_videos=60, n_classes=6, max_labels=3, random_state=0)
    assert {len(set(intervals["label"])) for intervals in y} == {1, 2, 3}


def masks(video, intervals, margin):
    """Snippets well inside actions, and those just beside them."""
    time = 0.64 * (np.arange(len(video)) + 0.5)
    inside, beside = np.zeros((2, len(video)), dtype=bool)
    for interval in intervals:
        start, end = interval["start"], interval["end"]
        inside |= (time > start + margin) & (time < end - margin)
        beside |= ((time > start - 1.2) & (time < start - margin)) | (
            (time > end + margin) & (time < end + 1.2)
        )
    return inside, beside & ~inside


def test_context_has_the_evidence_but_not_the_appearance_of_its_action():
    # One class, one video after the other: the direction from background to action within a
    # class is evidence plus appearance; without appearance, context looks like action.
    def difference(**params):
        X, y = make_untrimmed(
            n_videos=30, n_classes=1, max_labels=1, noise=0.0, random_state=0, **params
        )
        pairs = [masks(video, intervals, 0.4) for video, intervals in zip(X, y, strict=True)]
        gaps = [
            np.linalg.norm(video[inside].mean(0) - video[beside].mean(0))
            for video, (inside, beside) in zip(X, pairs, strict=True)
        ]
        return np.mean(gaps)

    assert difference(appearance=0.0) < 0.4
    assert difference(appearance=3.0) == pytest.approx(3.0, abs=0.4)
    assert difference(appearance=0.0, context=0.0) == pytest.approx(2.0, abs=0.5)


def test_layout_follows_annotations():
    annotations = [[(4.0, 9.0, "b"), (1.0, 2.0, "a")], [(0.0, 3.0, "a"), (30.0, 40.0, "a")]]
    X, y = make_untrimmed(annotations=annotations, durations=[20.0, 35.0], random_state=0)
    assert [len(video) for video in X] == [31, 54]
    assert y[0][["start", "end", "label"]].tolist() == [(1.0, 2.0, "a"), (4.0, 9.0, "b")]
    assert y[1]["end"].tolist() == [3.0, 35.0]


def test_layout_of_thumos14(shared_file, to_intervals):
    path = shared_file("data/thumos14_annotations.json")
    videos = [*json.loads(path.read_text())["database"].values()][:20]
    annotations = [to_intervals(video["annotations"]) for video in videos]
    durations = [video["duration"] for video in videos]
    X, y = make_untrimmed(
        annotations=annotations, durations=durations, n_features=8, random_state=0
    )
    assert [len(video) for video in X] == [int(seconds / 0.64) for seconds in durations]
    for ours, theirs in zip(y, annotations, strict=True):
        assert (tiou(ours, theirs).max(axis=1) > 0.99).all()


@pytest.mark.parametrize("given", [{"annotations": [[(0, 1, "a")]]}, {"durations": [3.0]}])
def test_annotations_and_durations_go_together(given):
    with pytest.raises(ValueError, match="annotations and durations go together"):
        make_untrimmed(**given)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_videos": 0},
        {"n_classes": 0},
        {"max_labels": 0},
        {"n_features": 0},
        {"n_features": []},
        {"n_features": (8, 0)},
        {"n_features": (8, 2.5)},
        {"context": -1.0},
        {"appearance": np.nan},
        {"noise": -0.1},
        {"snippet_seconds": 0.0},
        {"random_state": "seed"},
    ],
    ids=str,
)
def test_parameters_out_of_range(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        make_untrimmed(**parameters)
