"""The folder of checkpoints as the one process that may write there sees it."""

import contextlib
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage import atomic, checkpoint_file, manifest
from prosper_ng.storage.checkpoint_file import Header, RootArray
from prosper_ng.storage.manifest import CheckpointError, Damaged, DataFile, Manifest

_ROOM = 2
"""How many times the size of a checkpoint must be free before it is written."""
_DATA_NAME = re.compile(r"checkpoint-(\d{6,})-[0-9a-f]{8}\.h5")


class Verified(NamedTuple):
    """A checkpoint whose files have the digests of its manifest."""

    manifest: Manifest
    header: Header
    root: dict[str, RootArray]


class CheckpointFolder:
    """Commits, finds and removes checkpoints; errors of the disk come out as OSError."""

    def __init__(self, path: Path, keep: int) -> None:
        """Checkpoints under `path`, of which the newest `keep` stay."""
        self.path = path
        self.keep = keep
        self._passed: set[int] = set()

    def temporary(self, iteration: int) -> Path:
        """Where a new data file grows."""
        return self.path / f".{manifest.stem(iteration)}.h5.tmp"

    def lack_of_room(self, n_bytes: int) -> str | None:
        """Why a checkpoint of this size should not be begun; makes the folder where it does not exist."""
        self.path.mkdir(parents=True, exist_ok=True)
        atomic.remove_leftovers(self.path)
        free = shutil.disk_usage(self.path).free
        if free >= _ROOM * n_bytes:
            return None
        return f"{free / 1e6:,.1f} MB are free in {self.path} and {_ROOM * n_bytes / 1e6:,.1f} MB are needed"

    def publish(self, temporary: Path, header: Header) -> None:
        """Read a finished data file back and make it the newest checkpoint."""
        atomic.drop_cached_pages(temporary)
        if checkpoint_file.read_through(temporary).to_bytes().tobytes() != header.to_bytes().tobytes():
            raise OSError(f"{temporary.name} does not read back as it was written")
        sha256 = atomic.sha256_of(temporary)
        n_bytes = temporary.stat().st_size
        # The digest in the name keeps a second checkpoint of an iteration from overwriting the data of the first.
        path = self.path / f"{manifest.stem(header.iteration)}-{sha256[:8]}.h5"
        temporary.replace(path)
        atomic.sync_folder(self.path)
        data = DataFile(path.name, sha256, n_bytes, 0, header.n_rows)
        Manifest(header.iteration, header.n_rows, [data]).write(self.path)

    def prune(self) -> None:
        """Remove old checkpoints, manifest first, and data files that no manifest names."""
        iterations = manifest.iterations_in(self.path)
        for iteration in iterations[self.keep :]:
            (self.path / f"{manifest.stem(iteration)}.json").unlink()
        named: set[str] = set()
        unknown: set[int] = set()
        for iteration in iterations[: self.keep]:
            try:
                named.update(file.name for file in manifest.read(self.path, iteration).files)
            except (Damaged, CheckpointError):
                unknown.add(iteration)
        for path in self.path.iterdir():
            match = _DATA_NAME.fullmatch(path.name)
            if match and path.name not in named and int(match[1]) not in unknown:
                path.unlink()

    def newest(self) -> tuple[Verified | None, list[str]]:
        """The newest good checkpoint, and a note on each damaged one, which is set aside."""
        notes: list[str] = []
        for iteration in manifest.iterations_in(self.path):
            if iteration in self._passed:
                continue
            try:
                return self._verified(iteration), notes
            except PermissionError as error:
                raise CheckpointError(f"{self.path}/{manifest.stem(iteration)}* may not be read ({error})") from error
            except (Damaged, OSError) as error:
                notes.append(self.set_aside(iteration, str(error)))
        return None, notes

    def set_aside(self, iteration: int, reason: str) -> str:
        """Rename a damaged checkpoint to *.bad, the reason next to it; a sentence for the user."""
        # Where renaming fails, on a full or read-only disk, this process still must not come back to it.
        self._passed.add(iteration)
        stem = manifest.stem(iteration)
        with contextlib.suppress(OSError):
            for path in [self.path / f"{stem}.json", *self.path.glob(f"{stem}-*.h5")]:
                path.rename(path.with_name(f"{path.name}.bad"))
            atomic.write_text(self.path / f"{stem}.reason.txt", f"{reason}\n")
        return f"checkpoint {self.path / stem} was set aside: {reason}"

    def _verified(self, iteration: int) -> Verified:
        found = manifest.read(self.path, iteration)
        for file in found.files:
            file.verify(self.path)
        start, stop = found.files[0].start, found.files[0].stop
        first = self.path / found.files[0].name
        header = checkpoint_file.read_header(first)
        if (header.iteration, header.n_rows) != (found.iteration, stop - start):
            raise Damaged("its manifest and its data belong to different checkpoints")
        arrays = checkpoint_file.read_root(first)
        for name, value in arrays.items():
            if isinstance(value, NamedArrays) and not np.isfinite(value.buffer).all():
                raise Damaged(f"{name} holds numbers that are not finite")
        return Verified(found, header, arrays)
