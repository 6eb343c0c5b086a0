"""Linear probes on a representation (spec D: the default readout)."""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

#: Inverse penalty of the logistic probe on standardised features; scikit-learn's default, not tuned.
INVERSE_PENALTY = 1.0
#: Ridge penalty of the supervised depth readout on standardised features; scikit-learn's default.
RIDGE_PENALTY = 1.0
#: lbfgs at scikit-learn's default 1e-4 stops early on 1,200 standardised genes: stage balanced accuracy of single
#: marrow donors was off by up to 0.009 from the converged fit, at a quarter of its time.
TOLERANCE = 1e-6
MAX_ITERATIONS = 5000


def _logistic() -> LogisticRegression:
    return LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", tol=TOLERANCE, max_iter=MAX_ITERATIONS)


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale both sides by the training cells; constant columns become 0."""
    mean = train.mean(0, dtype=np.float64).astype(np.float32)
    scale = train.std(0, dtype=np.float64).astype(np.float32)
    scale[scale == 0] = 1
    return (train - mean) / scale, (test - mean) / scale


def class_scores(train: np.ndarray, codes: np.ndarray, test: np.ndarray, n_classes: int) -> np.ndarray:
    """Decision scores (n_test, n_classes) of a balanced multinomial logistic regression.

    Classes weigh equally, as the endpoints do. A class without training cells scores -inf.
    """
    probe = _logistic()
    present = np.unique(codes)
    scores = np.full((len(test), n_classes), -np.inf)
    if len(present) == 1:
        scores[:, present[0]] = 0
        return scores
    decision = probe.fit(train, codes).decision_function(test)
    if decision.ndim == 1:
        decision = np.column_stack([-decision, decision])
    scores[:, probe.classes_] = decision
    return scores


def binary_scores(train: np.ndarray, positive: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Decision scores (n_test,) of a balanced logistic regression; > 0 means positive."""
    return _logistic().fit(train, positive).decision_function(test)


def depth_scores(train: np.ndarray, depth: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predicted depth (n_test,) by ridge regression: a supervised pseudotime (decision 12)."""
    return Ridge(RIDGE_PENALTY).fit(train, depth).predict(test)
