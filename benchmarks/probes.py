"""Linear probes of 88 splits: the batched engine against looping scikit-learn's LogisticRegression.

    python benchmarks/probes.py results/marrow/build_panel/marrow.h5ad
    python benchmarks/probes.py --simulate 100000 --reference-splits 2
    python benchmarks/probes.py results/marrow/build_panel/marrow.h5ad --kind pca512

The splits are the paper's 40 + 24 + 24 groups of three test donors. Both sides get the same cells, standardisation,
penalty and class weights and the same number of threads. `--reference-splits` times scikit-learn on some of the splits
and scales up, because the whole loop takes hours on 100,000 cells; the agreement is then of those splits.
"""

# ruff: noqa: E402 - threads are set before numpy is imported
import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("panel", nargs="?", help="a panel file of a run")
parser.add_argument("--simulate", type=int, metavar="CELLS", help="simulate a panel of 1,200 genes instead")
parser.add_argument("--kind", choices=["raw", "pca512", "drift"], default="raw")
parser.add_argument("--features", help=".npy of the drift operator's features, for --kind drift")
parser.add_argument("--splits", type=int, default=88)
parser.add_argument("--reference-splits", type=int, help="splits that scikit-learn is timed on; all by default")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--tolerance", type=float, default=1e-6, help="of scikit-learn; see readouts/logistic.py")
options = parser.parse_args()
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(options.threads)

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score, roc_auc_score

from opbench.io.seeds import keyed_rng
from opbench.readouts.logistic import Labels
from opbench.readouts.probes import Part, probe_dense, probe_shared, standardise

MIN_CELLS = 5


def marrow(path):
    """Expression, tasks and donors of a panel file."""
    from opbench.panels.panel import read_panel

    cells = read_panel(path)
    label, donor = cells.obs["label"].to_numpy(), cells.obs["donor"].to_numpy()
    return cells.layers["log1p"], label, cells.obs["branch"].to_numpy(), donor


