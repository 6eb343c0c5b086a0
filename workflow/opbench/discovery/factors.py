"""Factors of a reduced operator: what goes when one is left out, what a few keep, the genes that they read (spec H.3).

A factor's impact is Σ over endpoints of max(0, intact - ablated), donor means. Shares of the summed impact are in the
order of singular values; in that of impact (`*_by_impact`) they are larger for any operator, since the largest of many
noisy drops come first.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb

import numpy as np

from opbench.config import Config
from opbench.discovery.ablation import evaluate
from opbench.discovery.bench import Bench, Fitted
from opbench.discovery.reduce import Reduced
from opbench.io.seeds import keyed_rng
from opbench.statistics.tests import bootstrap_means

NAN = float("nan")
#: Numbers of first factors whose share is told.
TOPS = (4, 10, 16)
#: Factors among which the other pairs are drawn, and whose genes are listed.
FIRST = 16
#: AUROC and balanced accuracy of a two-class task without any signal.
CHANCE = 0.5
#: Reason of the core's best pair.
SELECTED = "the pair is chosen on the donors that it is scored on: selected and tested"
#: Singular values this close to each other have no order.
TIED = 1e-3


def _row(form: str, probes: str, quantity: str, value: float, **columns: object) -> dict:
    """One row of `FACTORS`; what is not given is empty."""
    state = ("ok", "") if np.isfinite(value) else ("not_applicable", "no tested donor has a value")
    empty = {"endpoint": "", "factor": -1, "subset": "", "low": NAN, "high": NAN, "n": 0}
    about = {"form": form, "probes": probes, "quantity": quantity, "value": float(value)}
    return empty | about | {"status": state[0], "reason": state[1]} | columns


def untestable_row(form: str, reason: str) -> dict:
    """The row of an operator that has no such form."""
    return _row(form, "fixed", "top4_share", NAN, status="not_testable", reason=reason)


def named(factors: Iterable[int]) -> str:
    """A set of factors as rows name it, `0+1+3`."""
    return "+".join(map(str, sorted(factors)))


def masks(subsets: Sequence[Sequence[int]], r: int) -> np.ndarray:
    """Which factors each subset keeps, (subsets, r) bool."""
    out = np.zeros((len(subsets), r), bool)
    for row, subset in zip(out, subsets, strict=True):
        row[list(subset)] = True
    return out


def impacts(intact: np.ndarray, ablated: np.ndarray) -> np.ndarray:
    """Σ over endpoints of max(0, intact - ablated), (..., r), of donor means (..., E) and (..., r, E); NaN counts 0."""
    return np.nan_to_num(np.maximum(intact[..., None, :] - ablated, 0)).sum(-1)


def shares(impact: np.ndarray) -> np.ndarray:
    """Cumulative share of the summed impact, (..., r); NaN where nothing has an impact."""
    total = impact.sum(-1, keepdims=True)
    return np.divide(impact.cumsum(-1), total, out=np.full(impact.shape, NAN), where=total > 0)


def random_cores(n: int, size: int, r: int, seed: int) -> list[tuple[int, ...]]:
    """At most n different random sets of `size` of r factors, none of them in the core, the first `size`.

    Fewer where the others make up fewer sets, none where they are fewer than `size`.
    """
    rng, found = keyed_rng(seed, "random-cores", r), {}
    most = min(n, comb(max(r - size, 0), size))
    for _ in range(50 * n):
        if len(found) == most:
            break
        found[tuple(sorted((size + rng.choice(r - size, size, replace=False)).tolist()))] = None
    return list(found)


def _missing_cores(form: str, probes: str, found: int, n: int, outside: int) -> list[dict]:
    """The row that says why there are fewer random cores than asked for; none where all are there."""
    reason = f"{found} of {n} random cores: {outside} factors lie outside the core"
    empty = _row(form, probes, "random_core", NAN, endpoint="pooled", status="not_applicable", reason=reason)
    return [empty] if found < n else []


def factor_rows(config: Config, bench: Bench, form: str, reduced: Reduced, fitted: Sequence[Fitted]) -> list[dict]:
    """Rows of `FACTORS` of one operator-draw's form, from the heads that were fitted on it (one a fold).

    With fixed probes: every ablation, subsets of the core, random cores, pairs. Trained again: ablations, the core and
    random cores. The hard sparse form has ablations with fixed probes alone.
    """
    s, r = config.discovery.compaction, int(reduced.rank or 0)
    if r <= s.core:
        return [untestable_row(form, f"the operator has {r} factors, no more than the core")]
    out = [range(r), *([i for i in range(r) if i != k] for k in range(r))]
    if form == "sparse":
        fixed, _ = evaluate(bench, reduced, fitted, masks(out, r), masks([], r))
        return _ablation_rows(config, bench, form, "fixed", fixed[0], fixed[1:], _tied(reduced))
    core = [subset for size in range(1, s.core + 1) for subset in combinations(range(s.core), size)]
    cores = random_cores(s.random_cores, s.core, r, config.discovery.seed)
    others = list(combinations(range(s.core, min(FIRST, r)), 2))
    again = [*out[1:], core[-1], *cores]
    fixed, retrained = evaluate(bench, reduced, fitted, masks([*out, *core, *cores, *others], r), masks(again, r))
    intact, ablated, subsets, drawn, pairs = np.split(fixed, np.cumsum([1, r, len(core), len(cores)]))
    rows = _ablation_rows(config, bench, form, "fixed", intact[0], ablated, _tied(reduced))
    rows += _ablation_rows(config, bench, form, "retrained", intact[0], retrained[:r], _tied(reduced))
    for probes, alone, random in (
        ("fixed", subsets[-1], drawn), ("retrained", retrained[r], retrained[r + 1 :])
    ):  # fmt: skip
        rows += _core_rows(config, bench, form, probes, intact[0], alone, named(core[-1]))
        rows += _subset_rows(bench, form, probes, "random_core", cores, random)
        rows += _missing_cores(form, probes, len(cores), s.random_cores, r - s.core)
    rows += _subset_rows(bench, form, "fixed", "subset", core, subsets)
    return rows + _share_rows(bench, form, intact[0], (core, subsets), (others, pairs))


def _means(values: np.ndarray) -> np.ndarray:
    """Donor means of (..., donors, endpoints); NaN where no donor has a value."""
    n = np.isfinite(values).sum(-2)
    return np.where(n > 0, np.nansum(values, -2) / np.maximum(n, 1), NAN)


def _tied(reduced: Reduced) -> str:
    values = singular_values(reduced)
    return "singular values are equal: their order is arbitrary" if values[-1] > (1 - TIED) * values[0] else ""


def singular_values(reduced: Reduced) -> np.ndarray:
    """Norm of each rank-1 factor, (r,); of a low-rank form the singular values."""
    assert reduced.left is not None and reduced.right is not None
    return np.linalg.norm(reduced.left, axis=0) * np.linalg.norm(reduced.right, axis=1)


def _with_intervals(config: Config, values: np.ndarray) -> list[np.ndarray]:
    """Mean, low and high over donors of (m, donors, E), each (m, E)."""
    s, (m, donors, e) = config.statistics, values.shape
    flat = values.transpose(1, 0, 2).reshape(donors, m * e)
    return [part.reshape(m, e) for part in bootstrap_means(flat, s.bootstraps, s.seed, s.level)]


def _ablation_rows(
    config: Config, bench: Bench, form: str, probes: str, intact: np.ndarray, ablated: np.ndarray, note: str
) -> list[dict]:
    """Intact values, drops, impacts and shares; intact (donors, E), ablated (r, donors, E)."""
    drops = intact - ablated
    stacked = np.concatenate([intact[None], drops])
    mean, low, high = _with_intervals(config, stacked)
    n, rows = np.isfinite(stacked).sum(1), []
    for index in range(len(stacked)):
        for e, endpoint in enumerate(bench.endpoints):
            columns = {"endpoint": endpoint, "low": low[index, e], "high": high[index, e], "n": int(n[index, e])}
            quantity = "drop" if index else "intact"
            rows.append(_row(form, probes, quantity, mean[index, e], factor=index - 1, **columns))
    impact = impacts(mean[0], mean[0] - mean[1:])
    rows += [_row(form, probes, "impact", value, endpoint="pooled", factor=k) for k, value in enumerate(impact)]
    lows, highs = _share_intervals(config, intact, ablated)
    by_value, by_impact = shares(impact), shares(-np.sort(-impact))
    state = {"reason": note}
    if not np.isfinite(by_value[-1]):
        state = {"status": "not_applicable", "reason": "leaving out no factor lowers any endpoint"}
    for k, (value, other) in enumerate(zip(by_value, by_impact, strict=True)):
        interval = {"low": lows[k], "high": highs[k]}
        rows.append(_row(form, probes, "share", value, endpoint="pooled", factor=k) | interval | state)
        rows.append(_row(form, probes, "share_by_impact", other, endpoint="pooled", factor=k) | state)
    for top in (top for top in TOPS if top <= len(impact)):
        interval = {"low": lows[top - 1], "high": highs[top - 1]}
        row = _row(form, probes, f"top{top}_share", by_value[top - 1], endpoint="pooled", n=len(intact))
        rows.append(row | interval | state)
        other = _row(form, probes, f"top{top}_share_by_impact", by_impact[top - 1], endpoint="pooled", n=len(intact))
        rows.append(other | state)
    return rows


def _share_intervals(config: Config, intact: np.ndarray, ablated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over donors of the share by singular value, (r,) each."""
    s, donors = config.statistics, len(intact)
    weights = keyed_rng(s.seed, "factor-shares", donors).multinomial(donors, np.full(donors, 1 / donors), s.bootstraps)
    drops = np.moveaxis(intact - ablated, 1, 0)  # (donors, r, E)
    present = np.isfinite(drops).reshape(donors, -1)
    total = weights @ np.where(present, drops.reshape(donors, -1), 0)
    mean = total / np.maximum(weights @ present, 1)
    drawn = shares(np.maximum(mean, 0).reshape(len(weights), *drops.shape[1:]).sum(-1))
    drawn = drawn[np.isfinite(drawn[:, -1])]
    if len(drawn) < 2:
        return np.full(len(ablated), NAN), np.full(len(ablated), NAN)
    low, high = np.quantile(drawn, [(1 - s.level) / 2, (1 + s.level) / 2], axis=0)
    return low, high


