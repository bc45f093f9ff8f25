"""Each rule of `check`: where all is well, where it is not, and where too little is known."""

from dataclasses import replace

import pytest

from matrix.accelerators import Gpu, HostDevices, Obstacle
from matrix.check.machine import Loaded, Machine, Package
from matrix.check.rules import RULES, judge

H200 = Gpu(uuid="GPU-1", index=0, name="NVIDIA H200", arch="sm_90")
V100 = Gpu(uuid="GPU-1", index=0, name="Tesla V100", arch="sm_70")
MI300 = Gpu(uuid="GPU-1", index=0, name="AMD Instinct MI300X", arch="gfx942")
RTX5090 = Gpu(uuid="GPU-1", index=0, name="NVIDIA GeForce RTX 5090", arch="sm_120")


def nvidia(gpu=H200, driver="580.95.05"):
    return {"cuda": HostDevices(driver=driver, names=(gpu.name,), gpus=(gpu,))}


def amd(gpu=MI300):
    return {"rocm": HostDevices(driver=None, names=(gpu.name,), gpus=(gpu,))}


def packages(*lines, requires=None):
    """Installed distributions from lines such as `torch==2.9.1+cu128`; `requires` by name."""
    found = {}
    for line in lines:
        name, _, version = line.partition("==")
        listed = (requires or {}).get(name)
        found[name] = Package(
            name=name, version=version, requires=None if listed is None else tuple(listed)
        )
    return found


def machine(*lines, requires=None, **known):
    start = {
        "architecture": "x86_64",
        "python": "3.12.3",
        "packages": packages(*lines, requires=requires),
    }
    return Machine(**{**start, **known})


def answers(rule, found):
    """The answers of one rule, by id."""
    return [finding.said for finding in judge(found) if finding.id == rule]


def only(rule, found):
    (said,) = answers(rule, found)
    return said


def test_no_two_rules_have_one_id():
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_no_rule_stumbles_over_a_machine_of_which_nothing_is_known(rule):
    for found in (Machine(), Machine(recorded=True), Machine(packages={})):
        assert all(
            finding.id == rule.id and finding.question.endswith("?") for finding in rule(found)
        )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_no_rule_stumbles_over_versions_that_are_none(rule):
    lines = ("torch==unknown", "numpy==x.y", "sglang==main", "triton==")
    odd = machine(*lines, glibc="?", devices=nvidia(driver="N/A"), nvcc="V12")
    assert all(finding.said.evidence for finding in rule(odd))


