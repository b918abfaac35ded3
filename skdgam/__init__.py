"""Weakly-supervised temporal action localization as a scikit-learn estimator."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdgam.dgam import DGAMLocalizer as DGAMLocalizer
    from skdgam.multi_stream import MultiStreamLocalizer as MultiStreamLocalizer
    from skdgam.persistence import load as load
    from skdgam.refiner import ProposalRefiner as ProposalRefiner

__version__ = "0.1.0.dev0"

# Imported at first use: metrics, intervals and datasets work without loading torch.
_PUBLIC = {
    "DGAMLocalizer": "skdgam.dgam",
    "MultiStreamLocalizer": "skdgam.multi_stream",
    "ProposalRefiner": "skdgam.refiner",
    "load": "skdgam.persistence",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'skdgam' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
