"""Print the table of bad inputs with the sentence of each: `python tests/bad_inputs/table.py > docs/bad_inputs.md`."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from bad_checkpoints import CHECKPOINTS
from bad_configs import CONFIGS
from bad_data import DATA

from opbench.io.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Bad input and what it says

Printed by `python tests/bad_inputs/table.py`; each row is a test of `tests/bad_inputs/`. `…` is the folder of the file.
Jobs print the sentence without a traceback and exit 1; `opbench check` finds most of them before a run.
"""


def main() -> None:
    """One section a kind of input."""
    print(HEAD)
    for title, cases in (("Configuration", CONFIGS), ("Data, labels and genes", DATA), ("Checkpoint", CHECKPOINTS)):
        print(f"## {title} ({len(cases)})\n\n| input | sentence |\n|---|---|")
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                try:
                    case.meet(Path(folder))
                    sentence = "**accepted**"
                except InputError as error:
                    sentence = str(error).replace(folder, "…").replace(f"{ROOT}/", "").replace("|", "\\|")
                os.chdir("/")
            print(f"| {case.what} | {sentence} |")
        print()


if __name__ == "__main__":
    main()
