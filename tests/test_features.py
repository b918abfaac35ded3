"""Features of recordings: windows by hand, what describes them, and functions of one's own."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skdgam.features import describe, extract, snippet_times, windows

TIMES = {"rate": 50, "window": 1.28, "hop": 0.32}
describe_hapt = partial(describe, **TIMES)  # windows of 64 samples, 16 from one to the next


# --- windows ---


@given(
    n_samples=st.integers(1, 60),
    n_window=st.integers(1, 20),
    n_hop=st.integers(1, 20),
    rate=st.sampled_from([1, 4, 50, 44_100]),
)
def test_every_window_starts_a_hop_after_the_last_one(n_samples, n_window, n_hop, rate):
    signal, times = np.arange(n_samples), (rate, n_window / rate, n_hop / rate)
    if n_samples < n_window:
        with pytest.raises(ValueError, match="takes .* samples, along the first axis"):
            windows(signal, *times)
        return
    cut = windows(signal, *times)
    first = np.arange(0, n_samples - n_window + 1, n_hop)
    np.testing.assert_array_equal(cut, first[:, None] + np.arange(n_window))


def test_windows_of_frames_keep_their_other_axes():
    frames = np.arange(10 * 2 * 3 * 4).reshape(10, 2, 3, 4)
    cut = windows(frames, rate=10, window=0.4, hop=0.2)
    assert cut.shape == (4, 4, 2, 3, 4)
    np.testing.assert_array_equal(cut[1], frames[2:6])


def test_windows_are_a_view():
    signal = np.zeros((1000, 3))
    assert np.shares_memory(windows(signal, **TIMES), signal)


@pytest.mark.parametrize(("window", "hop"), [(0.001, 1.0), (1.0, 0.001)])
def test_a_window_or_hop_below_a_sample_is_refused(window, hop):
    with pytest.raises(ValueError, match="both must be one sample or more"):
        windows(np.zeros(100), rate=10, window=window, hop=hop)


def test_snippets_stand_for_the_middle_of_their_windows():
    times = snippet_times(rate=10, window=0.8, hop=0.2)
    # The first window is 0 to 0.8 s; its middle fifth of a second begins at 0.3 s.
    assert times == {"snippet_seconds": 0.2, "snippet_offset": 0.3}
    assert snippet_times(rate=25, window=0.64, hop=0.64)["snippet_offset"] == 0


# --- description ---


def test_features_of_a_still_sensor():
    features = describe_hapt(np.full((640, 3), [0.0, 3.0, 4.0])).reshape(37, -1, 4)
    np.testing.assert_allclose(features[:, 0], [[0.0, 3.0, 4.0, 5.0]] * 37)  # mean
    np.testing.assert_array_equal(features[:, 1:6], 0.0)  # nothing changes
    np.testing.assert_allclose(features[:, 6:], np.log(1e-6), rtol=1e-6)  # no power in any octave


def test_features_see_the_posture_before_and_after():
    # A step from 0 to 1 at sample 320, in a signal of 37 windows with 4 hops each.
    step = np.repeat([0.0, 1.0], 320)[:, None] * [1.0, 0.0, 0.0]
    before, after = np.moveaxis(describe_hapt(step).reshape(37, -1, 4)[:, 4:6, 0], 1, 0)
    assert np.flatnonzero(after).tolist() == list(range(13, 20))
    assert np.flatnonzero(before).tolist() == list(range(17, 24))
    assert after[16] == 1.0  # the window that ends at the step
    assert before[20] == 1.0  # the window that starts at it


@pytest.mark.parametrize("octave", range(5))
def test_a_tone_is_loudest_in_its_octave(octave):
    time = np.arange(640) / 50
    tone = np.sin(2 * np.pi * 2**octave * 50 / 64 * time)[:, None] * [1.0, 0.0, 0.0]
    # Of each channel its five octaves, after the six other features of all four channels.
    octaves = describe_hapt(tone)[:, 24:29]
    assert (octaves.argmax(axis=1) == octave).all()


@pytest.mark.parametrize(("window", "n_octaves"), [(0.02, 0), (0.06, 0), (0.1, 1), (1.0, 4)])
def test_windows_of_few_samples_have_few_octaves(window, n_octaves):
    features = describe(np.random.default_rng(0).normal(size=200), 50, window, 0.02)
    assert features.shape[1] == 6 + n_octaves
    assert np.isfinite(features).all()


def test_one_channel_has_no_magnitude():
    signal = np.random.default_rng(0).normal(size=640)
    np.testing.assert_array_equal(describe_hapt(signal), describe_hapt(signal[:, None]))
    assert describe_hapt(signal).shape == (37, 11)


def test_a_signal_of_three_axes_is_refused():
    with pytest.raises(ValueError, match=r"has shape \(100, 2, 2\); it must be \(n_samples, n_ch"):
        describe_hapt(np.zeros((100, 2, 2)))


# --- functions of one's own ---


def test_a_function_is_given_windows_in_order_and_in_batches():
    sizes = []

    def first_and_last(batch):
        sizes.append(len(batch))
        return batch[:, [0, -1]]

    signals = [np.arange(10), np.arange(100, 104)]
    features = extract(first_and_last, iter(signals), rate=1, window=3, hop=2, batch_size=2)
    assert features[0].tolist() == [[0, 2], [2, 4], [4, 6], [6, 8]]
    assert features[1].tolist() == [[100, 102]]
    assert sizes == [2, 2, 1]
    assert features[0].dtype == np.float32


def test_a_module_is_asked_in_evaluation_and_left_as_it_was():
    dropout = torch.nn.Dropout(0.9).eval()
    module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(3, 2).double(), dropout)
    features = extract(module, [np.arange(10.0, dtype=np.float32)], rate=1, window=3, hop=2)
    with torch.no_grad():
        expected = module[1](torch.tensor(windows(np.arange(10.0), 1, 3, 2).copy()))
    np.testing.assert_allclose(features[0], expected, rtol=1e-6)
    assert module.training
    assert not dropout.training


def test_a_module_without_parameters_takes_whole_numbers():
    module = torch.nn.Flatten()
    frames = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    (features,) = extract(module, [frames], rate=1, window=2, hop=2)
    np.testing.assert_array_equal(features, frames.reshape(3, 8))


def test_a_module_is_left_as_it_was_when_a_recording_is_too_short():
    module = torch.nn.Flatten().train()
    with pytest.raises(ValueError, match="a window of 9 s at 1 samples a second takes 9 samples"):
        extract(module, [np.zeros(3)], rate=1, window=9, hop=1)
    assert module.training


@pytest.mark.parametrize("made", [np.zeros(2), np.zeros((1, 4)), np.zeros((2, 4, 1))])
def test_a_function_must_make_a_row_a_window(made):
    with pytest.raises(ValueError, match="it must make \\(n_windows, n_features\\)"):
        extract(lambda batch: made, [np.zeros(4)], rate=1, window=2, hop=2)


def test_progress_is_shown(capsys):
    pytest.importorskip("rich")
    extract(lambda batch: batch, [np.zeros(4)], rate=1, window=2, hop=2, progress=True)
    assert "features" in capsys.readouterr().out
