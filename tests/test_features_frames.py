"""Frames come at a steady rate, by the time at which a player would show them."""

import csv
import os
import re
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdgam.features.frames import _shown, read_frames

av = pytest.importorskip("av")


@pytest.fixture
def clip(shared_file):
    return lambda name: shared_file(f"reference/video/{name}.mp4")


def number(image):
    """The number that a frame of the reference clips shows, as a bar code at its top."""
    side = image.shape[1] / 10
    white = [image[int(side / 2), int(side * (i + 0.5))].mean() > 128 for i in range(10)]
    assert white[0]
    assert not white[9]
    return int("".join(str(int(bit)) for bit in white[1:9]), 2)


def levels(frames):
    """Which of the frames that make_video numbers by their grey is shown in each slot."""
    return [round(image.mean() / 10) for image in frames]


@pytest.mark.parametrize("resize", [None, 256, (120, 200)])
def test_a_changing_rate_is_shown_as_a_player_shows_it(clip, shared_file, resize):
    text = shared_file("reference/video/vfr_to_25fps.csv").read_text()
    expected = [int(row["last_at_or_before"]) for row in csv.DictReader(text.splitlines())]
    assert [number(image) for image in read_frames(clip("clip_vfr"), 25, resize)] == expected


def test_a_video_of_the_same_rate_is_itself(clip):
    assert [number(image) for image in read_frames(clip("clip_25fps"))] == [*range(75)]


def test_a_rotated_video_is_upright(clip):
    turned, plain = (next(read_frames(clip(f"clip_{n}"), 25, None)) for n in ("rotated", "25fps"))
    assert turned.shape == (160, 120, 3)
    np.testing.assert_array_equal(np.rot90(turned), plain)
    assert next(read_frames(clip("clip_rotated"), 25, (200, 100))).shape == (200, 100, 3)


def test_colours_are_those_of_the_file(tmp_path, make_video):
    path = make_video(tmp_path / "v.mp4", [0, 0.04], levels=[200, 30])
    assert [int(image.mean()) for image in read_frames(path)] == pytest.approx([200, 30], abs=2)


@pytest.mark.parametrize(("resize", "shape"), [(32, (32, 42, 3)), ((20, 30), (20, 30, 3))])
def test_frames_have_the_size_that_is_asked_for(tmp_path, make_video, resize, shape):
    path = make_video(tmp_path / "v.mp4", [0])
    assert next(read_frames(path, 25, resize)).shape == shape  # 64 * 32 / 48 = 42.7


def test_frames_are_repeated_or_left_out(tmp_path, make_video):
    slow = make_video(tmp_path / "slow.mp4", [0, 0.1, 0.2])
    assert levels(read_frames(slow, 25)) == [0, 0, 0, 1, 1, 2]
    fast = make_video(tmp_path / "fast.mp4", np.arange(12) / 50)
    assert levels(read_frames(fast, 25)) == [0, 2, 4, 6, 8, 10]


def test_a_frame_that_is_shown_again_is_the_same_array(tmp_path, make_video):
    first, second, *_ = read_frames(make_video(tmp_path / "v.mp4", [0, 1]))
    assert first is second


def test_time_begins_with_the_file_and_not_with_its_first_frame(tmp_path, make_video):
    # The first frame is shown from the start on: the sound begins before it.
    path = make_video(tmp_path / "v.mkv", [0.2, 0.4], sound=True)
    assert levels(read_frames(path, 10)) == [0, 0, 0, 0, 1]
    # A file whose own time begins later is counted from there.
    path = make_video(tmp_path / "late.mp4", [2.0, 2.2])
    assert levels(read_frames(path, 10)) == [0, 0, 1]


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=12, unique=True).map(sorted),
    st.fractions(min_value=1, max_value=60, max_denominator=1001),
)
def test_every_slot_shows_the_last_frame_whose_time_has_come(ticks, rate):
    times = [Fraction(t, 20) for t in ticks]
    slots = []
    for frame, end in _shown(((time, i) for i, time in enumerate(times)), rate):
        slots += [frame] * (end - len(slots))
    n_slots = times[-1] * rate // 1 + 1
    come = [[i for i, t in enumerate(times) if t <= k / rate] for k in range(n_slots)]
    assert slots == [frames[-1] if frames else 0 for frames in come]


def test_one_frame_is_a_video(tmp_path, make_video):
    assert levels(read_frames(make_video(tmp_path / "v.mp4", [0]))) == [0]


@pytest.mark.parametrize("name", ["übung – 跳.mp4", "a:b.mp4", "http:.mp4", "é" * 125 + ".mp4"])
def test_any_name_of_a_file_is_read(tmp_path, make_video, name):
    made = make_video(tmp_path / "v.mp4", [0])
    os.rename(made, tmp_path / name)
    assert len(list(read_frames(tmp_path / name))) == 1