def _core_rows(
    config: Config, bench: Bench, form: str, probes: str, intact: np.ndarray, alone: np.ndarray, subset: str
) -> list[dict]:
    """Values of the core alone, and what it lacks to the intact operator; (donors, E) both."""
    mean, low, high = _with_intervals(config, np.stack([alone, intact - alone]))
    n, rows = np.isfinite(alone).sum(0), []
    for index, quantity in enumerate(("core", "core_drop")):
        for e, endpoint in enumerate(bench.endpoints):
            columns = {"endpoint": endpoint, "low": low[index, e], "high": high[index, e], "n": int(n[e])}
            rows.append(_row(form, probes, quantity, mean[index, e], subset=subset, **columns))
    return rows


def _subset_rows(
    bench: Bench, form: str, probes: str, quantity: str, subsets: Sequence[Sequence[int]], values: np.ndarray
) -> list[dict]:
    """Values of subsets alone, (subsets, donors, E)."""
    mean, n = _means(values), np.isfinite(values).sum(1)
    return [
        _row(form, probes, quantity, mean[i, e], endpoint=endpoint, subset=named(subset), n=int(n[i, e]))
        for i, subset in enumerate(subsets)
        for e, endpoint in enumerate(bench.endpoints)
    ]


def _share_rows(bench: Bench, form: str, intact: np.ndarray, core: tuple, others: tuple) -> list[dict]:
    """Shares of the intact value that subsets of the core keep, and pairs of other factors; the best pair of each.

    The best of the many other pairs is the expected best of as many as the core has. Of two-class endpoints also what
    a pair keeps of the gain over chance, (pair - 0.5) / (intact - 0.5).
    """
    level, rows = _means(intact), []
    donors = [
        {"endpoint": name, "n": int(n)} for name, n in zip(bench.endpoints, np.isfinite(intact).sum(0), strict=True)
    ]
    of_core, of_others = ((subsets, _means(values) / level) for subsets, values in (core, others))
    for quantity, (subsets, kept) in (("subset_share", of_core), ("pair_share", of_others)):
        for i, subset in enumerate(subsets):
            for e, columns in enumerate(donors):
                rows.append(_row(form, "fixed", quantity, kept[i, e], subset=named(subset), **columns))
    two = [i for i, subset in enumerate(of_core[0]) if len(subset) == 2]
    for e, columns in enumerate(donors):
        if np.isfinite(level[e]):
            rows += _best_rows(form, "share", of_core[1][:, e], of_others[1][:, e], core[0], two, columns)
            if columns["endpoint"] in bench.two_class:
                gain = level[e] - CHANCE if level[e] > CHANCE else NAN
                gained = [(kept[:, e] * level[e] - CHANCE) / gain for kept in (of_core[1], of_others[1])]
                rows += _best_rows(form, "kept", *gained, core[0], two, columns)
    return rows


