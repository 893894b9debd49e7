"""What a search over the rows of a run starts from: the state sets of its checkpoint."""

from pathlib import Path

from prosper_ng.inference.inference import Inference, Start
from prosper_ng.inference.local_rows import LocalRows
from prosper_ng.inference.rows import Wanted
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.storage.checkpoint import FOLDER, Checkpoints
from prosper_ng.storage.manifest import CheckpointError


def states_of_run(inference: Inference, path: Path, wanted: Wanted, rows: LocalRows) -> Start:
    """The states that the run at `path` has stored for its own rows, those of this rank; all ranks call it together.

    Nothing where other rows are wanted, or the E-step stores no states. Where it does and there is no checkpoint that
    goes with the parameters, a sentence says so, and the search starts from fresh states.
    """
    known = inference.known
    if wanted.path is not None or known.n_sweeps is None or not inference.stores_states:
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
    if "codes" not in found.rows:
        return _without("the E-step that the run has learned with stores no states")
    sentence = (
        f"the search starts from the states that the run has stored for each row after sweep {found.iteration}; what "
        "it finds depends on these as well as on what a row holds"
    )
    return Start(StateSets(found.rows["codes"], found.rows["log_joint"]), found.iteration, sentence)


def _without(reason: str) -> Start:
    return Start(sentence=f"the search starts from fresh states: {reason}")
