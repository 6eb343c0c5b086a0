"""Result tables: Arrow schemas are the contracts, checked when a table is written and when it is read."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from opbench.io.atomic import atomic
from opbench.io.errors import InputError


def _schema(**fields: pa.DataType) -> pa.Schema:
    """A schema whose string and integer columns may not be null (floats may be NaN)."""
    return pa.schema([pa.field(n, t, nullable=pa.types.is_floating(t)) for n, t in fields.items()])


#: Statuses whose value counts: `cap` is a head that did not reach its plateau, which its reason says.
SCORED = ("ok", "cap")

TEXT, INT, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

#: Per-cell table: one row for every cell of a dataset, used or not.
CELLS = _schema(
    cell_id=TEXT, row=INT, dataset=TEXT, donor=TEXT, tissue=TEXT, condition=TEXT, label=TEXT,
    stages=TEXT, branch=TEXT, depth=REAL, role=TEXT, library_size=REAL, n_genes=INT,
)  # fmt: skip
GENES = _schema(gene=TEXT, rank=INT, score=REAL, source=TEXT)
SPLITS = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, design=TEXT, split=INT, seed=INT, role=TEXT, dataset=TEXT,
    donor=TEXT, condition=TEXT, n_cells=INT, pretraining_overlap=FLAG,
)  # fmt: skip
ROOTS = _schema(split=INT, donor=TEXT, cell_id=TEXT, score=REAL)
SCORES = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, split=INT, donor=TEXT, method=TEXT, protocol=TEXT, model=TEXT,
    operator=TEXT, arm=TEXT, draw=INT, width=INT, budget=TEXT, seed=INT, endpoint=TEXT, value=REAL, n=INT,
    status=TEXT, reason=TEXT, condition=TEXT, pretraining_overlap=FLAG, leaking=FLAG,
)  # fmt: skip
COSTS = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, method=TEXT, arm=TEXT, budget=TEXT, draw=INT, chunk=INT, splits=INT, fits=INT,
    probes=INT, reused=INT, wall_s=REAL, saved_s=REAL, cpu_s=REAL, gpu_s=REAL, peak_mb=REAL, parameters=INT,
    status=TEXT,
)  # fmt: skip
#: Once a panel as the paper counts it, the forward pass it left out, a split, and 12 splits without and with the pass.
RATIO = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, system=TEXT, once_s=REAL, forward_s=REAL, split_s=REAL, campaign_s=REAL,
    campaign_whole_s=REAL, ratio=REAL, ratio_whole=REAL,
)  # fmt: skip
LEAKAGE = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, split=INT, method=TEXT, protocol=TEXT, train_donors=INT,
    test_donors=INT, train_cells=INT, test_cells=INT, shared_donors=INT, shared_cells=INT,
    gene_selection_overlap=INT, operator_corpus_overlap=INT, leaking=FLAG, verdict=TEXT,
)  # fmt: skip
PANELS = _schema(
    run=TEXT, panel=TEXT, dataset=TEXT, donor=TEXT, condition=TEXT, tissue=TEXT, label=TEXT, stages=TEXT,
    branch=TEXT, depth=REAL, n_cells=INT, missing_genes=INT, library_is_partial=FLAG,
)  # fmt: skip
#: Cells of a dataset by what became of them; dropped ones are in no panel.
ROLES = _schema(run=TEXT, dataset=TEXT, role=TEXT, label=TEXT, n_cells=INT)
COMPARISONS = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, family=TEXT, endpoint=TEXT, method_a=TEXT, method_b=TEXT, unit=TEXT,
    n=INT, effect=REAL, ci_low=REAL, ci_high=REAL, statistic=REAL, p=REAL, q=REAL, p_floor=REAL,
)  # fmt: skip
NULLS = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, null=TEXT, draws=INT, n_donors=INT, mean=REAL, q95=REAL,
)  # fmt: skip
SUMMARY = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, subset=TEXT, endpoint=TEXT, verdict=FLAG, method=TEXT, protocol=TEXT,
    leaking=FLAG, n_donors=INT, mean=REAL, ci_low=REAL, ci_high=REAL, weighted_mean=REAL, sd_draws=REAL,
    n_not_ok=INT,
)  # fmt: skip
LATENT = _schema(
    panel=TEXT, campaign=TEXT, split=INT, method=TEXT, cell_id=TEXT, role=TEXT, donor=TEXT, condition=TEXT,
    label=TEXT, branch=TEXT, depth=REAL, x=REAL, y=REAL, z=REAL,
)  # fmt: skip
#: The real operator against one control; `p` holds the draws fixed, the interval does not. A family of its own says
#: whether a row decides (statistics/rule.py); `draw_low` and `draw_high` are the extremes of the draws' means,
#: `capped_*` the shares of scores whose head, or probe, was at its cap.
EVIDENCE = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, family=TEXT, subset=TEXT, endpoint=TEXT, real=TEXT, control=TEXT, kind=TEXT,
    width=INT, budget=TEXT, n_donors=INT, n_real=INT, n_draws=INT, left_out=INT, real_value=REAL, control_value=REAL,
    draw_low=REAL, draw_high=REAL, effect=REAL, ci_low=REAL, ci_high=REAL, statistic=REAL, p=REAL, p_floor=REAL,
    q=REAL, rank=INT, p_draws=REAL, null_floor=REAL, real_floor=REAL, effective_donors=REAL, detectable=REAL,
    margin=REAL, p_noninferiority=REAL, p_equivalence=REAL, capped_real=REAL, capped_control=REAL, outcome=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Cheap heads over width (0: none, the probe sits on the features), budget, seed, learning rate and convention; a head
#: at the standard values of all is in several sweeps. Selection scores are of held-out training anchors
#: and have no donor.
SWEEPS = _schema(
    run=TEXT, panel=TEXT, sweep=TEXT, head=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, width=INT, budget=TEXT,
    learning_rate=REAL, convention=TEXT, split=INT, donor=TEXT, endpoint=TEXT, value=REAL, n=INT, status=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Strength of the planted signal that gives a known lead, by population of the calibration.
STRENGTHS = _schema(world=INT, n_donors=INT, effect=REAL, strength=REAL)
#: One row per (simulated campaign, case, test): 1 for a verdict in favour of the real operator; leads in AUROC.
TRIALS = _schema(
    head=TEXT, case=TEXT, control=TEXT, n_donors=INT, effect=REAL, world=INT, campaign=INT, test=TEXT, value=REAL,
)  # fmt: skip
#: Share of simulated campaigns with a verdict in favour of the real operator; `effect` is planned, `lead` measured.
CALIBRATION = _schema(
    run=TEXT, head=TEXT, case=TEXT, control=TEXT, n_donors=INT, effect=REAL, lead=REAL, test=TEXT, campaigns=INT,
    positives=INT, rate=REAL, ci_low=REAL, ci_high=REAL,
)  # fmt: skip


def to_table(frame: pd.DataFrame, schema: pa.Schema, name: str) -> pa.Table:
    """Check `frame` against `schema` (exactly its columns, castable, no null where forbidden)."""
    if set(frame.columns) != set(schema.names):
        missing, extra = set(schema.names) - set(frame.columns), set(frame.columns) - set(schema.names)
        raise InputError(f"{name}: columns missing {sorted(missing)}, not declared {sorted(extra)}.")
    try:
        table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
        table.validate(full=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: does not keep its contract: {error}.") from error
    return table


def write_table(frame: pd.DataFrame, path: str | Path, schema: pa.Schema, tsv: bool = False) -> None:
    """Write `frame` as parquet, with a `.tsv` copy beside it when `tsv` is set."""
    path = Path(path)
    table = to_table(frame, schema, str(path))
    with atomic(path) as partial:
        pq.write_table(table, partial)
    if tsv:
        with atomic(path.with_suffix(".tsv")) as partial:
            table.to_pandas().to_csv(partial, sep="\t", index=False, float_format="%.10g")


def read_table(path: str | Path, schema: pa.Schema) -> pd.DataFrame:
    """Read a parquet table and refuse it when it is not what `schema` declares."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: is not a readable parquet table ({error}); delete it and run again.") from error
    return to_table(table.to_pandas(), schema, str(path)).to_pandas()


