"""The user's pip configuration is honoured: mirrors, wheel folders, certificates; one download."""

import functools
import hashlib
import http.server
import re
import shutil
import ssl
import subprocess
import threading
import urllib.parse
import zipfile
from collections import Counter

import pytest

from matrix.store import Store

PASSES = "def test_passes(): pass\n"


class Index(http.server.BaseHTTPRequestHandler):
    """A package index over a folder of wheels, with metadata beside them, counting what is got."""

    def __init__(self, *arguments, folder, got, **more):
        self.folder, self.got = folder, got
        super().__init__(*arguments, **more)

    def do_GET(self):
        path = urllib.parse.unquote(self.path)
        self.got[path] += 1
        name = path.rstrip("/").rpartition("/")[2]
        if path.startswith("/simple/"):
            body, kind = self.page(name), "text/html"
        elif name.endswith(".metadata"):
            body, kind = metadata(self.folder / name.removesuffix(".metadata")), "text/plain"
        else:
            body, kind = (self.folder / name).read_bytes(), "application/octet-stream"
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self, name):
        links = []
        for wheel in self.folder.glob("*.whl"):
            if re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower() == name:
                whole = hashlib.sha256(wheel.read_bytes()).hexdigest()
                part = hashlib.sha256(metadata(wheel)).hexdigest()
                href = f"/files/{urllib.parse.quote(wheel.name)}#sha256={whole}"
                links.append(
                    f'<a href="{href}" data-core-metadata="sha256={part}">{wheel.name}</a>'
                )
        return "\n".join(links).encode()

    def log_message(self, *_):
        pass


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return archive.read(name)


@pytest.fixture
def serve():
    """Serve folders as indexes; returns URL and counts."""
    servers = []

    def start(folder, context=None):
        got = Counter()
        handler = functools.partial(Index, folder=folder, got=got)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        scheme = "https" if context else "http"
        return f"{scheme}://127.0.0.1:{server.server_port}/simple", got

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def only(project, make, tmp_path):
    """A project without any index of its own, and an empty download cache."""
    project.write(make.matrix("2.11.0"), mine__test_a=PASSES)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"):
        del project.env[name]
    project.env["UV_CACHE_DIR"] = str(tmp_path / "own-cache")
    return project


def passed(project, **env):
    done = project.run(**env)
    assert done["executions"][0]["counts"] == {"pass": 1}, done["stderr"]
    return Store(project.folder / "results").runs()[-1]


def test_an_index_of_pips_own_configuration_file(only, serve, wheels):
    """As on a machine behind a corporate mirror: nothing is asked of anybody else."""
    url, got = serve(wheels)
    (only.folder / ".config" / "pip").mkdir(parents=True)
    (only.folder / ".config" / "pip" / "pip.conf").write_text(f"[global]\nindex-url = {url}\n")
    run = passed(only)
    assert got["/simple/torch/"] >= 1
    assert '"<matrix>/.config/pip/pip.conf"' in (run.path / "run.json").read_text()


def test_a_configuration_file_named_in_the_environment(only, serve, wheels):
    url, got = serve(wheels)
    (only.folder / "mine.conf").write_text(f"[global]\nindex-url = {url}\n")
    passed(only, PIP_CONFIG_FILE=only.folder / "mine.conf")
    assert got["/simple/torch/"] >= 1


def test_an_extra_index(only, serve, wheels, tmp_path):
    """torch comes from one, all else from the other."""
    for name in ("torch", "rest"):
        (tmp_path / name).mkdir()
    for wheel in wheels.glob("*.whl"):
        shutil.copy(wheel, tmp_path / ("torch" if wheel.name.startswith("torch-") else "rest"))
    (first, _), (second, got) = serve(tmp_path / "rest"), serve(tmp_path / "torch")
    passed(only, PIP_INDEX_URL=first, PIP_EXTRA_INDEX_URL=second)
    assert got["/files/torch-2.11.0+cpu-py3-none-any.whl"] == 1


def test_a_wheel_folder_without_any_index(only, wheels):
    (only.folder / "pip.conf").write_text(f"[install]\nno-index = yes\nfind-links = {wheels}\n")
    passed(only, PIP_CONFIG_FILE=only.folder / "pip.conf")


def test_a_certificate(only, serve, wheels, tmp_path):
    """A mirror with a certificate of one's own authority."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=mirror", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
         "basicConstraints=CA:FALSE", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    url, got = serve(wheels, context)
    refused = only.run(PIP_INDEX_URL=url, UV_HTTP_RETRIES="0")
    assert (refused["code"], refused["executions"][0]["verdict"]) == (4, "infra")
    passed(only, PIP_INDEX_URL=url, PIP_CERT=cert)
    assert got["/simple/torch/"] >= 1


def test_two_cells_of_a_release_download_it_once(only, serve, wheels, make):
    """At the same time, with an empty cache."""
    companions = '[[companion]]\npackage = "iniconfig"\nversion = ["{}"]\n'
    version = next(p.name.split("-")[1] for p in wheels.glob("iniconfig-*.whl"))
    only.write(
        make.matrix("2.11.0") + companions.format(version) + "[runners.local]\nslots = 2\n",
        mine__test_a=PASSES,
    )
    url, got = serve(wheels)
    done = only.run(PIP_INDEX_URL=url)
    assert [e["counts"] for e in done["executions"]] == [{"pass": 1}] * 2, done["stderr"]
    wheel = "/files/torch-2.11.0+cpu-py3-none-any.whl"
    assert {path: n for path, n in got.items() if path == wheel} == {wheel: 1}


def test_the_first_available_build_is_what_the_index_offers(only, serve, wheels, make):
    """The refused one stands in the list with the reason; the answer is remembered."""
    url, got = serve(wheels)
    text = make.matrix("2.11.0", "2.13.0").replace(
        '["cpu"]', '[{first_available = ["cpu", "default"]}]'
    )
    only.write(text, mine__test_a=PASSES)
    listed = only.call("list", PIP_INDEX_URL=url, UV_HTTP_RETRIES="0")
    assert listed.stdout.splitlines() == [
        make.cell("2.11.0"), f"torch2.13.0-cu130-py{make.python}  (tests run on cpu)",
    ]  # fmt: skip
    assert f"{make.cell('2.13.0')}: first_available: your indexes: no torch==2.13.0+cpu for" in (
        listed.stderr
    )
    asked = got.total()
    only.call("list", PIP_INDEX_URL=url)
    assert got.total() == asked
