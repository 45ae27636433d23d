"""The inference server, with the demo's model: it answers, and on this machine only."""

import subprocess
import time
from pathlib import Path

import pytest
import requests
from tests.nemo_cpu.conftest import WRAPPER
from tests.nemo_eval import PROGRAM

from cai.running.process import free_port

LISTENING = "0A"
LOOPBACK = "0100007F"  # 127.0.0.1 as the kernel writes it


@pytest.fixture(scope="module")
def server(tiny_model, tmp_path_factory):
    """Process and address of a server that answers."""
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "server.log"
    command = [
        *(WRAPPER, PROGRAM, f"gpt_model_file={tiny_model}", "server=True", f"port={port}"),
        *("trainer.accelerator=cpu", "trainer.precision=32"),
    ]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    while not answers(address):
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    yield process.pid, address
    process.terminate()
    process.wait(10)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code < 500
    except requests.ConnectionError:
        return False


def listening_addresses(pid: int) -> set[str]:
    """The local addresses, in hexadecimal, of the TCP sockets on which a process listens."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in links:
                addresses.add(fields[1].split(":")[0])
    return addresses


def test_listens_on_loopback_only(server):
    pid, _ = server
    assert listening_addresses(pid) == {LOOPBACK}


def test_generates(server):
    _, address = server
    prompts = ["[INST] what is", "[INST] how do"]
    request = {"sentences": prompts, "tokens_to_generate": 4, "greedy": True, "add_BOS": True}
    answer = requests.put(f"{address}/generate", json=request, timeout=60).json()
    for prompt, text in zip(prompts, answer["sentences"], strict=True):
        assert text.startswith(prompt)
    again = requests.put(f"{address}/generate", json=request, timeout=60).json()
    assert again["sentences"] == answer["sentences"]
