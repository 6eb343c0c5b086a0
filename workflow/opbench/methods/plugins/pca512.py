"""PCA of standardised log1p expression at the width of scGPT's cell embedding, fitted on training donors."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from opbench.methods.interface import Method, Output, Task, Variant

WIDTH = 512


class Pca512(Method):
    """What a linear map learnt without labels keeps at the foundation model's own width."""

    label = "PCA-512"
    citation = "spec K14"
    protocol = "inductive"
    core = True
    memory_mb = 2000

    def run(self, task: Task, variant: Variant) -> Output:
        """Axes of the training cells' correlation matrix, as a projection of log1p.

        As in PCA-10, genes are scaled by the training cells. Centring would shift every cell alike, which no readout
        sees, so that the cells stay sparse. A projection has as many axes as the training cells span, at most 512.
        """
        scaler = StandardScaler(with_mean=False).fit(task.train.log1p)
        scaled = scaler.transform(task.train.log1p).astype(np.float64)
        pca = PCA(min(WIDTH, *scaled.shape), svd_solver="covariance_eigh").fit(scaled)
        # Beyond the rank an axis is rounding error, which standardised probes would blow up to unit variance.
        spanned = pca.explained_variance_ > pca.explained_variance_[0] * max(scaled.shape) * np.finfo(np.float64).eps
        axes = pca.components_[spanned]
        reason = f"{len(axes)} components: the training cells span no more" if len(axes) < WIDTH else ""
        projection = (axes / scaler.scale_).T.astype(np.float32)
        return Output(projection=projection, parameters=axes.size, reason=reason)
