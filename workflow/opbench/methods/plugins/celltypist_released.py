"""Released CellTypist models (Domínguez Conde et al. 2022, Science 376:eabl5197), their types mapped to stages."""

import logging
from importlib.metadata import version
from pathlib import Path

import numpy as np

from opbench.config.baselines import ReleasedModel
from opbench.io.errors import NotApplicable
from opbench.io.locate import locate
from opbench.io.provenance import sha256_of
from opbench.io.source_digest import source_digest
from opbench.io.store import Arrays, digest
from opbench.methods.celltypist_model import decision_scores, load_model
from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.type_scores import map_types, read_types, task_scores

log = logging.getLogger("opbench.methods")


class CellTypistReleased(Method):
    """What a user gets without any training; the donors behind a release are not known to this benchmark.

    A type speaks for the labels that its stages match best, see `map_types`; types without stages are left out, so that
    the next best type counts. Without majority voting, which would mix the test cells. A release is a pickle, which can
    run code: it is loaded only when it has the SHA-256 that the configuration gives.
    """

    label = "CellTypist, released"
    citation = "Domínguez Conde et al. 2022, Science 376:eabl5197"
    protocol = "pretrained"
    settings = ("baselines.celltypist",)
    needs_all_genes = True
    memory_mb = 2000
    environment = "celltypist"
    reads_releases = True

    def skip(self, plan: Plan) -> str | None:
        """None when at least one configured model can be used."""
        models = plan.baselines.celltypist.models
        if not models:
            return "baselines.celltypist.models names no released model; not testable here"
        problems = [_problem(name, model) for name, model in models.items()]
        return problems[0] if all(problems) else None

    def variants(self, plan: Plan) -> list[Variant]:
        """One arm per configured model."""
        return [Variant(arm=name) for name in plan.baselines.celltypist.models]

    def run(self, task: Task, variant: Variant) -> Output:
        """Decision scores of stage, branch and two-class tasks; NotApplicable when the model cannot be used."""
        assert task.test.all_genes is not None
        chosen = task.plan.baselines.celltypist.models[variant.arm]
        if problem := _problem(variant.arm, chosen):
            raise NotApplicable(problem)
        test, genes, classes = task.test.all_genes(), task.all_genes, task.classes

        def compute() -> Arrays:
            model = load_model(str(locate(chosen.path)), chosen.sha256)
            shared = np.isin(model.features, genes).sum()
            known = {"types": model.cell_types.astype(str), "genes": np.array([shared, len(model.features)])}
            return known | {"decision": decision_scores(model, test, genes) if shared else np.zeros((0, 0))}

        code = source_digest(Path(__file__))
        settings = (code, chosen.sha256, version("celltypist"), version("scikit-learn"))
        found = task.store.get(digest("celltypist-released", settings, np.array(genes), test), compute)
        shared, wanted = found["genes"].tolist()
        if not shared:
            raise NotApplicable(f"the datasets hold none of the {wanted} genes of the released model '{variant.arm}'")
        log.info("celltypist '%s': %d of the model's %d genes are in the data", variant.arm, shared, wanted)
        stages = read_types(str(locate(chosen.labels)), found["types"].tolist(), classes.branch_of)
        note = f"{shared} of {wanted} model genes"
        return Output(
            scores=task_scores(found["decision"], map_types(stages, classes, classes.stages, classes.branch_of)),
            fits=0,
            notes=dict.fromkeys(np.unique(task.test.donor), note),
        )


def _problem(name: str, model: ReleasedModel) -> str | None:
    """Why a configured model cannot be used, or None."""
    field = f"baselines.celltypist.models.{name}"
    for key, value in (("path", model.path), ("labels", model.labels)):
        if locate(value) is None:
            return f"{field}.{key}: '{value}' is found nowhere; get the file or correct the path"
    if (found := sha256_of(str(locate(model.path)))) != model.sha256:
        return f"{field}.sha256: the file's is {found}; a pickle can run code, so that only the file named is loaded"
    return None
