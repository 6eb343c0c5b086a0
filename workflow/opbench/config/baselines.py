"""Settings of the comparators."""

from pydantic import Field

from opbench.config.base import Digest, Name, Section


class ScVI(Section):
    """scVI (Lopez et al. 2018, Nat Methods 15:1053)."""

    width: int = Field(10, ge=2, description="Latent dimension.")
    max_epochs: int = Field(400, ge=1, description="Cap of epochs; reaching it is written as a status.")
    # scvi-tools waits 45 epochs; on eight marrow splits both keep the same epoch, the 16th to 22nd.
    patience: int = Field(
        20, ge=1, description="Epochs without a lower ELBO on the stopping donors after which training stops."
    )
    scarches_splits: int = Field(
        6, ge=0, description="Splits of a campaign, from its first, on which `scvi_scarches` runs."
    )
    # scvi-tools' tutorial takes 200. ELBO of the query on marrow split 0 (nats a cell): -213.7 after 10 epochs,
    # -211.2 after 50, -210.5 after 100, -210.0 after 200.
    query_epochs: int = Field(100, ge=1, description="Epochs of scArches surgery.")


class Palantir(Section):
    """Palantir (Setty et al. 2019, Nat Biotechnol 37:451)."""

    components: int = Field(50, ge=2, description="Principal components of a donor's cells (its tutorial).")
    eigenvectors: int = Field(
        4, ge=3, le=5, description="Fewest eigenvectors of the multiscale space, the constant one counted."
    )
    waypoints: int = Field(500, ge=100, description="Waypoints per donor, at most; fewer cells give fewer.")


class DPT(Section):
    """Diffusion pseudotime (Haghverdi et al. 2016, Nat Methods 13:845) on a donor's own principal components."""

    components: int = Field(20, ge=2, description="Principal components of a donor's scaled cells (scanpy's tutorial).")
    neighbours: int = Field(15, ge=2, description="Neighbours of the donor's graph (scanpy's default).")


class ReleasedModel(Section):
    """A released CellTypist model."""

    path: str = Field(description="The `.pkl` of the release, absolute, in $OPBENCH_DATA or in the working folder.")
    sha256: Digest = Field(description="SHA-256 of the `.pkl`: a pickle can run code, so no other file is loaded.")
    labels: str = Field(description="TSV from the model's cell types to stages (columns `label`, `stages`).")


class CellTypist(Section):
    """CellTypist (Domínguez Conde et al. 2022, Science 376:eabl5197)."""

    models: dict[Name, ReleasedModel] = Field({}, description="Released models by name; none: not testable here.")


class Baselines(Section):
    """Settings of the comparators; what is not here is each maintainer's default, written in its plug-in."""

    scvi: ScVI = Field(ScVI(), description="scVI.")
    palantir: Palantir = Field(Palantir(), description="Palantir.")
    dpt: DPT = Field(DPT(), description="Diffusion pseudotime, donor-local.")
    celltypist: CellTypist = Field(CellTypist(), description="CellTypist.")
