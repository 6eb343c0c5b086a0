"""Endpoints per donor from class scores and pseudotime (spec F.2; decisions 9, 11)."""

import numpy as np
from sklearn.metrics import f1_score, recall_score, roc_auc_score


def eligible(codes: np.ndarray, min_cells: int) -> np.ndarray:
    """Classes with at least `min_cells` of these cells (decision 11)."""
    present, counts = np.unique(codes, return_counts=True)
    return present[counts >= min_cells]


def compatible_prediction(predicted: np.ndarray, truth: np.ndarray, compatible: np.ndarray) -> np.ndarray:
    """Map predictions into the tested label sets: (n,) codes, -1 where no tested set fits.

    compatible (K, K) says which label sets share a stage. A prediction that shares a stage with the truth
    is right; any other becomes the first tested set that it shares a stage with. Within one dataset the
    sets are disjoint and no score changes; between datasets it scores at label-set level (decision 9).
    """
    tested = np.unique(truth)
    fallback = np.array([next((t for t in tested if compatible[p, t]), -1) for p in range(len(compatible))])
    return np.where(compatible[predicted, truth], truth, fallback[predicted])


def multiclass(truth: np.ndarray, predicted: np.ndarray, min_cells: int) -> tuple[dict[str, float], int]:
    """Balanced accuracy and macro-F1 over the donor's eligible classes; second is the number of cells scored.

    Cells of classes that are too small are left out; predictions of such classes count as errors.
    NaN when fewer than two classes are eligible.
    """
    classes = eligible(truth, min_cells)
    rows = np.isin(truth, classes)
    if len(classes) < 2:
        return {"balanced_accuracy": np.nan, "macro_f1": np.nan}, int(rows.sum())
    kwargs = {"labels": classes, "average": "macro", "zero_division": 0}
    return {
        "balanced_accuracy": float(recall_score(truth[rows], predicted[rows], **kwargs)),
        "macro_f1": float(f1_score(truth[rows], predicted[rows], **kwargs)),
    }, int(rows.sum())


def binary(positive: np.ndarray, scores: np.ndarray, min_cells: int) -> tuple[dict[str, float], int]:
    """AUROC and balanced accuracy at 0 of a two-class task; NaN when a class is too small in this donor."""
    n_positive, n = int(positive.sum()), len(positive)
    if min(n_positive, n - n_positive) < min_cells:
        return {"auroc": np.nan, "balanced_accuracy": np.nan}, n
    called = scores > 0
    recalls = (called[positive].mean(), (~called[~positive]).mean())
    return {"auroc": float(roc_auc_score(positive, scores)), "balanced_accuracy": float(np.mean(recalls))}, n
