"""`opbench stand-ins`: write small simulated stand-ins of every file that a configuration names."""

import argparse
from pathlib import Path

from opbench.config import Config, load_config
from opbench.io.atomic import write_text
from opbench.io.errors import InputError
from opbench.io.locate import HOME
from opbench.io.seeds import keyed_rng
from opbench.models.checkpoint import read_vocab

#: Where gene symbols come from when the configuration's checkpoint is not at hand.
SYMBOLS = HOME / "resources" / "nano_marrow" / "vocab.json"
#: Simulated genes for each gene of the largest panel: some are never detected, some do not vary.
GENES_PER_PANEL_GENE = 1.7
#: Fewest simulated genes.
LEAST_GENES = 1000
NOTE = "STAND-INS.txt"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="folder to write to; name it in OPBENCH_DATA afterwards")
    parser.add_argument(
        "--configfile", required=True, nargs="+", type=Path, help="YAML files of the run whose files are stood in for"
    )
    parser.add_argument("--cells-per-donor", type=int, default=150, help="benchmarked cells a donor (default 150)")
    parser.add_argument("--seed", type=int, default=0, help="seed of cells and weights (default 0)")
    parser.add_argument(
        "--vocabulary", type=Path, help="vocab.json that symbols and the checkpoint take (default: nano)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the stand-ins; raises InputError before anything is written when one of them would replace a file."""
    from opbench.standins.cells import write_standin
    from opbench.standins.checkpoint import write_standin_checkpoint

    config = load_config(*options.configfile)
    given = " ".join(map(str, options.configfile))
    _check_size(config, options.cells_per_donor)
    vocabulary = options.vocabulary or SYMBOLS
    files = {name: options.folder / Path(d.path).name for name, d in config.datasets.items() if d.path}
    checkpoint = _checkpoint(config, options.folder)
    for target in [*files.values(), *([checkpoint] if checkpoint else [])]:
        if target.exists():
            raise InputError(f"{target}: is already there; name a new folder, so that no real file is replaced.")
    genes = _genes(config, vocabulary, options.seed)
    lines = []
    for name, target in files.items():
        if not any(line.startswith(f"{target.name}:") for line in lines):
            size = write_standin(name, config, genes, options.cells_per_donor, options.seed, target)
            lines.append(f"{target.name}: {size}")
    if checkpoint:
        lines.append(f"{checkpoint.name}: {write_standin_checkpoint(config, vocabulary, options.seed, checkpoint)}")
    text = f"Simulated stand-ins for {given} (seed {options.seed}). Evidence of nothing.\n"
    write_text(text + "".join(f"{line}\n" for line in lines), options.folder / NOTE)
    print(text + "\n".join(lines))
    print(f"OPBENCH_DATA={options.folder} snakemake --cores 2 --configfile {given}")
    return 0


def _check_size(config: Config, cells_per_donor: int) -> None:
    least = max(campaign.min_cells for campaign in config.campaigns.values())
    if cells_per_donor < least:
        raise InputError(
            f"--cells-per-donor: {cells_per_donor} is less than the {least} that campaigns ask for in 'min_cells'; "
            "give more."
        )


def _checkpoint(config: Config, folder: Path) -> Path | None:
    """Where the stand-in of the checkpoint goes; None when none is needed or one comes with the workflow."""
    given = config.model.checkpoint
    if given is None or (HOME / given).exists() or Path(given).exists():
        return None
    return folder / Path(given).name


def _genes(config: Config, vocabulary: Path, seed: int) -> list[str]:
    """Symbols of the vocabulary, drawn by seed: enough for the largest panel."""
    known = sorted(token for token in read_vocab(vocabulary) if not token.startswith("<"))
    largest = max((panel.genes.n for panel in config.panels.values() if panel.genes.kind == "hvg"), default=0)
    wanted = max(LEAST_GENES, int(GENES_PER_PANEL_GENE * largest))
    if len(known) < wanted:
        raise InputError(f"{vocabulary}: holds {len(known)} genes but stand-ins need {wanted}; name a larger one.")
    return sorted(keyed_rng("stand-in", seed, "genes").choice(known, size=wanted, replace=False).tolist())
