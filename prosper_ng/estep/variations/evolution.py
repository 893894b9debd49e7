"""Evolutionary search: states are parents of states (Drefs, Guiraud and Lücke, arXiv 2012.12294)."""

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from numba import njit

from prosper_ng.components import component
from prosper_ng.estep.interface import Codes, Task
from prosper_ng.estep.variations._selection import select_by_fitness, select_uniformly
from prosper_ng.latents.space import LatentSpace, unpack
from prosper_ng.latents.state_sets import StateSets, get_value, set_value
from prosper_ng.numerics.random_streams import next_below, next_uniform, open_stream, seek
from prosper_ng.numerics.schedule import SweepSwitch


@component
class Evolution:
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

    def n_proposed(self, space: LatentSpace, n_states: int) -> int:
        """Children of one generation."""
        return min(self.n_parents, n_states) * self.n_children

    def propose(self, task: Task, pool: StateSets) -> Codes:
        """n_parents * n_children candidates for each row."""
        n, n_pool, words = pool.codes.shape
        n_parents = min(self.n_parents, n_pool)
        space = task.model.space
        children = np.empty((n, n_parents * self.n_children, words), np.uint64)
        shape = (space.n_latents, space.n_values, space.n_planes, space.plane_words)
        mode = ("none", "flip", "sparse_flip").index(self.mutation)
        target = float(np.sum(task.activity))
        _breed(
            pool.codes, pool.log_joint, task.batch.rows, n_parents, self.n_children, self.selection == "fitness",
            self.crossover, mode, self.mean_flips, target, shape, task.stream.words(), children,
        )  # fmt: skip
        return children


@njit(cache=True)
def _breed(
    codes: Any, log_joint: Any, rows: Any, n_parents: int, n_children: int, by_fitness: bool, crossover: bool,
    mode: int, mean_flips: float, target: float, shape: Any, words: Any, children: Any,
) -> None:  # fmt: skip
    state = open_stream(words)
    chosen = np.empty(n_parents, np.int64)
    order = np.empty(codes.shape[1], np.int64)
    fitness = np.empty(codes.shape[1])
    latents, indices = np.empty(shape[0], np.int64), np.empty(shape[0], np.int64)
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        if not (by_fitness and select_by_fitness(state, log_joint[n], fitness, chosen)):
            select_uniformly(state, order, chosen)
        for c in range(n_parents * n_children):
            child = children[n, c]
            child[:] = codes[n, chosen[c // n_children]]
            if crossover and n_parents > 1:
                # Any other parent is as likely to be the mate.
                other = (c // n_children + 1 + next_below(state, n_parents - 1)) % n_parents
                _cross(state, child, codes[n, chosen[other]], shape)
            if mode == 1:
                _change(state, child, next_below(state, shape[0]), shape)
            elif mode == 2:
                _flip_sparsely(state, child, mean_flips, target, shape, latents, indices)


@njit(cache=True)
def _cross(state: Any, child: Any, mate: Any, shape: Any) -> None:
    """Take the latents from a uniformly drawn cut on from the mate."""
    n_latents, _, n_planes, plane_words = shape
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
            child[i] = (child[i] & keep) | (mate[i] & ~keep)


@njit(cache=True)
def _change(state: Any, child: Any, h: int, shape: Any) -> None:
    """Give one latent another value, all others being equally likely."""
    _, n_values, n_planes, plane_words = shape
    index = get_value(child, h, n_planes, plane_words)
    index = (index + 1 + next_below(state, n_values - 1)) % n_values
    set_value(child, h, index, n_planes, plane_words)


@njit(cache=True)
def _flip_sparsely(
    state: Any, child: Any, mean_flips: float, target: float, shape: Any, latents: Any, indices: Any
) -> None:
    """Switch latents on and off so that H p changes are expected in all and c active latents after them.

    With a active now, half of H p + (c - a) are expected to be switched on and half of H p - (c - a) off, which are the
    probabilities p(0->1) = H p / (H + (alpha - 1) a) and p(1->0) = alpha p(0->1) of the paper; both are clipped.
    """
    n_latents, n_values, n_planes, plane_words = shape
    a = unpack(child, n_planes, plane_words, latents, indices)
    surplus = target - a
    switch_on = min(max(0.5 * (mean_flips + surplus) / max(n_latents - a, 1), 0.0), 1.0)
    switch_off = min(max(0.5 * (mean_flips - surplus) / max(a, 1), 0.0), 1.0)
    for i in range(a):
        if next_uniform(state) < switch_off:
            set_value(child, latents[i], 0, n_planes, plane_words)
        elif n_values > 2 and next_uniform(state) < switch_on:
            _change(state, child, latents[i], shape)
    if switch_on > 0.0:
        scale = 1.0 / np.log1p(-min(switch_on, 1.0 - 1e-12))
        h = np.int64(-1)
        passed = 0
        while True:
            h += 1 + np.int64(min(np.log1p(-next_uniform(state)) * scale, np.float64(n_latents)))
            if h >= n_latents:
                break
            # Latents that were active before had their turn above.
            while passed < a and latents[passed] < h:
                passed += 1
            if passed == a or latents[passed] != h:
                set_value(child, h, 1 + next_below(state, n_values - 1), n_planes, plane_words)
