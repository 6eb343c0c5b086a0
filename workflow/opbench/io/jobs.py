"""What every job does around its one call: a log file, one-sentence errors, single-threaded maths."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from opbench.io.errors import InputError
from opbench.io.locate import HOME


def share_package() -> None:
    """Put the folder of this package on the import path of the jobs that this process starts."""
    paths = [str(HOME / "workflow"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(os.pathsep.join(paths).split(os.pathsep)))


@contextmanager
def job(log: str, threads: int = 1) -> Iterator[logging.Logger]:
    """Run a script's body: log to `log`, end an `InputError` as one sentence without a traceback.

    BLAS pools are held to `threads` so that parallel jobs do not fight and same inputs give same bits.
    Must be entered before numpy or torch are imported.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(threads)
    handlers = [logging.FileHandler(log, mode="w")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", handlers=handlers, force=True)
    logging.captureWarnings(True)
    try:
        yield logging.getLogger("opbench")
    except InputError as error:
        logging.getLogger("opbench").error("%s", error)
        print(f"opbench: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        with open(log, "a") as stream:
            traceback.print_exc(file=stream)
        raise
