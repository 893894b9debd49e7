"""Which rows a sweep visits: the same whoever owns them, and never none."""

import numpy as np
import pytest
from scipy.stats import kstest

from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.data_selection import noisy_values, visited_rows

BLOCKS = RowBlocks(50, 4, 2)


def visits(sweep, part, size, fraction):
    """The rows of a part that all ranks visit, and the number of ranks that visit any."""
    point, found = Annealing(row_fraction=fraction).at(0, 1), []
    for rank in range(size):
        mine, everyone = (BLOCKS.pieces(part, of) for of in (BLOCKS.owned(rank, size), range(BLOCKS.n_blocks)))
        found.append(np.concatenate([np.empty(0, int), *visited_rows(7, sweep, mine, everyone, point)]))
    return np.concatenate(found).tolist(), sum(len(rows) > 0 for rows in found)


@pytest.mark.parametrize("fraction", [1e-12, 0.03, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("size", [2, 3, 20])
def test_any_number_of_ranks_visits_the_same_rows_of_a_part(size, fraction):
    for sweep in range(20):
        for part in range(2):
            assert visits(sweep, part, size, fraction)[0] == visits(sweep, part, 1, fraction)[0]


def test_where_no_row_is_drawn_one_rank_visits_one_and_it_differs_from_sweep_to_sweep():
    found = [visits(sweep, part, 3, 1e-12) for sweep in range(40) for part in range(2)]
    assert all((len(rows), n_ranks) == (1, 1) for rows, n_ranks in found)
    assert all(rows[0] // 4 % 2 == number % 2 for number, (rows, _) in enumerate(found))
    assert len({rows[0] for rows, _ in found}) > 20


def test_the_row_visited_after_all_is_the_first_that_a_larger_share_would_visit():
    for sweep in range(10):
        rows = next(rows for n in range(1, 1000) if len(rows := visits(sweep, 0, 1, n / 1000)[0]))
        assert visits(sweep, 0, 1, 1e-12)[0][0] in rows


@pytest.mark.parametrize("block_rows", [1, 3, 50])
def test_draws_are_those_of_rows_whatever_the_blocks(block_rows):
    point, blocks = Annealing(row_fraction=0.4, data_noise=2.0).at(0, 1), RowBlocks(50, block_rows)
    rows = np.concatenate(list(visited_rows(7, 3, blocks.pieces(0, range(blocks.n_blocks)), (), point)))
    whole = np.concatenate(list(visited_rows(7, 3, [range(50)], (), point)))
    assert rows.tolist() == whole.tolist()
    assert 10 < len(rows) < 30
    values = np.zeros((50, 3))
    noise = noisy_values(7, 3, np.arange(50), values, point)
    in_blocks = [
        noisy_values(7, 3, np.array(each), values[each], point) for each in blocks.pieces(0, range(blocks.n_blocks))
    ]
    assert (np.concatenate(in_blocks) == noise).all()


def test_noise_is_normal():
    noise = noisy_values(1, 0, np.arange(4000), np.zeros((4000, 5)), Annealing(data_noise=0.5).at(0, 1))
    assert kstest(noise.ravel() / 0.5, "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(noise, rowvar=False) - np.eye(5)).max() < 0.06
    assert len(np.unique(noise)) == noise.size
