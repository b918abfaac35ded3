"""Videos become features: what the network is given, in which order, and what goes wrong."""

import gc
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skdgam.features.backbones import Backbone
from skdgam.features.video import VideoFeatures

pytest.importorskip("av")


def grey(snippets):
    """The mean grey of every frame: a feature for each."""
    return snippets.mean(axis=(2, 3, 4)) / 10


SMALL = Backbone(grey, frames=4, fps=25, resize=None, crop=48)


@pytest.fixture
def video(tmp_path, make_video):
    return lambda name, n, **given: make_video(tmp_path / f"{name}.mp4", np.arange(n) / 25, **given)


@pytest.fixture
def videos(video):
    return [video("a", 9), video("b", 16), video("c", 3)]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_snippets_hold_their_frames(videos, batch_size):
    a, b, c = VideoFeatures(SMALL, batch_size=batch_size).transform(videos)
    np.testing.assert_allclose(a, [[0, 1, 2, 3], [4, 5, 6, 7]], atol=0.2)  # the ninth is left
    np.testing.assert_allclose(b, np.arange(16).reshape(4, 4), atol=0.2)
    np.testing.assert_allclose(c, [[0, 1, 2, 2]], atol=0.2)  # held as it ends
    assert a.dtype == np.float32


@pytest.mark.parametrize(("hop", "firsts"), [(1, [0, 1, 2, 3, 4, 5]), (3, [0, 3]), (5, [0, 5])])
def test_snippets_begin_every_hop(videos, hop, firsts):
    (found,) = VideoFeatures(SMALL, hop=hop).transform(videos[:1])
    np.testing.assert_allclose(found[:, 0], firsts, atol=0.2)


def test_threads_find_the_same(videos):
    alone, together = (
        VideoFeatures(SMALL, batch_size=2, n_jobs=n).transform(videos * 3) for n in (1, 4)
    )
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_videos_share_a_batch(videos):
    sizes = []
    backbone = Backbone(lambda x: sizes.append(len(x)) or grey(x), 4, 25, None, 48)
    VideoFeatures(backbone, batch_size=4).transform(videos)
    assert sizes == [4, 3]


def test_rate_and_length_of_snippets_may_be_chosen(videos):
    features = VideoFeatures(SMALL, fps=12.5, frames=2)
    (found,) = features.transform(videos[:1])
    np.testing.assert_allclose(found, [[0, 2], [4, 6]], atol=0.2)
    assert features.snippet_times() == {"snippet_seconds": 0.16, "snippet_offset": 0}


def test_snippets_stand_for_the_middle_of_their_frames():
    assert VideoFeatures().snippet_times() == {"snippet_seconds": 0.64, "snippet_offset": 0}
    times = VideoFeatures(hop=4).snippet_times()
    assert times == pytest.approx({"snippet_seconds": 0.16, "snippet_offset": 0.24})
    assert VideoFeatures("swin3d_t").snippet_times()["snippet_seconds"] == 32 / 15


def test_the_square_in_the_middle_is_cut(video):
    path = video("wide", 4, size=(48, 64))
    shapes = []
    backbone = Backbone(lambda x: shapes.append(x.shape) or grey(x), 4, 25, 32, 32)
    VideoFeatures(backbone).transform([path])
    assert shapes == [(1, 4, 32, 32, 3)]
    with pytest.raises(ValueError, match=r"wide.mp4 has frames of 64 × 48, .* wants 224 × 224"):
        VideoFeatures(Backbone(grey, resize=None)).transform([path])


def test_flow_has_two_channels_and_as_many_snippets(videos):
    pytest.importorskip("cv2")
    shapes = []
    backbone = Backbone(lambda x: shapes.append(x.shape) or grey(x), 4, 25, None, 48)
    found = VideoFeatures(backbone, stream="flow", flow="dis", n_jobs=2).transform(videos)
    assert [len(x) for x in found] == [2, 4, 1]
    assert shapes[0][-1] == 2


def test_i3d_describes_a_video(video):
    with pytest.warns(UserWarning, match="random weights"):
        found = VideoFeatures(weights="random", device="cpu").features_of(video("v", 2))
    assert found.shape == (1, 1024)
    assert np.isfinite(found).all()


def test_a_module_of_ones_own_is_given_224_by_224(video):
    module = torch.nn.Sequential(torch.nn.AvgPool3d((16, 224, 224)), torch.nn.Flatten())
    (found,) = VideoFeatures(module, device="cpu").transform([video("v", 16, levels=[255] * 16)])
    np.testing.assert_allclose(found, [[1, 1, 1]], atol=0.02)