class TestTorch:
    def test_none_is_installed_by_one_command_for_the_gpus_that_are_here(self):
        said = only("torch-installed", machine(devices=nvidia(driver="570.86.15")))
        assert said.answer == "no"
        assert said.fix == (
            "pip install torch==2.14.1 --index-url https://download.pytorch.org/whl/cu126"
        )

    def test_on_a_machine_without_gpus_it_is_the_cpu_build(self):
        assert only("torch-installed", machine()).fix.endswith("/whl/cpu")

    def test_one_that_is_there(self):
        assert only("torch-installed", machine("torch==2.9.1")).answer == "yes"

    def test_a_record_without_one_says_nothing(self):
        said = only("torch-installed", machine("numpy==2.1.0", recorded=True))
        assert said.answer == "unknown"

    @pytest.mark.parametrize(
        ("error", "wanted"),
        [
            pytest.param("ImportError: libtorch_cuda.so: undefined symbol: ncclCommResume",
                         "nvidia-nccl", id="a-known-cause"),
            pytest.param('importing it ended the process with signal 11 at "x.py", line 3',
                         "--force-reinstall", id="a-crash"),
            pytest.param("it did not import within 120 s", "--force-reinstall", id="a-hang"),
        ],
    )  # fmt: skip
    def test_one_that_does_not_import_is_a_finding(self, error, wanted):
        said = only("torch-imports", machine("torch==2.9.1", loaded=Loaded(import_error=error)))
        assert said.answer == "no"
        assert error in said.evidence
        assert wanted in said.fix

    def test_one_that_imports(self):
        loaded = Loaded(version="2.9.1+cu128", cuda="12.8", seconds=2.0)
        said = only("torch-imports", machine("torch==2.9.1", loaded=loaded))
        assert (said.answer, said.evidence) == ("yes", "torch 2.9.1+cu128 after 2.0 s")

    def test_another_one_than_the_metadata_says(self):
        loaded = Loaded(version="2.8.0+cu128", cuda="12.8")
        said = only("torch-imports", machine("torch==2.9.1", loaded=loaded))
        assert said.answer == "no"
        assert "torch 2.8.0+cu128 loads, its metadata is of 2.9.1" in said.evidence

    def test_metadata_without_a_module_is_unknown(self):
        assert only("torch-imports", machine("torch==2.9.1")).answer == "unknown"

    @pytest.mark.parametrize(
        ("python", "answer"), [("3.12.3", "yes"), ("3.14.0", "no"), ("3.8.18", "no")]
    )
    def test_wheels_are_for_some_pythons(self, python, answer):
        said = only("torch-python", machine("torch==2.6.0", python=python))
        assert said.answer == answer
        assert (
            bool(said.fix) == (answer == "no" and python != "3.8.18") or "torch==2.4.1" in said.fix
        )

    def test_two_tritons_overwrite_each_other(self):
        both = machine("torch==2.11.0", "triton==3.6.0", "pytorch-triton==3.5.0",
                       requires={"torch": ["triton==3.6.0"]})  # fmt: skip
        said = only("one-of-each", both)
        assert said.answer == "no"
        assert said.fix == ("pip uninstall -y triton pytorch-triton && pip install triton==3.6.0")

    def test_an_upgrade_that_was_cut_off(self):
        found = machine("torch==2.11.0", twice={"torch": ("2.10.0", "2.11.0")})
        said = only("one-of-each", found)
        assert "torch is there as 2.10.0 and 2.11.0: an upgrade was cut off" in said.evidence
        assert said.fix == (
            "pip uninstall -y torch && pip uninstall -y torch && pip install torch==2.11.0"
        )

    def test_one_of_each_is_well(self):
        assert only("one-of-each", machine("torch==2.11.0", "triton==3.6.0")).answer == "yes"


class TestGlibc:
    def test_torch_is_too_new_for_it(self):
        said = only("glibc", machine("torch==2.9.1", glibc="2.17", python="3.11.2"))
        assert said.answer == "no"
        assert "torch 2.9.1 needs 2.28" in said.evidence
        assert "torch==2.6.0" in said.fix

    def test_an_engine_is_too_new_for_it(self):
        said = only("glibc", machine("torch==2.13.0", "sglang==0.5.19", glibc="2.31"))
        assert said.answer == "no"
        assert "sglang 0.5.19 needs 2.34" in said.evidence

    def test_tags_of_installed_wheels_come_before_published_ones(self):
        kernel = Package(name="kernel", version="1.0", tags=("cp312-cp312-manylinux_2_39_x86_64",))
        found = replace(machine("torch==2.9.1", glibc="2.35"), packages={"kernel": kernel})
        assert "kernel 1.0 needs 2.39" in only("glibc", found).evidence

    def test_it_is_new_enough(self):
        assert only("glibc", machine("torch==2.9.1", glibc="2.36")).answer == "yes"

    def test_wheels_without_tags_are_unknown(self):
        assert only("glibc", machine("numpy==2.1.0", glibc="2.36")).answer == "unknown"


