"""Engines and images for integration tests: the one that is there, and one of our own to break."""

import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import standin

from matrix.engines import bases
from matrix.engines.connection import Engine, NoEngine, connect

TORCH = "2.13.0"
BASE = "MATRIX_TEST_BASE"
DOCKERFILE = """
ARG BASE
FROM ${BASE}
COPY site /tmp/site
RUN python3 -m venv --without-pip /opt/venv \
 && cp -r /tmp/site/. "$(/opt/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')"
COPY payload /opt/payload
"""


def unavailable(why: str) -> None:
    """Fail where an engine must be there, skip where it may be missing."""
    if os.environ.get("MATRIX_TEST_ENGINE") == "required":
        pytest.fail(f"MATRIX_TEST_ENGINE=required, and {why}")
    pytest.skip(why)


def the_engine() -> Engine:
    """The engine that DOCKER_HOST names, or this machine's own."""
    try:
        return connect("", os.environ)
    except NoEngine as error:
        unavailable(str(error))
        raise


def base_of(engine: Engine) -> str:
    """A Python base that the engine has."""
    wanted = os.environ.get(BASE) or os.environ.get("MATRIX_IMAGE_CPU")
    base = (wanted or bases.LOCAL).replace("{python}", "3.11")
    try:
        engine.client.images.get(base)
    except docker.errors.ImageNotFound:
        unavailable(f"the engine has no image `{base}`: `python -m matrix base build` makes it")
    return base


def site(folder: Path, wheels: Path) -> Path:
    """Unpack stand-in torch and the test tools as site-packages."""
    standin.make_torch(wheels, TORCH)
    standin.make_needs(wheels)
    standin.repack(wheels, "pytest", "pytest-benchmark")
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def build(engine: Engine, context: Path, tag: str) -> str:
    """Build a context with the classic builder, which needs nothing but the engine."""
    (context / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    image, _ = engine.client.images.build(
        path=str(context),
        tag=tag,
        buildargs={"BASE": base_of(engine)},
        network_mode="none",
        rm=True,
    )
    return str(image.id)


class OwnEngine:
    """An engine of a test's own, with a tiny image, to be killed and frozen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/s"
        self.bridge = f"tmx{os.getpid()}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        # with `--bridge=none` it would remove the bridge of the engine that is there
        if not Path("/sys/class/net", self.bridge).exists():
            subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], check=True)
            address = ["ip", "addr", "add", "172.31.77.1/24", "dev", self.bridge]
            subprocess.run(address, check=True)
            subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)
        if self.process is not None:
            self.process.wait()
        # where nobody waits for orphans, a dead process of that number may seem to live
        for left in ("pid", "exec-root/containerd/containerd.pid"):
            (self.folder / left).unlink(missing_ok=True)
        where = [f"--{name}={self.folder / name}" for name in ("data-root", "exec-root")]
        options = [*where, f"--bridge={self.bridge}", "--iptables=false", "--ip6tables=false"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", "-H", self.url, f"--pidfile={self.folder / 'pid'}", *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def connect(self) -> Engine:
        """Connect as soon as it answers."""
        end = time.monotonic() + 60
        while True:
            try:
                return connect(self.url, {})
            except NoEngine:
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
        pytest.fail(f"a test's own engine does not start: {self._log()}")

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-500:]

    def signal(self, number: signal.Signals) -> None:
        """Send the engine itself a signal; its containers get none."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        """End it and all that it started."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        if self.process.poll() is not None:
            self.start()  # only an engine ends the containers that its dead self left
        with self.connect() as engine:
            for container in engine.client.containers.list(all=True):
                container.remove(force=True)
        self.process.terminate()
        self.process.wait(60)

    def clean(self) -> None:
        """Remove what even an engine that ended in order leaves: mounts and its bridge."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted(
            (m for m in mounts if Path(m).is_relative_to(self.folder)), reverse=True
        ):
            subprocess.run(["umount", "--lazy", mount], check=False)
        subprocess.run(["ip", "link", "del", self.bridge], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """An engine with the image `tiny`, in which there is a shell and `sleep`."""
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        unavailable("a test's own engine needs root and `dockerd`")
    own = OwnEngine(Path(tempfile.mkdtemp(prefix="matrix-engine-")))
    try:
        own.start()
        with own.connect() as engine:
            engine.client.api.import_image_from_file(str(_tiny(own.folder)), repository="tiny")
        yield own
        own.stop()
    finally:
        own.clean()


def _tiny(folder: Path) -> Path:
    """A root file system of a shell, `sleep` and their libraries."""
    needed: dict[str, Any] = {}
    for program in ("/bin/sh", "/bin/sleep"):
        needed[program] = None
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        needed |= dict.fromkeys(word for word in told.split() if word.startswith("/"))
    path = folder / "tiny.tar"
    with tarfile.open(path, "w") as tar:
        for name in needed:
            tar.add(os.path.realpath(name), arcname=name)
    return path
