"""How fast features of videos are made: decoding, the network, flow, and all of it together.

    python benchmarks/features.py [--seconds 60] [--device cuda]

All on a video that is made first, 340 × 256 at 25 frames a second, of a texture that moves under
noise. What is compared is timed in turn, in one process, and the best of several counts.
"""

import argparse
import tempfile
import warnings
from itertools import islice
from pathlib import Path
from time import perf_counter

import av
import cv2
import joblib
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from speed import best_of

from skdgam.features.backbones import Backbone
from skdgam.features.flow import optical_flow
from skdgam.features.frames import read_frames
from skdgam.features.i3d import I3D, random_i3d_weights
from skdgam.features.video import VideoFeatures

FPS, HEIGHT, WIDTH = 25, 256, 340
EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def film(path, n_frames, height=HEIGHT, width=WIDTH):
    """Write a video of a texture that moves on a curve, with a little noise."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(size=(2 * height, 2 * width, 3)), (0, 0), 4)
    texture = cv2.normalize(texture, None, 0, 235, cv2.NORM_MINMAX)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for i in range(n_frames):
            y, x = (round(n / 2 * (1 + np.sin(i / s))) for n, s in ((height, 31), (width, 43)))
            image = texture[y : y + height, x : x + width] + rng.integers(0, 20, (height, width, 1))
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded(path, resize=None):
    """Decode a video by PyAV alone, to images as it is or of a size."""
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            if resize is None:
                continue
            height, width = resize
            image = reformatter.reformat(
                frame, width, height, "rgb24", interpolation=EXACT, threads=1
            )
            image.to_ndarray()


def count(iterable):
    return sum(1 for _ in iterable)


def decoding(folder, seconds):
    """Compare reading by time with what PyAV alone delivers."""
    n = round(FPS * seconds)
    for height, width in ((HEIGHT, WIDTH), (480, 640)):
        path = film(folder / f"{width}.mp4", n, height, width)
        resize = (256, 256 * width // height)
        alone, scaled, ours = best_of(
            5,
            lambda path=path: decoded(path),
            lambda path=path, resize=resize: decoded(path, resize),
            lambda path=path: count(read_frames(path)),
        )
        print(
            f"{width} x {height}: PyAV decodes {n / alone:,.0f} frames/s, with scaling "
            f"{n / scaled:,.0f}; read_frames {n / ours:,.0f}, {scaled / ours:.2f} of that",
            flush=True,
        )


def flow(folder, n_pairs):
    """Compare optical flow of one pair of frames at a time, and of as many as there are cores."""
    frames = list(islice(read_frames(film(folder / "flow.mp4", n_pairs + 1)), n_pairs + 1))
    for method in ("tvl1", "dis", "dis_fast"):
        one, all_ = best_of(
            2,
            lambda method=method: count(optical_flow(frames, method)),
            lambda method=method: count(optical_flow(frames, method, joblib.cpu_count())),
        )
        print(
            f"{method}: one pair at a time by {cv2.getNumThreads()} threads of OpenCV "
            f"{n_pairs / one:,.1f} pairs/s, {joblib.cpu_count()} at a time {n_pairs / all_:,.1f} "
            f"({one / all_:.2f} x)",
            flush=True,
        )


def together(folder, seconds, device, precision):
    """Compare I3D on a video with its decoding and its network, each by itself."""
    path = film(folder / "video.mp4", round(FPS * seconds))
    network = I3D(random_i3d_weights())
    videos = VideoFeatures(network, device=device, precision=precision, n_jobs=2)
    nothing = VideoFeatures(Backbone(lambda snippets: np.zeros((len(snippets), 1))), n_jobs=2)
    n_snippets = len(nothing.features_of(path))
    describe = Backbone(network).on(torch.device(device), getattr(torch, precision))
    batch = np.zeros((videos.batch_size, 16, 224, 224, 3), dtype=np.uint8)
    describe(batch)
    start = perf_counter()
    n_batches = max(n_snippets // videos.batch_size, 1)
    for _ in range(n_batches):
        describe(batch)
    alone = (perf_counter() - start) / n_batches / len(batch) * n_snippets
    start = perf_counter()
    nothing.features_of(path)
    decoding = perf_counter() - start
    start = perf_counter()
    videos.features_of(path)
    whole = perf_counter() - start
    print(
        f"I3D on {device}, {precision}: {seconds:g} s of video in {whole:.1f} s "
        f"({16 * n_snippets / whole:,.0f} frames/s); the network alone {alone:.1f} s, decoding "
        f"alone {decoding:.1f} s",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decoding(folder, min(arguments.seconds, 20))
        flow(folder, arguments.pairs)
        for precision in ("float32", "bfloat16"):
            together(folder, arguments.seconds, arguments.device, precision)


if __name__ == "__main__":
    main()
