"""The critic's server of PPO: when it answers."""

import time

import requests

from cai.asking.transport.http import OutOfService, Refused, Transient, direct_session, exchange
from cai.core.errors import fail_if
from cai.running.ports import owner
from cai.running.process import Program
from cai.training.watching import POLL, failure

CRITIC_START_LIMIT = 3600.0  # seconds; a large model takes long to load
CRITIC_MODELS = ("critic_infer", "critic_train", "critic_save")


def wait_for_critic(critic: Program, port: int) -> None:
    """Wait until the critic server's models answer.

    Raises:
        UserError: when it dies or takes too long, with the end of its log.
    """
    deadline = time.monotonic() + CRITIC_START_LIMIT
    while not critic_answers(port):
        if critic.poll() is not None:
            raise failure("the critic server died", critic)
        if time.monotonic() > deadline:
            raise failure(f"the critic server was not up after {CRITIC_START_LIMIT:g} s", critic)
        time.sleep(POLL)
    whose = owner(port, critic)
    fail_if(
        whose in ("other", "unknown"),
        f"port {port}, the critic's, was taken by another program; run the command again",
    )


def critic_answers(port: int) -> bool:
    """Whether all models of the critic server on this port of this machine are ready."""
    with direct_session() as session:
        return all(_is_ready(session, port, model) for model in CRITIC_MODELS)


def _is_ready(session: requests.Session, port: int, model: str) -> bool:
    try:
        exchange(session, "GET", f"http://127.0.0.1:{port}/v2/models/{model}/ready", timeout=5)
    except (Transient, Refused, OutOfService):
        return False
    return True
