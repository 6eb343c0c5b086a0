"""PCA of standardised log1p expression, ten components, fitted on training donors."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from opbench.methods.interface import Method, Output, Task, Variant

N_COMPONENTS = 10


class Pca10(Method):
    """The classical compact representation at the extracted head's width."""

    label = "PCA-10"
    citation = "baseline of arXiv:2603.10261"
    protocol = "inductive"
    core = True
    memory_mb = 3000

    def run(self, task: Task, variant: Variant) -> Output:
        """Centre and scale by training cells, then project on their first ten axes."""
        train, test = task.train.log1p.toarray(), task.test.log1p.toarray()
        scaler = StandardScaler(copy=False).fit(train)
        pca = PCA(N_COMPONENTS, svd_solver="covariance_eigh").fit(scaler.transform(train))
        out = tuple(np.asarray(pca.transform(x), dtype=np.float32) for x in (train, scaler.transform(test)))
        return Output(representation=out, parameters=pca.components_.size)
