"""Content-addressed store: what equal inputs gave is computed once, by whichever job comes first."""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import scipy.sparse as sp

from opbench.io.atomic import atomic

log = logging.getLogger("opbench.store")

Arrays = dict[str, np.ndarray]
#: Name of an entry's own record of what it took to compute.
SECONDS = "seconds_"


def digest(*parts: object) -> str:
    """Digest of the contents of arrays, sparse matrices and plain values, in order."""
    whole = hashlib.blake2b(digest_size=20)
    for part in parts:
        if sp.issparse(part):
            part = digest(part.shape, part.format, part.indptr, part.indices, part.data)
        if isinstance(part, np.ndarray) and part.dtype.kind not in "OU":
            head, data = f"{part.dtype.str}{part.shape}", part.tobytes()
        elif isinstance(part, np.ndarray):
            head, data = f"text{part.shape}", "\0".join(map(str, part.ravel())).encode()
        else:
            head, data = type(part).__name__, repr(part).encode()
        whole.update(f"\x1e{head}\x1f".encode())
        whole.update(data)
    return whole.hexdigest()


class Store:
    """Arrays by the digest of what they were made from; in `folder`, or in memory without one.

    `computed` and `reused` count the calls of this process; `saved_s` is what the reused ones took when they were
    computed. Two jobs that compute the same entry at once write the same values.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else None
        self._memory: dict[str, Arrays] = {}
        self.computed = self.reused = 0
        self.saved_s = 0.0

    def get(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of `key` (see `digest`), computed when nobody has yet."""
        found = self.find(key)
        if found is not None:
            self.reused += 1
            self.saved_s += float(found.pop(SECONDS, 0))
            return found
        self.computed += 1
        start, saved = time.perf_counter(), self.saved_s
        made = compute()
        # What was taken from the store on the way belongs to the price.
        seconds = time.perf_counter() - start + self.saved_s - saved
        self.put(key, made | {SECONDS: np.array(seconds)})
        return made

    def find(self, key: str) -> Arrays | None:
        """The arrays of `key`, or None."""
        if key in self._memory or self.folder is None:
            found = self._memory.get(key)
            return dict(found) if found is not None else None
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):  # absent, or torn by a power cut
            return None

    def put(self, key: str, arrays: Arrays) -> Arrays:
        """Keep arrays without objects among them; a store that cannot be written costs time later, not the result."""
        if self.folder is None:
            self._memory[key] = arrays
            return arrays
        try:
            with atomic(self._path(key)) as partial, open(partial, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            log.warning("%s: nothing could be kept (%s); equal inputs will be computed again", self.folder, error)
        return arrays

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npz"
