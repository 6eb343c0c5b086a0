"""The hybrid head: each weight moves what it should, and without weights it is the cell head."""

import numpy as np
import pytest
import torch
from test_adaptors import RULER, make_data

from opbench.adaptors.cell_head import fit_cell_head
from opbench.adaptors.hybrid import HybridTrainer, Topology, fit_hybrid
from opbench.adaptors.let import angle_distances
from opbench.config.model import Adaptor
from opbench.io.seeds import derive_seed

SETTINGS = Adaptor(width=4, epochs=40, batch=128)
DATA = make_data(0)
ANCHORS = np.stack([DATA.features[DATA.label == code].mean(0) for code in range(6)])
#: Distances of an order that the ruler does not have.
ORDER = np.array([3, 0, 5, 1, 4, 2])
TOPOLOGY = Topology(ANCHORS, RULER[np.ix_(ORDER, ORDER)] / 5)


def test_without_weights_it_is_the_cell_head_bit_for_bit():
    cell = fit_cell_head(DATA, SETTINGS, 3)
    hybrid = fit_hybrid(DATA, SETTINGS, 3, TOPOLOGY, 0, 0)
    np.testing.assert_array_equal(hybrid.weight, cell.weight)
    assert (hybrid.beta, hybrid.loss) == (cell.beta, cell.loss)


def test_the_terms_are_those_of_the_formula():
    trainer = HybridTrainer(DATA, SETTINGS, 3, TOPOLOGY, (0.3, 0.02))
    rows = torch.arange(100)
    z, label = trainer.train.x[rows] @ trainer.weight.T, trainer.train.label[rows]
    found = float(trainer.further(z, label).detach())
    head = trainer.head(0, 0.0, "ok")
    latent, codes = head.transform(DATA.features[:100]).astype(float), DATA.label[:100]
    off = ~np.eye(6, dtype=bool)
    error = head.beta * angle_distances(head.transform(ANCHORS)) - TOPOLOGY.reference
    centres = np.stack([head.transform(DATA.features[DATA.label == code]).astype(float).mean(0) for code in range(6)])
    spread = sum(((latent[codes == s] - centres[s]) ** 2).sum(1).mean() for s in np.unique(codes))
    assert found == pytest.approx(0.3 * (error[off] ** 2).mean() + 0.02 * spread, rel=1e-4)


def test_topology_draws_distances_to_the_reference_and_compactness_cells_to_their_centres():
    cell = fit_cell_head(DATA, SETTINGS, 3)
    topo = fit_hybrid(DATA, SETTINGS, 3, TOPOLOGY, 5.0, 0)
    compact = fit_hybrid(DATA, SETTINGS, 3, TOPOLOGY, 0, 0.5)

    def off_reference(head) -> float:
        return np.square(head.beta * angle_distances(head.transform(ANCHORS)) - TOPOLOGY.reference).mean()

    def spread(head) -> float:
        z = head.transform(DATA.features)
        return sum(((z[DATA.label == s] - z[DATA.label == s].mean(0)) ** 2).sum(1).mean() for s in range(6))

    assert off_reference(topo) < 0.5 * off_reference(cell)
    assert spread(compact) < 0.5 * spread(cell)


def test_reference_distances_are_those_of_an_anchor_head_and_labels_may_be_missing():
    head = fit_cell_head(DATA, SETTINGS.model_copy(update={"epochs": 2}), derive_seed("anchor"))
    topology = Topology.of(head, ANCHORS)
    np.testing.assert_allclose(topology.reference, head.beta * angle_distances(head.transform(ANCHORS)))
    kept = np.flatnonzero(DATA.label != 2)
    part = type(DATA)(DATA.features[kept], DATA.label[kept], DATA.branch[kept], RULER, 3)
    assert np.isfinite(fit_hybrid(part, SETTINGS, 3, topology, 0.1, 0.1).weight).all()