def read_tables(paths: list[str] | list[Path], schema: pa.Schema) -> pd.DataFrame:
    """Read and stack several tables of one contract, in the order given."""
    frames = [frame for path in paths if len(frame := read_table(path, schema))]
    return pd.concat(frames, ignore_index=True) if frames else schema.empty_table().to_pandas()


#: What the exported matrices are, by panel: the attention sums (operator `attention`) and every exported kind once.
OPERATOR_FACTS = _schema(
    run=TEXT, panel=TEXT, operator=TEXT, arm=TEXT, convention=TEXT, width=INT, genes=INT, zero_rows=INT,
    untokenised=INT, row_sum_error=REAL, row_sum_correlation=REAL, half_sum=REAL, support_share=REAL,
    nonzero_share=REAL, rank=INT, square_parameters=INT,
)  # fmt: skip
#: Cosine of a cell's embeddings from two extractions whose bin ties are spread by the same or another seed.
EMBEDDING_REPEAT = _schema(
    run=TEXT, panel=TEXT, pool=TEXT, seeds=TEXT, cells=INT, moved=REAL, mean=REAL, lowest=REAL,
)  # fmt: skip
#: One row per claim and test case; `where` finds the rows of `source_table` that `value` was made from.
CLAIMS = _schema(
    run=TEXT, claim=INT, family=TEXT, kind=TEXT, title=TEXT, paper=TEXT, place=TEXT, wording=TEXT, case=TEXT,
    statistic=TEXT, reported=TEXT, reported_value=REAL, tolerance=TEXT, value=REAL, ci_low=REAL, ci_high=REAL,
    matches=TEXT, strongest_control=TEXT, control_value=REAL, null_floor=REAL, published=TEXT, published_reason=TEXT,
    analogue=TEXT, analogue_reason=TEXT, readable=TEXT, panel=TEXT, campaign=TEXT, endpoint=TEXT, n_donors=INT,
    source_table=TEXT, rows=INT, where=TEXT,
)  # fmt: skip

