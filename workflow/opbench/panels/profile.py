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
        _, group, sizes = np.unique(donor[inside], return_inverse=True, return_counts=True)
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


def masked_gain(values: np.ndarray, label: np.ndarray, donor: np.ndarray, folds: int = 5) -> tuple[float, float]:
    """Return how much the rest of a cell tells about its non-zero values, beyond two kinds of mean.

    Non-zero values become bins 1-50 by rank within the cell, as a masked-value model sees them. Each gene's bin is
    predicted in held-out donors (every fourth) by ridge regression on 20 principal components of the genes of
    the other `folds` - 1 gene folds. The figures are 1 - MSE / MSE of the gene's mean bin, and the same against
    the gene's mean bin within the cell's label; the regression is of the residual and is not told the label.
    """
    from sklearn.decomposition import PCA

    binned, names = rank_bins(values), np.unique(donor)
    train = ~np.isin(donor, names[::4])
    group = np.unique(label, return_inverse=True)[1]
    pooled = _mean_bins(binned, np.zeros_like(group), train, binned[binned > 0].mean())
    means = [pooled, _mean_bins(binned, group, train, pooled)]
    before, after = np.zeros(2), np.zeros(2)
    fold = keyed_rng("masked_gain").permutation(values.shape[1]) % folds
    for held in range(folds):
        pca = PCA(20, svd_solver="covariance_eigh").fit(values[train][:, fold != held])
        parts = pca.transform(values[:, fold != held])
        parts /= parts[train].std(axis=0)
        for gene in np.flatnonzero(fold == held):
            seen = binned[:, gene] > 0
            fit, score = seen & train, seen & ~train
            left = np.stack([binned[:, gene] - mean[:, gene] for mean in means], axis=1)
            gram = parts[fit].T @ parts[fit] + 200.0 * np.eye(parts.shape[1])
            predicted = parts[score] @ np.linalg.solve(gram, parts[fit].T @ left[fit])
            before += np.square(left[score]).sum(axis=0)
            after += np.square(left[score] - predicted).sum(axis=0)
    gain = 1 - after / before
    return float(gain[0]), float(gain[1])


def rank_bins(values: np.ndarray, bins: int = 50) -> np.ndarray:
    """Return (cells, genes) bins: non-zero values ranked within the cell and scaled to 1-`bins`, zeros 0."""
    from scipy.stats import rankdata

    binned = np.zeros(values.shape)
    for row, cell in enumerate(values):
        if (at := np.flatnonzero(cell)).size:
            binned[row, at] = 1 + (bins - 1) * (rankdata(cell[at]) - 0.5) / at.size
    return binned


def _mean_bins(binned: np.ndarray, group: np.ndarray, train: np.ndarray, prior: np.ndarray | float) -> np.ndarray:
    """Return (cells, genes) mean bin of the training non-zeros of a cell's group, drawn to `prior` as by 5 cells."""
    member = csr_matrix((train.astype(float), (group, np.arange(len(group)))))
    prior = prior[: member.shape[0]] if isinstance(prior, np.ndarray) else prior
    return ((member @ binned + 5 * prior) / (member @ (binned > 0) + 5))[group]
