# Helpers only, no rules: which figures there are, what they read, and the report. Needs common.smk and methods.smk.
def figure_scopes(figure):
    # A battery of controls has figures of its own: a row for each of its arms would fill pages of the others.
    batteries = [name for name in CONFIG.campaigns if is_battery(name)]
    campaigns = {n: c for n, c in CONFIG.campaigns.items() if n not in batteries}
    return {
        "panel": list(CONFIG.panels),
        "campaign": list(campaigns),
        "pseudotime": [
            name for name, campaign in campaigns.items() if campaign.pseudotime
        ],
        "battery": batteries,
        "swept": swept_panels(),
        "discovery": discovery_panels(),
        "chain": chain_panels(),
        "communication": by_table("manifold2"),
        "geometry": [CONFIG.run] if GEOMETRY.spaces else [],
        "run": [CONFIG.run],
    }[FIGURES[figure][2]]


def figure_files(suffix):
    return [
        f"{RESULTS}/figures/{figure}.{scope}.{suffix}"
        for figure in FIGURES
        for scope in figure_scopes(figure)
    ]


def figures_of_kind(suffix, *kinds):
    """Figures whose scope is of these kinds."""
    return [
        f"{RESULTS}/figures/{figure}.{scope}.{suffix}"
        for figure, (*_, kind) in FIGURES.items()
        if kind in kinds
        for scope in figure_scopes(figure)
    ]


def battery_files():
    """Figures of control batteries, sweeps and claims."""
    figures = ("evidence_nulls", "evidence_arms", "sweeps", "claims_board")
    return [
        f"{RESULTS}/figures/{figure}.{scope}.png"
        for figure in figures
        for scope in figure_scopes(figure)
    ]


def some_battery(wildcards):
    """Nothing, where some campaign is a battery; else a sentence that says what to add."""
    if not any(is_battery(name) for name in CONFIG.campaigns):
        raise WorkflowError(
            f"campaigns of run '{CONFIG.run}': none names 'control_head' in its methods, so that there is no battery; "
            "add config/marrow_evidence.yaml to --configfile after the run's own file, or write a battery as "
            "docs/evidence.md shows."
        )
    return []


def full_battery(wildcards):
    """Nothing, where some battery leaves every donor out once; else a sentence that says what to add."""
    some_battery(wildcards)
    designs = {c.design for n, c in CONFIG.campaigns.items() if is_battery(n)}
    if "leave_one_donor_out" not in designs:
        raise WorkflowError(
            f"campaigns of run '{CONFIG.run}': no campaign with 'control_head' leaves one donor out; "
            "give config/evidence_full.yaml as the last file of --configfile, after that of the battery."
        )
    return []


def figure_inputs(wildcards):
    required, optional, _ = FIGURES[wildcards.figure]
    idle = set(EVERY_TABLE) - set(DISCOVERY_TABLES)
    names = [*required, *(name for name in optional if name not in idle)]
    files = {name: table(name) for name in names}
    if "latent" in files:
        files["latent"] = [
            f"{RESULTS}/run_method/{wildcards.scope}/{method}/0.latent.parquet"
            for method in methods_of(wildcards.scope)
        ]
    return files


def figure_module(figure):
    return PACKAGE / "figures" / f"{figure}.py"


def make_report(python):
    """Write report.zip when the tables are newer than the last one, and say where it is."""
    target, landing = Path(f"{RESULTS}/report.zip"), Path(LANDING)
    # One target of a run that is not whole leaves the last report as it is.
    if not all(Path(file).is_file() for file in (landing, *figure_files("png"))):
        return
    shown = [
        landing,
        *map(Path, figure_files("png")),
        *Path(f"{RESULTS}/tables").glob("*.tsv"),
    ]
    newest = max(file.stat().st_mtime for file in shown if file.is_file())
    if not target.is_file() or target.stat().st_mtime < newest:
        # The archive's name is that of the folder in it.
        partial = target.parent / ".partial-report" / target.name
        partial.parent.mkdir(exist_ok=True)
        # A nested call, because a report needs a finished run; --nolock, because this one still holds the lock.
        command = [
            python,
            "-m",
            "snakemake",
            "--nolock",
            "--quiet",
            "all",
            "--report",
            str(partial),
        ]
        command += [
            "--snakefile",
            str(workflow.main_snakefile),
            "--configfile",
            f"{RESULTS}/config.yaml",
        ]
        subprocess.run([*command, "--cores", "1"], check=True)
        os.replace(partial, target)
        partial.parent.rmdir()
    print(f"Report: {target}   Tables: {RESULTS}/tables   Figures: {RESULTS}/figures")
    for line in failure_lines(table("scores")):
        print(line)
