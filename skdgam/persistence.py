"""The one place that opens files of localizers."""

from typing import Any

from skdgam._typing import PathOrName
from skdgam.base import BaseLocalizer
from skdgam.io import read_model
from skdgam.methods import METHODS
from skdgam.methods.pmil import ProposalScorer
from skdgam.multi_stream import MultiStreamLocalizer
from skdgam.refiner import ProposalRefiner

__all__ = ["load"]


def load(path: PathOrName) -> BaseLocalizer | MultiStreamLocalizer | ProposalRefiner:
    """Read a localizer that ``save`` has written.

    The file holds arrays and JSON, and opening it executes nothing of it: files of strangers
    are safe.

    Parameters
    ----------
    path : path

    Returns
    -------
    localizer : BaseLocalizer, MultiStreamLocalizer or ProposalRefiner
        Fitted. Sequences among its parameters are lists; a `random_state` that was a generator
        is None.

    Raises
    ------
    ImportError
        Without safetensors: ``pip install "skdgam[share]"``.
    OSError
        If the file cannot be read.
    ValueError
        If it is no such file, is damaged, or was written by a newer skdgam.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skdgam
    >>> from skdgam.datasets import make_untrimmed
    >>> X, y = make_untrimmed(n_videos=8, n_classes=2, random_state=0)
    >>> model = skdgam.DGAMLocalizer(max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "model.skdgam")
    ...     skdgam.load(Path(folder) / "model.skdgam")
    DGAMLocalizer(max_epochs=2, random_state=0)
    """
    description, arrays = read_model(path)
    known: list[Any] = [*METHODS.values(), MultiStreamLocalizer, ProposalScorer, ProposalRefiner]
    localizers = {cls.__name__: cls for cls in known}
    kind = description.get("class")
    if not isinstance(kind, str) or kind not in localizers:
        raise ValueError(f"{path} holds a {kind!r}, but load knows only {', '.join(localizers)}.")
    try:
        return localizers[kind]._from_description(description, arrays)
    except Exception as error:  # whatever its content makes this stumble over
        reason = " ".join(f"{type(error).__name__}: {error}".split())  # torch's have many lines
        message = f"{path} is no model file of skdgam, or is damaged: {reason}"
        raise ValueError(message) from error
