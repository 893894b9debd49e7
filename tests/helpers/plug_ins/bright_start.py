"""Binary sparse coding that starts from a dictionary without small values: a model in a file of its own."""

import numba

import prosper_ng
from prosper_ng.models.bsc import BSC


@numba.njit(cache=True)
def at_least(values, floor):
    """Raise what is below the floor; in place."""
    for place in range(values.size):
        values[place] = max(values[place], floor)


@prosper_ng.plugin("models")
class BrightStart(BSC):
    """Binary sparse coding from a start without small values."""

    floor: float = 4.0
    """What no value of the first dictionary is below."""

    def initial(self, moments, rng):
        """That of binary sparse coding, small values raised."""
        params = super().initial(moments, rng)
        at_least(params["W"].reshape(-1), self.floor)
        return params
