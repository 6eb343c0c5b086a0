"""Content-addressed store: what equal inputs gave is computed once, by whichever job comes first."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import scipy.sparse as sp

from opbench.io.atomic import atomic

Arrays = dict[str, np.ndarray]


def digest(*parts: object) -> str:
    """Digest of the contents of arrays, sparse matrices and plain values, in order."""
    whole = hashlib.blake2b(digest_size=20)
    for part in parts:
        if sp.issparse(part):
            part = digest(part.shape, part.format, part.indptr, part.indices, part.data)
        if isinstance(part, np.ndarray) and part.dtype.kind not in "OU":
            head, data = f"{part.dtype.str}{part.shape}", np.ascontiguousarray(part).data
        elif isinstance(part, np.ndarray):
            head, data = f"text{part.shape}", "\0".join(map(str, part.ravel())).encode()
        else:
            head, data = type(part).__name__, repr(part).encode()
        whole.update(f"\x1e{head}\x1f".encode())
        whole.update(data)
    return whole.hexdigest()


class Store:
    """Arrays by the digest of what they were made from; in `folder`, or in memory without one.

    `computed` and `reused` count the calls of this process. Two jobs that compute the same entry at once write the
    same bytes.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else None
        self._memory: dict[str, Arrays] = {}
        self.computed = self.reused = 0

    def get(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of `key` (see `digest`), computed when nobody has yet."""
        found = self.find(key)
        if found is not None:
            self.reused += 1
            return found
        self.computed += 1
        return self.put(key, compute())

    def find(self, key: str) -> Arrays | None:
        """The arrays of `key`, or None."""
        if key in self._memory or self.folder is None:
            return self._memory.get(key)
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):  # absent, or torn by a power cut
            return None

    def put(self, key: str, arrays: Arrays) -> Arrays:
        """Keep arrays without objects among them."""
        if self.folder is None:
            self._memory[key] = arrays
        else:
            with atomic(self._path(key)) as partial, open(partial, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        return arrays

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.npz"
