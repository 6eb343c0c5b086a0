"""Files appear whole or not at all: written beside their place, then renamed.

This guards against processes that are killed, not against a power cut: waiting for the disk took 2 of 7.6 s of an
atlas panel, and readers refuse a torn file anyway.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = os.umask(0)
os.umask(_UMASK)
#: Start of the names of files that are being written; one left behind belongs to a process that was killed.
PARTIAL = ".partial-"
HOST = "".join(letter for letter in socket.gethostname() if letter.isalnum())


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a path in the same folder to write to; on success it takes the place of `path`, else it is removed.

    The name keeps the suffix, because writers choose formats by it, and names the process: a job that outlives the
    workflow that started it must not write into the file of the job that replaces it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{HOST}-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.chmod(partial, 0o666 & ~_UMASK)  # some writers let nobody else on a cluster read what they write
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(text: str, path: str | Path) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_partial(folder: str | Path) -> None:
    """Remove what killed processes of this machine left in `folder` and below; a living one's file stays."""
    for partial in Path(folder).rglob(f"{PARTIAL}{HOST}-*"):
        process = partial.name.removeprefix(f"{PARTIAL}{HOST}-").split("-")[0]
        if not (process.isdigit() and Path(f"/proc/{process}").exists()):
            partial.unlink(missing_ok=True)
