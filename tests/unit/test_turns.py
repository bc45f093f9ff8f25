"""Turns: who is alone with processors or GPUs, and how waiting ends."""

import threading
import time
from types import SimpleNamespace

import pytest

from matrix.accelerators import Gpu, HostDevices
from matrix.dispatch.turns import Processors, Turns
from matrix.process import Stopped


def test_an_exclusive_turn_is_alone_and_is_not_starved():
    turns = Processors(threading.Event())
    alone, beside = threading.Event(), []

    def exclusive():
        with turns(True):
            alone.set()
            time.sleep(0.05)
            beside.append(turns._shared)

    with turns(False):
        thread = threading.Thread(target=exclusive)
        thread.start()
        time.sleep(0.05)
        assert not alone.is_set(), "an exclusive turn waits for shared ones"
        late = threading.Thread(target=lambda: turns(False).__enter__())
        late.start()
        time.sleep(0.05)
        assert turns._shared == 1, "a waiting exclusive holds new ones back"
    thread.join(5)
    late.join(5)
    assert beside == [0]


def test_shared_turns_are_taken_together():
    turns = Processors(threading.Event())
    with turns(False), turns(False):
        assert turns._shared == 2


def test_a_stopped_run_does_not_wait_for_its_turn():
    stop = threading.Event()
    turns = Processors(stop)
    with turns(True):
        stop.set()
        with pytest.raises(Stopped), turns(False):
            pass


def test_a_failed_turn_is_given_back():
    turns = Processors(threading.Event())
    with pytest.raises(RuntimeError), turns(True):
        raise RuntimeError
    with turns(True):
        pass


GPUS = tuple(Gpu(uuid=f"GPU-{n}", index=n, name="H200") for n in range(2))


def job_on(device, *models):
    return SimpleNamespace(cell=SimpleNamespace(device=device), models=models)


@pytest.fixture
def turns(tmp_path):
    devices = {"cpu": HostDevices(driver=None, names=("",)),
               "cuda": HostDevices(driver=None, names=("H200",), gpus=GPUS)}  # fmt: skip
    runner = SimpleNamespace(devices=devices, docker="")
    return Turns(runner, run="r", leases=tmp_path / "leases", stop=threading.Event())


def say(_text):
    pass


def test_suites_that_need_gpus_alone_work_side_by_side(turns):
    with turns(job_on("cuda"), "alone", say) as one, turns(job_on("cuda"), "alone", say) as two:
        assert {gpu.uuid for gpu in one + two} == {"GPU-0", "GPU-1"}


def test_a_third_waits_for_a_gpu_and_says_for_whom(turns):
    said, got = [], threading.Event()

    def third():
        with turns(job_on("cuda"), "alone", said.append):
            got.set()

    with turns(job_on("cuda"), "alone", say):
        with turns(job_on("cuda"), "alone", say):
            thread = threading.Thread(target=third)
            thread.start()
            assert not got.wait(0.5)
        assert got.wait(5)
    thread.join(5)
    assert "held by run r" in said[0]


def test_the_first_gpu_of_another_machine_is_another_gpu(tmp_path):
    """Engines name them alike, `nvidia.com/gpu=0`; only a UUID is the same thing everywhere."""

    def turns_at(docker):
        gpu = Gpu(uuid="nvidia.com/gpu=0", index=0, name="NVIDIA GPU")
        devices = {"cuda": HostDevices(driver=None, names=("",), gpus=(gpu,))}
        runner = SimpleNamespace(devices=devices, docker=docker)
        return Turns(runner, run="r", leases=tmp_path / "leases", stop=threading.Event())

    one, two = turns_at("tcp://a:1"), turns_at("tcp://b:1")
    with one(job_on("cuda"), "alone", say) as mine, two(job_on("cuda"), "alone", say) as yours:
        assert [gpu.uuid for gpu in mine + yours] == ["nvidia.com/gpu=0"] * 2


@pytest.mark.parametrize("wanted", [2, 8])
def test_a_suite_gets_the_gpus_it_asks_for_at_most_what_there_is(turns, wanted):
    with turns(job_on("cuda"), "shared", say, wanted) as gpus:
        assert gpus == GPUS


def test_nobody_gets_a_gpu_to_install(turns):
    with turns(job_on("cuda"), "install", say) as gpus:
        assert gpus == ()


def test_numbers_of_a_processor_wait_for_suites_on_gpus(turns):
    """They share the processors, so that they would disturb."""
    got = threading.Event()

    def exclusive():
        with turns(job_on("cpu"), "alone", say):
            got.set()

    with turns(job_on("cuda"), "shared", say):
        thread = threading.Thread(target=exclusive)
        thread.start()
        assert not got.wait(0.3)
    assert got.wait(5)
    thread.join(5)


def test_a_job_for_a_model_gets_a_gpu_of_that_model(tmp_path):
    gpus = tuple(Gpu(uuid=f"GPU-{n}", index=n, name=n) for n in ("H100", "H200"))
    runner = SimpleNamespace(
        devices={"cuda": HostDevices(driver=None, names=("H100", "H200"), gpus=gpus)}, docker=""
    )
    turns = Turns(runner, run="r", leases=tmp_path / "leases", stop=threading.Event())
    for wanted in ("H200", "H100"):
        with turns(job_on("cuda", wanted), "alone", say) as [gpu]:
            assert gpu.name == wanted
    with turns(job_on("cuda", "unknown"), "alone", say) as [gpu]:
        assert gpu in gpus