def test_the_first_video_that_fails_is_the_error(tmp_path, videos):
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad.mp4 cannot be read as a video"):
        VideoFeatures(SMALL).transform([videos[0], tmp_path / "bad.mp4"])
    with pytest.raises(FileNotFoundError):
        VideoFeatures(SMALL).features_of(tmp_path / "absent.mp4")


@pytest.mark.parametrize(
    ("library", "stream", "extra"), [("av", "rgb", "video"), ("cv2", "flow", "flow")]
)
def test_a_library_that_is_absent_is_said_before_any_work(
    tmp_path, monkeypatch, library, stream, extra
):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"pip install \"skdgam\[{extra}\]\""):
        VideoFeatures(SMALL, stream=stream).to_folder([tmp_path / "v.mp4"], tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_one_path_is_no_list(videos):
    with pytest.raises(TypeError, match="pass \\[x\\], or call features_of"):
        VideoFeatures(SMALL).transform(str(videos[0]))


def test_a_backbone_that_makes_no_rows_is_told(videos):
    backbone = Backbone(lambda x: np.zeros((1, 2, 3)), 4, 25, None, 48)
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3\) of 7 snippets; it must make"):
        VideoFeatures(backbone).transform(videos)


def test_a_class_in_place_of_a_backbone_is_told():
    with pytest.raises(TypeError, match=r"backbone is the class Linear; pass an object of it"):
        VideoFeatures(torch.nn.Linear).transform(["v.mp4"])


def test_values_that_are_not_finite_name_the_second(videos):
    def broken(snippets):
        made = grey(snippets)
        made[(made > 9).any(axis=1)] = np.nan
        return made

    features = VideoFeatures(Backbone(broken, 4, 25, None, 48))
    with pytest.raises(ValueError, match=r"b\.mp4 .* not finite, the first at second 0\.32 \(2 of"):
        features.transform(videos)


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder; pass the files in it.*\*\.mp4"):
        VideoFeatures(SMALL).features_of(tmp_path)


def test_functions_of_one_name_are_told_apart(videos, tmp_path):
    def describe(snippets):
        return grey(snippets)

    def made():
        VideoFeatures(Backbone(describe, 4, 25, None, 48)).to_folder(videos, tmp_path / "made")

    made()
    made()

    def describe(snippets):  # noqa: F811
        return grey(snippets) + 1

    with pytest.raises(ValueError, match=r"made otherwise: backbone="):
        made()


def test_threads_end_when_the_network_fails(videos):
    def fails(snippets):
        raise RuntimeError("out of memory")

    before = threading.active_count()
    features = VideoFeatures(Backbone(fails, 4, 25, None, 48), batch_size=1, n_jobs=2)
    with pytest.raises(RuntimeError, match="out of memory"):
        features.transform(videos * 5)
    gc.collect()
    assert threading.active_count() == before


def test_decoding_waits_for_the_network(video):
    """No more than a few snippets are decoded ahead, however long the video is."""
    features, most = VideoFeatures(SMALL, batch_size=1), [0]
    decoded, described = [0], [0]
    snippets = features._snippets

    def counted(*given):
        for snippet in snippets(*given):
            decoded[0] += 1
            most[0] = max(most[0], decoded[0] - described[0])
            yield snippet

    def slow(given):
        time.sleep(0.005)
        described[0] += 1
        return grey(given)

    features.backbone = Backbone(slow, 4, 25, None, 48)
    features._snippets = counted
    (found,) = features.transform([video("long", 160)])
    assert len(found) == 40
    assert most[0] <= 5  # two in the queue, one on each side of it, one counted too late


def test_it_is_a_transformer():
    features = VideoFeatures(SMALL, hop=2)
    assert clone(features).get_params() == features.get_params()
    assert features.fit() is features
    with pytest.raises(ValueError, match="The 'stream' parameter of VideoFeatures must be"):
        VideoFeatures(stream="depth").fit()


def test_times_are_those_that_snippets_have(videos):
    """A snippet stands for its middle: neighbours touch, and the middle of frames is its own."""
    features = VideoFeatures(SMALL, hop=3)
    times = features.snippet_times()
    middles = [times["snippet_offset"] + (i + 0.5) * times["snippet_seconds"] for i in range(3)]
    assert [round(b - a, 9) for a, b in pairwise(middles)] == [0.12, 0.12]
    assert middles[0] == pytest.approx(2 / 25)  # of four frames
