# Helpers only, no rules: what sweeps read and depend on. Needs common.smk.
def sweep_files(wildcards=None):
    """One file for each arm of each swept panel."""
    return [
        f"{RESULTS}/sweep_heads/{panel}/{arm}.parquet"
        for panel in swept_panels()
        for arm in CONFIG.sweeps.arms_of(CONFIG.operators)
    ]


def sweep_operators(wildcards):
    if wildcards.arm == "conventions":
        names = CONFIG.sweeps.other_conventions(CONFIG.operators)
        folder = f"{RESULTS}/export_convention/{wildcards.panel}"
    else:
        names = CONFIG.sweeps.operators_of(wildcards.arm, CONFIG.operators)
        folder = f"{RESULTS}/export_operator/{wildcards.panel}"
    return [f"{folder}/{name}.safetensors" for name in names]


def sweep_settings(wildcards):
    """All that rows depend on."""
    campaign = CONFIG.sweeps.campaign_of(wildcards.panel, CONFIG.campaigns)
    donors = ("train", "test", "tested", "never_tested", "min_cells", "seed")
    return campaign_settings(campaign, *donors) | settings(
        "run",
        "sweeps",
        "adaptor",
        "endpoints.binary",
        "endpoints.min_class_cells",
        "operators.convention",
    )
