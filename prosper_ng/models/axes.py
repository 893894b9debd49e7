"""What the axes of parameters are called outside their model: by the symbols of the papers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from prosper_ng.models.interface import Model, learnable
from prosper_ng.numerics.named_arrays import Shape

Axes = tuple[str, ...]


class Counted(NamedTuple):
    """What a model has many of, each with an element of its own."""

    field: str
    """The field of the model that says how many."""
    symbol: str
    word: str


COUNTED = (Counted("n_latents", "H", "latents"), Counted("n_components", "C", "components"))
_IN_WORDS = {"D": "n_observed", "K": "n_values"} | {each.symbol: each.field for each in COUNTED}
"""What an axis is called where its symbol is that of a parameter: a dictionary may be `D`."""


def counted_by(model: object) -> tuple[Counted, int | None]:
    """What a model has many of, and how many; None where it does not say."""
    for each in COUNTED:
        number = getattr(model, each.field, None)
        if isinstance(number, int):
            return each, number
    return COUNTED[0], None


def axes_of(model: Model, n_observed: int) -> dict[str, Axes]:
    """The names of the axes of each parameter that can be learned: `("D", "H")` of a dictionary (D, H).

    `D` counts columns of the data, `H` latents and `C` components, `K` the one other thing that a model counts, such as
    the values of a latent; where it counts several, an axis is `pi_1`, by parameter and place. A covariance has `D` and
    `D_2`.
    """
    shapes = _shapes(model, n_observed)
    counted, n_latents = counted_by(model)
    wider = _or_guess(shapes, n_observed, lambda: _shapes(model, n_observed + 1))
    longer = _or_guess(shapes, n_latents, lambda: _shapes(_with_one_more(model, counted.field), n_observed))
    sides = {name: list(zip(shapes[name], wider[name], longer[name], strict=True)) for name in shapes}

    def symbol(each: tuple[int, int, int]) -> str | None:
        return _symbol(*each, n_observed, n_latents, counted.symbol)

    symbols = {name: list(map(symbol, own)) for name, own in sides.items()}
    unknown = {each[0] for own in sides.values() for each in own if symbol(each) is None}
    words = {each: each if each not in shapes else in_words for each, in_words in _IN_WORDS.items()}
    last = words["K"] if len(unknown) == 1 else None
    return {
        name: distinct(tuple(words.get(each or "", last or f"{name}_{place}") for place, each in enumerate(own)))
        for name, own in symbols.items()
    }


def distinct(axes: Axes) -> Axes:
    """The names, numbered where they come again: `("D", "D_2")`. No axis of an array is called like another."""
    return tuple(
        f"{name}_{axes[:place].count(name) + 1}" if name in axes[:place] else name for place, name in enumerate(axes)
    )


def _symbol(side: int, wider: int, longer: int, n_observed: int, n_latents: int | None, of_latents: str) -> str | None:
    """What counts along an axis, by its length as it is, with one more column and with one more latent."""
    if (side, wider) == (n_observed, n_observed + 1):
        return "D"
    return of_latents if n_latents is not None and (side, longer) == (n_latents, n_latents + 1) else None


def _shapes(model: Model, n_observed: int) -> dict[str, Shape]:
    return {name: spec.shape for name, spec in learnable(model.parameters(n_observed)).items()}


def _with_one_more(model: Model, field: str) -> Model:
    kind: Any = model
    changed: Model = replace(kind, **{field: getattr(kind, field) + 1})
    return changed


def _or_guess(shapes: dict[str, Shape], count: int | None, changed: Callable[[], dict[str, Shape]]) -> dict[str, Shape]:
    """The shapes where something counts one more; those in which every side of that length is one longer, where no such
    model can be made.
    """
    try:
        found = changed()
    except Exception:
        # A plug-in may allow for some numbers of columns or latents only, and say so in whatever way.
        found = {}
    if {name: len(shape) for name, shape in found.items()} == {name: len(shape) for name, shape in shapes.items()}:
        return found
    return {name: tuple(side + (side == count) for side in shape) for name, shape in shapes.items()}
