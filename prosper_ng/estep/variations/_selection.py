"""Drawing distinct members of a state set, as parents or as candidates."""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel
from prosper_ng.numerics.bits import multiply_high
from prosper_ng.numerics.extremes import largest, smallest
from prosper_ng.numerics.random_streams import next_below, next_uniform, next_word

_PROPOSALS = 8


@inner_kernel
def select_uniformly(state: Any, order: Any, chosen: Any) -> None:
    """Fill `chosen` with distinct indices below len(order), all equally likely; `order` is scratch."""
    for i in range(order.shape[0]):
        order[i] = i
    for i in range(chosen.shape[0]):
        j = i + next_below(state, order.shape[0] - i)
        chosen[i] = order[j]
        order[j] = order[i]


@inner_kernel(error_model="numpy")
def select_by_fitness(state: Any, log_joint: Any, fitness: Any, chosen: Any) -> bool:
    """Fill `chosen` with distinct indices, drawn in proportion to the fitness of the states; False where it has none.

    The fitness is log p - 2 min(min log p, 0) (Drefs, Guiraud and Lücke, arXiv 2012.12294); `fitness` is scratch.
    Where log p is below 0 no fitness is twice another one, so that few proposals from a uniform draw are refused.
    """
    shift = 2.0 * min(smallest(log_joint), 0.0)
    best = largest(log_joint) - shift
    if not (best > 0.0 and np.isfinite(best)):
        return False
    n_states = np.uint64(log_joint.shape[0])
    for i in range(chosen.shape[0]):
        found = False
        for _ in range(_PROPOSALS):
            # The product with a random word has the index above and a uniform fraction below its binary point.
            word = next_word(state)
            s = np.int64(multiply_high(word, n_states))
            fraction = np.float64((word * n_states) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
            found = fraction * best < log_joint[np.uint64(s)] - shift
            for j in range(i):
                found &= chosen[j] != s
            if found:
                chosen[i] = s
                break
        if not found and not _select_another(state, log_joint, shift, fitness, chosen[: i + 1]):
            return False
    return True


@inner_kernel(error_model="numpy")
def _select_another(state: Any, log_joint: Any, shift: float, fitness: Any, chosen: Any) -> bool:
    """Set the last of `chosen` to an index that is not among the others, drawn in proportion to the fitness."""
    for s in range(log_joint.shape[0]):
        fitness[s] = log_joint[s] - shift
    for s in chosen[:-1]:
        fitness[s] = 0.0
    left = next_uniform(state) * np.sum(fitness)
    last = -1
    for s in range(log_joint.shape[0]):
        if fitness[s] > 0.0:
            last = s
            left -= fitness[s]
            if left < 0.0:
                break
    chosen[-1] = last
    return last >= 0
