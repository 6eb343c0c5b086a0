"""What a panel looks like in figures, so that a simulated cohort can be held against a real one."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from opbench.io.seeds import keyed_rng

if TYPE_CHECKING:
    from anndata import AnnData

#: Fewest cells of a class in a donor for it to count, as for the endpoints.
MIN_CELLS = 5


def profile_panel(adata: "AnnData") -> dict[str, float]:
    """Measure a panel as `read_panel` returns it; all figures are dimensionless or counts of genes.

    genes_per_cell: mean number of the panel's genes detected in a cell; genes_per_cell_cv: its coefficient
    of variation. sparsity: share of zero entries. single_counts: share of the non-zeros that are 1.
    donor_share: `donor_share`. branch_accuracy: `branch_accuracy`. masked_gain and masked_gain_label:
    `masked_gain`, against the gene's mean and against its mean within the cell's label.
    """
    counts = csr_matrix(adata.X)
    detected = np.diff(counts.indptr)
    values = adata.layers["log1p"].toarray()
    label, donor, branch = (adata.obs[name].to_numpy(str) for name in ("label", "donor", "branch"))
    gain, gain_label = masked_gain(values, label, donor)
    return {
        "genes_per_cell": float(detected.mean()),
        "genes_per_cell_cv": float(detected.std() / detected.mean()),
        "sparsity": float(1 - counts.nnz / np.prod(counts.shape)),
        "single_counts": float((counts.data == 1).mean()),
        "donor_share": donor_share(values, label, donor),
        "branch_accuracy": branch_accuracy(values, branch, donor),
        "masked_gain": gain,
        "masked_gain_label": gain_label,
    }


def donor_share(values: np.ndarray, label: np.ndarray, donor: np.ndarray) -> float:
    """Return the mean over genes of between-donor variance within labels over total variance.

    `values` (cells, genes). Within each label the variance component between donors with at least five of
    its cells comes from one-way analysis of variance with unequal groups (method of moments, unclipped, so
    that noise averages out); labels are weighted by their cells. Genes seen in fewer than 10 cells are left
    out.
    """
    kept = (values > 0).sum(axis=0) >= 10
    values = values[:, kept].astype(np.float64)
    between, weight = np.zeros(values.shape[1]), 0
    for name in np.unique(label):
        inside = label == name
        donors, group, sizes = np.unique(donor[inside], return_inverse=True, return_counts=True)
        enough = sizes >= MIN_CELLS
        if enough.sum() < 2:
            continue
        rows, sizes = np.flatnonzero(inside)[enough[group]], sizes[enough]
        group = (np.cumsum(enough) - 1)[group[enough[group]]]
        member = csr_matrix((np.ones(len(rows)), (group, np.arange(len(rows)))))
        cells = values[rows]
        means = (member @ cells) / sizes[:, None]
        n, k = len(rows), len(sizes)
        within = ((cells - means[group]) ** 2).sum(axis=0) / (n - k)
        across = (sizes[:, None] * (means - cells.mean(axis=0)) ** 2).sum(axis=0) / (k - 1)
        between += n * (across - within) / ((n - (sizes**2).sum() / n) / (k - 1))
        weight += n
    return float((between / max(weight, 1) / values.var(axis=0)).mean())


def branch_accuracy(values: np.ndarray, branch: np.ndarray, donor: np.ndarray, components: int = 10) -> float:
    """Return the mean leave-one-donor-out balanced accuracy of branches, PCA then balanced logistic regression.

    Everything is fitted on the other donors. A donor counts when it has two branches of at least five cells;
    recall is averaged over these branches.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = []
    for name in np.unique(donor):
        test = donor == name
        branches, sizes = np.unique(branch[test], return_counts=True)
        if (sizes >= MIN_CELLS).sum() < 2:
            continue
        model = make_pipeline(
            PCA(components, svd_solver="covariance_eigh"),
            StandardScaler(),
            LogisticRegression(class_weight="balanced", max_iter=500),
        )
        right = model.fit(values[~test], branch[~test]).predict(values[test]) == branch[test]
        scores.append(np.mean([right[branch[test] == b].mean() for b in branches[sizes >= MIN_CELLS]]))
    return float(np.mean(scores))


