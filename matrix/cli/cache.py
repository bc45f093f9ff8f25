"""`cache`: compiled code of torch.compile and Triton, packed, pushed, pulled and verified."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import errors
from matrix.cli.places import check_remote, check_words, is_archive
from matrix.cli.printing import print_json, print_line, print_text
from matrix.errors import InfrastructureError, InputError, NothingToRun
from matrix.workspace import Workspace

if TYPE_CHECKING:
    from matrix.compilecache.archive import Manifest
    from matrix.compilecache.key import CacheKey
    from matrix.compilecache.shared import SharedCache

ACTIONS = {
    "pack": "a FOLDER into an archive of this name (a folder: under its key's name)",
    "push": "a FOLDER to a remote",
    "pull": "from a remote into a FOLDER, where its archive is there and whole",
    "verify": "an archive, or all of a remote",
}


def add_cache(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "share compiled code (torch.compile, Triton) between machines of the same kind"
    parser = add("cache", cache_command, [], text)
    told = "; ".join(f"{name} {what}" for name, what in ACTIONS.items())
    parser.add_argument("action", choices=ACTIONS, help=told)
    parser.add_argument("source", metavar="FROM", help="a folder, an archive, or an fsspec URL")
    parser.add_argument("target", metavar="TO", nargs="?", help="the same; not for verify")
    parser.add_argument("--python", default=sys.executable,
                        help="the interpreter whose code it is (default: this one)")  # fmt: skip
    parser.add_argument("--label", default="", help="what was compiled, such as a model's name and "
                        "revision: each label has an archive of its own")  # fmt: skip


def remote_option(parser: argparse.ArgumentParser) -> None:
    """`--cache` of `run`."""
    told = "folder or fsspec URL where feature suites share compiled code (default: `[cache]`)"
    parser.add_argument("--cache", metavar="URL", help=told)


def shared_cache(arguments: argparse.Namespace, workspace: Workspace) -> "SharedCache | None":
    """What `run` shares compiled code with, by the option or the matrix file."""
    settings = workspace.definition.cache
    url = settings.remote if arguments.cache is None else arguments.cache
    if not url:
        return None
    if arguments.cache:
        check_remote(url, "`--cache`")
    from matrix.compilecache.remote import Remote
    from matrix.compilecache.shared import SharedCache

    place = url if "://" in url else str(Path(url).absolute())
    return SharedCache(remote=Remote(url=place), writable=settings.push)


def cache_command(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Do one action; a miss is 3, an archive that is refused 2, a remote that fails 4."""
    from matrix.compilecache.archive import CacheRefused
    from matrix.compilecache.remote import RemoteFailed
    from matrix.incoming import shown

    if (arguments.target is None) != (arguments.action == "verify"):
        needs = "takes FROM alone" if arguments.action == "verify" else "needs FROM and TO"
        raise InputError(f"`cache {arguments.action}` {needs}:", [ACTIONS[arguments.action]])
    check_words(arguments)
    try:
        return _DO[arguments.action](arguments, workspace)
    except CacheRefused as refused:
        title = f"`{shown(arguments.source)}` was refused:"
        raise InputError(title, refused.problems[:20]) from refused
    except RemoteFailed as failed:
        raise InfrastructureError(f"the remote cannot be used: {failed}") from failed


def _pack(arguments: argparse.Namespace, workspace: Workspace) -> int:
    from matrix.compilecache.archive import describe, pack

    key, place = _key(arguments, workspace)
    folder = Path(arguments.source)
    manifest = describe(folder, key, place)
    target = Path(arguments.target)
    archive = target / key.name if target.is_dir() else target
    pack(folder, manifest, archive)
    _say(arguments, manifest, f"{archive}: {_sizes(manifest)}", archive=str(archive))
    return errors.OK


def _push(arguments: argparse.Namespace, workspace: Workspace) -> int:
    from matrix.compilecache.exchange import push
    from matrix.compilecache.remote import Remote

    key, place = _key(arguments, workspace)
    done = push(Remote(url=arguments.target), key, place, Path(arguments.source))
    if arguments.json:
        print_json({"key": asdict(key), "name": key.name, **asdict(done)})
    else:
        print_text(f"pushed {key.name}: {done.files} files, {done.size / 1e6:.1f} MB unpacked")
    return errors.OK


