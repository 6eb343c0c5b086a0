"""Names that a run takes from elsewhere: from its claims file and of methods. Light enough for the workflow."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from opbench.claims.read import read_claims
from opbench.config import Config
from opbench.config.benchmark import ENDPOINTS
from opbench.config.claims import Claim
from opbench.config.evidence import FIXED_ARMS, RANDOM_ARMS
from opbench.io.errors import InputError
from opbench.io.locate import locate
from opbench.methods import registry
from opbench.operators.names import LABEL_ARMS

if TYPE_CHECKING:
    from opbench.check.settings import Arms

ARMS = ("gaussian", *RANDOM_ARMS, *FIXED_ARMS)
#: Metrics of a two-class endpoint, and what sweeps and pseudotime nulls are scored on beside the endpoints.
METRICS = ("auroc", "balanced_accuracy")
BESIDE = ("selection_score", "pseudotime_null_")


def reference_problems(config: Config) -> list[str]:
    """What is wrong with the claims file, and every name there or in `claims` and `evidence` that stands for nothing.

    Each is one sentence. The claims file is read; method files are looked up but not imported.
    """
    problems = []
    try:
        methods = set(registry.plugin_files(config.method_folders))
    except InputError:  # told where campaigns ask for their methods
        methods = set()
    for name in config.evidence.trivial if methods else ():
        if name not in methods and name not in ARMS:
            problems.append(
                f"evidence.trivial: '{name}' is neither a control arm nor a method{_near(name, {*methods, *ARMS})}."
            )
    path = locate(config.claims.file)
    if path is None:
        return [
            *problems,
            f"claims.file: '{config.claims.file}' is neither in $OPBENCH_DATA nor in the working folder nor beside the "
            "workflow; correct the path.",
        ]
    try:
        claims = read_claims(path)
    except InputError as error:
        return [*problems, str(error)]
    for role in config.claims.analogues:
        if role not in claims.roles:
            known = ", ".join(claims.roles) or "none"
            problems.append(f"claims.analogues: '{role}' is no role of {path}; its roles are {known}, so correct it.")
    tasks = {*config.endpoints.binary, *(task for r in claims.roles.values() for task in (*r.paper, *r.analogues))}
    for claim in claims.claims:
        wrong = _wrong_names(claim, tasks, methods)
        problems += [f"{path}: claim {claim.id}: {text}." for text in dict.fromkeys(wrong)]
    return problems


def _wrong_names(claim: Claim, tasks: set[str], methods: set[str]) -> Iterator[str]:
    """Controls and endpoints of a claim that are none."""
    for name in claim.controls.arms:
        if name not in ARMS:
            yield f"controls.arms names '{name}', which is no control arm{_near(name, ARMS)}"
    for name in claim.controls.methods if methods else ():
        if name not in methods:
            yield f"controls.methods names '{name}', which is no method{_near(name, methods)}"
    known = {*ENDPOINTS, *(f"{task}_{metric}" for task in tasks for metric in METRICS)}
    for name in _endpoints(claim):
        role, _, metric = name.partition("/")
        if metric and metric not in METRICS:
            yield f"endpoint '{name}' has no such metric; use {role}/auroc or {role}/balanced_accuracy"
        elif not metric and name not in known and not name.startswith(BESIDE):
            yield f"'{name}' is no endpoint{_near(name, known)}"


def _endpoints(claim: Claim) -> list[str]:
    """Endpoints that a claim names, without placeholders; roles are known to be roles."""
    wanted = [*claim.judged, *(case.endpoint for case in claim.cases)]
    for query in claim.quantities.values():
        value = query.where.get("endpoint", "")
        wanted += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
    return [name for name in wanted if name and not name.startswith("$")]


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    return f"; write '{near[0]}' if it is meant, or take it out" if near else "; correct it or take it out"


def idle_controls(config: Config, arms: "dict[str, list[Arms]]") -> list[str]:
    """Sentences on control arms of `operators` that no campaign, sweep or chain runs, with the method that would."""
    run = {kind for found in arms.values() for item in found for kind in item.operator_kinds}
    run.update(config.sweeps.arms if config.sweeps.panels else ())
    run.update(config.discovery.arms if config.discovery.panels else ())
    idle = [arm for arm in config.operators.controls if arm not in run]
    sentences = []
    for method, labels in (("control_head", False), ("lookup_head", True)):
        if names := [arm for arm in idle if (arm in LABEL_ARMS) == labels]:
            sentences.append(
                f"operators.controls names arms that no campaign runs ({', '.join(names)}); name {method} in its "
                "methods."
            )
    return sentences