class TestAccelerator:
    def test_a_cpu_build_beside_a_gpu(self):
        said = only("built-for-gpus", machine("torch==2.13.0+cpu", devices=nvidia()))
        assert said.answer == "no"
        assert "NVIDIA H200" in said.evidence
        assert said.fix == "pip install torch==2.13.0 --force-reinstall"

    def test_a_cuda_build_beside_amds_gpus(self):
        said = only("built-for-gpus", machine("torch==2.12.0+cu130", devices=amd()))
        assert said.answer == "no"
        assert "/whl/rocm7.2" in said.fix

    def test_a_build_for_the_gpus(self):
        assert (
            only("built-for-gpus", machine("torch==2.12.0+rocm7.2", devices=amd())).answer == "yes"
        )

    def test_a_build_of_ones_own_is_unknown(self):
        said = only("built-for-gpus", machine("torch==2.12.0+gitabc", devices=nvidia()))
        assert said.answer == "unknown"

    def test_cuda_13_on_a_570_driver(self):
        """What `pip install torch` gives today, on a driver of last year."""
        said = only("driver", machine("torch==2.15.0", devices=nvidia(driver="570.133.20")))
        assert (said.answer, said.basis) == ("no", "gated")
        assert "needs driver >= 580.65.06, here is 570.133.20" in said.evidence
        assert said.fix.endswith("torch==2.14.1 --index-url https://download.pytorch.org/whl/cu126")

    def test_cuda_12_runs_on_all_drivers_of_its_major_version(self):
        said = only("driver", machine("torch==2.9.1+cu128", devices=nvidia(driver="535.104.05")))
        assert said.answer == "yes"

    def test_a_compat_package_is_seen_by_what_torch_says(self):
        loaded = Loaded(version="2.15.0+cu132", cuda="13.2", available=True)
        found = machine("torch==2.15.0", devices=nvidia(driver="570.133.20"), loaded=loaded)
        said = only("driver", found)
        assert (said.answer, said.basis) == ("yes", "measured")

    def test_an_unknown_driver_is_unknown(self):
        assert (
            only("driver", machine("torch==2.15.0", devices=nvidia(driver=None))).answer
            == "unknown"
        )

    def test_a_toolkit_that_the_facts_lack_has_the_floor_of_its_major_version(self):
        said = only("driver", machine("torch==2.15.0+cu139", devices=nvidia(driver="570.1")))
        assert said.answer == "no"

    @pytest.mark.parametrize(
        ("torch", "gpu", "answer"),
        [
            pytest.param("2.15.0", V100, "no", id="volta-left-with-cuda-13"),
            pytest.param("2.6.0", RTX5090, "no", id="blackwell-came-with-cuda-12.8"),
            pytest.param("2.8.0", RTX5090, "yes", id="blackwell-is-there"),
            pytest.param("2.6.0", Gpu(uuid="", index=0, name="L40", arch="sm_89"), "yes",
                         id="code-runs-on-later-minor-versions"),
        ],
    )  # fmt: skip
    def test_code_for_the_gpu(self, torch, gpu, answer):
        said = only("covered", machine(f"torch=={torch}", devices=nvidia(gpu)))
        assert (said.answer, said.basis) == (answer, "declared")
        assert ("no kernel image" in said.evidence) == (answer == "no")

    def test_the_list_of_the_build_itself_counts_more_than_the_facts(self):
        loaded = Loaded(version="2.15.0+cu132", cuda="13.2", arch_list=("sm_70",))
        said = only("covered", machine("torch==2.15.0", devices=nvidia(V100), loaded=loaded))
        assert (said.answer, said.basis) == ("yes", "measured")

    @pytest.mark.parametrize(
        ("driver", "answer"), [("525.60.13", "no"), ("580.1", "yes"), (None, "unknown")]
    )
    def test_ptx_needs_the_driver_of_its_toolkit(self, driver, answer):
        loaded = Loaded(version="2.9.1+cu128", cuda="12.8", arch_list=("sm_80", "compute_80"))
        found = machine("torch==2.9.1", devices=nvidia(H200, driver), loaded=loaded)
        assert only("covered", found).answer == answer

    def test_gpus_whose_architecture_nobody_tells(self):
        gpu = Gpu(uuid="", index=0, name="NVIDIA GPU")
        assert only("covered", machine("torch==2.9.1", devices=nvidia(gpu))).answer == "unknown"

    def test_gfx_architectures_are_not_compared_as_numbers(self):
        gpu = replace(MI300, arch="gfx90a", name="MI250X")
        loaded = Loaded(version="2.12.0", hip="7.2", arch_list=("gfx942", "gfx1100"))
        said = only("covered", machine("torch==2.12.0+rocm7.2", devices=amd(gpu), loaded=loaded))
        assert said.answer == "no"

    def test_hidden_gpus(self):
        said = only("reached", machine("torch==2.9.1", devices=nvidia(),
                                       environment={"CUDA_VISIBLE_DEVICES": ""}))  # fmt: skip
        assert (said.answer, said.fix) == ("no", "unset CUDA_VISIBLE_DEVICES")

    @pytest.mark.parametrize(
        ("available", "answer"), [(True, "yes"), (False, "no"), (None, "unknown")]
    )
    def test_what_torch_says_of_devices(self, available, answer):
        loaded = Loaded(version="2.9.1", cuda="12.8", available=available, warnings=("no luck",))
        said = only("reached", machine("torch==2.9.1", devices=nvidia(), loaded=loaded))
        assert said.answer == answer
        assert ("no luck" in said.evidence) == (answer == "no")

    def test_an_obstacle_is_told_with_its_command(self):
        obstacle = Obstacle("this user may not open /dev/kfd", "sudo usermod -aG render $USER")
        said = only("access", machine(obstacles={"rocm": obstacle}))
        assert (said.answer, said.fix) == ("no", obstacle.fix)

    def test_devices_that_answer(self):
        assert only("access", machine(devices=nvidia())).answer == "yes"

    def test_an_override_with_the_gpus_own_architecture_is_none(self):
        found = machine("torch==2.12.0+rocm7.2", devices=amd(),
                        environment={"HSA_OVERRIDE_GFX_VERSION": "9.4.2"})  # fmt: skip
        assert only("gfx-override", found).answer == "yes"

    @pytest.mark.parametrize(("arch", "minor"), [("gfx942", False), ("gfx1036", True)])
    def test_an_override_harms_a_card_that_has_code_of_its_own(self, arch, minor):
        found = machine("torch==2.12.0+rocm7.2", devices=amd(replace(MI300, arch=arch)),
                        environment={"HSA_OVERRIDE_GFX_VERSION": "10.3.0"})  # fmt: skip
        said = only("gfx-override", found)
        assert (said.answer, said.minor) == ("no", minor)

    @pytest.mark.parametrize(
        ("nvcc", "gpu", "answer"),
        [
            pytest.param("12.4", RTX5090, "no", id="older-than-the-gpu"),
            pytest.param("13.0", H200, "no", id="another-major-version-than-torchs"),
            pytest.param("12.9", H200, "yes", id="fits"),
        ],
    )
    def test_nvcc(self, nvcc, gpu, answer):
        said = only("nvcc", machine("torch==2.9.1+cu128", devices=nvidia(gpu), nvcc=nvcc))
        assert said.answer == answer
        assert said.minor == (answer == "no")


