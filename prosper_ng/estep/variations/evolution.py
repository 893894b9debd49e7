"""Evolutionary search: states are parents of states (Drefs, Guiraud and Lücke, arXiv 2012.12294)."""

from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.estep.defaults import VariationDefaults
from prosper_ng.estep.interface import Codes, Floats, Target
from prosper_ng.estep.variations._selection import select_by_fitness, select_uniformly
from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.space import Layout, room_for_active, unpack, unpack_binary
from prosper_ng.latents.state_sets import StateSets, get_value, set_value
from prosper_ng.numerics.bits import bit
from prosper_ng.numerics.elementary import fast_log
from prosper_ng.numerics.random_streams import next_below, next_uniform, open_stream, seek
from prosper_ng.numerics.schedule import SweepSwitch


@component
class Evolution(VariationDefaults):
    """Children of parents from K_n, by mutation, crossover, or both, over several generations."""

    n_parents: Annotated[int, Gt(0)] = 10
    """Parents in each generation, drawn without replacement; at most S."""
    n_children: Annotated[int, Gt(0)] = 1
    """Children of each parent."""
    n_generations: Annotated[int, Gt(0)] = 2
    """Generations in each sweep."""
    selection: Literal["fitness", "uniform"] = "fitness"
    """Whether parents of higher joint are preferred."""
    parents: Literal["survivors", "offspring"] = "survivors"
    """Whether later generations descend from the best states so far or from the children just made."""
    crossover: bool = False
    """Cut each child together from a parent and another one, at one point."""
    mutation: Literal["flip", "sparse_flip", "none"] = "sparse_flip"
    """`flip`: one latent changes; `sparse_flip`: each may, so that as many become active as the prior expects."""
    mean_flips: Annotated[float, Gt(0)] = 1.0
    """The mean number of changes by `sparse_flip`."""

    active: SweepSwitch = True
    """Whether it is used; points [[sweep, true or false], ...] switch it on and off."""

    def __post_init__(self) -> None:
        """Refuse children that would be copies of their parents."""
        if self.mutation == "none" and not self.crossover:
            raise ValueError("`mutation: none` needs `crossover: true`, else children equal their parents")

    @property
    def n_rounds(self) -> int:
        """One round a generation."""
        return self.n_generations

    @property
    def breeds_offspring(self) -> bool:
        """As `parents` says."""
        return self.parents == "offspring"

    def n_proposed(self, space: StateSpace, n_states: int) -> int:
        """Children of one generation."""
        return min(self.n_parents, n_states) * self.n_children

    def propose(self, target: Target, pool: StateSets) -> Codes:
        """n_parents * n_children candidates for each row."""
        n, n_pool, words = pool.codes.shape
        n_parents = min(self.n_parents, n_pool)
        space = target.model.space
        children = np.empty((n, n_parents * self.n_children, words), np.uint64)
        mode = ("none", "flip", "sparse_flip").index(self.mutation)
        flips = _flips(space.n_latents, self.mean_flips, float(np.sum(target.activity)))
        _breed(
            pool.codes, pool.log_joint, target.batch.rows, n_parents, self.n_children, self.selection == "fitness",
            self.crossover, mode, flips, space.layout, target.stream.words(), children,
        )  # fmt: skip
        return children


# These work on all children of a row: what a call costs is not small beside what a child costs.


