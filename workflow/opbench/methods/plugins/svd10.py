"""Truncated SVD of log1p expression (neither centred nor scaled), ten components, on training donors."""

import numpy as np
from sklearn.decomposition import TruncatedSVD

from opbench.methods.interface import Method, Output, Task, Variant

N_COMPONENTS = 10


class Svd10(Method):
    """PCA without centring: the first axis carries the library's depth."""

    label = "SVD-10"
    citation = "baseline of arXiv:2603.10261"
    protocol = "inductive"
    core = True
    memory_mb = 2000

    def run(self, task: Task, variant: Variant) -> Output:
        """Fit on sparse training cells, project both sides."""
        svd = TruncatedSVD(N_COMPONENTS, algorithm="randomized", n_iter=7, random_state=variant.seed)
        svd.fit(task.train.log1p)
        out = tuple(svd.transform(cells.log1p).astype(np.float32) for cells in (task.train, task.test))
        return Output(representation=out, parameters=svd.components_.size)
