# The configuration's files, read before Snakemake merges them: what is ambiguous in one (a name
# twice, a value that holds itself) is reported with its line, and a mistake with the file that has it.
import sys
from contextlib import contextmanager
from pathlib import Path

try:
    import cai
except ModuleNotFoundError as error:
    if error.name != "cai":
        raise
    sys.exit(
        f"error: {sys.executable}: does not find the library scripts/cai; `make controller` makes an "
        "environment that does, and `pip install --editable .` adds it to your own"
    )

if (
    Path(cai.__file__).resolve().parents[1]
    != Path(workflow.basedir, "scripts").resolve()
):
    sys.exit(
        f"error: {sys.executable}: finds {Path(cai.__file__).parent}, not the library of this folder; "
        "use this folder's own environment (make controller), or PYTHONPATH=scripts"
    )

from cai.core import cli
from cai.core.errors import UserError
from cai.settings.origins import Origins
from cai.workflow import command_line, snakemake_internals

origins = Origins([])


def stop(problems):
    """Ends with one line for each problem, if there is any."""
    if problems:
        lines = dict.fromkeys(origins.with_source(str(problem)) for problem in problems)
        sys.exit("\n".join(f"error: {line}" for line in lines))


@contextmanager
def one_line_errors():
    """A user's mistake ends the workflow with one line."""
    try:
        yield
    except UserError as error:
        stop([error])
    except OSError as error:  # of a path that the configuration names
        stop([cli.system_error(error)])


replaced = workflow.config_settings.replace_workflow_config
OF_ALL = [] if replaced else ["config/config.yaml"]
with one_line_errors():
    origins = Origins.of(
        [*OF_ALL, *workflow.config_settings.configfiles],
        command_line.as_written(
            workflow.config_settings.config,
            snakemake_internals.given_values(workflow),
        ),
    )
