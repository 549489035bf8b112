"""The machine: threads, the process pool, progress in a log."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch

from weakseg.study import machine
from weakseg.study.machine import Progress, describe, device, parallel, threads


def square(number: int) -> tuple[int, int, int]:
    time.sleep(0.005 * (number % 3))  # out of order on purpose
    return number * number, os.getpid(), torch.get_num_threads()


def power(number: int, exponent: int) -> int:
    return number**exponent


def fails(number: int) -> int:
    if number == 7:
        raise ValueError("seven is bad")
    return number


def nested(number: int) -> list[int]:
    return parallel(partial(power, exponent=2), [number] * 5)


def dies(number: int) -> None:
    if number == 3:
        os.kill(os.getpid(), 9)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setenv("WEAKSEG_THREADS", "2")


def test_parallel_keeps_order_with_one_thread_per_worker(two_cores):
    results = parallel(square, range(40))
    assert [one[0] for one in results] == [number**2 for number in range(40)]
    workers = {one[1] for one in results}
    assert len(workers) == 2 and os.getpid() not in workers
    assert {one[2] for one in results} == {1}


def test_parallel_stays_in_this_process_for_one_core_or_few_items(monkeypatch):
    monkeypatch.setenv("WEAKSEG_THREADS", "1")
    assert {one[1] for one in parallel(square, range(10))} == {os.getpid()}
    monkeypatch.setenv("WEAKSEG_THREADS", "2")
    assert {one[1] for one in parallel(square, range(3))} == {os.getpid()}
    assert parallel(square, []) == []


def test_parallel_takes_partials_arrays_and_nests(two_cores):
    assert parallel(partial(power, exponent=3), [1, 2, 3, 4, 5]) == [1, 8, 27, 64, 125]
    assert [float(one) for one in parallel(np.sum, [np.full(3, n) for n in range(8)])] == [3.0 * n for n in range(8)]
    assert parallel(nested, range(4)) == [[number**2] * 5 for number in range(4)]


def test_an_error_in_a_worker_says_which_item(two_cores):
    with pytest.raises(ValueError, match="seven is bad") as caught:
        parallel(fails, range(20))
    assert caught.value.__notes__ == ["item 7: 7"]


def test_a_killed_worker_is_one_line(two_cores):
    with pytest.raises(RuntimeError, match="^counting: a worker process was killed.*; set WEAKSEG_THREADS below 2$"):
        parallel(dies, range(8), title="counting")


def test_starting_workers_costs_little(two_cores):
    began = time.monotonic()
    parallel(power_of_two, range(8))
    assert time.monotonic() - began < 5  # importing torch anew in every worker would cost seconds each


def whose_child(_: int) -> int:
    return os.getppid()


def process_id(_: int) -> int:
    return os.getpid()


def power_of_two(number: int) -> int:
    return power(2, number)


def test_threads_come_from_the_environment_or_the_grant(monkeypatch):
    monkeypatch.delenv("WEAKSEG_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("WEAKSEG_THREADS", "5")
    assert threads() == 5
    monkeypatch.delenv("WEAKSEG_THREADS")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(6)))
    monkeypatch.setattr(machine, "_quota", lambda: 4)
    assert threads() == 4
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("WEAKSEG_THREADS", wrong)
        with pytest.raises(
            ValueError, match=f"^WEAKSEG_THREADS: must be a whole number of 1 or more \\(got '{wrong}'\\)$"
        ):
            threads()


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 2), ("200000 100000\n", 2), ("50000 100000\n", 1)])
def test_the_container_s_quota_counts(monkeypatch, text, cores):
    monkeypatch.setattr(machine.Path, "read_text", lambda self: text)
    assert machine._quota() == cores


def test_no_quota_is_no_limit(monkeypatch):
    monkeypatch.setattr(machine.Path, "read_text", lambda self: "max 100000\n")
    assert machine._quota() > 1000


def test_the_cpu_can_be_asked_for_and_the_machine_is_described(monkeypatch):
    monkeypatch.setenv("WEAKSEG_DEVICE", "cpu")
    assert device() == torch.device("cpu")
    about = describe()
    assert set(about) == {"cpu", "cores", "gpu", "computes", "system"} and about["cpu"] and about["cores"] >= 1


def test_a_log_gets_one_line_a_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(machine.sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    bar = Progress(100, "training", done=10)
    for second in range(0, 130, 10):
        now[0] = second
        bar.update(2, "loss 0.5")
    bar.close()
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "training: 24 of 100, 5.4 min left loss 0.5",
        "training: 36 of 100, 4.9 min left loss 0.5",
    ]
    assert said.err == ""


def test_alone_there_is_one_process(monkeypatch):
    assert (machine.rank(), machine.world(), machine.from_first("x")) == (0, 1, "x")
    monkeypatch.setenv("RANK", "3")  # a batch system's leftover without torchrun's WORLD_SIZE
    assert machine.rank() == 0


@pytest.mark.skipif(machine.sys.platform != "linux", reason="elsewhere workers are always started afresh")
def test_beside_a_gpu_workers_come_from_a_clean_server(two_cores, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert parallel(abs, range(-8, 0)) == [8, 7, 6, 5, 4, 3, 2, 1]
    first = set(parallel(whose_child, range(8)))
    assert os.getpid() not in first  # they are no forks of this process, which has the card
    workers = set(parallel(process_id, range(64)))
    assert workers & set(parallel(process_id, range(64)))  # and they stay: each has imported what it needs
    with pytest.raises(RuntimeError, match="a worker process was killed"):
        parallel(dies, range(8))
    assert parallel(abs, [-1] * 8) == [1] * 8


@pytest.mark.skipif(machine.sys.platform != "linux", reason="elsewhere workers are always started afresh")
def test_workers_beside_a_gpu_outlive_an_interrupt(two_cores, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for worker in set(parallel(process_id, range(8))):
        os.kill(worker, signal.SIGINT)  # a notebook's "interrupt" reaches all its processes
    time.sleep(0.2)
    assert parallel(abs, [-1] * 8) == [1] * 8


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bf16_is_used_only_where_the_processor_has_it(monkeypatch, native, dtype):
    monkeypatch.setattr(machine, "has_bf16", lambda kind: native)
    with machine.autocast("bf16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with machine.autocast("fp32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_the_machine_says_what_it_computes_in():
    assert describe()["computes"] == ("bf16" if machine.has_bf16(device().type) else "fp32")


def test_core_seconds_count_work_and_finished_children_but_no_waiting():
    before = machine.core_seconds()
    time.sleep(0.3)
    waited = machine.core_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert waited - before < 0.2 and machine.core_seconds() - waited > 0.05
