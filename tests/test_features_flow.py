"""Flow is that of the published recipe: OpenCV's TV-L1, and bytes as data sets keep them."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skdgam.features.flow import optical_flow, quantized

CASES = ("shift", "rotate", "fast")


@pytest.fixture(scope="module")
def released(shared_file):
    with np.load(shared_file("reference/video/flow_fixture.npz")) as file:
        return dict(file)


def pair(released, case):
    return [np.repeat(released[f"{case}/frame{i}"][:, :, None], 3, axis=2) for i in (0, 1)]


@pytest.fixture(scope="module")
def moving():
    """Frames of a texture that moves 2 pixels to the right and 1 down from each to the next."""
    cv2 = pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    return [texture[8 - i : 72 - i, 16 - 2 * i : 96 - 2 * i].copy() for i in range(6)]


@pytest.mark.parametrize("case", CASES)
def test_tvl1_is_that_of_the_reference(released, case):
    pytest.importorskip("cv2")
    flow, again = optical_flow(pair(released, case))
    assert again is flow
    # Versions of OpenCV differ by this much.
    apart = np.linalg.norm(flow - released[f"{case}/flow"], axis=-1)
    assert apart.mean() < 0.05
    levels = np.abs(quantized(flow).astype(int) - released[f"{case}/quantized"])
    assert (levels <= 1).mean() > 0.99


def test_bytes_are_those_of_the_reference(released):
    for case in (*CASES, "values"):
        found = quantized(released[f"{case}/flow"])
        np.testing.assert_array_equal(found, released[f"{case}/quantized"])
        as_network_sees_it = (found.astype(np.float32) / 255 - 0.5) / 0.5
        np.testing.assert_allclose(as_network_sees_it, released[f"{case}/network_input"], atol=2e-7)


@given(st.floats(-1e6, 1e6))
@example(8.0)
@example(0.0)
def test_bytes_are_within_half_a_level_and_symmetric(flow):
    level = int(quantized(flow))
    clipped = np.clip(flow, -20, 20)
    assert abs(level * 40 / 255 - 20 - clipped) <= 40 / 255 / 2 + 1e-9
    assert level + int(quantized(-flow)) in (254, 255, 256)  # halves are rounded to even


@pytest.mark.parametrize("method", ["tvl1", "dis", "dis_fast"])
def test_every_method_finds_a_known_motion(moving, method):
    flows = list(optical_flow(moving, method))
    assert len(flows) == len(moving)
    assert flows[0].dtype == np.float32
    middle = np.median([flow[16:-16, 16:-16] for flow in flows], axis=(0, 1, 2))
    np.testing.assert_allclose(middle, [2, 1], atol=0.1)


def test_threads_find_the_same_in_the_same_order(moving):
    moving = [*moving, *moving[::-1], *moving[::2]]
    alone, together = (list(optical_flow(moving, "dis", n)) for n in (1, 3))
    np.testing.assert_array_equal(alone, together)


def test_a_frame_that_is_shown_again_has_not_moved(moving):
    still, moved, _ = optical_flow([moving[0], moving[0], moving[1]], "dis")
    assert not still.any()
    assert moved.any()


def test_of_one_frame_there_is_no_flow(moving):
    assert list(optical_flow(moving[:1], "dis")) == []


def test_only_so_many_frames_are_read_ahead(moving):
    read = []
    frames = (read.append(i) or moving[i % 6] for i in range(100))
    flows = optical_flow(frames, "dis", n_jobs=2)
    next(flows)
    assert len(read) <= 6
    flows.close()


def test_what_cannot_be_is_refused(moving):
    with pytest.raises(ValueError, match="method='farneback', but it must be one of tvl1, dis"):
        next(optical_flow(moving, "farneback"))
    with pytest.raises(ValueError, match=r"shape \(64, 80\), and the next \(32, 80\)"):
        next(optical_flow([moving[0], moving[1][:32]], "dis"))


def test_opencv_without_its_contributed_modules_is_told(monkeypatch, moving):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with pytest.raises(ImportError, match=r"contributed modules.*skdgam\[flow\]"):
        next(optical_flow(moving, "tvl1"))
    assert next(optical_flow(moving, "dis")).any()
