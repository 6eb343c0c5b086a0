# Helpers only, no rules. Needs `config`; leaves CONFIG (validated), RESULTS, LANDING and the functions below.
import os
import re
import subprocess
from pathlib import Path

import opbench.config
from opbench.figures.catalog import FIGURES
from opbench.io.errors import InputError
from opbench.io.jobs import check_writable
from opbench.io.locate import locate
from opbench.io.source_digest import PACKAGE, content_digest, source_digest
from opbench.methods import registry
from opbench.models.checkpoint import WEIGHT_FILES
from opbench.operators.names import needs
from opbench.statistics.failures import failure_lines
from snakemake.exceptions import WorkflowError

SCRIPTS = PACKAGE.parent / "scripts"


def one_sentence(function, *args):
    """Call a function whose InputError should reach the user as one sentence, not as a traceback."""
    try:
        return function(*args)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def located(name):
    """The path of an input that must be there; `local` keeps a module's prefix from being put before it."""
    return local(str(one_sentence(locate, name, True)))


CONFIG_FILES = {
    str(file): one_sentence(opbench.config.read_yaml, file)
    for file in workflow.configfiles
}
CONFIG = one_sentence(opbench.config.parse_config, config, CONFIG_FILES)
RESULTS = f"results/{CONFIG.run}"
one_sentence(check_writable, RESULTS)
DOWNLOADS = "resources/downloads"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
# As a module with a prefix, results lie below it; `report:` is the one path that Snakemake does not prefix itself.
LANDING = os.path.abspath(
    workflow.modifier.modify_path(f"{RESULTS}/write_landing/landing.rst")
)


def source(rule_name, *plugins):
    """Digest of the package code that a rule's script imports: an edit re-runs the rule, a touch does not."""
    return source_digest(SCRIPTS / f"{rule_name}.py", *plugins)


def settings(*paths):
    """The validated settings at dotted paths, as plain data: what a rule's params depend on."""
    out = {}
    for path in paths:
        value = CONFIG.model_dump()
        for key in path.split("."):
            value = value[key]
        out[path] = value
    return out


def dataset_settings(*names):
    """All settings of some datasets: how a file is read belongs to what is made of it.

    A zarr folder's own time does not tell of an edit inside it, so that its newest file's time is added.
    """
    chosen = settings(*(f"datasets.{name}" for name in names))
    for name in names:
        folder = Path(dataset_file(name))
        if folder.is_dir():
            times = (file.stat().st_mtime_ns for file in folder.rglob("*"))
            chosen[f"datasets.{name}.changed"] = max(times, default=0)
    return chosen


def campaign_settings(campaign, *keys):
    """The named keys of one campaign: adding a method to it must not redraw its splits."""
    return settings(*(f"campaigns.{campaign}.{key}" for key in keys))


def dataset_file(name):
    """Where a dataset's file is: simulated in the run, found locally, or to be downloaded."""
    dataset = CONFIG.datasets[name]
    if dataset.simulate:
        return f"{RESULTS}/simulate_cohort/{name}.h5ad"
    found = locate(dataset.path)
    if found:
        return local(str(found))
    if dataset.url or dataset.cellxgene:
        return f"{DOWNLOADS}/{Path(dataset.path).name}"
    raise WorkflowError(
        f"datasets.{name}.path: '{dataset.path}' is neither in $OPBENCH_DATA nor in the working folder; "
        "set OPBENCH_DATA to the folder that holds it, or give a url and sha256 or a CELLxGENE id."
    )


def downloads():
    """File name → where it comes from, of every dataset that can be downloaded."""
    return {
        Path(dataset.path).name: dataset.url or dataset.cellxgene
        for dataset in CONFIG.datasets.values()
        if dataset.url or dataset.cellxgene
    }


def any_of(names):
    """Regular expression that matches these names and nothing else."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def label_file(name):
    return located(CONFIG.datasets[name].labels)


def symbol_tables(*datasets):
    """Tables from Ensembl id to symbol that some of the datasets need."""
    names = [
        CONFIG.datasets[name].symbols
        for name in datasets
        if CONFIG.datasets[name].symbols
    ]
    return [located(name) for name in sorted(set(names))]


def ontology_files():
    folder = located(CONFIG.ontology)
    return [local(f"{folder}/{name}.tsv") for name in ("stages", "edges")]


def cells_of(*names):
    return [f"{RESULTS}/select_cells/{name}.parquet" for name in names]


def panel_sources(wildcards):
    """Files of every dataset that a panel or its gene ranking reads."""
    return [dataset_file(name) for name in panel_datasets(wildcards.panel)]


def panel_cells(wildcards):
    return cells_of(*panel_datasets(wildcards.panel))


def panel_datasets(panel):
    chosen = CONFIG.panels[panel]
    extra = (
        [chosen.genes.corpus]
        if chosen.genes.corpus not in (None, *chosen.datasets)
        else []
    )
    return [*chosen.datasets, *extra]


def checkpoint_folder():
    """The checkpoint: the user's folder, where it is to be downloaded, or the one that this run trains."""
    given = CONFIG.model.checkpoint
    if not given:
        return f"{RESULTS}/pretrain_nano"
    files = CONFIG.model.files
    found = one_sentence(locate, given, not files)
    if files and not (found and holds_checkpoint(found)):
        return f"{DOWNLOADS}/{Path(given).name}"
    return str(found)


