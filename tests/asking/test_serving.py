import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from cai.asking.serving import Served, ServerFailed
from cai.core.errors import UserError
from cai.running import process
from cai.running.ports import owner
from cai.running.process import MARK, Program
from cai.training.critic import wait_for_critic

HTTP_SERVER = [sys.executable, "-m", "http.server", "FREE_PORT", "--bind", "127.0.0.1"]


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code, "FREE_PORT"]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_it_starts_when_the_url_is_asked_for_and_stops_at_the_end(tmp_path):
    log = tmp_path / "server.log"
    with Served(HTTP_SERVER, None, log) as served:
        assert not log.exists()
        url = served.url
        assert requests.get(url, timeout=5).ok
        assert served.url == url
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    served.close()


def test_master_port_is_a_free_one(tmp_path):
    code = f"""
import http.server, json, os, sys
open({str(tmp_path / "port")!r}, "w").write(os.environ["MASTER_PORT"])
http.server.test(port=int(sys.argv[1]), bind="127.0.0.1")
"""
    with Served(program(code), None, tmp_path / "log") as served:
        port = int((served.url and tmp_path / "port").read_text())
        assert port != int(served.url.rpartition(":")[2])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_server_that_dies_is_told_with_the_end_of_its_log(tmp_path):
    log = tmp_path / "server.log"
    code = "import sys; print('loading'); sys.exit('no such checkpoint: x.nemo')"
    with (
        Served(program(code), None, log) as served,
        pytest.raises(ServerFailed, match=r"(?s)code 1.*no such checkpoint: x\.nemo"),
    ):
        _ = served.url


def test_a_server_that_never_comes_up(tmp_path):
    command = program("import time; print('thinking', flush=True); time.sleep(600)")
    with (
        Served(command, None, tmp_path / "log", start_timeout=1.5) as served,
        pytest.raises(ServerFailed, match=r"(?s)1\.5 s.*thinking"),
    ):
        _ = served.url


def test_a_taken_port_is_told_in_one_line(tmp_path):
    code = """
import socket, sys
other = socket.create_server(("127.0.0.1", int(sys.argv[1])))
import http.server; http.server.test(port=int(sys.argv[1]), bind="127.0.0.1")
"""
    with Served(program(code), None, tmp_path / "log") as served:
        with pytest.raises(ServerFailed, match=r"port \d+ .*taken") as caught:
            _ = served.url
        assert "\n" not in str(caught.value)


SQUATTED = """
import http.server, socket, sys, threading, time
address = ("127.0.0.1", int(sys.argv[1]))
time.sleep(2)  # it loads its model
http.server.ThreadingHTTPServer(address, http.server.BaseHTTPRequestHandler).serve_forever()
"""


@pytest.mark.parametrize("page", ["", "/v1/models"])
def test_a_server_of_others_that_takes_the_port_while_ours_loads_is_not_ours(
    tmp_path, monkeypatch, page
):
    """It answers all that is asked of it, but its answers are another model's."""
    port = process.free_port()
    monkeypatch.setattr(process, "free_port", lambda *_: port)
    listed = json.dumps({"data": [{"id": "theirs"}]})
    answer = f"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write({listed.encode()!r})
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
    squatter = subprocess.Popen([sys.executable, "-c", answer, str(port)])
    try:
        with Served(program(SQUATTED), None, tmp_path / "log", page=page) as served:
            with pytest.raises(ServerFailed, match=f"port {port} .*taken") as caught:
                _ = served.url
            assert "\n" not in str(caught.value)
    finally:
        squatter.kill()
        squatter.wait()