def masked_gain(values: np.ndarray, label: np.ndarray, donor: np.ndarray, bins: int = 50) -> tuple[float, float]:
    """Return how much the rest of a cell tells about its masked non-zero values, beyond two means.

    Non-zero values become bins 1..`bins` by rank within the cell (ties share their mean rank), as a masked-value
    model sees them. A quarter of the non-zeros is hidden; ridge regression from the visible bins of the cell
    predicts the hidden ones in held-out donors. The figures are 1 - MSE / MSE of the gene's mean bin, and the
    same against the gene's mean bin within the cell's label; the ridge model predicts the residual of each mean
    and never sees the label otherwise.
    """
    binned = rank_bins(values, bins)
    seen = binned > 0
    hidden = seen & (keyed_rng("masked_gain").random(values.shape) < 0.25)
    visible = np.where(hidden, 0, binned).astype(np.float64)
    names = np.unique(donor)
    test = np.isin(donor, names[: max(1, len(names) // 4)])
    _, group = np.unique(label, return_inverse=True)
    pooled = _means(binned, seen, np.zeros_like(group), ~test)
    within = _means(binned, seen, group, ~test, prior=pooled)
    gains = [
        _ridge_gain(visible, binned, mean, seen & ~test[:, None], hidden & test[:, None]) for mean in (pooled, within)
    ]
    return gains[0], gains[1]


def rank_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """Return (cells, genes) bins: non-zero values ranked within the cell and scaled to 1..bins, zeros 0."""
    from scipy.stats import rankdata

    binned = np.zeros(values.shape)
    for row, cell in enumerate(values):
        if (at := np.flatnonzero(cell)).size:
            binned[row, at] = 1 + (bins - 1) * (rankdata(cell[at]) - 0.5) / at.size
    return binned


def _means(
    binned: np.ndarray, seen: np.ndarray, group: np.ndarray, train: np.ndarray, prior: np.ndarray | None = None
) -> np.ndarray:
    """Return for each cell and gene the mean training bin of its group, drawn to `prior` as by 5 values."""
    member = csr_matrix((train.astype(float), (group, np.arange(len(group)))))
    weight = 5.0 if prior is not None else 1e-9
    base = (prior if prior is not None else np.full(binned.shape, binned[seen].mean()))[0]
    return ((member @ binned + weight * base) / (member @ seen + weight))[group]


def _ridge_gain(
    visible: np.ndarray, binned: np.ndarray, mean: np.ndarray, fit: np.ndarray, score: np.ndarray
) -> float:
    """Return 1 - MSE of ridge on the residual of `mean` over the MSE of `mean`, at the entries of `score`.

    A gene's own visible value is withheld from its prediction by zeroing the diagonal of the coefficients after
    a joint fit on cells whose hidden entries alone carry the target.
    """
    rows = fit.any(axis=1)
    features = visible - visible[rows].mean(axis=0)
    target = np.where(fit & (visible == 0), binned - mean, 0.0)[rows]
    penalty = 0.05 * np.square(features[rows]).sum(axis=0).mean()
    gram = features[rows].T @ features[rows]
    coefficients = np.linalg.solve(gram + penalty * np.eye(len(gram)), features[rows].T @ target)
    # The target is zero wherever a value is not hidden; rescaling by the hidden rate undoes the shrinkage.
    hidden_rate = (fit & (visible == 0)).sum(axis=0)[None] / max(1, rows.sum())
    predicted = features @ coefficients / np.maximum(hidden_rate, 1e-3)
    error = np.square((binned - mean)[score]).mean()
    return float(1 - np.square((binned - mean - predicted)[score]).mean() / error)
