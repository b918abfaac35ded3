"""Features of sounds: the equation by hand, files in blocks, levels, and files that are refused."""

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skdgam import DGAMLocalizer
from skdgam.clock import SnippetClock
from skdgam.features import sound
from skdgam.features.sound import SoundFeatures, log_mel

soundfile = pytest.importorskip("soundfile")

RATE = 16_000


def noise(seconds=1.0, rate=RATE, seed=0):
    samples = np.random.default_rng(seed).normal(size=round(seconds * rate))
    return (0.05 * samples).astype(np.float32)


def tone(hertz, seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def written(tmp_path):
    """Write samples to a file; of 32-bit floats where it is a .wav."""

    def write(samples, rate=RATE, name="sound.wav"):
        path = tmp_path / name
        subtype = "FLOAT" if path.suffix == ".wav" else None
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write


# --- the equation ---


def test_features_are_those_of_the_equation():
    """Discrete Fourier sums written out, triangles by interpolation on the scale of HTK."""
    signal = noise(0.5)
    n_window, n_hop, n_windows, n_fft = 400, 160, 10, 512
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_window) / n_window)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(n_window)) / n_fft)
    mel = 2595 * np.log10(1 + np.arange(n_fft // 2 + 1) * RATE / n_fft / 700)
    edges = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 64 + 2)
    expected = np.zeros((4, 64))
    for i in range(4):
        starts = i * 1600 + n_hop * np.arange(n_windows)
        power = [
            np.abs(waves @ (signal[s : s + n_window] * taper) / taper.sum()) ** 2 for s in starts
        ]
        for k in range(64):
            triangle = np.interp(mel, edges[k : k + 3], [0, 1, 0])
            expected[i, k] = np.log(1e-10 + triangle @ np.mean(power, axis=0))
    np.testing.assert_allclose(log_mel(signal, RATE), expected, atol=1e-4)


# 1000 Hz is 1000 mel on the scale of HTK, and 8000 Hz 2840: the centers of three bands lie at 710,
# 1420 and 2130 mel.
@pytest.mark.parametrize(("band", "hertz"), [(0, 614), (1, 1768), (2, 3933)])
def test_a_tone_is_loudest_in_the_band_whose_center_it_is(band, hertz):
    features = log_mel(tone(hertz), RATE, n_mels=3)
    assert (features.argmax(axis=1) == band).all()
    # An amplitude of 0.5 has a power of 1/16 in each of two bins that are as far from each other
    # as a window is long; spectra here have a value more often, 512 where there are 400.
    np.testing.assert_allclose(features[:, band], np.log(0.5**2 / 4 * 1.5 * 512 / 400), atol=0.03)
    assert (np.delete(features, band, axis=1) < features[:, [band]] - 3).all()


def test_silence_has_the_lowest_power():
    for normalize in (False, True):
        features = log_mel(np.zeros(RATE), RATE, normalize=normalize)
        np.testing.assert_allclose(features, np.log(1e-10), rtol=1e-6)


def test_bands_lie_between_fmin_and_fmax():
    outside = tone(300) + tone(5000)
    features = log_mel(outside, RATE, n_mels=8, fmin=1000, fmax=3000)
    assert features.max() < log_mel(tone(2000), RATE, n_mels=8, fmin=1000, fmax=3000).max() - 9


@pytest.mark.parametrize("seconds", [0.115, 0.2149, 0.215, 1.0])
def test_what_is_no_whole_snippet_at_the_end_is_left_out(seconds):
    # Ten windows of 25 ms, one every 10 ms, take 115 ms.
    assert len(log_mel(noise(seconds), RATE)) == int((seconds - 0.115) / 0.1 + 1e-9) + 1


def test_a_click_is_in_the_snippet_that_the_clock_says():
    times = SoundFeatures(RATE).snippet_times()
    assert times == {"snippet_seconds": 0.1, "snippet_offset": 0.0075}
    middles = SnippetClock(times["snippet_seconds"], times["snippet_offset"]).middles(9)
    for i, middle in enumerate(middles):
        click = np.zeros(RATE)
        click[round(middle * RATE)] = 1.0
        assert log_mel(click, RATE).sum(axis=1).argmax() == i


def test_times_are_those_of_whole_samples():
    # At 11 025 samples a second, a hop of 10 ms is 110 samples, and ten of them are 99.8 ms.
    times = SoundFeatures(11_025).snippet_times()
    assert times["snippet_seconds"] == pytest.approx(1100 / 11_025)
    assert times["snippet_offset"] == pytest.approx((276 - 110) / 2 / 11_025)


@given(gain=st.floats(0.01, 10), seed=st.integers(0, 10))
def test_normalized_features_are_the_same_however_loud(gain, seed):
    signal = noise(0.5, seed=seed) + tone(1000, 0.5)
    expected = log_mel(signal, RATE, normalize=True)
    np.testing.assert_allclose(log_mel(gain * signal, RATE, normalize=True), expected, atol=1e-4)


def test_normalized_features_keep_what_is_loud_within_a_recording():
    signal = noise(2.0) * np.repeat([1, 10], RATE)
    features = log_mel(signal, RATE, normalize=True)
    np.testing.assert_allclose(np.diff(features[[5, 15]].mean(axis=1)), np.log(100), atol=0.3)


def test_deltas_are_slopes_over_two_snippets_to_either_side():
    signal = noise(1.0) * np.repeat([1, 10, 0.1, 5], RATE // 4)
    features = log_mel(signal, RATE, deltas=True)
    x, slopes = features[:, :64], features[:, 64:]
    np.testing.assert_array_equal(x, log_mel(signal, RATE))
    expected = [np.polyfit(np.arange(5), x[i - 2 : i + 3], 1)[0] for i in range(2, len(x) - 2)]
    np.testing.assert_allclose(slopes[2:-2], expected, atol=1e-4)
    # Before the first snippet, it is as in the first.
    first = np.polyfit(np.arange(5), x[[0, 0, 0, 1, 2]], 1)[0]
    np.testing.assert_allclose(slopes[0], first, atol=1e-4)


# --- files ---


@settings(max_examples=30, deadline=None)
@given(
    n_samples=st.integers(6000, 60_000),
    n_read=st.integers(50, 70_000),
    rates=st.sampled_from([(16_000, 16_000), (44_100, 16_000), (8_000, 8_000), (8_000, 11_025)]),
)
def test_reading_in_blocks_is_reading_at_once(n_samples, n_read, rates):
    given_rate, rate = rates
    samples = np.random.default_rng(n_samples).normal(size=n_samples).astype(np.float32) / 10
    file = io.BytesIO()
    soundfile.write(file, samples, given_rate, format="WAV", subtype="FLOAT")
    file.seek(0)
    expected = resample_poly(samples, rate, given_rate) if rate != given_rate else samples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sound, "SAMPLES_AT_ONCE", n_read)
        features = SoundFeatures(rate, fmax=4000).features_of(file)
    np.testing.assert_array_equal(features, log_mel(expected, rate, fmax=4000))


def test_channels_are_averaged(written):
    left, right = noise(seed=1), noise(seed=2)
    features = SoundFeatures().features_of(written(np.column_stack([left, right])))
    np.testing.assert_array_equal(features, log_mel((left + right) / 2, RATE))


@pytest.mark.parametrize("name", ["sound.flac", "sound.ogg", "sound.mp3"])
def test_compressed_files_sound_alike(written, name):
    # A tone that begins after one second of three, 20 dB above the noise.
    samples = noise(3.0, 44_100) + np.repeat([0, 1, 0], 44_100) * tone(1000, 3.0, 44_100)
    features = SoundFeatures().features_of(written(samples, 44_100, name))
    expected = SoundFeatures().features_of(written(samples, 44_100))
    assert abs(len(features) - len(expected)) <= 1  # MP3 adds some silence at its ends
    n = min(len(features), len(expected))
    np.testing.assert_allclose(features[:n, 10:50], expected[:n, 10:50], atol=1.5)


def test_memory_does_not_grow_with_the_recording(written):
    path = written(noise(300), name="long.flac")
    model = SoundFeatures(rate=8000)  # 10 MB of samples in float32, 0.8 MB of features
    model.features_of(written(noise(), name="first.flac"))
    tracemalloc.start()
    features = model.features_of(path)
    peak = tracemalloc.get_traced_memory()[1] - 3 * features.nbytes
    tracemalloc.stop()
    assert peak < 3.5e6


def test_paths_of_any_kind_and_open_files(written):
    path = written(noise())
    with open(path, "rb") as file:
        made = SoundFeatures().transform([path, str(path), file])
    for features in made:
        np.testing.assert_array_equal(features, log_mel(noise(), RATE))
        assert features.dtype == np.float32


def test_files_in_threads_come_back_in_order(written):
    paths = [written(noise(1 + i / 2, seed=i), name=f"{i}.wav") for i in range(4)]
    alone = SoundFeatures(normalize=True).transform(paths)
    for one, other in zip(
        SoundFeatures(normalize=True, n_jobs=2).transform(paths), alone, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert [len(x) for x in alone] == [9, 14, 19, 24]


def test_progress_is_shown(written, capsys):
    pytest.importorskip("rich")
    SoundFeatures(progress=True).transform([written(noise())])
    assert "features" in capsys.readouterr().out


def test_a_pipeline_goes_from_files_to_intervals(written):
    paths = [
        written(noise(4.0, seed=i) + (i % 2) * tone(1000, 4.0), name=f"{i}.wav") for i in range(6)
    ]
    sounds = clone(SoundFeatures(n_mels=20))
    model = make_pipeline(
        sounds, DGAMLocalizer(**sounds.snippet_times(), max_epochs=3, random_state=0)
    )
    labels = [["beep"] if i % 2 else [] for i in range(6)]
    found = model.fit(paths, labels).predict(paths)
    assert len(found) == 6
    assert max(intervals["end"].max() for intervals in found if len(intervals)) <= 4.0


# --- what is refused, and what is told ---


def test_a_text_is_no_sound(tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"notes.wav cannot be read as sound: .* MP3 are read"):
        SoundFeatures().transform([path])


def test_samples_without_a_header_are_no_sound(tmp_path):
    path = tmp_path / "samples.raw"
    path.write_bytes(bytes(1000))
    with pytest.raises(ValueError, match=r"samples.raw cannot be read as sound"):
        SoundFeatures().features_of(path)


def test_a_damaged_file_is_refused(written):
    path = written(noise(10.0), name="sound.flac")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ValueError, match=r"sound.flac cannot be read as sound"):
        SoundFeatures().features_of(path)


def test_a_file_copied_in_part_is_told(written):
    path = written(noise(10.0), name="sound.mp3")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.warns(UserWarning, match=r"sound.mp3 ends after .* s, but claims to last 10.\d s"):
        features = SoundFeatures().features_of(path)
    assert 0 < len(features) < 90


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"away.wav"):
        SoundFeatures().features_of(tmp_path / "away.wav")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder; pass the files in it: sorted"):
        SoundFeatures().transform([tmp_path])


