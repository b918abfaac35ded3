"""From files of videos to features of snippets: decoding beside a network."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from numbers import Integral, Real
from queue import Empty, Queue
from threading import Event, Lock, Thread
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skdgam.features import flow, frames
from skdgam.features._sources import SourceTransformer, refuse_folder, rows_of
from skdgam.features.backbones import SAMPLING, Backbone, named_backbone
from skdgam.training.devices import resolve_device, shielded

__all__ = ["I3D_THUMOS14", "VideoFeatures"]

# How the features were made that DGAM, BaS-Net and CoLA use, as far as it is published.
I3D_THUMOS14 = {"backbone": "i3d", "fps": 25, "frames": 16, "hop": 16, "flow": "tvl1"}

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
POSITIVE = Interval(Integral, 1, None, closed="left")
Path = str | os.PathLike[str]


class VideoFeatures(SourceTransformer):
    """Features of the snippets of videos, by a network that has learned of others.

    Videos are decoded in threads of their own while the network works, several share a batch, and
    no more of a video is in memory than the snippets that wait for it. The defaults are how most
    published features of THUMOS14 and ActivityNet were made: I3D on 16 frames at 25 a second, of
    a shorter side of 256 and cut to 224 × 224 in the middle, without overlap.

    Parameters
    ----------
    backbone : str, Backbone, torch.nn.Module or callable, default="i3d"
        "i3d"; a network of torchvision ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b",
        "mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b") or transformers ("videomae", "vjepa2"),
        where those are installed. A module of your own is given float tensors (n, 3, `frames`,
        224, 224) in [-1, 1]; another function uint8 arrays (n, `frames`, 224, 224, 3). Both return
        (n, n_features). A :class:`~skdgam.features.backbones.Backbone` says other sizes and ranges.
    weights : path, str or None, default=None
        For "i3d" a file of pytorch-i3d or kinetics_i3d_pytorch; "random" for trying things out.
        For others see :func:`skdgam.features.backbones.named_backbone`.
    stream : {"rgb", "flow"}, default="rgb"
        What the network sees: the frames, or optical flow between them, in 2 channels.
    fps : float or None, default=None
        Frames a second, to which each video is brought. None is the backbone's: 25.
    frames : int or None, default=None
        Frames of a snippet. None is the backbone's: 16.
    hop : int or None, default=None
        Frames from snippet to snippet. None is `frames`: they do not overlap.
    flow : {"tvl1", "dis", "dis_fast"}, default="tvl1"
        How flow is found: :func:`skdgam.features.flow.optical_flow`.
    damaged : {"raise", "skip"}, default="raise"
        Whether damage in a video is an error, or what cannot be decoded is bridged.
    device : str, default="auto"
        Where the network works: "cpu", "cuda", "cuda:1", …; "auto" is CUDA where there is one.
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Precision of the network's products.
    batch_size : int, default=8
        Snippets at a time.
    n_jobs : int or None, default=None
        Threads that decode a video each; for flow, threads that work on a pair of frames each.
        None is 1, -1 all processors.
    progress : bool, default=False
        Let ``transform`` show a bar, by rich: ``pip install "skdgam[progress]"``.

    Examples
    --------
    >>> from skdgam import DGAMLocalizer
    >>> from skdgam.features.video import VideoFeatures
    >>> videos = VideoFeatures(weights="rgb_imagenet.pt")
    >>> videos.snippet_times()  # what a localizer must know
    {'snippet_seconds': 0.64, 'snippet_offset': 0.0}
    >>> X = videos.transform(["a.mp4", "b.mp4"])  # doctest: +SKIP
    >>> model = DGAMLocalizer(**videos.snippet_times()).fit(X, labels)  # doctest: +SKIP
    """

    _parameter_constraints = {  # noqa: RUF012
        "backbone": [str, callable, Backbone],
        "weights": [str, os.PathLike, None],
        "stream": [StrOptions({"rgb", "flow"})],
        "fps": [Interval(Real, 0, 1000, closed="right"), None],
        "frames": [POSITIVE, None],
        "hop": [POSITIVE, None],
        "flow": [StrOptions(set(flow.METHODS))],
        "damaged": [StrOptions({"raise", "skip"})],
        "device": [str],
        "precision": [StrOptions(set(PRECISIONS))],
        "batch_size": [POSITIVE],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    }

    _not_of_features = SourceTransformer._not_of_features | {"device", "batch_size"}

    def __init__(
        self,
        backbone: Any = "i3d",
        *,
        weights: Path | None = None,
        stream: str = "rgb",
        fps: float | None = None,
        frames: int | None = None,
        hop: int | None = None,
        flow: str = "tvl1",
        damaged: str = "raise",
        device: str = "auto",
        precision: str = "float32",
        batch_size: int = 8,
        n_jobs: int | None = None,
        progress: bool = False,
    ):
        self.backbone = backbone
        self.weights = weights
        self.stream = stream
        self.fps = fps
        self.frames = frames
        self.hop = hop
        self.flow = flow
        self.damaged = damaged
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.progress = progress

    def _times(self) -> dict[str, float]:
        frames, hop, fps = self._sampling()
        return {"snippet_seconds": hop / fps, "snippet_offset": (frames - hop) / 2 / fps}

    def _extractor(self) -> dict[str, Any]:
        frames, hop, fps = self._sampling()
        extractor = super()._extractor() | {"frames": frames, "hop": hop, "fps": fps}
        if self.stream == "rgb":
            del extractor["flow"]
        if self.weights is not None and os.path.isfile(self.weights):
            with open(self.weights, "rb") as file:  # whatever its name is elsewhere
                extractor["weights"] = f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
        return extractor

    def _sampling(self) -> tuple[int, int, float]:
        """Frames of a snippet, from snippet to snippet, and a second."""
        if isinstance(self.backbone, Backbone):
            frames, fps = self.backbone.frames, self.backbone.fps
        else:
            frames, fps = SAMPLING.get(self.backbone, SAMPLING["i3d"])
        frames = self.frames or frames
        return frames, self.hop or frames, self.fps or fps

    def _made_backbone(self) -> Backbone:
        if isinstance(self.backbone, Backbone):
            return self.backbone
        if isinstance(self.backbone, str):
            return named_backbone(self.backbone, self.weights, self.stream)
        return Backbone(self.backbone)

    def _each(
        self, sources: Sequence[Any], names: Sequence[str]
    ) -> Generator[tuple[int, np.ndarray | Exception]]:
        # Before the first video, so that what is wrong is said before any work.
        if isinstance(self.backbone, type):
            raise TypeError(
                f"backbone is the class {self.backbone.__name__}; pass an object of it, such as "
                f"{self.backbone.__name__}(…)."
            )
        frames.import_av()
        if self.stream == "flow":
            flow.import_cv2(self.flow)
        backbone, device = self._made_backbone(), resolve_device(self.device)
        with shielded():
            describe = backbone.on(device, PRECISIONS[self.precision])
        return self._described(sources, names, backbone, describe)

    def _described(
        self,
        sources: Sequence[Any],
        names: Sequence[str],
        backbone: Backbone,
        describe: Callable[[np.ndarray], np.ndarray],
    ) -> Generator[tuple[int, np.ndarray | Exception]]:
        """Yield the features of each video, or what went wrong with it, as they are done."""
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        n_decoders, n_flow_jobs = (1, n_jobs) if self.stream == "flow" else (n_jobs, 1)

        def snippets_of(source: Any) -> Iterator[np.ndarray]:
            return self._snippets(source, backbone, n_flow_jobs)

        rows: dict[int, list[np.ndarray]] = {}
        ended: dict[int, Exception | None] = {}
        batch: list[tuple[int, np.ndarray]] = []
        with closing(_beside(snippets_of, sources, n_decoders, 2 * self.batch_size)) as made:
            for i, snippet in chain(made, [(-1, None)]):
                if isinstance(snippet, np.ndarray):
                    batch.append((i, snippet))
                else:
                    ended[i] = snippet
                if batch and (len(batch) == self.batch_size or i < 0):
                    with shielded():
                        features = describe(np.stack([snippet for _, snippet in batch]))
                    features = rows_of(features, len(batch), "backbone", "snippets")
                    for (j, _), row in zip(batch, features, strict=True):
                        rows.setdefault(j, []).append(row)
                    batch = []
                waiting = {j for j, _ in batch} | {-1}
                for j in [j for j in ended if j not in waiting]:
                    error, found = ended.pop(j), rows.pop(j, [])
                    yield j, self._whole(names[j], found) if error is None else error

    def _whole(self, name: str, rows: list[np.ndarray]) -> np.ndarray | Exception:
        """Features of a video, all of which must be numbers."""
        features = np.stack(rows)
        wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if not len(wrong):
            return features
        second = wrong[0] * self.snippet_times()["snippet_seconds"]
        return ValueError(
            f"The backbone made values of {name} that are not finite, the first at second "
            f"{second:g} ({len(wrong)} of {len(features)} snippets)."
        )

    def _snippets(self, path: Path, backbone: Backbone, n_flow_jobs: int) -> Iterator[np.ndarray]:
        """Snippets of a video, uint8 (frames, crop, crop, channels)."""
        refuse_folder(path, "*.mp4")
        n, hop, fps = self._sampling()
        images: Iterable[np.ndarray] = frames.read_frames(
            path, fps, backbone.resize, damaged=self.damaged
        )
        images = _held(images, n)
        if self.stream == "flow":
            images = map(flow.quantized, flow.optical_flow(images, self.flow, n_flow_jobs))
        window: deque[np.ndarray] = deque(maxlen=n)
        for k, image in enumerate(images, start=1 - n):
            window.append(_cropped(image, backbone.crop, path))
            if k >= 0 and k % hop == 0:
                yield np.stack(window)


def _held(images: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    """At least `n` images: a video that is shorter than a snippet is held as it ends."""
    n_left, image = n, None
    for image in images:
        n_left -= 1
        yield image
    if image is not None:
        yield from [image] * n_left


def _cropped(image: np.ndarray, side: int, path: Path) -> np.ndarray:
    """The square in the middle."""
    top, left = ((length - side) // 2 for length in image.shape[:2])
    if min(top, left) < 0:
        raise ValueError(
            f"{path} has frames of {image.shape[1]} × {image.shape[0]}, from which the backbone "
            f"wants {side} × {side}; let the backbone resize them."
        )
    return image[top : top + side, left : left + side]


def _beside(
    snippets_of: Callable[[Any], Iterator[np.ndarray]],
    sources: Sequence[Any],
    n_threads: int,
    ahead: int,
) -> Generator[tuple[int, Any]]:
    """Run iterators in threads, and yield what they yield, with the index of its source.

    After the last item of a source comes None, or the error that ended it. The threads are no
    more than `ahead` items ahead, and end when this generator is closed.
    """
    items: Queue = Queue(ahead)
    closed, lock, todo = Event(), Lock(), enumerate(sources)

    def work() -> None:
        while not closed.is_set():
            with lock:
                i, source = next(todo, (-1, None))
            if i < 0:
                break
            end: Exception | None = None
            try:
                for snippet in snippets_of(source):
                    items.put((i, snippet))
                    if closed.is_set():
                        return
            except Exception as error:
                end = error
            items.put((i, end))
        items.put(None)

    threads = [Thread(target=work, daemon=True) for _ in range(min(n_threads, len(sources)))]
    for thread in threads:
        thread.start()
    try:
        n_running = len(threads)
        while n_running:
            item = items.get()
            if item is None:
                n_running -= 1
            else:
                yield item
    finally:
        closed.set()
        while any(thread.is_alive() for thread in threads):
            with suppress(Empty):
                items.get(timeout=0.01)
