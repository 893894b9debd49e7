"""From blocks to points: products, zips, lists, random draws, and their sums. Pure: knows no file and no run."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from prosper_ng.campaigns.campaign_config import Block, CampaignConfig, Random, Range

Where = tuple[str | int, ...]
"""The way to a value in the campaign's file, such as ("grid", "model.H", 2)."""
MOST_POINTS = 100_000
_DIGITS = 6
"""Drawn numbers are short, so that they can be read, and the same wherever they are drawn."""


class PointValue(NamedTuple):
    """A value of a point."""

    value: Any
    where: Where


Assignment = dict[str, PointValue]


class Fault(NamedTuple):
    """What makes no sense in a campaign, and where it is written."""

    where: Where
    message: str


class Expansion(NamedTuple):
    """The points of a campaign, in the order of writing, and what is wrong."""

    points: list[Assignment]
    faults: list[Fault]


def expand(config: CampaignConfig) -> Expansion:
    """All points but for the excluded ones; a campaign without blocks is one point."""
    faults: list[Fault] = []
    points = _product([_points_of(config, (), config.seed, faults), *_sum(config, faults)], faults)
    faults += _nested(points)
    if faults:
        return Expansion([], faults)
    kept = [point for point in points if not any(matches(point, excluded) for excluded in config.exclude)]
    for number, excluded in enumerate(config.exclude):
        if not excluded or not any(matches(point, excluded) for point in points):
            faults.append(Fault(("exclude", number), _excludes_nothing(excluded, points)))
    if not kept and not faults:
        faults.append(Fault(("exclude",), "all points are excluded; there is nothing to run"))
    return Expansion(kept, faults)


def matches(point: Assignment, excluded: Mapping[str, Any]) -> bool:
    """Whether a point has all these values."""
    return all(key in point and same(point[key].value, value) for key, value in excluded.items())


def same(a: Any, b: Any) -> bool:
    """Whether two values say the same; 2 and 2.0 do, 1 and true do not."""
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return canonical(a) == canonical(b)
    return a == b


def canonical(value: Any) -> str:
    """One text for values that say the same."""
    return json.dumps(value, sort_keys=True)


def _sum(config: CampaignConfig, faults: list[Fault]) -> list[list[Assignment]]:
    """The points of all blocks of the sum, as one factor; no factor without a sum."""
    if config.sum is None:
        return []
    blocks = [_points_of(block, ("sum", number), config.seed, faults) for number, block in enumerate(config.sum)]
    for number, block in enumerate(config.sum):
        if block == Block():
            faults.append(Fault(("sum", number), "a block needs some of grid, zip, list, random"))
    return [[point for block_points in blocks for point in block_points]]


def _points_of(block: Block, where: Where, seed: int, faults: list[Fault]) -> list[Assignment]:
    """The points of a block: one without values where it has no parts."""
    factors: list[list[Assignment]] = []
    for part, axes in (("grid", block.grid), ("zip", block.zip), ("random", block.random and block.random.axes)):
        if axes == {}:
            faults.append(Fault((*where, part), f"`{part}` has no axes; give some keys with their values"))
            return []
    for key, values in (block.grid or {}).items():
        _refuse_repetitions(key, values, (*where, "grid", key), faults)
        factors.append([{key: PointValue(value, (*where, "grid", key, n))} for n, value in enumerate(values)])
    if block.zip is not None:
        factors.append(_zip(block.zip, (*where, "zip"), faults))
    if block.list is not None:
        factors.append(
            [
                {key: PointValue(value, (*where, "list", n, key)) for key, value in entry.items()}
                for n, entry in enumerate(block.list)
            ]
        )
    if block.random is not None:
        factors.append(_random(block.random, (*where, "random"), seed))
    return _product(factors, faults)


def _zip(axes: Mapping[str, Sequence[Any]], where: Where, faults: list[Fault]) -> list[Assignment]:
    (first, values), *others = axes.items()
    for key, other in others:
        if len(other) != len(values):
            message = f"the axes of a zip are of one length, but `{first}` has {len(values)} and `{key}` {len(other)}"
            faults.append(Fault((*where, key), message))
    length = min(map(len, axes.values()))
    return [{key: PointValue(axes[key][n], (*where, key, n)) for key in axes} for n in range(length)]


def _random(random: Random, where: Where, seed: int) -> list[Assignment]:
    return [
        {
            key: _draw(source, _uniform(f"{seed}/{key}/{n}"), (*where, "axes", key))
            for key, source in random.axes.items()
        }
        for n in range(random.n_points)
    ]


def _uniform(what: str) -> float:
    """A number in [0, 1) that is a function of the text."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:6], "big") / (1 << 48)


def _draw(source: Range | Sequence[Any], uniform: float, where: Where) -> PointValue:
    """The value that a uniform number in [0, 1) stands for."""
    if not isinstance(source, Range):
        number = int(uniform * len(source))
        return PointValue(source[number], (*where, number))
    low, high = source.low, source.high + source.integer
    drawn = low + uniform * (high - low) if source.scale == "linear" else low * math.exp(uniform * math.log(high / low))
    if source.integer:
        return PointValue(min(int(drawn), int(source.high)), where)
    return PointValue(min(max(float(f"{drawn:.{_DIGITS}g}"), source.low), source.high), where)


def _product(factors: Sequence[Sequence[Assignment]], faults: list[Fault]) -> list[Assignment]:
    """Each point of the first factor with each of the second, and so on, the last one varying fastest."""
    owners: dict[str, PointValue] = {}
    for factor in factors:
        keys = {key: cell for point in reversed(factor) for key, cell in point.items()}
        for key, cell in keys.items():
            if key in owners:
                faults.append(Fault(cell.where, f"the axis `{key}` is given twice in what is combined"))
        owners |= keys
    if math.prod(map(len, factors)) > MOST_POINTS:
        faults.append(Fault(next(iter(owners.values())).where[:1], f"this makes more than {MOST_POINTS:,} points"))
        return []
    return [{key: cell for part in parts for key, cell in part.items()} for parts in product(*factors)]


def _nested(points: Iterable[Assignment]) -> list[Fault]:
    """Keys of one point of which one lies in the other: which would be set first?"""
    faults: dict[tuple[str, str], Fault] = {}
    for keys, point in {tuple(point): point for point in points}.items():
        for inner in keys:
            for outer in keys:
                if inner.startswith(f"{outer}."):
                    message = f"the axis `{inner}` lies in the axis `{outer}` of the same points; give one of them"
                    faults.setdefault((inner, outer), Fault(point[inner].where, message))
    return list(faults.values())


def _refuse_repetitions(key: str, values: Sequence[Any], where: Where, faults: list[Fault]) -> None:
    seen: list[Any] = []
    for number, value in enumerate(values):
        if any(same(value, other) for other in seen):
            faults.append(Fault((*where, number), f"the axis `{key}` has the value {canonical(value)} twice"))
        seen.append(value)


def _excludes_nothing(excluded: Mapping[str, Any], points: Sequence[Assignment]) -> str:
    axes = {key for point in points for key in point}
    if not excluded:
        return "this names no values to exclude"
    strangers = [key for key in excluded if key not in axes]
    if strangers:
        known = ", ".join(sorted(axes)) or "none"
        return f"`{strangers[0]}` is no axis, so this excludes nothing; the axes are {known}"
    return "no point has these values, so this excludes nothing"