def _pull(arguments: argparse.Namespace, workspace: Workspace) -> int:
    from matrix.compilecache.exchange import pull
    from matrix.compilecache.remote import Remote

    key, place = _key(arguments, workspace)
    folder = Path(arguments.target).absolute()
    done = pull(Remote(url=arguments.source), key, place, folder)
    if done.manifest is None:
        raise NothingToRun(f"a miss: no {key.name}; {done.note}")
    told = f"pulled {key.name}: {done.files} of {_sizes(done.manifest)} new in {folder}"
    _say(arguments, done.manifest, told, folder=str(folder), new=done.files, note=done.note)
    if done.note:
        print_text(f"note: {done.note}", sys.stderr)
    use = f"TORCHINDUCTOR_CACHE_DIR={folder}/inductor TRITON_CACHE_DIR={folder}/triton"
    if (folder / "inductor").is_dir():
        print_text(f"to use it: export {use}", sys.stderr)
    return errors.OK


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What an archive was found to be: `whole`, `refused`, or `unread` where none came."""

    source: str
    state: str
    key: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    sizes: str = ""


def _verify(arguments: argparse.Namespace, workspace: Workspace) -> int:
    """Print the key of every archive; 1 where one is refused, else 4 where one is unread."""
    from matrix.compilecache.remote import Remote
    from matrix.incoming import shown

    del workspace
    remote = Remote(url=arguments.source)
    single = is_archive(arguments.source)
    names = [""] if single else remote.names()
    if not names:
        raise NothingToRun(f"no archive in `{shown(arguments.source)}`")
    found = []
    for name in names:
        found.append(_seen(remote.source(name) if name else arguments.source, name))
        if not arguments.json:
            _print_seen(found[-1])
    if arguments.json:
        print_json([asdict(one) for one in found])
    states = {one.state for one in found}
    if "refused" in states:
        return errors.NEW_WRONG
    return InfrastructureError.exit_code if "unread" in states else errors.OK


def _seen(source: str, name: str) -> _Seen:
    """Look at one archive; on a remote its `name` has to be its key's."""
    from matrix.compilecache.archive import CacheRefused, opened
    from matrix.compilecache.remote import RemoteFailed
    from matrix.incoming import shown

    told = shown(source)
    try:
        with opened(source) as (_, manifest):
            key, sizes = asdict(manifest.key), _sizes(manifest)
            wanted = manifest.key.name
    except CacheRefused as refused:
        return _Seen(source=told, state="refused", problems=refused.problems)
    except RemoteFailed as failed:
        return _Seen(source=told, state="unread", problems=[str(failed)])
    if name in {"", wanted}:
        return _Seen(source=told, state="whole", key=key, sizes=sizes)
    problems = [f"its name is not its key's, {wanted}"]
    return _Seen(source=told, state="refused", key=key, problems=problems, sizes=sizes)


def _print_seen(seen: _Seen) -> None:
    word = seen.state.upper() if seen.problems else seen.state
    print_line(f"{seen.source} {seen.sizes}", f"{word:<7}  ")
    for line in seen.problems[:20] or [f"{name}: {value}" for name, value in seen.key.items()]:
        print_line(line, "  - ")


_DO = {"pack": _pack, "push": _push, "pull": _pull, "verify": _verify}


def _key(arguments: argparse.Namespace, workspace: Workspace) -> tuple["CacheKey", str]:
    """The key of the interpreter's compiled code, and where its torch lies."""
    from matrix.compilecache.key import key_of, place_of
    from matrix.host import no_torch, probe_of

    python = Path(arguments.python).absolute()
    probe = probe_of(python, workspace)
    if not probe.get("torch"):
        raise InputError(f"`{python}` cannot be used", [no_torch(probe)])
    return key_of(probe, arguments.label), place_of(probe)


def _sizes(manifest: "Manifest") -> str:
    return f"{len(manifest.files)} files ({manifest.size / 1e6:.1f} MB)"


def _say(arguments: argparse.Namespace, manifest: "Manifest", line: str, **more: object) -> None:
    if arguments.json:
        told = {"key": asdict(manifest.key), "name": manifest.key.name}
        print_json({**told, "content": manifest.content, **more})
    else:
        print_text(line)
