"""Methods of weakly-supervised localization, an estimator each, and a yardstick.

``METHODS`` is the registry: what the command line calls a method, and its class. A class that is
put there, also by a program that uses the package, is known to ``skdgam.load`` and to
``skdgam fit --method``.
"""

from skdgam.base import BaseLocalizer
from skdgam.dgam import DGAMLocalizer
from skdgam.methods.acmnet import ACMNetLocalizer
from skdgam.methods.asmloc import ASMLocLocalizer
from skdgam.methods.autoloc import AutoLocLocalizer
from skdgam.methods.background import BackgroundModelingLocalizer
from skdgam.methods.basnet import BaSNetLocalizer
from skdgam.methods.cmcs import CMCSLocalizer
from skdgam.methods.co2net import CO2NetLocalizer
from skdgam.methods.cola import CoLALocalizer
from skdgam.methods.contrast_evaluator import ContrastEvaluatorLocalizer
from skdgam.methods.delu import DELULocalizer
from skdgam.methods.hamnet import HAMNetLocalizer
from skdgam.methods.hide_and_seek import HideAndSeekLocalizer
from skdgam.methods.maan import MAANLocalizer
from skdgam.methods.mil import MILLocalizer
from skdgam.methods.phase_paths import PhasePathLocalizer
from skdgam.methods.pmil import ProposalScorer
from skdgam.methods.stpn import STPNLocalizer
from skdgam.methods.supervised import SupervisedLocalizer
from skdgam.methods.threecnet import ThreeCNetLocalizer
from skdgam.methods.um import UMLocalizer
from skdgam.methods.untrimmednet import UntrimmedNetLocalizer
from skdgam.methods.wtalc import WTALCLocalizer

__all__ = [
    "METHODS",
    "ACMNetLocalizer",
    "ASMLocLocalizer",
    "AutoLocLocalizer",
    "BaSNetLocalizer",
    "BackgroundModelingLocalizer",
    "CMCSLocalizer",
    "CO2NetLocalizer",
    "DELULocalizer",
    "HAMNetLocalizer",
    "CoLALocalizer",
    "ContrastEvaluatorLocalizer",
    "HideAndSeekLocalizer",
    "MAANLocalizer",
    "MILLocalizer",
    "PhasePathLocalizer",
    "ProposalScorer",
    "STPNLocalizer",
    "SupervisedLocalizer",
    "ThreeCNetLocalizer",
    "UMLocalizer",
    "UntrimmedNetLocalizer",
    "WTALCLocalizer",
]

# The first one is the default, and the second one the simplest; then by year. The last one is no
# weakly-supervised method, since it is told the intervals.
METHODS: dict[str, type[BaseLocalizer]] = {
    "dgam": DGAMLocalizer,
    "mil": MILLocalizer,
    "untrimmednet": UntrimmedNetLocalizer,
    "hide_and_seek": HideAndSeekLocalizer,
    "stpn": STPNLocalizer,
    "wtalc": WTALCLocalizer,
    "autoloc": AutoLocLocalizer,
    "cmcs": CMCSLocalizer,
    "maan": MAANLocalizer,
    "background_modeling": BackgroundModelingLocalizer,
    "threecnet": ThreeCNetLocalizer,
    "contrast_evaluator": ContrastEvaluatorLocalizer,
    "phase_paths": PhasePathLocalizer,
    "basnet": BaSNetLocalizer,
    "um": UMLocalizer,
    "cola": CoLALocalizer,
    "hamnet": HAMNetLocalizer,
    "acmnet": ACMNetLocalizer,
    "co2net": CO2NetLocalizer,
    "delu": DELULocalizer,
    "asmloc": ASMLocLocalizer,
    "supervised": SupervisedLocalizer,
}