class TestLibraries:
    def test_wheels_of_two_major_versions(self):
        found = machine("torch==2.11.0", "nvidia-nccl-cu12==2.29.3", "nvidia-nccl-cu13==2.28.9")
        said = only("one-cuda", found)
        assert (said.answer, said.minor) == ("no", False)
        assert "nvidia-nccl-cu13 2.28.9 and nvidia-nccl-cu12 2.29.3" in said.evidence
        assert said.fix == (
            "pip uninstall -y nvidia-nccl-cu12 && "
            "pip install nvidia-nccl-cu13==2.28.9 --no-deps --force-reinstall"
        )

    def test_leftovers_in_folders_of_their_own_only_take_space(self):
        said = only("one-cuda", machine("torch==2.11.0", "nvidia-cufft-cu12==11.3.3",
                                        "nvidia-nccl-cu13==2.28.9"))  # fmt: skip
        assert (said.answer, said.minor) == ("no", True)

    def test_one_major_version(self):
        assert only("one-cuda", machine("torch==2.9.1", "nvidia-nccl-cu12==2.27.5")).answer == "yes"

    def test_a_library_from_elsewhere_is_loaded(self):
        loaded = Loaded(version="2.9.1", cuda="12.8", libraries=(
            "/opt/cudnn/lib/libcudnn.so.9", "/usr/lib/libcuda.so.1",
            "/env/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"))  # fmt: skip
        found = machine("torch==2.9.1", "nvidia-cudnn-cu12==9.10.2.21", loaded=loaded)
        said = only("own-libraries", found)
        assert said.answer == "no"
        assert "/opt/cudnn/lib/libcudnn.so.9" in said.evidence
        assert "libcuda.so.1" not in said.evidence

    def test_a_system_build_brings_none_of_its_own(self):
        loaded = Loaded(version="2.9.1", cuda="12.8", libraries=("/usr/lib/libcudnn.so.9",))
        assert not answers("own-libraries", machine("torch==2.9.1", loaded=loaded))

    def test_what_lies_on_the_path_and_was_not_loaded_is_unknown(self):
        found = machine("torch==2.9.1", libraries=("/opt/lib/libcudnn.so.9",))
        assert only("own-libraries", found).answer == "unknown"

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("/usr/local/cuda-12.1/lib64", "no"),
            ("/opt/cudnn/lib", "no"),
            ("/usr/local/cuda/lib64", "unknown"),
        ],
    )
    def test_a_record_tells_by_the_names_of_folders(self, path, answer):
        found = machine("torch==2.9.1+cu128", recorded=True, environment={"LD_LIBRARY_PATH": path})
        assert only("own-libraries", found).answer == answer

    def test_a_preloaded_library(self):
        found = machine("torch==2.9.1", environment={"LD_PRELOAD": "/opt/libnccl.so.2"})
        assert only("preload", found).answer == "no"
        assert not answers(
            "preload", machine("torch==2.9.1", environment={"LD_PRELOAD": "/x/jemalloc.so"})
        )


