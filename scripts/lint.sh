#!/usr/bin/env bash
# The linters, as `make test` and CI run them.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff format --check -q .
ruff check -q .
mypy --no-error-summary
PYTHONPATH=scripts lint-imports --no-cache >/dev/null || PYTHONPATH=scripts lint-imports --no-cache
snakefmt --check Snakefile rules
snakemake --lint >/dev/null
snakemake --profile profiles/demo --lint >/dev/null
site=.envs/site/bin
if [[ -x $site/mkdocs ]]; then
    pages=$(mktemp -d)
    trap 'rm -r "$pages"' EXIT
    # Not --quiet: mkdocs then counts no warnings.
    built=$(NO_MKDOCS_2_WARNING=1 "$site/mkdocs" build --strict --site-dir "$pages" 2>&1) || {
        echo "$built" >&2
        exit 1
    }
    schema=("$site/check-jsonschema" --quiet --builtin-schema)
    "${schema[@]}" vendor.github-workflows .github/workflows/*.yml
    "${schema[@]}" vendor.github-actions .github/actions/*/action.yml
    "${schema[@]}" vendor.citation-file-format CITATION.cff
elif [[ -n ${CI-} ]]; then
    echo "error: the site cannot be checked without .envs/site: make lint installs it" >&2
    exit 1
else
    echo "not checked: the site and the schemas of the project's files (make lint installs what that needs)"
fi
echo "the linters are content"