def holds_checkpoint(folder):
    """Whether a folder has all that a checkpoint needs, under any of the names of its weights."""
    described = all((folder / name).is_file() for name in ("args.json", "vocab.json"))
    return described and any((folder / name).is_file() for name in WEIGHT_FILES)


def checkpoint_file(name):
    file = f"{CHECKPOINT}/{name}"
    return file if CHECKPOINT.startswith((RESULTS, DOWNLOADS)) else local(file)


def model_gpu():
    """GPUs of a job that runs the model; the job itself stops when it finds none."""
    return int(CONFIG.model.device == "cuda")


def weights_file():
    """The file that the reader takes: the first of its names that is there."""
    names = [
        name
        for name in WEIGHT_FILES
        if CONFIG.model.checkpoint and Path(checkpoint_file(name)).is_file()
    ]
    return checkpoint_file(next(iter(names), WEIGHT_FILES[0]))


CHECKPOINT = checkpoint_folder()


def known_vocabulary(wildcards):
    """The vocabulary that restricts gene lists: a given checkpoint's, else the recipe's universe if any."""
    if CONFIG.model.checkpoint:
        return [checkpoint_file("vocab.json")]
    universe = CONFIG.model.pretrain.universe
    return [located(universe)] if universe else []


def corpus_vocabulary():
    if CONFIG.model.checkpoint:
        return checkpoint_file("vocab.json")
    return f"{RESULTS}/build_vocabulary/vocab.json"


def operator_names(panel):
    """Operators of a panel, with as many Gaussian draws as its campaigns use; controls are made where asked for."""
    every = CONFIG.operators.gaussian_draws
    used = [
        every if campaign.gaussian_draws is None else campaign.gaussian_draws
        for campaign in CONFIG.campaigns.values()
        if campaign.panel == panel
    ]
    heads = [f"head-{head}" for head in CONFIG.operators.single_heads]
    return [
        "drift",
        *heads,
        *(f"gaussian-{draw}" for draw in range(max(used, default=every))),
    ]


def operator_needs(wildcards):
    """What an operator is made of besides its panel's attention, by the name of the rule's input."""
    arm, _, draw = wildcards.operator.partition("-")
    need, panel = needs(arm), wildcards.panel
    if need == "checkpoint":
        return {
            "weights": weights_file(),
            "args": checkpoint_file("args.json"),
            "vocabulary": checkpoint_file("vocab.json"),
        }
    if need == "random_attention":
        folder = f"{RESULTS}/accumulate_random_attention/{panel}"
        return {need: f"{folder}/{draw}.safetensors"}
    return {need: f"{RESULTS}/build_panel/{panel}.h5ad"} if need else {}


def descriptive_campaigns():
    """The paper's design is shown and never the basis of a verdict."""
    return [
        name
        for name, campaign in CONFIG.campaigns.items()
        if campaign.design == "grouped"
    ]


def swept_panels():
    return [
        panel
        for panel in CONFIG.panels
        if CONFIG.sweeps.campaign_of(panel, CONFIG.campaigns)
    ]


def chunks_of(campaign):
    chosen = CONFIG.campaigns[campaign]
    return range(-(-chosen.splits // chosen.splits_per_job))


def panel_of(wildcards):
    return f"{RESULTS}/build_panel/{CONFIG.campaigns[wildcards.campaign].panel}.h5ad"


def splits_of_all(wildcards=None):
    return [
        f"{RESULTS}/draw_splits/{campaign}.parquet" for campaign in CONFIG.campaigns
    ]


def panels_of_all(wildcards=None):
    return [f"{RESULTS}/build_panel/{panel}.h5ad" for panel in CONFIG.panels]


def table(name):
    return f"{RESULTS}/tables/{name}.parquet"


def table_text(name):
    return f"{RESULTS}/tables/{name}.tsv"
