"""What every job does around its one call: a log file, one-sentence errors, single-threaded maths."""

import errno
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from opbench.io.errors import InputError
from opbench.io.locate import HOME

#: What the machine, not the program, refuses: reported in one sentence like any bad input.
REFUSALS = {
    errno.ENOSPC: "the disk is full; free some space or put results/ elsewhere, then run again",
    errno.EDQUOT: "the disk quota is used up; free some space or put results/ elsewhere, then run again",
    errno.EROFS: "the file system is read-only; put results/ elsewhere",
    errno.EACCES: "permission is denied; correct the permissions, or put results/ elsewhere",
    errno.EMFILE: "too many files are open; raise `ulimit -n`",
}


#: Bytes without which not even logs can be written.
LEAST_FREE = 1 << 20


def share_package() -> None:
    """Put the folder of this package on the import path of the jobs that this process starts."""
    paths = [str(HOME / "workflow"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(os.pathsep.join(paths).split(os.pathsep)))


def refusal(error: BaseException) -> str | None:
    """The sentence for an error that the machine caused, or None; libraries hide its number in their text."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return (
            f"memory is not enough ({error}); give the rule more with --set-resources RULE:mem_mb=…, or run fewer jobs"
        )
    causes = [error, error.__cause__, error.__context__]
    for cause in filter(None, causes):
        for number, sentence in REFUSALS.items():
            if getattr(cause, "errno", None) == number or (
                isinstance(cause, OSError | RuntimeError) and os.strerror(number) in str(cause)
            ):
                name = getattr(cause, "filename", None)
                return f"{name}: {sentence}" if name else sentence
    return None


@contextmanager
def job(log: str, threads: int = 1) -> Iterator[logging.Logger]:
    """Run a script's body: log to `log`, end an `InputError` as one sentence without a traceback.

    BLAS pools are held to `threads` so that parallel jobs do not fight and same inputs give same bits.
    Must be entered before numpy or torch are imported.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Waiting threads that spin take the processor from other jobs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        handlers: list[logging.Handler] = [logging.FileHandler(log, mode="w")]
    except OSError as error:
        _stop(refusal(error) or f"{log}: cannot be written ({error}); correct the path")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", handlers=handlers, force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk must not turn every log line into a traceback
    try:
        yield logging.getLogger("opbench")
    except InputError as error:
        logging.getLogger("opbench").error("%s", error)
        _stop(str(error))
    except Exception as error:
        if sentence := refusal(error):
            logging.getLogger("opbench").error("%s", sentence)
            _stop(sentence)
        try:
            with open(log, "a") as stream:
                traceback.print_exc(file=stream)
        except OSError:
            traceback.print_exc()
        raise


def _stop(sentence: str) -> NoReturn:
    print(f"opbench: {sentence}", file=sys.stderr)
    sys.exit(1)


def check_writable(folder: str | Path) -> None:
    """Raise InputError when `folder` cannot be written or made, or its disk is full; nothing is created."""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise InputError(f"{place}: is a file where the results folder {folder} must go; move it away.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place}: cannot be written to; correct the permissions, or run in another folder.")
    if shutil.disk_usage(place).free < LEAST_FREE:
        raise InputError(f"{place}: less than {LEAST_FREE >> 20} MB is free on its disk; free some space.")
