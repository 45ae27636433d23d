#!/usr/bin/env bash
# The linters, as `make test` and CI run them.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff format --check -q .
ruff check -q .
PYTHONPATH=scripts lint-imports --no-cache >/dev/null || PYTHONPATH=scripts lint-imports --no-cache
snakefmt --check Snakefile rules
snakemake --lint >/dev/null
snakemake --profile profiles/demo --lint >/dev/null
echo "ruff, import-linter, snakefmt and snakemake --lint are content"
