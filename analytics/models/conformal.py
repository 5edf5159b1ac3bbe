"""Bands that held on the past: a model's own errors, scaled until they cover what they promise."""

import numpy as np

from analytics.models.forecast import Values


def factor(scores: Values, coverage: float) -> float:
    """How many standard errors cover `coverage` of the held-out scores (absolute error over standard error).

    Split conformal prediction: the ceil((n + 1) * coverage)-th smallest of n scores (Vovk et al. 2005; Lei et al.
    2018); for fewer than 1 / (1 - coverage) scores the largest, lengthened by half.
    """
    ordered = np.sort(scores)
    rank = int(np.ceil((len(ordered) + 1) * coverage))
    if rank > len(ordered):
        return float(ordered[-1]) * 1.5
    return float(ordered[rank - 1])