@kernel
def _breed(
    codes: Any, log_joint: Any, rows: Any, n_parents: int, n_children: int, by_fitness: bool, crossover: bool,
    mode: int, flips: Any, layout: Layout, words: Any, children: Any,
) -> None:  # fmt: skip
    state = open_stream(words)
    chosen = np.empty(n_parents, np.int64)
    order = np.empty(codes.shape[1], np.int64)
    fitness = np.empty(codes.shape[1])
    latents, indices = room_for_active(layout.n_latents)
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        if not (by_fitness and select_by_fitness(state, log_joint[n], fitness, chosen)):
            select_uniformly(state, order, chosen)
        for c in range(children.shape[1]):
            parent = chosen[c // n_children]
            for w in range(codes.shape[2]):
                children[n, c, w] = codes[n, parent, w]
        if crossover and n_parents > 1:
            _cross(state, codes[n], chosen, n_children, layout, children[n])
        if mode == 1:
            _flip_one(state, children[n], layout)
        elif mode == 2:
            _flip_sparsely(state, children[n], flips, layout, latents, indices)


@inner_kernel
def _cross(state: Any, codes: Any, chosen: Any, n_children: int, layout: Layout, children: Any) -> None:
    """Take the latents from a uniformly drawn cut on from a mate; any other parent is as likely to be it."""
    n_latents, _, n_planes, plane_words = layout
    n_parents = len(chosen)
    for c in range(children.shape[0]):
        mate = chosen[(c // n_children + 1 + next_below(state, n_parents - 1)) % n_parents]
        cut = next_below(state, n_latents + 1)
        for w in range(plane_words):
            if cut <= 64 * w:
                keep = np.uint64(0)
            elif cut >= 64 * (w + 1):
                keep = ~np.uint64(0)
            else:
                keep = (np.uint64(1) << np.uint64(cut - 64 * w)) - np.uint64(1)
            for p in range(n_planes):
                i = p * plane_words + w
                children[c, i] = (children[c, i] & keep) | (codes[mate, i] & ~keep)


@inner_kernel
def _change(state: Any, children: Any, c: int, h: int, layout: Layout) -> None:
    """Give one latent of a child another value, all others being equally likely."""
    n_values = layout.n_values
    child = children[c]
    index = get_value(child, h, layout)
    set_value(child, h, (index + 1 + next_below(state, n_values - 1)) % n_values, layout)


@inner_kernel
def _flip_one(state: Any, children: Any, layout: Layout) -> None:
    """Give one latent of each child another value."""
    n_latents, n_values = layout.n_latents, layout.n_values
    for c in range(children.shape[0]):
        h = next_below(state, n_latents)
        if n_values == 2:
            children[c, h // 64] ^= bit(h % 64)
        else:
            _change(state, children, c, h, layout)


class _Flips(NamedTuple):
    """What `sparse_flip` does to states with a = 0..H active latents."""

    switch_off: Floats
    """(H + 1,) probability that an active latent is switched off."""
    switch_on: Floats
    """(H + 1,) probability that another one is switched on."""
    none: Floats
    """(H + 1,) a bit less than the probability that H latents are not switched on."""
    scale: Floats
    """(H + 1,) mean distance of latents that are switched on, with a minus sign; infinite where none is."""


@lru_cache(maxsize=16)
def _flips(n_latents: int, mean_flips: float, target: float) -> _Flips:
    """Switch latents on and off so that H p changes are expected in all and c active latents after them.

    With a active now, half of H p + (c - a) are expected to be switched on and half of H p - (c - a) off, which are the
    probabilities p(0->1) = H p / (H + (alpha - 1) a) and p(1->0) = alpha p(0->1) of the paper; both are clipped.
    """
    a = np.arange(n_latents + 1)
    surplus = target - a
    switch_on = np.clip(0.5 * (mean_flips + surplus) / np.maximum(n_latents - a, 1), 0.0, 1.0)
    switch_off = np.clip(0.5 * (mean_flips - surplus) / np.maximum(a, 1), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        scale = 1.0 / np.log1p(-np.minimum(switch_on, 1.0 - 1e-12))
    return _Flips(switch_off, switch_on, np.where(switch_on > 0, (1 - 1e-9) * np.exp(n_latents / scale), 1.0), scale)


@inner_kernel(error_model="numpy")
def _flip_sparsely(state: Any, children: Any, flips: Any, layout: Layout, latents: Any, indices: Any) -> None:
    """Switch latents of the children on and off."""
    n_latents, n_values, plane_words = layout.n_latents, layout.n_values, layout.plane_words
    for c in range(children.shape[0]):
        a = unpack_binary(children, c, latents) if n_values == 2 else unpack(children[c], layout, latents, indices)
        for i in range(a):
            h = latents[i]
            if next_uniform(state) < flips.switch_off[a]:
                for p in range(layout.n_planes):
                    children[c, p * plane_words + h // 64] &= ~bit(h % 64)
            elif n_values > 2 and next_uniform(state) < flips.switch_on[a]:
                _change(state, children, c, h, layout)
        # Jumps from one latent that is switched on to the next are geometric; most children have none, and need no log.
        h, passed = np.int64(-1), 0
        left = 1.0 - next_uniform(state)
        while left > flips.none[a]:
            h += 1 + np.int64(min(fast_log(left) * flips.scale[a], np.float64(n_latents)))
            if h >= n_latents:
                break
            # Latents that were active before had their turn above.
            while passed < a and latents[passed] < h:
                passed += 1
            if passed == a or latents[passed] != h:
                if n_values == 2:
                    children[c, h // 64] |= bit(h % 64)
                else:
                    _change(state, children, c, h, layout)
            left = 1.0 - next_uniform(state)
