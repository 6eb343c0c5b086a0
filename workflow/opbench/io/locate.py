"""Find a file: in the folder that OPBENCH_DATA names, as a path, then beside the workflow."""

import os
from pathlib import Path

from opbench.io.errors import InputError

#: The workflow's own files (ontology, label maps, checkpoint) are found from any working folder.
HOME = Path(__file__).resolve().parents[3]


def locate(name: str, required: bool = False) -> Path | None:
    """Return the path of `name`, or None (an error when `required`) if it is found nowhere.

    $OPBENCH_DATA is searched for the path as given and for its file name alone.
    """
    data = os.environ.get("OPBENCH_DATA")
    candidates = [Path(data) / name, Path(data) / Path(name).name] if data else []
    for candidate in [*candidates, Path(name), HOME / name]:
        if candidate.exists():
            return candidate
    if required:
        raise InputError(
            f"'{name}' is neither in $OPBENCH_DATA nor in the working folder nor beside the workflow; correct the path."
        )
    return None
