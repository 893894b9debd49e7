"""Drawing distinct members of a state set, as parents or as candidates."""

from typing import Any

import numpy as np
from numba import njit

from prosper_ng.numerics.random_streams import next_below, next_uniform


@njit(cache=True)
def select_uniformly(state: Any, order: Any, chosen: Any) -> None:
    """Fill `chosen` with distinct indices below len(order), all equally likely; `order` is scratch."""
    for i in range(order.shape[0]):
        order[i] = i
    for i in range(chosen.shape[0]):
        j = i + next_below(state, order.shape[0] - i)
        chosen[i] = order[j]
        order[j] = order[i]


@njit(cache=True)
def select_by_fitness(state: Any, log_joint: Any, fitness: Any, chosen: Any) -> bool:
    """Fill `chosen` with distinct indices, drawn in proportion to the fitness of the states; False where it has none.

    The fitness is log p - 2 min(min log p, 0) (Drefs, Guiraud and Lücke, arXiv 2012.12294); `fitness` is scratch.
    """
    shift = 2.0 * min(np.min(log_joint), 0.0)
    total = 0.0
    for s in range(log_joint.shape[0]):
        fitness[s] = log_joint[s] - shift
        total += fitness[s]
    if not (total > 0.0 and np.isfinite(total)):
        return False
    for i in range(chosen.shape[0]):
        left = next_uniform(state) * total
        last = -1
        for s in range(log_joint.shape[0]):
            if fitness[s] > 0.0:
                last = s
                left -= fitness[s]
                if left < 0.0:
                    break
        if last < 0:
            return False
        chosen[i] = last
        total -= fitness[last]
        fitness[last] = 0.0
    return True