#: Anchors by part of the chain (internal, external, zero_shot, control); cells of a part are those of its donors.
PARTS = _schema(
    run=TEXT, panel=TEXT, part=TEXT, anchor=TEXT, dataset=TEXT, donor=TEXT, tissue=TEXT, condition=TEXT, label=TEXT,
    stages=TEXT, branch=TEXT, depth=REAL, n_cells=INT,
)  # fmt: skip
#: What two parts share: cells (none, but for datasets that hold the same ones) and donors.
PART_OVERLAP = _schema(
    run=TEXT, panel=TEXT, part_a=TEXT, part_b=TEXT, cells_a=INT, cells_b=INT, shared_cells=INT, donors_a=INT,
    donors_b=INT, shared_donors=INT, dropped_cells=INT,
)  # fmt: skip
#: Gates of heads by part. `draw` is that of a random arm; of `real` and of arms with one operator the head's seed, as
#: in all tables of the chain. Gate `all` is passed when all with a threshold are. `p` is of the blocked permutation,
#: `null_*` of the gate's own null where it has one.
GATES = _schema(
    run=TEXT, panel=TEXT, part=TEXT, head=TEXT, width=INT, budget=TEXT, learning_rate=REAL, arm=TEXT, operator=TEXT,
    draw=INT, seed=INT, gate=TEXT, value=REAL, p=REAL, p_floor=REAL, null_mean=REAL, null_q95=REAL, threshold=REAL,
    passed=FLAG, n=INT, status=TEXT, reason=TEXT,
)  # fmt: skip
#: Hybrid, cell and anchor heads side by side: parts of the selection score and the score, by weight of topology.
HYBRIDS = _schema(
    run=TEXT, panel=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, head=TEXT, sweep=TEXT, weight_topo=REAL,
    weight_compact=REAL, part=TEXT, quantity=TEXT, value=REAL, selected=FLAG, label=TEXT, n=INT, status=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Single heads by part; `rank` of a control's row is the one that it would have among the real heads. Head `best` is
#: the largest of all heads, of a Gaussian draw the largest of as many matrices. auroc3: mean AUROC of the two-class
#: tasks in the first three axes.
HEADS = _schema(
    run=TEXT, panel=TEXT, part=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, head=TEXT, layer=INT, index=INT,
    width=INT, budget=TEXT, key=TEXT, rank=REAL, residualised=REAL, correlation=REAL, trust=REAL, auroc3=REAL, n=INT,
    chosen=FLAG, status=TEXT, reason=TEXT,
)  # fmt: skip
#: Compaction by variant, endpoint and draw: donor means, and the paired difference to the variant's reference.
#: `losses` counts the endpoints of the variant with a significant loss (q of the family of its endpoints).
COMPACTION = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, variant=TEXT, reference=TEXT,
    selection=TEXT, bytes=INT, endpoint=TEXT, value=REAL, n=INT, effect=REAL, ci_low=REAL, ci_high=REAL, p=REAL,
    q=REAL, p_floor=REAL, margin=REAL, p_noninferiority=REAL, outcome=TEXT, losses=REAL, endpoints=INT, status=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Factors of the first rank: what goes when one is left out, what a few keep. `subset` names factors as `0+1+3`,
#: `probes` says whether they were trained again. Values are of endpoints, drops, or shares of them.
FACTORS = _schema(
    run=TEXT, panel=TEXT, campaign=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, form=TEXT, probes=TEXT,
    quantity=TEXT, endpoint=TEXT, factor=INT, subset=TEXT, value=REAL, low=REAL, high=REAL, n=INT, status=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Genes that a factor reads and writes most, by magnitude.
PROGRAMS = _schema(
    run=TEXT, panel=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, factor=INT, singular_value=REAL, side=TEXT,
    rank=INT, gene=TEXT, weight=REAL,
)  # fmt: skip
#: Enrichment of these genes in gene sets; the panel's genes are the background, q over all tests of a table and arm.
ENRICHMENT = _schema(
    run=TEXT, panel=TEXT, arm=TEXT, operator=TEXT, draw=INT, factor=INT, side=TEXT, collection=TEXT, gene_set=TEXT,
    overlap=INT, set_size=INT, listed=INT, background=INT, fold=REAL, p=REAL, q=REAL, genes=TEXT, status=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Second manifold: correlation with the communication ruler and margins over principal components, by part.
MANIFOLD2 = _schema(
    run=TEXT, panel=TEXT, part=TEXT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, method=TEXT, neighbours=INT,
    chosen=FLAG, quantity=TEXT, value=REAL, low=REAL, high=REAL, p=REAL, p_floor=REAL, n=INT, status=TEXT, reason=TEXT,
)  # fmt: skip
#: Findings on the latent of a head fitted on the internal part, each with its null.
LATENT_FINDINGS = _schema(
    run=TEXT, panel=TEXT, part=TEXT, head=TEXT, width=INT, arm=TEXT, operator=TEXT, draw=INT, seed=INT, finding=TEXT,
    quantity=TEXT, i=INT, j=INT, value=REAL, p=REAL, p_floor=REAL, null_mean=REAL, null_q95=REAL, n=INT, status=TEXT,
    reason=TEXT,
)  # fmt: skip
#: Anchors in the first three principal axes (of the internal anchors) of a head's latent.
PART_VIEWS = _schema(
    run=TEXT, panel=TEXT, part=TEXT, head=TEXT, arm=TEXT, anchor=TEXT, donor=TEXT, label=TEXT, stages=TEXT, branch=TEXT,
    depth=REAL, n_cells=INT, x=REAL, y=REAL, z=REAL,
)  # fmt: skip
#: Geometry of gene representations: a row per analysis, layer, scope, axis, term, quantity and null. `space`: `model`,
#: `random` (a fresh model of the same shape) or `coexpression`; `layer` -1 is before the first block, NaN is over all;
#: `p_family` is the max-T p over the analysis, `p_opposite` the same for the other side.
GEOMETRY = _schema(
    run=TEXT, space=TEXT, analysis=TEXT, layer=REAL, scope=TEXT, axis=TEXT, term=TEXT, quantity=TEXT, value=REAL,
    ci_low=REAL, ci_high=REAL, null=TEXT, side=TEXT, p=REAL, p_family=REAL, p_opposite=REAL, p_floor=REAL,
    permutations=INT, null_mean=REAL, null_sd=REAL, null_q95=REAL, n=INT, status=TEXT, reason=TEXT,
)  # fmt: skip
#: The sister paper's headlines by space: the block that stands best against its matched nulls, family-wise; `q` and
#: `p_bonferroni` over the model's headlines.
GEOMETRY_HEADLINES = _schema(
    run=TEXT, space=TEXT, headline=TEXT, analysis=TEXT, quantity=TEXT, scope=TEXT, layer=REAL, axis=TEXT, term=TEXT,
    value=REAL, ci_low=REAL, ci_high=REAL, null=TEXT, side=TEXT, null_mean=REAL, null_sd=REAL, p=REAL, p_opposite=REAL,
    p_floor=REAL, permutations=INT, p_paper=REAL, p_random=REAL, p_coexpression=REAL, q=REAL, q_opposite=REAL,
    p_bonferroni=REAL, n=INT, status=TEXT, reason=TEXT,
)  # fmt: skip
#: Claims of the sister paper, as `CLAIMS` has them too; made without the benchmark.
GEOMETRY_CLAIMS = CLAIMS
