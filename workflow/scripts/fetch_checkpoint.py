from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.io.download import download

    name = snakemake.wildcards.file
    remote = parse_config(snakemake.config).model.files[name]
    download(remote.url, snakemake.output.file, f"model.files.{name}", remote.sha256)