class TestPackages:
    def test_an_engine_that_pins_another_torch(self):
        found = machine("torch==2.15.0", "sglang==0.5.23",
                        requires={"torch": [], "sglang": ["torch==2.14.1"]})  # fmt: skip
        said = only("requirements", found)
        assert (said.answer, said.minor, said.subject) == ("no", False, "sglang")
        assert "torch==2.14.1 is required, torch 2.15.0" in said.evidence
        assert said.fix == "pip install sglang==0.5.23"

    def test_the_same_by_facts_where_the_metadata_is_not_known(self):
        said = only("requirements", machine("torch==2.15.0", "sglang==0.5.23", recorded=True))
        assert (said.answer, said.basis) == ("no", "declared")
        assert "torch==2.14.1 is required" in said.evidence

    def test_a_record_does_not_list_everything(self):
        said = only("requirements", machine("torch==2.14.1", "sglang==0.5.23", recorded=True))
        assert said.answer == "yes"

    def test_what_is_missing_on_a_real_machine(self):
        found = machine("torch==2.14.1", requires={"torch": ["sympy>=1.13.3"]})
        assert (
            "sympy>=1.13.3 is required, it is not installed" in only("requirements", found).evidence
        )

    def test_markers_are_those_of_the_interpreter(self):
        requires = ['sympy; python_version >= "3.11"', 'x; extra == "y"']
        found = machine("torch==2.14.1", python="3.10.2", requires={"torch": requires})
        assert only("requirements", found).answer == "yes"

    def test_torchvision_of_another_release_is_brought_to_this_torch(self):
        found = machine("torch==2.9.1+cu126", "torchvision==0.23.0",
                        requires={"torch": [], "torchvision": ["torch==2.8.0"]})  # fmt: skip
        said = only("requirements", found)
        assert said.fix == (
            "pip install torchvision==0.24.1 --index-url https://download.pytorch.org/whl/cu126"
        )

    def test_a_library_that_has_nothing_to_do_with_torch_is_minor(self):
        found = machine(
            "torch==2.9.1",
            "click==7.0",
            "typer==1.0",
            requires={"torch": [], "typer": ["click>=8"]},
        )
        assert only("requirements", found).minor

    def test_newer_cudnn_than_torch_pins_is_minor(self):
        found = machine("torch==2.9.1", "nvidia-cudnn-cu12==9.16.0.29",
                        requires={"torch": ["nvidia-cudnn-cu12==9.10.2.21"]})  # fmt: skip
        assert only("requirements", found).minor

    def test_requirements_that_nobody_knows(self):
        assert only("requirements", machine("kernel==1.0")).answer == "unknown"

    @pytest.mark.parametrize(
        ("torch", "numpy", "answer"),
        [("2.2.2", "2.1.0", "no"), ("2.2.2", "1.26.4", "yes"), ("2.3.0", "2.1.0", "yes")],
    )
    def test_numpy_2_with_old_torch(self, torch, numpy, answer):
        said = next(said for said in answers("needs", machine(f"torch=={torch}", f"numpy=={numpy}"))
                    if "numpy" in said.evidence)  # fmt: skip
        assert said.answer == answer
        assert said.fix == ("pip install 'numpy<2'" if answer == "no" else "")

    @pytest.mark.parametrize(
        ("kernel", "torch", "answer"),
        [
            pytest.param("sgl-kernel==0.1.2", "2.7.0+cu128", "no", id="between-two-for-torch-2.6"),
            pytest.param("sgl-kernel==0.3.21", "2.9.1", "yes", id="shipped-together"),
            pytest.param("torchao==0.17.0", "2.9.1", "no", id="a-table-that-lists-another"),
            pytest.param("torchao==0.14.1", "2.9.1", "yes", id="a-table-that-lists-it"),
            pytest.param("torchao==0.16.0", "2.9.1", "unknown", id="between-two-of-a-table"),
        ],
    )
    def test_pairs_without_a_pin(self, kernel, torch, answer):
        said = only("pairs", machine(f"torch=={torch}", kernel))
        assert said.answer == answer

    def test_where_no_companion_goes_with_this_torch_another_torch_is_the_way(self):
        said = only("pairs", machine("torch==2.2.2", "torchao==0.17.0", python="3.11.2"))
        assert said.fix == "pip install torch==2.11.0"

    @pytest.mark.parametrize(
        ("kernel", "told"),
        [
            ("flash-attn==2.7.4+cu12torch2.5cxx11abiFALSE", "built for torch 2.5"),
            ("flash-attn==2.8.3+cu13torch2.9cxx11abiTRUE", "built for CUDA 13"),
            ("flash-attn==2.8.3+cu12torch2.9cxx11abiFALSE", "the other C++ ABI"),
            ("torchvision==0.24.1+cpu", "it is a CPU build"),
        ],
    )
    def test_wheels_that_say_what_they_are_built_for(self, kernel, told):
        said = only("kernel-builds", machine("torch==2.9.1+cu128", kernel))
        assert said.answer == "no"
        assert told in said.evidence

    def test_a_wheel_that_fits(self):
        kernel = "flash-attn==2.8.3+cu12torch2.9cxx11abiTRUE"
        assert only("kernel-builds", machine("torch==2.9.1+cu128", kernel)).answer == "yes"

    def test_the_file_it_came_from_says_it_too(self):
        name = "flash_attn-2.7.4+cu12torch2.5cxx11abiFALSE-cp312-cp312-linux_x86_64.whl"
        package = Package(name="flash-attn", version="2.7.4", origin=name)
        found = machine("torch==2.9.1")
        found = replace(found, packages={**found.packages, "flash-attn": package})
        assert only("kernel-builds", found).answer == "no"

    @pytest.mark.parametrize(("cubin", "answer"), [("0.6.12", "yes"), ("0.6.11", "no")])
    def test_parts_of_one_project(self, cubin, answer):
        found = machine("flashinfer-python==0.6.12", f"flashinfer-cubin=={cubin}")
        assert only("one-version", found).answer == answer

    def test_known_bad_combinations(self):
        found = machine("torch==2.9.1", "nvidia-cudnn-cu12==9.10.2.21")
        assert only("known-bad", found).subject == "conv3d-cudnn"
        assert not answers("known-bad", machine("torch==2.9.1", "nvidia-cudnn-cu12==9.16.0.29"))

    @pytest.mark.parametrize(
        ("torchao", "torch", "bad"),
        [("0.12.0", "2.9.1", True), ("0.12.0", "2.8.0", False), ("0.17.0", "2.6.0", True),
         ("0.17.0", "2.7.1", False), ("0.18.0", "2.9.1", True), ("0.18.0", "2.10.0", False)],
    )  # fmt: skip
    def test_what_our_own_grid_of_torchao_says(self, torchao, torch, bad):
        """As in `results/TORCHAO.md`."""
        found = answers("known-bad", machine(f"torch=={torch}", f"torchao=={torchao}"))
        assert bool(found) == bad

    def test_a_combination_of_one_vendor_is_none_where_its_gpus_are_absent(self):
        lines = ("torch==2.9.1", "nvidia-cudnn-cu12==9.10.2.21")
        assert not answers("known-bad", machine(*lines, absent=frozenset({"cuda"})))
        assert not answers("known-bad", machine(*lines, devices=amd()))

    def test_silently_wrong_numbers_are_told_by_release_and_architecture(self):
        gpu = replace(MI300, arch="gfx950")
        loaded = Loaded(version="2.9.1", hip="7.0.51831-a3e329ad8")
        assert only("known-bad", machine(devices=amd(gpu), loaded=loaded)).answer == "no"
        newer = replace(loaded, hip="7.2.1")
        assert not answers("known-bad", machine(devices=amd(gpu), loaded=newer))
        assert not answers("known-bad", machine(devices=amd(MI300), loaded=loaded))

    def test_a_release_that_a_resolver_fell_back_to(self):
        said = only("held-back", machine("sglang==0.5.9"))
        assert "requires flash-attn-4" in said.evidence
        assert not answers("held-back", machine("sglang==0.5.23"))
        assert not answers("held-back", machine("sglang==0.5.8.post1"))


