# Helpers only, no rules: what claims read. Needs common.smk and methods.smk.
from opbench.check.references import reference_problems
from opbench.config.claims_query import TABLES as CLAIM_TABLES
from opbench.operators.names import LABEL_ARMS

# What is wrong in the file is said now, not when its job comes last.
if wrong := reference_problems(CONFIG):
    raise WorkflowError(" ".join(wrong))


def measured_operators(panel):
    """Operators whose facts are measured: one draw of each kind, of controls where a campaign makes them anyway."""
    campaigns = [
        n for n, campaign in CONFIG.campaigns.items() if campaign.panel == panel
    ]
    made = any("control_head" in methods_of(campaign) for campaign in campaigns)
    names = [
        *operator_names(panel),
        *(CONFIG.operators.control_names() if made else []),
    ]
    first = [
        name for name in dict.fromkeys(names) if not re.search(r"-[1-9]\d*$", name)
    ]
    return [
        f"{RESULTS}/export_operator/{panel}/{name}.safetensors"
        for name in first
        if name.split("-")[0] not in LABEL_ARMS
    ]


def claim_tables(wildcards):
    """Tables that claims may read and that a rule of this workflow makes."""
    made = [str(file) for rule in workflow.rules for file in rule.output]
    return {
        name: table(name)
        for name in CLAIM_TABLES
        if (
            name in DISCOVERY_TABLES or any(file.endswith(table(name)) for file in made)
        )
        and (name != "sweeps" or swept_panels())
        and (not name.startswith("geometry") or geometry_tables())
    }
