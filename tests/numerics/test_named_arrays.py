"""Shapes of arrays with names, and the pieces of one scale that they fall into."""

import pickle

from prosper_ng.numerics.named_arrays import NamedArrays, Triangle, segments


def test_a_triangle_keeps_its_rows_apart_and_travels():
    shapes = {"n": (), "y_s": (3, 2), "s_s": Triangle(3)}
    assert Triangle(3) == (6,)
    assert segments(shapes) == [1, 2, 2, 2, 1, 2, 3]
    for arrays in (NamedArrays(shapes), pickle.loads(pickle.dumps(NamedArrays(shapes))), NamedArrays(shapes).copy()):
        assert arrays["s_s"].shape == (6,)
        assert segments(arrays.shapes) == segments(shapes)
