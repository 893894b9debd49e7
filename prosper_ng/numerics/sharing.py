"""Work that several do a share of each, whoever they are."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Share(NamedTuple):
    """The part of one of several; each leaves zeros for what the others find."""

    number: int = 0
    n_shares: int = 1
    add_up: Callable[[NDArray[np.float64]], None] = lambda found: None
    """Replaces what one found (n,) by the sum of what all found."""

    def of(self, n_pieces: int) -> range:
        """The pieces of this one."""
        return range(self.number, n_pieces, self.n_shares)

    def together(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """What all found, whole numbers below 2^53."""
        if self.n_shares == 1:
            return found
        message = found.astype(np.float64).reshape(-1)
        self.add_up(message)
        return message.reshape(found.shape).astype(np.int64)


ALONE = Share()
