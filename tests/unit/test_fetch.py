"""Downloads against a server on the loopback: cuts, ranges, versions, digests, the CELLxGENE API."""

import ast
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from opbench.config import parse_config
from opbench.config.data import Dataset
from opbench.io.download import Patience, download
from opbench.io.errors import InputError
from opbench.panels.fetch import current_version, fetch_dataset

ROOT = Path(__file__).resolve().parents[2]
BODY = bytes(range(256)) * 2000
SHA = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(attempts=3, pause=0.0, timeout=5.0)
ID = "c5d88abe-f23a-45fa-a534-788985e93dad"


class Server(ThreadingHTTPServer):
    """Serves `body` under any path; the tests set how it misbehaves, and read what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.ranges = BODY, '"v1"', True
        self.cuts: list[int] = []  # bytes after which the coming answers end early
        self.statuses: list[int] = []  # statuses of the coming answers instead of a body
        self.redirect = ""
        self.wrong_range = False
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.pages: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        body, start = server.pages.get(self.path, server.body), 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        current = self.headers["If-Range"] in (None, server.etag)
        if wanted and server.ranges and current:
            start = int(wanted[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            shown = start + 7 if server.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[start:end])


@pytest.fixture
def server():
    with Server() as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def fetched(server: Server, tmp_path: Path, **more: object) -> Path:
    output = tmp_path / "file.bin"
    download(f"{server.url}/file.bin", output, "field", patience=QUICK, **more)
    return output


def test_a_cut_download_is_continued_where_it_ended(server, tmp_path):
    server.cuts = [100_000, 150_000]
    output = fetched(server, tmp_path, sha256=SHA)
    assert output.read_bytes() == BODY
    assert [asked[1] for asked in server.asked] == [None, "bytes=100000-", "bytes=250000-"]
    assert {asked[2] for asked in server.asked[1:]} == {'"v1"'}
    assert sorted(tmp_path.iterdir()) == [output]


def test_a_later_call_continues_what_an_interrupted_one_left(server, tmp_path):
    server.cuts = [1000] + [0] * 9
    with pytest.raises(InputError, match="the connection ended after 1000 of 512000 bytes"):
        fetched(server, tmp_path)
    assert (tmp_path / "file.bin.part").stat().st_size == 1000
    assert not (tmp_path / "file.bin").exists()
    server.cuts = []
    assert fetched(server, tmp_path).read_bytes() == BODY
    assert server.asked[-1][1] == "bytes=1000-"


def test_a_part_of_another_version_is_not_continued(server, tmp_path):
    server.cuts = [1000] + [0] * 9
    with pytest.raises(InputError):
        fetched(server, tmp_path)
    server.cuts, server.etag, server.body = [], '"v2"', BODY[::-1]
    assert fetched(server, tmp_path).read_bytes() == BODY[::-1]


def test_a_part_without_version_is_continued_only_when_a_digest_will_tell(server, tmp_path):
    server.etag = ""
    for sha256, ranges in ((None, {None}), (SHA, {None, "bytes=1000-"})):
        server.asked, server.cuts = [], [1000]
        fetched(server, tmp_path, sha256=sha256).unlink()
        assert {asked[1] for asked in server.asked} == ranges


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges, server.cuts = False, [1000]
    assert fetched(server, tmp_path, sha256=SHA).read_bytes() == BODY


def test_a_wrong_range_is_thrown_away(server, tmp_path):
    server.cuts, server.wrong_range = [1000], True
    assert fetched(server, tmp_path, sha256=SHA).read_bytes() == BODY
    assert [asked[1] for asked in server.asked] == [None, "bytes=1000-", None]


def test_a_complete_part_is_kept_and_a_longer_one_thrown_away(server, tmp_path):
    note = json.dumps({"url": f"{server.url}/file.bin", "version": '"v1"'})
    for part in (BODY, BODY + b"more"):
        (tmp_path / "file.bin.part").write_bytes(part)
        (tmp_path / "file.bin.part.json").write_text(note)
        assert fetched(server, tmp_path, sha256=SHA).read_bytes() == BODY


def test_passing_faults_are_tried_again_and_lasting_ones_are_not(server, tmp_path):
    server.statuses = [503, 500]
    assert fetched(server, tmp_path).read_bytes() == BODY
    server.asked, server.statuses = [], [404]
    with pytest.raises(InputError, match=r"^field: http\S+ cannot be downloaded .HTTP 404 Not Found.; correct"):
        fetched(server, tmp_path)
    assert len(server.asked) == 1
    server.statuses = [503] * 9
    with pytest.raises(InputError, match="HTTP 503"):
        fetched(server, tmp_path)
    assert len(server.statuses) == 9 - QUICK.attempts


def test_a_wrong_digest_or_size_is_refused_and_leaves_nothing(server, tmp_path):
    for wrong, message in (({"sha256": "0" * 64}, f"the sha256 {SHA}, not 000"), ({"size": 5}, "size 512000, not 5")):
        with pytest.raises(InputError, match=message):
            fetched(server, tmp_path, **wrong)
        assert list(tmp_path.iterdir()) == []


def test_only_http_is_asked_and_redirects_stay_there(server, tmp_path):
    for url in ("file:///etc/passwd", "ftp://example.org/x", "http://", "/etc/passwd"):
        with pytest.raises(InputError, match="no http or https address"):
            download(url, tmp_path / "x", "field")
    server.redirect = "file:///etc/passwd"
    with pytest.raises(InputError, match="cannot be downloaded"):
        fetched(server, tmp_path)
    server.redirect = "ftp://127.0.0.1/x"
    with pytest.raises(InputError, match="not followed"):
        fetched(server, tmp_path)


def test_a_disk_without_room_is_named_before_anything_comes(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="GB free; make room"):
        fetched(server, tmp_path)


def dataset(**more: object) -> Dataset:
    return Dataset(path="sub/atlas.h5ad", labels="l.tsv", **more)


def test_cellxgene_ids_resolve_to_the_newest_h5ad_and_are_written_down(server, tmp_path):
    versions = [
        {
            "dataset_version_id": "new",
            "assets": [
                {"filetype": "RDS", "url": f"{server.url}/new.rds", "filesize": 3},
                {"filetype": "H5AD", "url": f"{server.url}/new.h5ad", "filesize": len(BODY)},
            ],
        },
        {"dataset_version_id": "old", "assets": [{"filetype": "H5AD", "url": f"{server.url}/old.h5ad"}]},
    ]
    server.pages[f"/api/datasets/{ID}/versions"] = json.dumps(versions).encode()
    output, record = tmp_path / "atlas.h5ad", tmp_path / "atlas.h5ad.json"
    fetch_dataset({"d": dataset(cellxgene=ID)}, "atlas.h5ad", output, record, f"{server.url}/api/", QUICK)
    assert output.read_bytes() == BODY
    assert json.loads(record.read_text()) == {
        "file": "atlas.h5ad", "dataset_id": ID, "dataset_version_id": "new", "url": f"{server.url}/new.h5ad",
        "size": len(BODY), "sha256": SHA,
    }  # fmt: skip
    output.unlink()
    with pytest.raises(InputError, match=r"datasets\.d\.cellxgene: .* not 000"):
        fetch_dataset({"d": dataset(cellxgene=ID, sha256="0" * 64)}, "atlas.h5ad", output, record, f"{server.url}/api")
    assert not output.exists()


@pytest.mark.parametrize(
    "answer", [b"[]", b'{"detail": "x"}', b'[{"dataset_version_id": "v", "assets": []}]', b"<html>"]
)
def test_an_answer_without_h5ad_is_one_sentence(server, answer):
    server.pages[f"/datasets/{ID}/versions"] = answer
    with pytest.raises(InputError, match=r"^datasets\.d\.cellxgene: http.* (names no H5AD file|not JSON)"):
        current_version(ID, "datasets.d.cellxgene", server.url, QUICK)


def test_the_api_may_be_named_by_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPBENCH_CELLXGENE_API", f"{server.url}/mirror")
    server.statuses = [404]
    with pytest.raises(InputError, match="HTTP 404"):
        current_version(ID, "field", patience=QUICK)
    assert server.asked[0][0] == f"/mirror/datasets/{ID}/versions"


def test_a_fixed_address_is_recorded_and_one_name_is_one_file(server, tmp_path):
    fixed = dataset(url=f"{server.url}/a", sha256=SHA.upper())
    fetch_dataset({"d": fixed}, "atlas.h5ad", tmp_path / "a", tmp_path / "a.json", patience=QUICK)
    assert json.loads((tmp_path / "a.json").read_text())["sha256"] == SHA
    with pytest.raises(InputError, match="different files of the name"):
        fetch_dataset({"d": fixed, "e": dataset(cellxgene=ID)}, "atlas.h5ad", tmp_path / "b", tmp_path / "b.json")


REMOTE = {"url": "https://example.org/x", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("dataset", {"url": "file:///x", "sha256": "0" * 64}, "no http or https address"),
        ("dataset", {"url": "https://example.org/x"}, "'url' needs 'sha256'"),
        ("dataset", REMOTE | {"sha256": "12"}, "64 hexadecimal digits"),
        ("dataset", REMOTE | {"cellxgene": ID}, "either 'url'"),
        ("dataset", {"cellxgene": "../../x"}, "no dataset id"),
        ("dataset", REMOTE | {"path": "x/.."}, "a download needs a name"),
        ("dataset", REMOTE | {"path": "a b; rm.h5ad"}, "a download needs a name"),
        ("model", {"files": {"args.json": REMOTE}}, r"'files' lacks \['vocab.json', 'best_model.pt'\]"),
        ("model", {"files": {"../args.json": REMOTE}}, "args.json"),
        ("model", {"checkpoint": None, "files": {"args.json": REMOTE}}, "'files' needs 'checkpoint'"),
    ],
)
def test_downloads_that_cannot_work_are_refused_in_the_configuration(place, change, message):
    raw = yaml.safe_load((ROOT / "config/own_data.yaml").read_text())
    section = raw["datasets"]["mine"] if place == "dataset" else raw["model"]
    section.update(change)
    with pytest.raises(InputError, match=message):
        parse_config(raw)


def test_no_rule_and_no_module_uses_a_shell():
    """Strings of a configuration cannot reach a shell where there is none."""
    rules = [path.read_text() for path in (ROOT / "workflow").rglob("*.smk")] + [
        (ROOT / "workflow/Snakefile").read_text()
    ]
    assert not any(re.search(r"^\s*shell\s*:|\bshell\(", text, re.M) for text in rules)
    for path in [*(ROOT / "workflow").rglob("*.py"), *(ROOT / "workflow/rules").glob("common.smk")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in {"os.system", "os.popen", "subprocess.getoutput"}, path
                assert not any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in node.keywords), path