def _best_rows(
    form: str, what: str, core: np.ndarray, others: np.ndarray, subsets: Sequence, two: list[int], columns: dict
) -> list[dict]:
    """The core's best pair of an endpoint, and the expected best of as many other pairs, in quantity `what`.

    core, others: what each subset of the core, and each other pair, keeps; two: the subsets of two.
    """
    best = two[int(np.argmax(core[two]))]
    mine = _row(form, "fixed", f"best_pair_{what}", core[best], subset=named(subsets[best]), **columns)
    theirs = _row(form, "fixed", f"best_other_pair_{what}", expected_best(others, len(two)), **columns)
    if not np.isfinite(core[best]):
        state = {"status": "not_applicable", "reason": "the intact operator is not above chance"}
        return [mine | state | {"subset": ""}, theirs | state]
    return [mine | {"reason": SELECTED}, theirs]


def expected_best(values: np.ndarray, n: int) -> float:
    """Mean of the largest of n of the values, drawn without return; NaN with fewer than n."""
    ordered = np.sort(values)
    if len(ordered) < n or not n:
        return NAN
    return float(sum(value * comb(i, n - 1) for i, value in enumerate(ordered)) / comb(len(ordered), n))


def program_rows(reduced: Reduced, genes: Sequence[str], factors: int, n_genes: int) -> list[dict]:
    """Rows of `PROGRAMS`: genes that each of the first factors reads (left) and writes (right) most, by magnitude.

    Weights are entries of vectors of norm 1; genes of weight 0 are none.
    """
    assert reduced.left is not None and reduced.right is not None
    sizes, rows = singular_values(reduced), []
    for factor in range(min(factors, int(reduced.rank or 0))):
        for side, vector in (("read", reduced.left[:, factor]), ("write", reduced.right[factor])):
            weight = vector / max(float(np.linalg.norm(vector)), 1e-30)
            order = np.argsort(-np.abs(weight), kind="stable")[:n_genes]
            rows += [
                {
                    "factor": factor, "singular_value": float(sizes[factor]), "side": side, "rank": rank,
                    "gene": genes[gene], "weight": float(weight[gene]),
                }
                for rank, gene in enumerate(order, 1)
                if weight[gene]
            ]  # fmt: skip
    return rows
