"""Which donors each endpoint can be scored on: the run's own splits and scoring, given the truth as the answer."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from opbench.check.data import Facts
from opbench.check.findings import Findings
from opbench.config import Config
from opbench.config.benchmark import Campaign, Endpoints
from opbench.io.errors import InputError
from opbench.methods.interface import Task, Variant
from opbench.methods.plugins.oracle import Oracle
from opbench.panels.panel import NUMBER_COLUMNS, TEXT_COLUMNS
from opbench.readouts.panel_data import PanelData, open_panel
from opbench.readouts.probes import Probed
from opbench.readouts.run_chunk import make_plan
from opbench.readouts.scoring import Scorer, SplitTruth
from opbench.splits.draw import donor_table, draw_splits, eligible_donors
from opbench.splits.views import rows, split_views
from opbench.statistics.family import is_null

#: Steps from HSC at which no label is a progenitor's (CMP and CLP are at 2, GMP and MEP at 3).
NO_PROGENITOR = 3.5


@dataclass
class CampaignFacts:
    """A campaign's donors, and the sizes that its cost depends on.

    `scored` maps an endpoint to the donors that can be scored on it, `conditions` a donor to its condition. `train`,
    `test` and `fitted` are cells of a split on average, `fitted` those that a head is trained on; `tested` counts
    donors summed over splits. `pairs` is the number of pairs of methods that are compared.
    """

    name: str
    splits: int
    eligible: list[str]
    scored: dict[str, list[str]] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    train: float = 0.0
    test: float = 0.0
    fitted: float = 0.0
    tested: int = 0
    pairs: int = 0


def check_endpoint_labels(config: Config, facts: dict[str, Facts], findings: Findings) -> Endpoints:
    """Report labels of two-class endpoints that no benchmarked cell has, and return the endpoints without them."""
    used = {name for campaign in config.campaigns.values() for name in (campaign.train, campaign.test)}
    kept = {}
    for name, task in config.endpoints.binary.items():
        sides = {}
        for side, by_dataset in (("positive", task.positive), ("negative", task.negative)):
            sides[side] = {
                dataset: [
                    label for label in labels if _has_label(facts[dataset], label, f"{name}.{side}", used, findings)
                ]
                for dataset, labels in by_dataset.items()
            }
        kept[name] = task.model_copy(update=sides)
    return config.endpoints.model_copy(update={"binary": kept})


def _has_label(facts: Facts, label: str, where: str, used: set[str], findings: Findings) -> bool:
    if facts.cells is None:
        return True
    held = sorted(facts.role("evaluation")["label"].unique())
    if label in held:
        return True
    sentence = (
        f"endpoints.binary.{where}.{facts.name}: no benchmarked cell has the label '{label}'; the labels are {held}, "
        "so correct it or take it out."
    )
    (findings.problem if facts.name in used else findings.warn)(sentence)
    return False


def describe_campaigns(
    config: Config, endpoints: Endpoints, facts: dict[str, Facts], ontology: Path, findings: Findings
) -> dict[str, CampaignFacts]:
    """Draw the splits of every campaign whose cells are known and score the truth on each.

    What stops a campaign is a problem. A wrong number of leave-one-donor-out splits, or a donor that is none, is
    reported, and the rest is told without it.
    """
    found = {}
    with TemporaryDirectory() as folder:
        for panel in config.panels:
            if (obs := _panel_obs(config, panel, facts)) is None:
                continue
            path = Path(folder) / f"{panel}.h5ad"
            _write_panel(obs, path)
            for name, campaign in config.campaigns.items():
                if campaign.panel == panel:
                    found[name] = _describe(name, config, endpoints, obs, path, ontology, findings)
    return {name: found[name] for name in config.campaigns if found.get(name)}


def _panel_obs(config: Config, panel: str, facts: dict[str, Facts]) -> pd.DataFrame | None:
    """The cell table that the panel will have; None when a dataset's cells are not known."""
    cells = [facts[name].role("evaluation") for name in config.panels[panel].datasets]
    if any(part.empty for part in cells):
        return None
    obs = pd.concat(cells, ignore_index=True)
    return obs.set_index(obs["dataset"] + ":" + obs["cell_id"]).assign(library_size=1.0)


