"""Truncated variational sampling: states drawn at random (Lücke, Dai and Exarchakis, arXiv 1712.08104)."""

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.estep.defaults import VariationDefaults
from prosper_ng.estep.interface import Codes, Target
from prosper_ng.kernels import kernel
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.latents.space import Layout, room_for_active, unpack
from prosper_ng.latents.state_sets import StateSets, draw_state, set_value
from prosper_ng.numerics.random_streams import next_uniform, open_stream, seek
from prosper_ng.numerics.schedule import SweepSwitch


@component
class Sampling(VariationDefaults):
    """States of independent latents, drawn from the prior or from the marginals of the present posterior of a row."""

    n_samples: Annotated[int, Gt(0)] = 10
    """How many states are drawn in each round."""
    source: Literal["prior", "marginals"] = "marginals"
    """`prior`: with the activities learned so far; `marginals`: with the probability q_n(s_h = phi) of each value."""
    n_draws: Annotated[int, Gt(0)] = 1
    """Rounds in each sweep; the marginals follow what the round before brought in."""
    active: SweepSwitch = True
    """Whether it is used; points [[sweep, true or false], ...] switch it on and off."""

    @property
    def n_rounds(self) -> int:
        """As many as there are draws."""
        return self.n_draws

    def n_proposed(self, space: StateSpace, n_states: int) -> int:
        """As configured."""
        return self.n_samples

    def propose(self, target: Target, pool: StateSets) -> Codes:
        """n_samples states for each row."""
        space, rows, words = target.model.space, target.batch.rows, target.stream.words()
        codes = np.zeros((len(pool.codes), self.n_samples, space.words), np.uint64)
        if self.source == "prior":
            _draw_from_prior(rows, target.activity, space.layout, words, codes)
        else:
            weights = truncated_posterior(pool.log_joint).weights
            _draw_from_marginals(rows, pool.codes, weights, space.layout, words, codes)
        return codes


@kernel
def _draw_from_prior(rows: Any, activity: Any, layout: Layout, words: Any, codes: Any) -> None:
    state = open_stream(words)
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        for c in range(codes.shape[1]):
            draw_state(state, activity, layout, codes[n, c])


@kernel
def _draw_from_marginals(rows: Any, pool: Any, weights: Any, layout: Layout, words: Any, codes: Any) -> None:
    """Only latents that some state of the pool uses can be drawn; the others have no mass."""
    n_latents, n_values = layout.n_latents, layout.n_values
    state, masses = open_stream(words), np.zeros((n_latents, n_values - 1))
    latents, indices = room_for_active(n_latents)
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        masses[...] = 0.0
        union = np.zeros(pool.shape[2], np.uint64)
        for s in range(pool.shape[1]):
            if weights[n, s] > 0.0:
                union |= pool[n, s]
                for i in range(unpack(pool[n, s], layout, latents, indices)):
                    masses[latents[i], indices[i] - 1] += weights[n, s]
        n_used = unpack(union, layout, latents, indices)
        for c in range(codes.shape[1]):
            for i in range(n_used):
                left = next_uniform(state)
                for v in range(n_values - 1):
                    left -= masses[latents[i], v]
                    if left < 0.0:
                        set_value(codes[n, c], latents[i], v + 1, layout)
                        break