def simulated(n, genes=1200, donors=15, labels=15):
    """Counts of a negative binomial kind, 5 % filled, with donor effects; sparse like marrow."""
    rng = keyed_rng("benchmark-probes")
    base = rng.gamma(0.15, 0.5, genes)
    kinds = np.exp(rng.normal(0, 1.0, (labels, genes)))
    people = np.exp(rng.normal(0, 0.3, (donors, genes)))
    label, donor = rng.integers(0, labels, n), rng.integers(0, donors, n)
    blocks = []
    for start in range(0, n, 10_000):
        rows = slice(start, start + 10_000)
        rate = base * kinds[label[rows]] * people[donor[rows]] * rng.gamma(3, 1 / 3, (len(label[rows]), 1))
        blocks.append(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    x = sp.vstack(blocks).tocsr()
    x = sp.csr_matrix(x.multiply(1e4 / np.maximum(np.asarray(x.sum(1)), 1)), dtype=np.float32)
    x.data = np.log1p(x.data)
    return x, np.array([f"t{i:02d}" for i in label]), np.array([f"b{i // 3}" for i in label]), donor.astype(str)


def make_tasks(label, branch):
    """Branch, stage and four pairs of labels."""
    names, codes = np.unique(label, return_inverse=True)
    tasks = {"branch": Labels(np.unique(branch, return_inverse=True)[1], len(np.unique(branch)))}
    tasks["stage"] = Labels(codes, len(names))
    pairs = [("T", "CTL"), ("GMP", "Mono"), ("GMP", "Prog"), ("Mono", "cDC")]
    if "CTL" not in names:
        pairs = [(names[i], names[i + 1]) for i in (0, 2, 4, 6)]
    for a, b in pairs:
        tasks[f"{a}_{b}"] = Labels(np.where(label == a, 0, np.where(label == b, 1, -1)), 2)
    return tasks


def metrics(scores, codes, two):
    """Balanced accuracy, and AUROC of a two-class task, on the classes with enough cells."""
    kept = codes >= 0
    classes, counts = np.unique(codes[kept], return_counts=True)
    classes = classes[counts >= MIN_CELLS]
    kept &= np.isin(codes, classes)
    if len(classes) < 2:
        return {}
    called = scores[kept].argmax(1)
    out = {"bacc": recall_score(codes[kept], called, labels=classes, average="macro", zero_division=0)}
    return out | ({"auroc": roc_auc_score(codes[kept], scores[kept, 1] - scores[kept, 0])} if two else {})


def reference(train, test, codes, n_classes):
    """scikit-learn's scores, a column a class."""
    kept = codes >= 0
    fit = LogisticRegression(class_weight="balanced", tol=options.tolerance, max_iter=10_000)
    found = fit.fit(train[kept], codes[kept]).decision_function(test)
    scores = np.full((len(test), n_classes), -np.inf)
    scores[:, fit.classes_] = np.column_stack([-found, found]) if found.ndim == 1 else found
    return scores


x, label, branch, donor = simulated(options.simulate) if options.simulate else marrow(options.panel)
tasks = make_tasks(label, branch)
tested = [name for name in np.unique(donor) if (donor == name).sum() >= 100]
groups = [keyed_rng("benchmark-groups", i).choice(tested, 3, replace=False) for i in range(options.splits)]
masks = [np.isin(donor, group) for group in groups]
drift = np.load(options.features) if options.kind == "drift" else None


def representation(train):
    """Projection of a split, (G, 512), fitted on its training cells."""
    dense = x[train].toarray()
    scale = dense.std(0)
    scale[scale == 0] = 1
    pca = PCA(512, svd_solver="covariance_eigh").fit((dense - dense.mean(0)) / scale)
    return (pca.components_.T / scale[:, None]).astype(np.float32)


rows = [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]
projections = [representation(train) if options.kind == "pca512" else None for train, _ in rows]
# Loops are compiled once a machine.
probe_shared(x[:200], {"branch": Labels(tasks["branch"].codes[:200], 9)}, None, [Part(np.arange(150), np.arange(9))])
start, cpu = time.perf_counter(), time.process_time()
if drift is None:
    parts = [Part(*pair, projection) for pair, projection in zip(rows, projections, strict=True)]
    found = [probed.scores for probed in probe_shared(x, tasks, None, parts, options.threads)]
else:
    found = []
    for train, test in rows:
        mine = {name: Labels(task.codes[train], task.n_classes) for name, task in tasks.items()}
        found.append(probe_dense(drift[train], drift[test], mine, None, options.threads).scores)
ours, ours_cpu = time.perf_counter() - start, time.process_time() - cpu

timed = rows[: options.reference_splits]
theirs, theirs_cpu, worst, every = 0.0, 0.0, {}, {}
for (train, test), scores, projection in zip(timed, found, projections, strict=False):
    if drift is not None:
        sides = drift[train], drift[test]
    else:
        sides = [x[side].toarray() if projection is None else x[side] @ projection for side in (train, test)]
    start, cpu = time.perf_counter(), time.process_time()
    a, b = standardise(*sides)
    expected = {name: reference(a, b, task.codes[train], task.n_classes) for name, task in tasks.items()}
    theirs, theirs_cpu = theirs + time.perf_counter() - start, theirs_cpu + time.process_time() - cpu
    for name, task in tasks.items():
        mine, true = (metrics(s[name], task.codes[test], task.n_classes == 2) for s in (scores, expected))
        for key in mine:
            gap = mine[key] - true[key]
            every.setdefault(f"{name} {key}", []).append(gap)
theirs, theirs_cpu = (value * len(rows) / len(timed) for value in (theirs, theirs_cpu))
print(
    f"{options.kind}: {x.shape[0]} cells x {x.shape[1]} genes, {x.nnz / np.prod(x.shape):.1%} filled, "
    f"{len(rows)} splits"
)
print(f"engine       {ours:8.1f} s wall {ours_cpu:8.1f} s CPU, {options.threads} threads")
print(f"scikit-learn {theirs:8.1f} s wall {theirs_cpu:8.1f} s CPU, tol {options.tolerance}, {len(timed)} splits timed")
print(f"ratio        {theirs / ours:8.1f}        {theirs_cpu / ours_cpu:8.1f}")
print("difference to scikit-learn: mean over splits, largest of a split")
for key, gaps in every.items():
    print(f"  {key:22s} {np.mean(gaps):+.5f}  {np.abs(gaps).max():.5f}")