def test_one_path_alone_is_refused(written):
    with pytest.raises(TypeError, match=r"A list of recordings is needed, and there is one, .*wav"):
        SoundFeatures().transform(written(noise()))


def test_samples_are_refused_where_files_are_read():
    with pytest.raises(TypeError, match=r"X\[0\] is of type ndarray; .* log_mel takes samples"):
        SoundFeatures().transform([noise()])


def test_a_file_without_samples_is_refused(written):
    with pytest.raises(ValueError, match=r"sound.wav holds no sound: it has no samples"):
        SoundFeatures().features_of(written(np.zeros(0)))


def test_a_recording_shorter_than_a_snippet_is_refused(written):
    with pytest.raises(ValueError, match=r"sound.wav lasts 0.05 s, and a snippet takes 0.115 s"):
        SoundFeatures().features_of(written(noise(0.05)))


def test_samples_that_are_no_numbers_are_refused_by_their_time(written):
    samples = noise(20.0)
    samples[200_000] = np.nan
    with pytest.raises(ValueError, match=r"sound.wav holds nan at 12.500 s, sample 200000"):
        SoundFeatures().features_of(written(samples))
    with pytest.raises(ValueError, match=r"The signal holds nan at 12.500 s"):
        log_mel(samples, RATE)


def test_a_lower_rate_than_bands_need_is_told(written):
    path = written(noise(rate=8000), 8000)
    with pytest.warns(UserWarning, match=r"8000 samples a second, .* Set fmax=4000, or rate=8000"):
        SoundFeatures().features_of(path)
    assert len(SoundFeatures(fmax=4000).features_of(path)) == 9


def test_a_rate_of_no_recording_is_refused(written):
    path = written(noise(), 1_999_999)
    with pytest.raises(ValueError, match=r"claims 1999999 samples a second, which cannot be br"):
        SoundFeatures().features_of(path)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_mels": 200}, r"bands so narrow that \d+ of them would be empty"),
        ({"hop": 0.05}, r"hop=0.05 s is longer than window=0.025 s"),
        ({"window": 1e-4, "hop": 1e-4}, r"come to 2 and 2 samples at rate=16000"),
        ({"fmax": 9000}, r"fmax at most half of rate=16000"),
        ({"fmin": 8000}, r"fmin must be below fmax"),
        ({"n_mels": 0}, r"'n_mels' parameter .* must be an int in the range \[1, inf\)"),
    ],
)
def test_parameters_that_do_not_go_together(written, parameters, match):
    with pytest.raises(ValueError, match=match):
        SoundFeatures(**parameters).transform([written(noise())])
    with pytest.raises(ValueError, match=match):
        log_mel(noise(), RATE, **parameters)


def test_several_channels_in_memory_are_refused():
    with pytest.raises(ValueError, match=r"shape \(100, 2\); it must be \(n_samples,\)"):
        log_mel(np.zeros((100, 2)), RATE)
