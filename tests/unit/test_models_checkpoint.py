"""Checkpoints that cannot be used: each is refused in one sentence that names file, field and remedy."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from opbench.io.errors import InputError
from opbench.models import checkpoint as module
from opbench.models.attention import accumulate_panel_attention
from opbench.models.checkpoint import read_checkpoint
from opbench.models.coverage import gene_ids

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
WEIGHTS = FIXTURE / "best_model.pt"
NORM = "transformer_encoder.layers.1.norm1.weight"


@pytest.fixture
def folder(tmp_path):
    for name in ("args.json", "vocab.json", "best_model.pt"):
        shutil.copy(FIXTURE / name, tmp_path / name)
    return tmp_path


class Command:
    """Unpickled by the ordinary loader, this would run a shell command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch '{self.marker}'",)


def tensor(value):
    """Replace one tensor of the released file."""

    def change(folder):
        state = torch.load(WEIGHTS, weights_only=True)
        state[NORM] = value(state[NORM])
        torch.save(state, folder / "best_model.pt")

    return change


def twice(folder):
    state = torch.load(WEIGHTS, weights_only=True)
    torch.save(state | {f"module.{NORM}": state[NORM]}, folder / "best_model.pt")


def saved(content):
    return lambda folder: torch.save(content, folder / "best_model.pt")


def truncated(share):
    return lambda folder: (folder / "best_model.pt").write_bytes(WEIGHTS.read_bytes()[: int(share * 558261)])


def safetensors(share):
    def change(folder):
        (folder / "best_model.pt").unlink()
        save_file(torch.load(WEIGHTS, weights_only=True), folder / "model.safetensors")
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: int(share * len(whole))])

    return change


def no_torch_file(folder):
    with zipfile.ZipFile(folder / "best_model.pt", "w") as archive:
        archive.writestr("../../outside.txt", "not weights")


def spoilt(**entries):
    return tensor(lambda t: torch.full_like(t, entries["value"]))


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def args(**changes):
    return lambda folder: (folder / "args.json").write_text(
        json.dumps(json.loads((FIXTURE / "args.json").read_text()) | changes)
    )


def vocab(**changes):
    return lambda folder: (folder / "vocab.json").write_text(
        json.dumps(json.loads((FIXTURE / "vocab.json").read_text()) | changes)
    )


def repeated_key(folder):
    whole = (FIXTURE / "vocab.json").read_text()
    (folder / "vocab.json").write_text(whole.rstrip().removesuffix("}") + ', "GENE0003": 17}')


BAD = {
    "nan weights": (spoilt(value=torch.nan), rf"best_model\.pt: tensor '{NORM}' holds NaN or infinite .* fetch"),
    "infinite weights": (spoilt(value=-torch.inf), "holds NaN or infinite weights"),
    "integer weights": (tensor(lambda t: t.int()), rf"tensor '{NORM}' is int32, .* save the weights in float32"),
    "complex weights": (tensor(lambda t: t + 0j), "is complex64"),
    "sparse weights": (tensor(lambda t: t.to_sparse()), "not dense floating-point"),
    "two names": (twice, rf"tensor '{NORM}' is there twice, under two names; keep one"),
    "a list": (saved([torch.zeros(2)]), r"is no state dict .* save model\.state_dict"),
    "numbers by name": (saved({"a": 1}), "is no state dict"),
    "tensors by number": (saved({1: torch.zeros(1)}), "is no state dict"),
    "an empty state": (saved({}), "holds 0 tensors, too few for the 3 layers"),
    "plain pickle": (lambda f: (f / "best_model.pt").write_bytes(pickle.dumps({"a": 1})), "is no"),
    "a text file": (text("best_model.pt", "<html>Not Found</html>"), r"best_model\.pt: is no.* fetch"),
    "an empty file": (text("best_model.pt", ""), "is not a readable weight file"),
    "cut at half": (truncated(0.5), "is no.* fetch"),
    "cut near the end": (truncated(0.999), "is no.* fetch"),
    "another zip": (no_torch_file, "is not a readable weight file .* fetch"),
    "cut safetensors": (safetensors(0.5), r"model\.safetensors: is not a readable weight file .* fetch"),
    "cut safetensors header": (safetensors(0.001), "is not a readable weight file"),
    "no weights": (lambda f: (f / "best_model.pt").unlink(), r"holds no weight file; put best_model\.pt or"),
    "no args": (lambda f: (f / "args.json").unlink(), r"args\.json: is not a readable JSON file .* restore"),
    "args no JSON": (text("args.json", "nlayers: 12"), r"args\.json: is not a readable JSON file"),
    "args a list": (text("args.json", "[12]"), "holds a list, not a JSON object"),
    "args without a size": (text("args.json", "{}"), r"'nlayers' is None; give a positive integer"),
    "heads that do not divide": (args(nheads=5), r"embsize 64 is no multiple of nheads 5; correct"),
    "heads a string": (args(nheads="4"), r"'nheads' is '4'"),
    "layers beyond reason": (args(nlayers=10**12), r"tensors, too few for the 1000000000000 layers"),
    "bins": (args(n_bins=1), r"'n_bins' is 1; give an integer of at least 3"),
    "longest cell": (args(max_seq_len="1200"), r"'max_seq_len' is '1200'"),
    "no vocabulary": (lambda f: (f / "vocab.json").unlink(), r"vocab\.json: is not a readable JSON file"),
    "repeated gene": (repeated_key, r"vocab\.json: .*the key 'GENE0003' is there twice"),
    "repeated id": (vocab(GENE0003=5), r"'GENE0003' and 'GENE0005' share the id 5"),
    "negative id": (vocab(GENE0003=-1), r"the id of 'GENE0003' is -1; give every token an integer"),
    "id a string": (vocab(GENE0003="3"), "the id of 'GENE0003' is '3'"),
    "id beyond the rows": (vocab(NEW=403), r"largest id is 403 but encoder\.embedding\.weight has 403 rows"),
    "no <cls>": (
        lambda f: (f / "vocab.json").write_text((FIXTURE / "vocab.json").read_text().replace("<cls>", "CLS")),
        "special token '<cls>' is missing; add it",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_a_bad_checkpoint_is_one_sentence(folder, change, words):
    change(folder)
    with pytest.raises(InputError, match=words) as error:
        read_checkpoint(folder)
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)  # no advice to unpickle it all the same


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_pickle_is_never_run(folder, write):
    marker = folder / "it ran"
    write({"encoder.embedding.weight": Command(marker)}, folder / "best_model.pt")
    with pytest.raises(InputError, match="nothing else is unpickled because it could run code; save"):
        read_checkpoint(folder)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Command(marker)))
    assert marker.exists()  # the trap works


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(folder, dtype):
    tensor(lambda t: t.to(dtype))(folder)
    stored = torch.load(folder / "best_model.pt", weights_only=True)[NORM]
    state = read_checkpoint(folder).state
    assert {t.dtype for t in state.values()} == {torch.float32}
    assert torch.equal(state[NORM], stored.float())


