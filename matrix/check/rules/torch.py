"""Rules about torch itself: it is there, imports, and fits this Python and C library."""

from collections.abc import Iterator

from matrix import facts
from matrix.check import fixes
from matrix.check.finding import Said, no, rule, unknown, yes
from matrix.check.machine import Machine
from matrix.signatures import explain

METADATA = "metadata of the installed distributions"


@rule("torch-installed", "is torch installed?")
def installed(machine: Machine) -> Iterator[Said]:
    """By its metadata, or by the module that loads."""
    if machine.torch:
        build = f" ({machine.variant})" if machine.variant and "+" not in machine.torch else ""
        yield yes(f"torch {machine.torch}{build}", METADATA)
    elif machine.packages is None or machine.recorded:
        yield unknown("nothing is known of a torch", METADATA)
    else:
        fix = fixes.build_for(machine, next(iter(machine.gpus), "cpu"))
        told = f"no torch in `{machine.executable}`; `--python PATH` checks another interpreter"
        yield no(told, METADATA, fix=fix)


@rule("torch-imports", "does torch import?")
def imports(machine: Machine) -> Iterator[Said]:
    """It neither raises, nor crashes, nor hangs."""
    loaded, source = machine.loaded, "`import torch` in a process of its own"
    if loaded is None:
        if machine.torch and not machine.recorded:
            yield unknown("its metadata is there, and no module `torch`", source)
    elif not loaded.import_error:
        package = machine.package("torch")
        if loaded.version and package and _release(loaded.version) != _release(package.version):
            told = f"torch {loaded.version} loads, its metadata is of {package.version}: another "
            told += "one comes first on the path (PYTHONPATH), or an upgrade was cut off"
            yield no(told, source, fix=_again(machine))
        elif loaded.version:
            time = f" after {loaded.seconds:.1f} s" if loaded.seconds is not None else ""
            yield yes(f"torch {loaded.version}{time}", source)
    else:
        known = explain(loaded.import_error)
        because = f"; known cause: {known.cause} [{known.source}]" if known else ""
        fix = known.fix if known else _again(machine)
        yield no(f"{loaded.import_error}{because}", source, fix=fix)


def _release(version: str) -> str:
    return version.partition("+")[0]


def _again(machine: Machine) -> str:
    if machine.variant in facts.published(machine.release):
        index = "" if machine.variant == facts.default_variant(machine.release) else machine.variant
        return fixes.install(machine, f"torch=={machine.release}", variant=index, again=True)
    return fixes.install(machine, f"torch=={machine.torch}", again=True) if machine.torch else ""


@rule("torch-python", "is there a wheel of this torch for this Python?")
def python(machine: Machine) -> Iterator[Said]:
    """By the tags of the release's wheels: `Requires-Python` says less."""
    build = machine.build
    if build is None or not machine.python or not build.python_min:
        return
    short = ".".join(machine.python.split(".")[:2]) + "t" * bool(machine.free_threaded)
    told = f"Python {short}; torch {build.torch} {build.variant} has wheels for {build.pythons}"
    if build.has_python(short):
        yield yes(told, build.source, "gated")
    else:
        fix = fixes.build_for(machine, machine.accelerator or "cpu")
        yield no(told, build.source, "gated", fix=fix)


@rule("glibc", "is the C library new enough for the wheels?")
def glibc(machine: Machine) -> Iterator[Said]:
    """By the platform tags of what is installed, else of what was published."""
    if not machine.glibc or not machine.packages:
        return
    source = "platform tags of the wheels (PEP 600)"
    needs = {name: need for name in machine.packages if (need := _needs(machine, name))}
    late = {n: v for n, v in needs.items() if facts.natural(v) > facts.natural(machine.glibc)}
    here = f"glibc {machine.glibc}"
    if late:
        told = ", ".join(f"{n} {machine.packages[n].version} needs {v}" for n, v in late.items())
        if "torch" in late:
            fix = fixes.build_for(machine, machine.accelerator or "cpu")
        else:
            fix = _older(machine, next(iter(late)))
        told = f"{here} is too old: {told}; a newer base image has a newer one"
        yield no(told, source, "gated", fix=fix)
    elif needs:
        most = max(needs.values(), key=facts.natural)
        yield yes(f"{here}; the wheels need {most}", source, "gated")
    else:
        yield unknown(f"{here}; no wheel's tag is known", source, "gated")


def _needs(machine: Machine, name: str) -> str:
    package = (machine.packages or {})[name]
    tagged = [found for tag in package.tags if (found := facts.glibc_of(tag))]
    if tagged:
        return min(tagged, key=facts.natural)
    if name == "torch":
        return machine.build.glibc if machine.build else ""
    pin = facts.pins().get((name, package.release))
    return pin.glibc if pin else ""


def _older(machine: Machine, name: str) -> str:
    """The newest release of a companion whose wheels this C library admits."""
    here = facts.natural(machine.glibc)
    fits = [
        pin.version
        for pin in facts.pins().values()
        if pin.package == name and pin.glibc and facts.natural(pin.glibc) <= here
    ]
    newest = max(fits, key=facts.version, default="")
    return fixes.install(machine, f"{name}=={newest}") if newest else ""


# distributions that bring one module: whichever was installed last has its files there
_SAME = (
    ("torch", "torch-nightly", "torch-cpu", "torch-xpu", "torch-rocm"),
    ("triton", "pytorch-triton", "triton-nightly", "pytorch-triton-rocm", "triton-rocm",
     "pytorch-triton-xpu", "triton-xpu"),
    ("sgl-kernel", "sglang-kernel"),
    ("xformers", "xformers-nightly"),
    ("flashinfer", "flashinfer-python"),
)  # fmt: skip


@rule("one-of-each", "does only one distribution bring each module?")
def one_of_each(machine: Machine) -> Iterator[Said]:
    """Two of one module overwrite each other; one that is there twice was half upgraded."""
    packages = machine.packages
    if packages is None:
        return
    clashes = [[name for name in group if name in packages] for group in _SAME]
    clashes = [group for group in clashes if len(group) > 1]
    if not clashes and not machine.twice:
        yield yes("no two bring the same module", METADATA)
        return
    told = [" and ".join(f"{n} {packages[n].version}" for n in group) for group in clashes]
    for name, versions in machine.twice.items():
        told.append(f"{name} is there as {' and '.join(versions)}: an upgrade was cut off")
    names = dict.fromkeys([*(name for group in clashes for name in group), *machine.twice])
    keep = [_kept(machine, group) for group in clashes]
    keep += [f"{name}=={packages[name].version}" for name in machine.twice]
    removal = fixes.uninstall(machine, *names)
    if machine.twice:  # an uninstallation takes one of them away
        removal += f" && {fixes.uninstall(machine, *machine.twice)}"
    yield no(
        f"{'; '.join(told)}: what was installed last has overwritten the other's files",
        METADATA,
        fix=f"{removal} && {fixes.install(machine, *keep)}",
    )


def _kept(machine: Machine, group: list[str]) -> str:
    """What torch asks for, else the last of them: the project's newer name."""
    packages = machine.packages or {}
    torch = packages.get("torch")
    wanted = " ".join((torch.requires if torch else None) or ()).replace("=", " ").split()
    name = next((n for n in group if n in wanted), group[0 if group[0] == "torch" else -1])
    return f"{name}=={packages[name].version}"
