"""Find a file: in the folder that OPBENCH_DATA (or OPBENCH_KNOWLEDGE) names, as a path, then beside the workflow."""

import os
from pathlib import Path

from opbench.io.errors import InputError

#: The workflow's own files (ontology, label maps, checkpoint) are found from any working folder.
HOME = Path(__file__).resolve().parents[3]


def locate_knowledge(name: str) -> Path | None:
    """Return the path of a table of public knowledge, first looked for in $OPBENCH_KNOWLEDGE; None if it is nowhere."""
    return next((file for file in _inside("OPBENCH_KNOWLEDGE", name) if file.exists()), None) or locate(name)


def _inside(variable: str, name: str) -> list[Path]:
    folder = os.environ.get(variable)
    return [Path(folder) / name, Path(folder) / Path(name).name] if folder else []


def locate(name: str, required: bool = False) -> Path | None:
    """Return the path of `name`, or None (an error when `required`) if it is found nowhere.

    $OPBENCH_DATA is searched for the path as given and for its file name alone.
    """
    for candidate in [*_inside("OPBENCH_DATA", name), Path(name), HOME / name]:
        if candidate.exists():
            return candidate
    if required:
        raise InputError(
            f"'{name}' is neither in $OPBENCH_DATA nor in the working folder nor beside the workflow; correct the path."
        )
    return None
