"""What a machine says of its torch, from metadata and from what was loaded."""

import pytest

from matrix.check.machine import Loaded, Machine, Package


def machine(installed="", loaded=None, **known):
    packages = {"torch": Package(name="torch", version=installed)} if installed else {}
    return Machine(packages=packages, loaded=loaded, architecture="x86_64", **known)


@pytest.mark.parametrize(
    ("installed", "loaded", "torch", "variant"),
    [
        pytest.param("2.11.0", None, "2.11.0", "cu130", id="pypi-has-one-build-for-x86"),
        pytest.param("2.11.0+cpu", None, "2.11.0+cpu", "cpu", id="a-local-version"),
        pytest.param("2.11.0", Loaded(version="2.11.0+cu130", cuda="13.0"), "2.11.0+cu130", "cu130",
                     id="the-module-says-more"),
        pytest.param("2.11.0", Loaded(version="2.10.0+cu128"), "2.10.0+cu128", "cu128",
                     id="what-loads-counts"),
        pytest.param("", Loaded(version="2.9.0a0+gitabc", cuda="12.9"), "2.9.0a0+gitabc", "cu129",
                     id="built-here"),
        pytest.param("2.12.0", Loaded(version="2.12.0", hip="7.2.53211", rocm="7.2"), "2.12.0",
                     "rocm7.2", id="rocms-own-number"),
        pytest.param("2.9.1", Loaded(import_error="boom"), "2.9.1", "cu128", id="does-not-load"),
    ],
)  # fmt: skip
def test_its_version_and_variant(installed, loaded, torch, variant):
    found = machine(installed, loaded)
    assert (found.torch, found.variant) == (torch, variant)


def test_of_two_installations_the_one_that_loads_counts():
    found = machine("2.15.0", Loaded(version="2.14.1+cu130", cuda="13.0"),
                    twice={"torch": ("2.14.1", "2.15.0")})  # fmt: skip
    assert found.torch == "2.14.1+cu130"


def test_pypi_has_something_else_for_other_processors():
    packages = {"torch": Package(name="torch", version="2.9.1")}
    assert Machine(packages=packages, architecture="aarch64").variant == ""


@pytest.mark.parametrize("text", ["unknown", "", "2.x"])
def test_a_version_that_is_none_has_no_release(text):
    assert machine(text).release == ""
