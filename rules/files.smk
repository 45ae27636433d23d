# The configuration's files, read before Snakemake merges them: what is ambiguous in one (a name
# twice, a value that holds itself) is told with its line, and a mistake with the file that has it.
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from cai.errors import UserError
from cai.origins import Origins

origins = Origins([])


def stop(problems):
    """Ends with one line for each problem, if there is any."""
    if problems:
        lines = dict.fromkeys(origins.told(str(problem)) for problem in problems)
        sys.exit("\n".join(f"error: {line}" for line in lines))


@contextmanager
def told():
    """A user's mistake is told in one line."""
    try:
        yield
    except UserError as error:
        stop([error])


with told():
    origins = Origins.of(
        ["config/config.yaml", *workflow.config_settings.configfiles],
        workflow.config_settings.config,
    )