def _describe(
    name: str, config: Config, endpoints: Endpoints, obs: pd.DataFrame, panel: Path, ontology: Path, findings: Findings
) -> CampaignFacts | None:
    campaign, where = config.campaigns[name], f"campaigns.{name}"
    donors = donor_table(obs)
    eligible = findings.attempt(eligible_donors, donors, campaign, where)
    arguments = (config.run, campaign.panel, name)
    try:
        if eligible is None:
            campaign = campaign.model_copy(update=_known_donors(campaign, donors))
            eligible = eligible_donors(donors, campaign, where)
        drawn = findings.attempt(draw_splits, *arguments, campaign, obs, set())
        if drawn is None:
            campaign = campaign.model_copy(update={"splits": len(eligible)})
            drawn = draw_splits(*arguments, campaign, obs, set())
    except InputError:  # reported above in other words
        return None
    if campaign.pseudotime and (shallow := obs.loc[obs["dataset"] == campaign.test, "depth"].min()) >= NO_PROGENITOR:
        findings.warn(
            f"{where}.pseudotime: no benchmarked label of '{campaign.test}' is nearer to HSC than {shallow:g} steps, "
            "so pseudotime starts from a mature cell; set it to false."
        )
    data = findings.attempt(open_panel, str(panel), ontology, endpoints, campaign, [])
    return None if data is None else _score(name, config, campaign, endpoints, data, drawn, eligible)


def _known_donors(campaign: Campaign, donors: pd.DataFrame) -> dict[str, list[str] | None]:
    """The fields that name donors, without those that cannot be tested."""
    here = donors[donors["dataset"] == campaign.test]
    large = set(here.loc[here["n_cells"] >= campaign.min_cells, "donor"])
    return {
        "never_tested": [donor for donor in campaign.never_tested if donor in set(here["donor"])],
        "tested": campaign.tested and [donor for donor in campaign.tested if donor in large],
    }


def _write_panel(obs: pd.DataFrame, path: Path) -> None:
    """A panel file of these cells without a single count: it has what splits and scores depend on."""
    empty = (len(obs), 1)
    panel = AnnData(csr_matrix(empty, dtype=np.int32), obs=obs[[*TEXT_COLUMNS, *NUMBER_COLUMNS]].rename_axis("cell"))
    panel.obs = panel.obs.astype(dict.fromkeys(TEXT_COLUMNS, "category"))
    panel.layers["log1p"] = csr_matrix(empty, dtype=np.float32)
    datasets = obs["dataset"].unique()
    panel.var = pd.DataFrame({f"present_{name}": [True] for name in datasets}, index=["none"])
    none = {name: np.array([], dtype=object) for name in datasets}
    panel.uns["panel"] = {"name": "check", "missing": none, "library_is_partial": dict.fromkeys(datasets, False)}
    panel.write_h5ad(path)


def _score(
    name: str,
    config: Config,
    campaign: Campaign,
    endpoints: Endpoints,
    data: PanelData,
    drawn: pd.DataFrame,
    eligible: list[str],
) -> CampaignFacts:
    facts = CampaignFacts(name, campaign.splits, eligible)
    scorer = Scorer(data, campaign, endpoints, draws=1)
    plan, scored = make_plan(config, name), {key: set[str]() for key in scorer.endpoint_names() if not is_null(key)}
    sizes = []
    for view in split_views(drawn):
        train, test = rows(data.obs, view)
        task = Task(data.cells(train, True), data.cells(test, True), data.classes, view.seed, plan)
        output, trained = Oracle().run(task, Variant()), set(data.label[train])
        for key, (positive, negative) in data.classes.binary.items():
            # The oracle needs no training cells, methods do.
            if not (trained & positive and trained & negative):
                del output.scores[key]
        for row in scorer.score(output, SplitTruth(train, test, view.test_donors, {}), Probed({}, None)):
            if row.endpoint in scored and np.isfinite(row.value):
                scored[row.endpoint].add(row.donor)
        counts = np.bincount(data.label[train])
        sizes.append((len(train), len(test), np.minimum(counts, config.adaptor.cells_per_stage).sum()))
        facts.tested += len(view.test_donors)
    facts.train, facts.test, facts.fitted = map(float, np.mean(sizes, axis=0))
    facts.scored = {key: sorted(found) for key, found in scored.items()}
    tested = drawn[drawn["role"] == "test"]
    facts.conditions = dict(zip(tested["donor"], tested["condition"], strict=True))
    return facts