class TestTools:
    def test_triton_without_a_c_compiler(self):
        found = machine("torch==2.9.1", "triton==3.5.1", devices=nvidia(), cc="", compiler="")
        assert only("compilers", found).fix.endswith("gcc libc6-dev")

    def test_inductor_without_a_cxx_compiler(self):
        assert only("compilers", machine("torch==2.9.1", cc="/usr/bin/gcc", compiler="")).minor

    def test_both_are_there(self):
        found = machine("torch==2.9.1", cc="/usr/bin/gcc", compiler="g++ 12.2.0")
        assert only("compilers", found).answer == "yes"

    @pytest.mark.parametrize(("there", "answer"), [(True, "yes"), (False, "no")])
    def test_headers(self, there, answer):
        said = only("headers", machine("torch==2.9.1", headers=there))
        assert said.answer == answer
        assert said.fix == ("" if there else "sudo apt-get install -y python3.12-dev")

    @pytest.mark.parametrize(("mib", "answer"), [(64, "no"), (4096, "yes")])
    def test_shared_memory(self, mib, answer):
        assert only("shared-memory", machine("torch==2.9.1", shm=mib << 20)).answer == answer

    @pytest.mark.parametrize(
        ("extra", "nvcc", "answer"),
        [((), "", "no"), (("flashinfer-jit-cache==0.6.12",), "", "yes"), ((), "12.8", "yes")],
    )
    def test_flashinfer_compiles_at_first_use(self, extra, nvcc, answer):
        found = machine(
            "torch==2.9.1", "flashinfer-python==0.6.12", *extra, nvcc=nvcc, devices=nvidia()
        )
        assert only("jit", found).answer == answer
