"""The memory of a run as a formula in N, D, H, S and the ranks, and whether the hosts have it.

With K values of a latent, w words of a packed state, n rows in a block, P entries of all statistics and Q of all
parameters, a rank of N_r rows needs, in bytes:

| what | bytes |
| --- | --- |
| data | p N_r D, p = 8 or, in single precision, 4; nothing where rows stay in a file, or beyond 1 GiB in a picture |
| state sets | N_r R, R bytes that the E-step keeps of each row: S (8 w + 8) for S states with their log joints |
| block | n (32 D + 8 H (3 (K - 1) + 2) + C (8 w + 8) + 24 L), C states copied or proposed, L weighed; weights 8 N_r |
| statistics | 8 P (12 + 3 for MPI), and on root + 8 P' for each update in a sweep, or a share of it on all |
| M-step | 40 U on root, or a share on all; 16 H^2 on other ranks that help with second moments, from H = 1024 on |
| parameters | 8 * 4 Q, and on root 8 * 4 M for M numbers that the M-step remembers |
| program | what Python, its libraries and the compiled kernels take; 160 P for a picture of P values, in groups 336 P |

P' entries are kept of each part: P, or 2 where the model learns from one part at a time. U is P with triangles
unpacked, about H^2 / 2 more. `data` and `state sets` alone depend on N. The rest is an upper estimate: it is a sum
over steps that come one after the other.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from prosper_ng.data.dataset import Dataset
from prosper_ng.data.memory_settings import Memory, text_of
from prosper_ng.errors import UserError
from prosper_ng.estep.kept_rows import row_bytes, row_state_of
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.numerics.named_arrays import Shape, Triangle, n_numbers
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.memory import HostMemory, host_memory, peak_memory
from prosper_ng.parallel.rows import MOST_TOGETHER, RowBlocks
from prosper_ng.training.joint_algebra import is_joint, side_of
from prosper_ng.training.owners import most_sharing
from prosper_ng.training.totals import kept_statistics_of, memory_of, statistics_of

PROGRAM = 240 << 20
"""What a rank takes before it holds any data, measured with numba's cache filled: 216 to 229 MiB alone, under MPI 214,
and 245 on root. About 120 MiB of it are libraries, which the ranks of a host share."""
_KEPT_POSTERIORS = 1 << 28
"""What `training.em` keeps of the posteriors of a part, at most, where data are pruned."""


class Sizes(NamedTuple):
    """The numbers that the memory of a rank is a function of, but for its rows; the same on all ranks."""

    n_observed: int
    """D."""
    row_bytes: int
    """R, what is kept of each row from sweep to sweep."""
    working_bytes: int
    """Of a row while it is worked on, besides its values."""
    n_statistics: int
    """P."""
    n_unpacked: int
    """U, as many with the matrices that the M-step makes of triangles."""
    side: int
    """H where there are second moments, else 0."""
    n_parameters: int
    """Q."""
    prunes: bool
    """Whether the posteriors of a part are kept until it is known which rows count."""
    n_kept: int
    """P', entries of the statistics that are kept of each part."""
    n_remembered: int
    """M, entries of what the M-step remembers."""
    most_sharing: int = 1
    """Up to how many ranks share M-steps, and what is kept of each part; 1 where root does them."""
    held_bytes: int = 0
    """What the dataset holds itself, on every rank."""
    is_held: bool = False
    """Whether rows are cut out of that."""
    is_weighted: bool = False
    """Whether each row has a weight."""


class Needs(NamedTuple):
    """Bytes that a rank needs, by what for."""

    data: int
    states: int
    block: int
    statistics: int
    parameters: int
    program: int = PROGRAM

    @property
    def total(self) -> int:
        """Bytes of all."""
        return sum(self)

    def __str__(self) -> str:
        """The total and its parts, in one line."""
        program = "program" if self.program == PROGRAM else "program and pictures"
        parts = zip(("data", "state sets", "block", "statistics", "parameters", program), self, strict=True)
        return f"{text_of(self.total)} ({', '.join(f'{name} {text_of(size)}' for name, size in parts)})"


class MemoryPlan(NamedTuple):
    """What each rank and each host needs, as root knows it."""

    largest: Needs
    """Of the rank that needs most."""
    hosts: list[HostMemory]

    def __str__(self) -> str:
        """For the log: the rank that needs most, and the host that has least to spare."""
        fullest = max(self.hosts, key=lambda host: host.needed - (host.available or 0))
        ranks = "1 rank" if fullest.n_ranks == 1 else f"{fullest.n_ranks} ranks"
        there = "" if fullest.available is None else f", of {text_of(fullest.available)} that are free"
        needed = text_of(fullest.needed)
        return f"memory: a rank takes up to {self.largest}; host {fullest.host} with {ranks} gives {needed} more{there}"


