"""Raw expression: log1p(CP10k) of the panel genes."""

import numpy as np
import scipy.sparse as sp

from opbench.methods.interface import Method, Output, Task, Variant


class RawLog1p(Method):
    """The cells as they are: what any representation must beat."""

    label = "raw log1p"
    citation = "baseline of arXiv:2603.10261"
    protocol = "inductive"
    core = True
    memory_mb = 3000

    def run(self, task: Task, variant: Variant) -> Output:
        """The identity of (G, G): log1p itself."""
        return Output(projection=sp.identity(task.train.log1p.shape[1], np.float32, format="csr"), fits=0)
