"""Stage: the root cell of every test donor, by a score learned on training donors (decision 12)."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler

from opbench.config.benchmark import Campaign, Endpoints
from opbench.io.tables import ROOTS, SPLITS, read_table, write_table
from opbench.readouts.panel_data import open_panel
from opbench.splits.views import rows, split_views


def find_roots(
    panel: str, splits: str, ontology: str | Path, endpoints: Endpoints, campaign: Campaign, output: str
) -> None:
    """Write one root per (split, test donor): the cell that looks most like the shallowest training label.

    The score is a balanced logistic regression of log1p expression, shallowest label against the rest,
    on training donors; some donors have no HSC at all, so a label could not serve. Every method starts
    from the same root.
    """
    records = []
    if campaign.pseudotime:
        data = open_panel(panel, ontology, endpoints, campaign, [])
        donor = data.obs["donor"].to_numpy()
        for view in split_views(read_table(splits, SPLITS)):
            train, test = rows(data.obs, view)
            shallow = data.depth[train] == data.depth[train].min()
            scaler = MaxAbsScaler().fit(data.log1p[train])
            model = LogisticRegression(class_weight="balanced", max_iter=500)
            model.fit(scaler.transform(data.log1p[train]), shallow)
            score = model.decision_function(scaler.transform(data.log1p[test]))
            for name in view.test_donors:
                mine = np.flatnonzero(donor[test] == name)
                best = mine[np.argmax(score[mine])]
                records.append((view.index, name, data.obs.index[test[best]], float(score[best])))
    write_table(pd.DataFrame(records, columns=ROOTS.names), output, ROOTS)