def test_safetensors_and_older_torch_files_hold_the_same_weights(folder):
    expected = read_checkpoint(FIXTURE).state
    safetensors(1.0)(folder)
    held = read_checkpoint(folder).state
    torch.save(torch.load(WEIGHTS, weights_only=True), folder / "best_model.pt", _use_new_zipfile_serialization=False)
    older = read_checkpoint(folder).state
    assert all(torch.equal(expected[n], held[n]) and torch.equal(expected[n], older[n]) for n in expected)


def test_the_released_file_is_recognised_by_size_and_digest(folder, monkeypatch, caplog):
    digests = []
    monkeypatch.setattr(module, "sha256_of", lambda path: digests.append(path) or "of this file")
    with caplog.at_level("INFO", logger="opbench.models"):
        assert not read_checkpoint(folder).published
    assert "best_model.pt is not the released whole-human scGPT" in caplog.text
    assert digests == []  # another size: no need to read it again
    monkeypatch.setattr(module, "PUBLISHED_BYTES", WEIGHTS.stat().st_size)
    assert not read_checkpoint(folder).published
    digests.clear()
    monkeypatch.setattr(module, "PUBLISHED_SHA256", "of this file")
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.published, checkpoint.digest, len(digests)) == (True, "of this file", 1)


def test_layers_that_make_no_drift_stop_before_the_attention(folder):
    args(nlayers=2)(folder)
    state = torch.load(WEIGHTS, weights_only=True)
    torch.save({n: t for n, t in state.items() if "layers.2." not in n}, folder / "best_model.pt")
    with pytest.raises(InputError, match=r"args\.json: 'nlayers' is 2, which is no multiple of 3"):
        accumulate_panel_attention(folder, "none.h5ad", "none.parquet", None, "none.safetensors")


ENSEMBL = [f"ENSG{i:011d}" for i in range(10)]


@pytest.mark.parametrize(
    ("genes", "vocab", "words"),
    [
        (list("ABCDE"), "AB", r"knows 2 of the 5 genes \(40%, at least 60% are needed\); name genes by symbol"),
        (list("ABCDE"), ENSEMBL, r"knows none of the 5 genes .* its vocab\.json holds Ensembl ids, so use a"),
        (ENSEMBL, "AB", r"they are Ensembl ids, so name genes by symbol \(columns\.gene\)"),
        ([], "AB", "knows none of the 0 genes"),
    ],
)
def test_a_vocabulary_that_does_not_cover_the_panel(genes, vocab, words):
    table = {token: index for index, token in enumerate([*vocab, "<pad>", "<cls>"])}
    with pytest.raises(InputError, match=words):
        gene_ids(genes, table, "panel.parquet")
    ids, known = gene_ids([*vocab, "other"], table)
    assert ids.tolist() == [*range(len(vocab)), len(vocab)]
    assert known.tolist() == [True] * len(vocab) + [False]
