"""Stand-in torch wheels of a few KB, for tests and benchmarks where torch is not the point."""

import base64
import hashlib
import io
import py_compile
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

from packaging.requirements import Requirement

_INIT = """
__version__ = "{version}"
class version:
    cuda = {cuda!r}
    hip = {hip!r}
    debug = False
    git_version = "standin"
class cuda:
    @staticmethod
    def is_available(): return False
    @staticmethod
    def is_initialized(): return False
    @staticmethod
    def device_count(): return 0
    @staticmethod
    def get_arch_list(): return []
def get_num_threads(): return 1
{extra}
"""

_WHEEL = "Wheel-Version: 1.0\nGenerator: standin\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes],
    *,
    requires: tuple[str, ...] = (),
    python: str = ">=3.8",
) -> Path:
    """Write a pure wheel; `{info}` in a member's name is its dist-info. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {r}" for r in requires)]
    members = {
        **{member.replace("{info}", info): text for member, text in files.items()},
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": _WHEEL,
    }
    record = []
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            data = text.encode() if isinstance(text, str) else text
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{member},sha256={digest},{len(data)}")
            archive.writestr(member, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return path


def make_torch(
    folder: Path,
    version: str,
    variant: str = "cpu",
    extra: str = "",
    requires: tuple[str, ...] = (),
) -> Path:
    """Write a stand-in torch; the registry's default build has no local version, as on PyPI."""
    local = version if variant.startswith("cu") else f"{version}+{variant}"
    cuda = f"{variant[2:-1]}.{variant[-1]}" if variant.startswith("cu") else None
    hip = variant.removeprefix("rocm") if variant.startswith("rocm") else None
    source = _INIT.format(version=local, cuda=cuda, hip=hip, extra=extra)
    return make_wheel(folder, "torch", local, {"torch/__init__.py": source}, requires=requires)


def make_needs(folder: Path) -> None:
    """Stand-ins for what releases need beside torch."""
    make_wheel(folder, "numpy", "1.26.0", {"numpy/__init__.py": "__version__ = '1.26.0'\n"})
    make_wheel(folder, "setuptools", "80.0.0", {"setuptools/__init__.py": ""})


def repack(folder: Path, *names: str) -> None:
    """Make wheels of pure packages that are installed here, and of all that they require.

    No index is needed for them then.
    """
    waiting, seen = list(names), set()
    while waiting:
        found = metadata.distribution(waiting.pop())
        if found.name in seen:
            continue
        seen.add(found.name)
        wanted = [Requirement(text) for text in found.requires or ()]
        needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
        waiting += [r.name for r in needed]
        entry_points = found.read_text("entry_points.txt") or ""
        members: dict[str, str | bytes] = {"{info}/entry_points.txt": entry_points}
        for file in found.files or ():
            outside = file.parts[0] == ".." or file.parts[0].endswith(".dist-info")
            if not outside and file.suffix != ".pyc":
                path = Path(str(file.locate()))
                members[file.as_posix()] = path.read_bytes()
                if file.suffix == ".py":
                    members[cache_from_source(file.as_posix())] = _compiled(path)
        requires = tuple(str(r) for r in needed)
        make_wheel(folder, found.name, found.version, members, requires=requires)


def _compiled(path: Path) -> bytes:
    """Byte code that is never checked against its source: environments start without compiling."""
    with tempfile.NamedTemporaryFile() as file:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(path), file.name, doraise=True, invalidation_mode=mode)
        return Path(file.name).read_bytes()


def make_sdist(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Write a source archive, as a project publishes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{member}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path
