"""`opbench methods CONFIG`: the methods that are found, their protocols, and what a configuration makes of them."""

import argparse
import logging
import sys
from pathlib import Path

from opbench.config import Config, load_config
from opbench.methods import registry
from opbench.methods.interface import Method
from opbench.readouts.run_chunk import make_plan, open_method


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "configuration", type=Path, nargs="*", default=[Path("config/config.yaml")], help="YAML files of a run"
    )


def run(options: argparse.Namespace) -> int:
    """Print one line a method, one a campaign that it gives nothing in, and last what is broken: exit status 1."""
    # A method that cannot be set up has its reason in one line below; its traceback belongs to a job's log.
    logging.getLogger("opbench.run_method").setLevel(logging.CRITICAL)
    config = load_config(*options.configuration)
    lines, broken = listing(config)
    for line in lines:
        print(line)
    for line in broken:
        print(f"opbench: {line}", file=sys.stderr)
    return int(bool(broken))


def listing(config: Config) -> tuple[list[str], list[str]]:
    """Lines of the list: name, protocol, arms in the campaigns that run it, and why it is skipped where it is.

    The second list has a sentence for each method that cannot be set up, whether or not a campaign asks for it.
    """
    folders = config.method_folders
    asked = {name: registry.chosen(c.methods or config.methods, folders) for name, c in config.campaigns.items()}
    rows, remarks, broken = [("method", "protocol", "core", "environment", "arms", "campaigns", "label")], {}, []
    for name, path in registry.plugin_files(folders).items():
        plans = {campaign: make_plan(config, campaign) for campaign in config.campaigns}
        opened = {campaign: open_method(name, plan, folders) for campaign, plan in plans.items()}
        method = next(iter(opened.values()))[0]
        gaps = {campaign: gap for campaign, (_, _, gap) in opened.items() if gap and name in asked[campaign]}
        runs = [c for c in asked if name in asked[c] and c not in gaps]
        arms = max((len(opened[c][1]) for c in runs), default=0)
        rows.append((name, method.protocol, "yes" if method.core else "no", method.environment, str(arms),
                     ", ".join(runs) or "-", _label(method, path)))  # fmt: skip
        remarks[name] = [f"    {c}: {gap.status}: {gap.reason}" for c, gap in gaps.items()]
        wrong = [gap for _, _, gap in opened.values() if gap and gap.status != "not_applicable"]
        broken += [f"{path}: the method cannot be set up ({gap.reason}); correct it." for gap in wrong[:1]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        lines += ["  ".join([*cells, row[-1]]), *remarks.get(row[0], [])]
    return lines, broken


def _label(method: Method, path: Path) -> str:
    return method.label + ("" if path.parent == registry.FOLDER else f" ({path})")
