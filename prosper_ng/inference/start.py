"""What a search over the rows of a run starts from: what its checkpoint has kept of them."""

from pathlib import Path

from prosper_ng.estep.kept_rows import named, state_of_rows
from prosper_ng.inference.inference import Inference, Start
from prosper_ng.inference.local_rows import LocalRows
from prosper_ng.inference.rows import Wanted
from prosper_ng.storage.checkpoint import FOLDER, Checkpoints
from prosper_ng.storage.manifest import CheckpointError


def states_of_run(inference: Inference, path: Path, wanted: Wanted, rows: LocalRows) -> Start:
    """What the run at `path` has kept of its own rows, those of this rank; all ranks call it together.

    Nothing where other rows are wanted, or the E-step keeps nothing. Where it does and there is no checkpoint that goes
    with the parameters, or that the E-step can go on from, a sentence says so, and the search starts from fresh states.
    """
    known = inference.known
    if wanted.path is not None or known.n_sweeps is None or not inference.row_state:
        return Start()
    folder = (path.parent if path.is_file() else path) / FOLDER
    owned = rows.blocks.owned_rows(rows.comm.rank, rows.comm.size)
    try:
        checkpoints = Checkpoints(folder, rows.comm, reads_only=True)
        found, notes = checkpoints.load_latest(owned.start, owned.stop, rows.blocks.n_rows)
    except CheckpointError as error:
        return _without(str(error))
    if found is None:
        return _without("; ".join([*notes, f"there is no checkpoint in {folder}"]))
    if found.iteration != known.n_sweeps:
        return _without(
            f"the newest checkpoint in {folder} was written after sweep {found.iteration}, and the parameters are "
            f"those after sweep {known.n_sweeps}"
        )
    kept = state_of_rows(found.rows)
    if not kept:
        return _without("the E-step that the run has learned with stores no states")
    if not inference.estep.can_take_up(kept, known.model, known.n_observed):
        return _without(f"the run has kept {named(kept)} for each row, and {named(inference.row_state)} is needed")
    sentence = (
        f"the search starts from the states that the run has stored for each row after sweep {found.iteration}; what "
        "it finds depends on these as well as on what a row holds"
    )
    return Start(found.rows, found.iteration, sentence)


def _without(reason: str) -> Start:
    return Start(sentence=f"the search starts from fresh states: {reason}")