def sizes_of(config: LearningSettings, n_observed: int, dataset: Dataset | None = None, bytes_after: int = 0) -> Sizes:
    """The sizes of a run over rows of D values, those of a dataset where it is given.

    `bytes_after` are held after the last sweep, beyond those of the dataset.

    Raises UserError where the E-step refuses the model.
    """
    model, estep = config.model, config.chosen_estep.estep
    estep.check(model)
    specs = {name: spec.shape for name, spec in model.parameters(n_observed).items()}
    statistics, pruning = statistics_of(model, n_observed), config.training.annealing.data_pruning
    return Sizes(
        n_observed, row_bytes(row_state_of(estep, model, n_observed)), estep.working_bytes(model),
        n_numbers(statistics), _n_unpacked(statistics), side_of(statistics), n_numbers(specs),
        estep.max_active is not None and bool(np.any(np.asarray(pruning))),
        n_numbers(kept_statistics_of(model, n_observed)), n_numbers(memory_of(model, n_observed)),
        most_sharing(model, n_observed),
        *((dataset.held_bytes + bytes_after, dataset.is_held) if dataset is not None else ()),
    )  # fmt: skip


def _n_unpacked(shapes: Mapping[str, Shape]) -> int:
    return sum(shape.n**2 if isinstance(shape, Triangle) else math.prod(shape) for shape in shapes.values())


def needs_of(sizes: Sizes, memory: Memory, blocks: RowBlocks, rank: int, size: int) -> Needs:
    """The memory of one of `size` ranks."""
    n_rows, n_together = len(blocks.owned_rows(rank, size)), min(blocks.block_rows, MOST_TOGETHER, blocks.n_rows)
    data = n_rows * sizes.n_observed * np.dtype(memory.dtype).itemsize
    states = n_rows * sizes.row_bytes
    of_row = 32 * sizes.n_observed + sizes.working_bytes
    kept = min(_KEPT_POSTERIORS, n_rows * of_row) + 40 * n_rows if sizes.prunes else 0
    n_buffers, is_root = 12 + 3 * (size > 1), rank == 0
    # A helper of large M-steps has the second moment in its lower triangle, and its factor in a square.
    share = 1 / size if 1 < size <= sizes.most_sharing else float(is_root)
    of_matrices = 5 * sizes.n_unpacked * share if share else 2 * sizes.side**2 * is_joint(sizes.side, size)
    keeps_data = not memory.cuts_data(data) if sizes.is_held else memory.keeps_data(data)
    return Needs(
        data * keeps_data,
        states if memory.keeps_states(states) else 0,
        n_together * of_row + kept + 8 * n_rows * sizes.is_weighted,
        8 * int(sizes.n_statistics * n_buffers + of_matrices + sizes.n_kept * blocks.n_parts * share),
        8 * 4 * (sizes.n_parameters + sizes.n_remembered * is_root),
        PROGRAM + sizes.held_bytes,
    )


def planned(
    config: LearningSettings, sizes: Sizes, blocks: RowBlocks, comm: Communicator, of_image: bool = False
) -> MemoryPlan | None:
    """What the run needs, on root; raises UserError on all ranks where a host does not have it.

    `of_image` says whether the rows are patches of an image, which may be fewer.

    To be called before anything large is allocated, by all ranks.
    """
    own = needs_of(sizes, config.memory, blocks, comm.rank, comm.size)
    hosts = host_memory(comm, own.total - min(own.program, peak_memory()))
    plan = None
    with collectively(comm, ""):
        if hosts is not None:
            others = (needs_of(sizes, config.memory, blocks, rank, comm.size) for rank in range(comm.size))
            plan = MemoryPlan(max(others, key=lambda needs: needs.total), hosts)
            for host in hosts:
                if host.available is not None and host.needed > host.available:
                    raise UserError(_refusal(config, sizes, plan, host, of_image))
    return plan


def _refusal(config: LearningSettings, sizes: Sizes, plan: MemoryPlan, host: HostMemory, of_image: bool) -> str:
    """What is needed, what is there, and what would help."""
    assert host.available is not None
    largest, ranks = plan.largest, "1 rank" if host.n_ranks == 1 else f"{host.n_ranks} ranks"
    return (
        f"{ranks} on host {host.host} would need {text_of(host.needed)} of memory, and {text_of(host.available)} are "
        f"free there; a rank needs {largest}: {', or '.join(_ways_out(config, sizes, plan, host, of_image))}"
    )


def _ways_out(config: LearningSettings, sizes: Sizes, plan: MemoryPlan, host: HostMemory, of_image: bool) -> list[str]:
    """What makes a run fit: fewer patches, more hosts, fewer states, rows in a file, each where it is enough."""
    largest, share = plan.largest, (host.available or 0) / host.n_ranks
    fixed = largest.total - largest.data - largest.states
    ways = []
    if fixed < share:
        times = (largest.data + largest.states) / (share - fixed)
        if of_image:
            # A stride of k leaves one in k^2 of all patches.
            ways.append(f"cut fewer patches, with {math.ceil(math.sqrt(times))} times the data.stride or a data.crop")
        ways.append(f"start the ranks on {max(math.ceil(times * len(plan.hosts)), len(plan.hosts) + 1)} hosts or more")
    if largest.states and (room := share - fixed - largest.data) > 0:
        of_row = room / largest.states * sizes.row_bytes
        ways += filter(None, [config.chosen_estep.estep.ways_to_keep_less(config.model, of_row)])
    if largest.data and largest.total - largest.data < share:
        ways.append("keep the rows in a file with memory.data_budget, such as 1GiB for each rank")
    elif largest.states and fixed < share:
        ways.append("keep rows and state sets in files with memory.data_budget and memory.states_budget")
    return ways or ["choose a smaller model.n_latents or training.block_rows, or a larger machine"]