def test_music_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=44_100)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        silence = np.zeros((1, 1152), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.rate = 44_100
        packets = [*sound.encode(frame), *sound.encode()]
        image = np.zeros((16, 16, 3), dtype=np.uint8)
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        container.mux([*cover.encode(picture), *cover.encode(), *packets])
    with pytest.raises(ValueError, match=r"song.mp3 has no video stream, only audio, a cover"):
        next(read_frames(path))


def test_what_is_no_video_is_said_to_be_none(tmp_path):
    for name, content in {"empty.mp4": b"", "notes.mp4": b"not a video\n" * 100}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read as a video"):
            next(read_frames(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        next(read_frames(tmp_path / "absent.mp4"))
    with pytest.raises(IsADirectoryError):
        next(read_frames(tmp_path))


def test_a_playlist_opens_no_other_file(tmp_path, make_video):
    make_video(tmp_path / "part.ts", np.arange(20) / 25, format="mpegts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.8,\npart.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    with pytest.raises(ValueError, match=r"list.m3u8 cannot be read as a video"):
        next(read_frames(tmp_path / "list.m3u8"))


def damage(path, share):
    """Overwrite what is behind some share of a file, for a twentieth of it."""
    content = bytearray(path.read_bytes())
    first = int(share * len(content))
    content[first : first + len(content) // 20] = b"\xff" * (len(content) // 20)
    path.write_bytes(content)


@pytest.fixture
def damaged(tmp_path, clip):
    path = tmp_path / "damaged.mp4"
    path.write_bytes(clip("clip_25fps").read_bytes())
    damage(path, 0.5)
    return path


def test_damage_is_an_error_that_says_where(damaged):
    with pytest.raises(ValueError, match=r"damaged.mp4 is damaged after second [12]\.\d"):
        list(read_frames(damaged))


def test_damage_is_bridged_if_asked_for(damaged):
    with pytest.warns(UserWarning, match=r"damaged.mp4 is damaged: \d+ of its packets"):
        numbers = [number(image) for image in read_frames(damaged, damaged="skip")]
    assert len(numbers) == 75
    assert numbers[:20] == [*range(20)]
    assert numbers[-5:] == [*range(70, 75)]


def remuxed(source, path, share=1.0):
    """The packets of a video in another container, of which the end is then cut off."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def test_a_video_that_is_cut_off_is_told(tmp_path, clip):
    path = remuxed(clip("clip_25fps"), tmp_path / "cut.mkv", 0.4)
    with pytest.warns(UserWarning, match=r"cut.mkv ends at second \d.* should have 3"):
        assert 5 < len(list(read_frames(path))) < 60
    mp4 = tmp_path / "cut.mp4"
    mp4.write_bytes(clip("clip_25fps").read_bytes()[:10_000])
    with pytest.raises(ValueError, match=r"cut.mp4 cannot be read as a video"):
        next(read_frames(mp4))


def test_a_video_that_begins_late_is_not_cut_off(tmp_path, make_video):
    path = make_video(tmp_path / "late.mkv", 5 + np.arange(50) / 25)
    assert len(list(read_frames(path))) in (50, 175)  # as its file says when it starts, or not


def test_a_remuxed_video_shows_the_same(tmp_path, clip):
    path = remuxed(clip("clip_vfr"), tmp_path / "v.mkv")
    # Matroska rounds times to milliseconds.
    ours, plain = ([number(x) for x in read_frames(p)] for p in (path, clip("clip_vfr")))
    assert np.mean(np.array(ours) != plain) < 0.1


def test_frames_without_times_are_told(tmp_path, clip):
    path = remuxed(clip("clip_25fps"), tmp_path / "raw.h264")
    with pytest.warns(UserWarning, match="gives no times to its frames; it is taken for a video"):
        assert [number(image) for image in read_frames(path)] == [*range(75)]


def test_a_pause_without_end_is_refused(tmp_path, make_video):
    path = make_video(tmp_path / "v.mkv", [0, 5000], levels=[0, 250])
    with pytest.raises(ValueError, match=r"shows nothing new from second 0 to 5000"):
        list(read_frames(path, 25))
    path = make_video(tmp_path / "w.mkv", [0, 1000], levels=[0, 250])
    assert len(list(read_frames(path, 1))) == 1001


def test_parameters_are_checked(tmp_path):
    for wrong in ({"fps": 0}, {"damaged": "ignore"}):
        (name,) = wrong
        with pytest.raises(ValueError, match=re.escape(f"{name}={wrong[name]!r}")):
            next(read_frames(tmp_path / "v.mp4", **wrong))


def test_memory_does_not_grow_with_the_video(tmp_path, make_video):
    # A video of many frames is read one by one: taking a few leaves the rest undecoded.
    path = make_video(tmp_path / "v.mp4", np.arange(500) / 25)
    frames = read_frames(path)
    assert len(list(islice(frames, 3))) == 3
    frames.close()
