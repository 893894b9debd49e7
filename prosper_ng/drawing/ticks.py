"""Numbers at axes: round ones, as many as there is room for, each with as many digits as tells it from the next."""

import math
from collections.abc import Sequence

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_WHOLE_STEPS = (1.0, 2.0, 5.0, 10.0)
_MOST_WHOLE = 6
_PLAIN = (1e-4, 1e6)
"""Between these, numbers are written without a power of ten."""


def ticks_in(low: float, high: float, n_steps: int, steps: Sequence[float] = _STEPS, least: float = 0.0) -> list[float]:
    """Multiples of a round step, `least` or more, which lie from `low` to `high`.

    There are at most `n_steps` + 1 of them, or two where a smaller step is needed for so many.
    """
    raw = max((high - low) / n_steps, least)
    power = 10.0 ** math.floor(math.log10(raw))
    place = next(place for place, each in enumerate(steps) if each * power >= raw * (1 - 1e-9))
    smaller = [each * power for each in steps[place::-1]] + [each * power / 10 for each in steps[::-1]]
    ticks: list[float] = []
    for step in smaller:
        if len(ticks) < 2 and step >= least:
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            ticks = [number * step for number in range(first, last + 1)]
    return ticks


def whole_ticks_in(low: float, high: float, is_log: bool = False) -> list[float]:
    """Whole numbers from `low` to `high` at equal distances; powers of ten where the axis is logarithmic."""
    if is_log:
        return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    return ticks_in(low, high, _MOST_WHOLE, _WHOLE_STEPS, least=1.0)


def labels_of(ticks: Sequence[float]) -> list[str]:
    """What to write at equally distant ticks."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    power = 0 if largest == 0 or _PLAIN[0] <= largest < _PLAIN[1] else math.floor(math.log10(largest))
    values = [tick / 10.0**power for tick in ticks]
    step = abs(values[1] - values[0]) if len(values) > 1 else abs(largest / 10.0**power)
    digits = next((n for n in range(15) if all(_is_written(value, n, step) for value in values)), 15)
    written = [f"{0.0 if value == 0 else value:.{digits}f}" for value in values]
    if power:
        written = [f"{number}e{power}" if value else "0" for number, value in zip(written, values, strict=True)]
    return [number.replace("-", "−") for number in written]


def _is_written(value: float, digits: int, step: float) -> bool:
    """Whether so many digits say a value, as exactly as it is told from the next one."""
    return abs(round(value, digits) - value) <= 1e-6 * step
