r"""Pooling and losses that methods share: one pure function an equation.

The snippets of several videos lie one after the other as rows. A matrix says which row belongs
to which video and how much it counts: `membership` (n_videos, n_rows) holds the weight of a row
in the line of its video, and 0 elsewhere.
"""

from skdgam.losses._classification import (
    classification_loss,
    count_loss,
    equal_shares,
    multilabel_loss,
    multiple_instance_loss,
    probability_loss,
    with_background,
)
from skdgam.losses._guide import (
    gaussian,
    guidance,
    guide_loss,
    smooth,
)
from skdgam.losses._pooling import (
    marginal_weights,
    pool,
    soft_selection,
    suppress,
    top_k_mean,
)
from skdgam.losses._proposals import (
    completeness_target,
    overlaps,
    rank_inconsistency,
)
from skdgam.losses._similarity import (
    center_distances,
    coactivity,
    coactivity_loss,
    coactivity_of_pairs,
    contrastive_loss,
    imbalance_of_branches,
    similarity_of_branches,
    uncertainty_loss,
)

__all__ = [
    "center_distances",
    "classification_loss",
    "coactivity",
    "coactivity_loss",
    "coactivity_of_pairs",
    "completeness_target",
    "contrastive_loss",
    "count_loss",
    "equal_shares",
    "gaussian",
    "guidance",
    "guide_loss",
    "imbalance_of_branches",
    "marginal_weights",
    "multilabel_loss",
    "multiple_instance_loss",
    "overlaps",
    "pool",
    "probability_loss",
    "rank_inconsistency",
    "similarity_of_branches",
    "smooth",
    "soft_selection",
    "suppress",
    "top_k_mean",
    "uncertainty_loss",
    "with_background",
]
