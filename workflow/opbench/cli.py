"""The `opbench` command: what is done beside a run. Each command is a module with `arguments` and `run`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from opbench.io.errors import InputError

#: Command -> (module, one line of help). Only the module of the command that is called is imported.
COMMANDS = {
    "apply": ("opbench.discovery.apply", "annotate any h5ad with a standalone algorithm"),
    "check": ("opbench.check.command", "check configuration and files, and estimate the cost, before a run"),
    "methods": ("opbench.readouts.listing", "list the methods that are found, and what a configuration makes of them"),
    "random-checkpoint": ("opbench.models.random_checkpoint", "write a checkpoint in the released format"),
    "stand-ins": ("opbench.standins.command", "write small simulated stand-ins of a configuration's files"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an `InputError` is printed as its one sentence and makes exit status 1."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="opbench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == chosen:
            import_module(module).arguments(command)
    options = parser.parse_args(argv)
    try:
        return import_module(COMMANDS[options.command][0]).run(options)
    except InputError as error:
        print(f"opbench: {error}", file=sys.stderr)
        return 1
