# The batch: every notebook that is stale, then the report.    snakemake -c2 --config profile=demo
#
# Options by --config: profile=demo  papers="irn"  seeds=0,1,2  ahead=0 (no helper computes stages ahead); how to run comes
# from profiles/default/config.yaml, or from another folder of profiles/ (snakemake --profile profiles/slurm ...).
#
# What a cluster's job asks for, minutes and memory, comes from `make plan` where it was called; else from the profile.
#
# A rule waits for a file that carries its notebook's key in its name (weakseg.study.plan says what a key covers), so a
# changed parameter or function makes it run and a changed file time does not. The driver that each rule calls is safe
# on its own: it checks params first, renames what succeeded, and lets one process compute while others wait.

import os
import sys

from weakseg.study import cards, places, plan, records, status
from weakseg.study import resources as planned
from weakseg.study.run import THREADS

PROFILE = str(config.get("profile") or "demo")
SEEDS = str(config["seeds"]) if config.get("seeds") is not None else ""  # 0 is a seed
PAPERS = str(config.get("papers") or "").split()
SEEDED = ["--seeds", SEEDS] if SEEDS else []


def local(path):
    """A path as the rules know it: relative, for braces in the folders above would be wildcards."""
    return os.path.relpath(path)


try:
    RUNS = plan.runs(PROFILE, PAPERS, plan.overrides_of(SEEDS, []))
    MARKS = {str(run): local(status.awaited(run)) for run in RUNS}
    REPORT = local(status.report_mark(PROFILE, RUNS))
    AHEAD = local(places.outputs() / PROFILE / f".ahead.{plan.digest(repr(MARKS))[:16]}.done")
except (ValueError, FileNotFoundError) as error:
    sys.exit(f"weakseg: {error}")


def threads():
    """A notebook's share of the cores: all for one at a time, half for two at once; a cluster's job has all of its own."""
    granted = os.environ.get("WEAKSEG_THREADS") or os.environ.get("OMP_NUM_THREADS") or records.cores()
    at_once = workflow.is_main_process and workflow.global_resources["_cores"].value
    return max(1, int(granted) // max(1, min(at_once or 1, len(RUNS))))


def helper():
    """The mark of the process that computes stages ahead: where notebooks share the cores of this machine, not a GPU."""
    at_once = workflow.is_main_process and workflow.global_resources["_cores"].value or 1  # no number on a cluster
    stale = not all(os.path.exists(mark) for mark in MARKS.values())
    wanted = stale and config.get("ahead", True) and 1 < at_once <= records.cores()
    return [AHEAD] if wanted and not cards.cards() else []


rule all:
    input:
        REPORT,
        list(MARKS.values()),  # asked for by name: a mark that is missing behind a finished report would go unnoticed
        helper(),


for run in RUNS:

    rule:
        name:
            f"{run.paper}_{run.notebook}"
        input:
            [MARKS[str(need)] for need in run.needs()],
        output:
            MARKS[str(run)],
        params:
            python=sys.executable,
            run=[run.paper, run.notebook, "--profile", PROFILE, *SEEDED],
            share=threads(),
        resources:
            gpu=int(config.get("gpu", 1)),
            **planned.of(run),
        shell:
            "{params.python:q} -m weakseg.study.run {params.run:q} --threads {params.share}"


rule ahead:
    output:
        touch(AHEAD),
    params:
        python=sys.executable,
        study=[*PAPERS, "--profile", PROFILE, *SEEDED],
        older=os.path.dirname(AHEAD),
        share=" ".join(f"{name}={threads()}" for name in THREADS),
    # It takes no notebook's place, begins with the first of them and gets what they leave, which is much: a core is idle
    # whenever a notebook waits for a stage of another one, or only the last runs.
    threads: 0
    priority: 1
    localrule: True
    shell:
        "find {params.older:q} -maxdepth 1 -name '.ahead.*.done' -delete;"
        " nice -n 19 env {params.share} TQDM_DISABLE=1 PYTHONHASHSEED=0"
        " {params.python:q} -m weakseg.study.ahead {params.study:q} || true"


rule report:
    input:
        list(MARKS.values()),
    output:
        touch(REPORT),
    params:
        python=sys.executable,
        profile=PROFILE,
        papers=list(dict.fromkeys(run.paper for run in RUNS)),
        older=os.path.dirname(REPORT),
    localrule: True
    shell:
        "find {params.older:q} -maxdepth 1 -name '.report.*.done' -delete;"
        " {params.python:q} -m weakseg.study.report --profile {params.profile:q} --papers {params.papers:q}"


onstart:
    shell("{sys.executable:q} -m weakseg.study.status --check --profile {PROFILE:q} {PAPERS:q} {SEEDED:q}")


onerror:
    for line in status.failures(RUNS):
        print(line, file=sys.stderr)
