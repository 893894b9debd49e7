"""The folder of checkpoints as the one process that may write there sees it."""

import contextlib
import shutil
from pathlib import Path

import numpy as np

from prosper_ng import access
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage import atomic, checkpoint_file, manifest
from prosper_ng.storage.checkpoint_file import Header, RootArray
from prosper_ng.storage.manifest import CheckpointError, Damaged, DataFile, Manifest

_ROOM = 2
"""How many times the size of a checkpoint must be free before it is written."""


class CheckpointFolder:
    """Commits, finds and removes checkpoints; errors of the disk come out as OSError."""

    def __init__(self, path: Path, reads_only: bool = False) -> None:
        """Checkpoints under `path`; damaged ones stay where it `reads_only`."""
        self.path = path
        self.reads_only = reads_only
        self._passed: set[int] = set()

    def temporary(self, iteration: int, first_row: int) -> Path:
        """Where a new data file grows that begins with this row."""
        return self.path / f".{manifest.stem(iteration)}-{first_row}.h5.tmp"

    def lack_of_room(self, n_bytes: int) -> str | None:
        """Why a checkpoint of this size should not be begun; makes the folder where it does not exist."""
        self.path.mkdir(parents=True, exist_ok=True)
        atomic.remove_leftovers(self.path)
        self._remove_orphans(manifest.iterations_in(self.path))
        free = shutil.disk_usage(self.path).free
        if free >= _ROOM * n_bytes:
            return None
        return f"{free / 1e6:,.1f} MB are free in {self.path} and {_ROOM * n_bytes / 1e6:,.1f} MB are needed"

    def publish(self, temporary: Path, header: Header, first_row: int) -> DataFile:
        """Read a finished data file back and give it its final name."""
        atomic.drop_cached_pages(temporary)
        if checkpoint_file.read_through(temporary).to_bytes().tobytes() != header.to_bytes().tobytes():
            raise OSError(f"{temporary.name} does not read back as it was written")
        sha256 = atomic.sha256_of(temporary)
        n_bytes = temporary.stat().st_size
        # The digest in the name keeps a second checkpoint of an iteration from overwriting the data of the first.
        path = self.path / f"{manifest.stem(header.iteration)}-{sha256[:8]}.h5"
        temporary.replace(path)
        atomic.sync_folder(self.path)
        return DataFile(path.name, sha256, n_bytes, first_row, first_row + header.n_rows)

    def commit(self, new: Manifest) -> None:
        """Make this the newest checkpoint; its files are published, maybe by other hosts."""
        for file in new.files:
            if (self.path / file.name).stat().st_size != file.n_bytes:
                raise OSError(f"{self.path / file.name} has another size than the rank has that wrote it")
        new.write(self.path)

    def prune(self, keep: int) -> None:
        """Remove all but the newest `keep` checkpoints, manifest first, and data files that no manifest names."""
        iterations = manifest.iterations_in(self.path)
        for iteration in iterations[keep:]:
            (self.path / f"{manifest.stem(iteration)}.json").unlink()
        self._remove_orphans(iterations[:keep])

    def newest(self) -> tuple[Manifest | None, list[str]]:
        """The newest manifest that makes sense, and a note on each other one, which is set aside.

        Raises CheckpointError where one cannot be read just now: what is older would take its place for good.
        """
        notes: list[str] = []
        try:
            iterations = manifest.iterations_in(self.path)
        except access.CannotOpen as error:
            raise CheckpointError(f"the checkpoints of the run cannot be looked for: {error}") from error
        for iteration in iterations:
            if iteration in self._passed:
                continue
            try:
                return manifest.read(self.path, iteration), notes
            except access.CannotOpen as error:
                raise CheckpointError(f"the newest checkpoint cannot be taken up: {error}") from error
            except (Damaged, OSError) as error:
                notes.append(self.set_aside(iteration, str(error)))
        return None, notes

    def read_first(self, found: Manifest) -> tuple[Header, dict[str, RootArray]]:
        """The header of the first file, and root's arrays; raises Damaged, or OSError."""
        first = found.files[0]
        header = checkpoint_file.read_header(self.path / first.name)
        if (header.iteration, header.n_rows) != (found.iteration, first.stop - first.start):
            raise Damaged("its manifest and its data belong to different checkpoints")
        arrays = checkpoint_file.read_root(self.path / first.name)
        for name, value in arrays.items():
            if isinstance(value, NamedArrays) and not np.isfinite(value.buffer).all():
                raise Damaged(f"{name} holds numbers that are not finite")
        return header, arrays

    def _remove_orphans(self, iterations: list[int]) -> None:
        """Remove data files that none of the manifests of these iterations names: of writers that did not finish."""
        named: set[str] = set()
        unknown: set[int] = set()
        for iteration in iterations:
            try:
                named.update(file.name for file in manifest.read(self.path, iteration).files)
            except (Damaged, CheckpointError, access.CannotOpen):
                unknown.add(iteration)
        for path in self.path.iterdir():
            match = manifest.DATA_NAME.fullmatch(path.name)
            if match and path.name not in named and int(match[1]) not in unknown:
                path.unlink()

    def set_aside(self, iteration: int, reason: str) -> str:
        """Rename a damaged checkpoint to *.bad, the reason next to it; a sentence for the user."""
        # Where renaming fails, on a full or read-only disk, this process still must not come back to it.
        self._passed.add(iteration)
        stem = manifest.stem(iteration)
        if self.reads_only:
            return f"checkpoint {self.path / stem} is passed over: {reason}"
        with contextlib.suppress(OSError):
            for path in [self.path / f"{stem}.json", *self.path.glob(f"{stem}-*.h5")]:
                path.rename(path.with_name(f"{path.name}.bad"))
            atomic.write_text(self.path / f"{stem}.reason.txt", f"{reason}\n")
        return f"checkpoint {self.path / stem} was set aside: {reason}"
