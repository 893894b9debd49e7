"""The M-step of all ranks: the same bits as by one, whatever the second moments are like, and nobody left waiting."""

import numpy as np
import pytest

from prosper_ng.numerics import linear
from prosper_ng.numerics.named_arrays import Triangle
from prosper_ng.numerics.tiles import LEAST_TILED
from prosper_ng.parallel.team import on_team
from prosper_ng.training.joint_algebra import JointAlgebra

H, D = LEAST_TILED + 70, 40


def problem(case):
    rng = np.random.default_rng(5)
    states = (rng.random((3 * H, H)) < 0.05).astype(float)
    if case == "unused":
        states[:, [3, 700]] = 0.0
    elif case == "equal":
        states[:, 9] = states[:, 800] = states[:, 2]
    elif case == "dependent":
        states[:, H // 2 :] = states[:, : H - H // 2] @ rng.standard_normal((H - H // 2, H - H // 2)) / 30
    values = rng.standard_normal((3 * H, D))
    return states.T @ states, values.T @ states, rng.standard_normal((D, H))


def solve(moment, right, old):
    """As an M-step does: new W, and its second moment twice, after another one's."""
    found = linear.solve_least_change(moment, right, old)
    triangle = linear.packed(moment)
    energies = [linear.times_symmetric(W, triangle) for W in (found, old)]
    triangle[7] += 1.0  # the same memory, another matrix
    return [found, *energies, linear.times_symmetric(found, triangle)]


def together(size, work):
    def each(comm):
        with JointAlgebra(comm, {"s_s": Triangle(H), "n": ()}).shared() as leads:
            return work() if leads else None

    return on_team(size, each)[0]


@pytest.mark.parametrize("case", ["well posed", "unused", "equal", "dependent"])
def test_the_bits_are_those_of_one(case):
    moment, right, old = problem(case)
    alone = solve(moment, right, old)
    assert np.allclose(alone[0] @ moment, right, atol=1e-7 * np.abs(right).max())
    assert np.allclose(alone[1], alone[0] @ moment, rtol=1e-9, atol=1e-9 * np.abs(right).max())
    assert not np.array_equal(alone[1], alone[3])
    if case == "unused":
        assert (alone[0][:, [3, 700]] == old[:, [3, 700]]).all()
    elif case == "equal":
        changes = (alone[0] - old)[:, [2, 9, 800]]
        assert np.allclose(changes, changes[:, :1], rtol=1e-9)
    for size in (2, 3):
        shared = together(size, lambda: solve(moment, right, old))
        assert [each.tobytes() for each in shared] == [each.tobytes() for each in alone]


def test_an_error_of_root_that_the_block_deals_with_leaves_nobody_waiting():
    def fail():
        linear.times_symmetric(np.ones((2, H)), linear.packed(np.eye(H)))
        return

    assert together(3, fail) is None


def test_an_error_amid_an_operation_is_not_passed_over(monkeypatch):
    from prosper_ng.training import joint_algebra

    def products(left, symmetric, group):
        if group.is_root:
            raise MemoryError
        return group.sum_in_place(np.zeros(left.shape))

    monkeypatch.setattr(joint_algebra.tiles, "products", products)

    def swallow():
        try:
            linear.times_symmetric(np.ones((2, H)), linear.packed(np.eye(H)))
        except MemoryError:
            return

    with pytest.raises(RuntimeError, match="amid linear algebra"):
        together(2, swallow)


def test_small_moments_are_left_to_root():
    class Silent:
        rank, size, is_root = 0, 2, True

    with JointAlgebra(Silent(), {"s_s": Triangle(LEAST_TILED - 1)}).shared() as leads:
        assert leads
        assert linear.times_symmetric(np.ones((1, 3)), np.ones(6)).tolist() == [[3.0, 3.0, 3.0]]
