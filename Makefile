# Each target is one line over a tool that also runs without make. Options: PROFILE=demo PAPERS="irn" SEEDS=0,1,2 JOBS=2 GPU=h200 PRECISION=bf16 (bench)

PROFILE ?= demo
PAPERS ?=
SEEDS ?=
JOBS ?= 2
GPU ?= cpu
SHELL = /bin/sh
READY = . ./tools/setup.sh
STATUS = python -m weakseg.study.status $(PAPERS) --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS))

.PHONY: study test lab status why plan bench publish setup

study:
	@$(READY) && snakemake -c$(JOBS) --config profile=$(PROFILE) papers="$(PAPERS)" seeds="$(SEEDS)" && python -m weakseg.study.agreement --profile $(PROFILE) $(if $(PAPERS),--papers $(PAPERS))

test:
	@$(READY) && ruff check . && OMP_NUM_THREADS=1 python -m pytest -n $(shell nproc) --dist loadfile

lab:
	@$(READY) && jupyter lab --notebook-dir=notebooks

status:
	@$(READY) && $(STATUS)

why:
	@$(READY) && $(STATUS) --why

plan:
	@$(READY) && python -m weakseg.study.bill $(PAPERS) --profile $(PROFILE) --gpu $(GPU) $(if $(SEEDS),--seeds $(SEEDS))

bench:
	@$(READY) && mkdir -p outputs/$(PROFILE)/bench && papermill notebooks/bench.ipynb outputs/$(PROFILE)/bench/bench.ipynb -k python3 --cwd notebooks -p profile $(PROFILE) $(if $(PAPERS),-p papers "$(PAPERS)") $(if $(PRECISION),-p precision $(PRECISION))

publish:
	@$(READY) && python -m weakseg.study.publish --profile $(PROFILE) $(if $(PAPERS),--papers $(PAPERS))

setup:
	@$(READY)