def test_a_port_that_is_shared_with_others_is_not_ours(tmp_path, monkeypatch):
    """With SO_REUSEPORT, which vLLM uses, two servers get a part of the requests each."""
    port = process.free_port()
    monkeypatch.setattr(process, "free_port", lambda *_: port)
    code = """
import http.server, socket, sys
class Server(http.server.HTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()
Server(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()
"""
    other = subprocess.Popen([sys.executable, "-c", code, str(port)])
    try:
        with (
            Served(program(code), None, tmp_path / "log") as served,
            pytest.raises(ServerFailed, match="taken"),
        ):
            wait_until(lambda: _listens(port))
            _ = served.url
    finally:
        other.kill()
        other.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_that_left_its_parents_is_known_by_its_mark(tmp_path):
    """As one that Slurm starts, which is no descendant of ours."""
    ports = [process.free_port() for _ in range(2)]
    code = "import http.server, sys; http.server.test(port=int(sys.argv[1]), bind='127.0.0.1')"
    waiting = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Program(waiting, tmp_path / "log") as ours, Program(waiting, tmp_path / "log") as other:
        for port, mark in zip(ports, (ours.mark, other.mark), strict=True):
            started = subprocess.Popen(
                [sys.executable, "-c", code, str(port)],
                env={**os.environ, MARK: mark},
                stderr=subprocess.DEVNULL,
            )
            try:
                assert wait_until(lambda port=port: _listens(port))
                expected = "ours" if mark == ours.mark else "other"
                assert owner(port, ours) == expected
            finally:
                started.kill()
                started.wait()
        assert owner(ports[0], ours) == "nobody"


def test_the_critic_is_ours_too(tmp_path, loopback):
    server = loopback(lambda call: None)
    port = int(server.url.rpartition(":")[2])
    waiting = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        Program(waiting, tmp_path / "log") as critic,
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(UserError, match=f"port {port}.*critic.*taken"),
    ):
        patch.setattr("cai.training.critic.critic_answers", lambda port: True)
        wait_for_critic(critic, port)


def test_a_program_that_is_not_there(tmp_path):
    with (
        Served(["no-such-program", "FREE_PORT"], None, tmp_path / "log") as served,
        pytest.raises(UserError, match="no-such-program: cannot be run"),
    ):
        _ = served.url


def test_check_notices_the_end(tmp_path):
    code = f"""
import http.server, os, sys
open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
http.server.test(port=int(sys.argv[1]), bind="127.0.0.1")
"""
    with Served(program(code), None, tmp_path / "log") as served:
        _ = served.url
        served.check()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

        def dead() -> bool:
            try:
                served.check()
            except ServerFailed as error:
                return "exit code -9" in str(error)
            return False

        assert wait_until(dead)


def test_grandchildren_are_stopped_too(tmp_path):
    code = f"""
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
http.server.test(port=int(sys.argv[1]), bind="127.0.0.1")
"""
    with Served(program(code), None, tmp_path / "log") as served:
        _ = served.url
        pid = int((tmp_path / "pid").read_text())
        assert is_running(pid)
    assert wait_until(lambda: not is_running(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_ends_with_the_program_that_started_it(tmp_path, number):
    ready = tmp_path / "ready"
    code = f"""
import json, sys, time
sys.path[:0] = {sys.path}
from cai.core.cli import run
from cai.asking.serving import Served
def main():
    with Served({HTTP_SERVER}, None, {str(tmp_path / "log")!r}) as served:
        url = served.url
        open({str(ready)!r}, "w").write(json.dumps([url, served._program.pid]) + "\\n")
        time.sleep(600)
run(main)
"""
    user = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    assert wait_until(lambda: ready.exists() and ready.read_text().endswith("\n"))
    _, pid = json.loads(ready.read_text())
    assert is_running(pid)
    user.send_signal(number)
    user.wait(20)
    assert wait_until(lambda: not is_running(pid))


def test_a_running_server_is_used_and_left_alone(tmp_path, loopback):
    server = loopback(lambda call: None)
    with Served(None, server.url + "/", tmp_path / "log") as served:
        assert served.url == server.url
    assert requests.get(server.url, timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1", "not a URL"),
        ("http://", "option --url"),
        ("http://127.0.0.1:9", "no server"),
    ],
)
def test_a_wrong_url(tmp_path, url, message, monkeypatch):
    monkeypatch.setattr("cai.asking.serving.REACHABLE", 0.5)
    served = Served(None, url, tmp_path / "log")
    with pytest.raises(UserError, match=message):
        _ = served.url


@pytest.mark.parametrize(
    ("command", "url", "message"),
    [
        (None, None, "--url"),
        (HTTP_SERVER, "http://x", "--url"),
        (["serve", "port=5555"], None, "FREE_PORT"),
    ],
)
def test_what_it_must_be_given(tmp_path, command, url, message):
    with pytest.raises(UserError, match=message):
        Served(command, url, tmp_path / "log")
