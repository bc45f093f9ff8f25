"""All rules, in the order in which they are told: a new one is a function and a line here."""

from matrix.check.finding import Finding, Rule
from matrix.check.machine import Machine
from matrix.check.rules import accelerator, libraries, packages, tools, torch

RULES: tuple[Rule, ...] = (
    torch.installed,
    torch.imports,
    accelerator.built_for_gpus,
    accelerator.access,
    accelerator.driver,
    accelerator.covered,
    accelerator.reached,
    accelerator.override,
    libraries.one_cuda,
    libraries.own_libraries,
    torch.one_of_each,
    packages.requirements,
    packages.needs,
    packages.paired,
    packages.kernel_builds,
    packages.one_version,
    packages.known_bad,
    packages.held_back,
    torch.python,
    torch.glibc,
    accelerator.nvcc,
    tools.compilers,
    tools.headers,
    tools.jit,
    tools.shared_memory,
    tools.preload,
)


def judge(machine: Machine) -> tuple[Finding, ...]:
    """Ask all rules about one machine."""
    return tuple(finding for rule in RULES for finding in rule(machine))
