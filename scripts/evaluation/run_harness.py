#!/usr/bin/env python
"""Run tasks of lm-evaluation-harness on a model, which it asks through an endpoint of this machine.

Writes the metrics of each task with the intervals that follow from the harness's standard errors.
What the model was asked before is in the journal, and is not asked again.
"""

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cai.asking.chat_model import ChatModel
from cai.asking.endpoint.dispatch import Dispatcher, answers
from cai.asking.endpoint.endpoint_server import Endpoint
from cai.asking.program import add_model_options, parse
from cai.asking.run import Run
from cai.core import cli
from cai.evaluation import harness
from cai.files.records import write_json
from cai.provenance.manifest import record
from cai.settings.configuration import Evaluation


def main() -> None:
    """Read the command line, serve, run the harness."""
    evaluate(parse(parser()), Run())


def evaluate(options: argparse.Namespace, run: Run) -> None:
    """Serve the model, run the harness, write its results.

    No ``step``: a plan cannot go through it, since the harness alone knows what it will ask.
    """
    settings = options.evaluation
    harness.check_tasks(settings, scores_prompts=options.serving.scores_prompts)
    name = options.output.stem
    at_a_time = (
        options.client.batch_size if options.serving.kind == "nemo" else options.serving.in_flight
    )
    log = options.output.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with (
        run.model(options, counts=True) as model,
        _endpoint(name, model, settings, at_a_time) as url,
    ):
        rows = harness.evaluate(settings, name, url, at_a_time, log, options.output.parent)
        usage = model.client.usage.as_dict()
    write_json(options.output, {"model": name, "tasks": rows, "usage": usage})
    record(options, "output", what="harness")
    for row in rows:
        print(f"{row['task']}, {row['measure']}: {row['value']:.4g} of {row['n']}", flush=True)


@contextmanager
def _endpoint(name: str, model: ChatModel, settings: Evaluation, at_a_time: int) -> Iterator[str]:
    """The address of the model, as long as it is served."""
    dispatcher = Dispatcher(lambda asked: answers(model.client, asked), threads=1, most=at_a_time)
    with Endpoint(name, model, dispatcher, settings.answer) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        try:
            yield endpoint.url
        finally:
            endpoint.shutdown()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="MODEL.json")
    parser.add_argument(
        "--evaluation", type=cli.json_option(Evaluation), required=True, metavar="JSON",
        help="the section of the configuration: harness, harness_tasks, harness_limit, answer",
    )  # fmt: skip
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
