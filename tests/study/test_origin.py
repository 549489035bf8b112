"""Where results come from, in words for the report."""

from weakseg.study.origin import computed_again, kind, origin, precision

HERE = {"cpu": "AMD EPYC", "cores": 2, "gpu": None, "system": "Linux-6.1-of-some-host"}


def stage(*given: str, **machine) -> dict:
    nets = {f"net{i}": {"precision": one} for i, one in enumerate(given)}
    return {
        "key": "k",
        "params": {"seed": 0, **nets},
        "machine": {**HERE, "cores": 1, **machine},
        "made": "2026-11-26T",
    }


def test_days_kinds_of_machine_and_precision_but_no_name_of_a_machine():
    ran = [{"began": f"2026-11-{day}T01:02:03+00:00", "machine": HERE} for day in (27, 26, 27)]
    found = origin(ran, [stage("bf16", computes="fp32"), stage()])
    assert found.notebooks == "2026-11-26 to 2026-11-27 on AMD EPYC, 2 cores, no GPU"
    assert found.stages == "2026-11-26 on AMD EPYC, 1 core, no GPU" and found.precision == "fp32"


def test_a_card_is_named_and_several_kinds_of_machine_too():
    assert kind({**HERE, "gpu": "NVIDIA H100"}) == "AMD EPYC, 2 cores, NVIDIA H100"
    both = origin([], [stage("bf16", computes="bf16", gpu="NVIDIA H100"), stage("fp32")])
    assert both.stages == "2026-11-26 on AMD EPYC, 1 core, NVIDIA H100; AMD EPYC, 1 core, no GPU"
    assert both.precision == "bf16 and fp32"


def test_bf16_is_what_the_processor_made_of_it_and_an_old_record_says_bf16():
    assert precision(stage("fp32", "bf16", computes="fp32")) == "fp32"
    assert precision(stage("bf16")) == "bf16" and precision(stage("fp32", computes="bf16")) == "fp32"
    assert precision(stage()) is None and precision({"key": "k"}) is None


def test_records_that_do_not_tell_leave_it_out():
    found = origin([], [{"key": "k"}])
    assert (found.notebooks, found.stages, found.precision) == ("", "", "")


def test_stages_computed_for_several_papers_are_counted_once():
    assert computed_again([{"key": "a"}, {"key": "b"}, {"key": "a"}, {"key": "a"}]) == 1
