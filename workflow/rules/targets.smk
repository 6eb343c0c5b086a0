"""Targets only: what a user asks for by name."""


rule operators:
    input:
        [
            f"{RESULTS}/export_operator/{panel}/{operator}.safetensors"
            for panel in CONFIG.panels
            for operator in operator_names(panel)
        ],


rule tables:
    input:
        rules.write_provenance.input.tables,


rule figures:
    input:
        figure_files("svg"),


rule discovery:
    input:
        some_chain,
        chain_products(),


rule geometry:
    input:
        some_geometry,
        geometry_products(),


rule nano:
    input:
        rules.pretrain_nano.output,


rule evidence:
    input:
        some_battery,
        rules.judge_arms.output,
        rules.evaluate_claims.output,
        battery_files(),


rule evidence_full:
    input:
        full_battery,
        rules.evidence.input,
        rules.collect_calibration.output,
