"""Serve a model of the run at an OpenAI-compatible address, until Ctrl-C.

python scripts/serve.py rl_cai                       a model of the run, by its name
python scripts/serve.py MODEL.nemo --port 8000       a checkpoint, at a port of your choice

Any configured kind of server answers behind it; conversations are rendered in the model's own
template. It listens on this machine alone.
"""

import argparse
import json
import shlex
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from cai.asking.endpoint.dispatch import Answer, Dispatcher, Query, answers
from cai.asking.endpoint.endpoint_server import Endpoint
from cai.core import cli
from cai.settings.configuration import Settings, load_settings
from cai.workflow import command_line
from cai.workflow.served_models import (
    PLACES,
    ServedModel,
    check_server,
    model_files,
    serve,
    start,
)


def main() -> None:
    """Start the model's server and the endpoint before it."""
    options = _parser().parse_args()
    settings = load_settings(command_line.configuration(options))
    [model] = model_files([options.model], settings)
    check_server(settings)
    with ExitStack() as stack:
        served = serve(model, settings, options.template, stack)
        with _endpoint(served, settings, options.port) as endpoint:  # has the port before the wait
            start(served, model.path)
            print(_welcome(endpoint), flush=True)
            try:
                endpoint.serve_forever()
            except KeyboardInterrupt:
                print("\nstopped", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", help=f"a .nemo file, or {', '.join(PLACES)}")
    command_line.add_configuration(parser)
    parser.add_argument(
        "--template", metavar="chat|instruct|auto|JSON",
        help="how the model is spoken to (default: instruct.nemo as instruct, others as chat)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    return parser


def _endpoint(model: ServedModel, settings: Settings, port: int) -> Endpoint:
    """NeMo's server takes batches, from one thread; others take many requests side by side."""
    batches = model.serving.kind == "nemo"
    threads = 1 if batches else model.serving.in_flight
    own = threading.local()

    def ask(asked: Sequence[Query]) -> list[Answer]:
        if not hasattr(own, "protocol"):
            own.protocol = model.protocol()
        return answers(model.asker(own.protocol), asked)  # remembers nothing yet

    dispatcher = Dispatcher(
        ask,
        threads,
        most=model.client.batch_size if batches else 1,
    )
    return Endpoint(
        model.name,
        model.chat_model(),
        dispatcher,
        settings.evaluation.answer,
        port,
        check=model.served.check,
    )


def _welcome(endpoint: Endpoint) -> str:
    body = {"model": endpoint.name, "messages": [{"role": "user", "content": "Hello"}]}
    example = [
        *("curl", f"{endpoint.url}/chat/completions"),
        *("-H", "Content-Type: application/json", "-d", json.dumps(body)),
    ]
    return f"{endpoint.name} is served at {endpoint.url} (Ctrl-C ends it)\n{shlex.join(example)}"


if __name__ == "__main__":
    cli.run(main)
