"""What a model finds out at fixed parameters while it serves one block of rows after the other.

What belongs to the parameters (`prepared`) is shared and never written to. What grows with the rows that were seen
belongs to whoever makes the calls: one workspace for each thread, as long as the parameters stay.
"""

from typing import Any, Protocol, runtime_checkable

from prosper_ng.models.interface import Model


@runtime_checkable
class KeepsWorkspace(Protocol):
    """Models whose `preselect` takes one more argument, `workspace`, and finds again what it left there."""

    def workspace(self, prepared: Any) -> Any:
        """An empty one for these parameters; what it holds changes how long a call takes, never what comes out.

        `preselect` raises ValueError where it gets one of other parameters.
        """
        ...


def workspace_for(model: Model, prepared: Any) -> Any:
    """An empty workspace for a target; None where the model keeps nothing."""
    return model.workspace(prepared) if isinstance(model, KeepsWorkspace) else None
