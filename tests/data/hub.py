"""A hub of one dataset, and a server of files, on the loopback interface."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit


@contextmanager
def serve_dataset(
    name: str, revision: str, files: dict[str, bytes], asked: list[str] | None = None
) -> Iterator[str]:
    """Serve the files of a dataset repository at one revision; yields the endpoint.

    A repository of models has no ``datasets/`` in its addresses: these are served, too. ``asked``
    collects the paths of the files that were asked for.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            address = urlsplit(self.path)
            path, recursive = (
                _as_dataset(unquote(address.path), name),
                "recursive=true" in address.query.lower(),
            )
            api, resolve = f"/api/datasets/{name}", f"/datasets/{name}/resolve/{revision}/"
            content = None
            if path in (api, f"{api}/revision/{revision}"):
                info = {"id": name, "sha": revision, "siblings": [{"rfilename": f} for f in files]}
                content = json.dumps(info).encode()
            elif f"{path}/".startswith(f"{api}/tree/{revision}/"):
                folder = path.removeprefix(f"{api}/tree/{revision}").strip("/")
                content = json.dumps(_tree(files, folder, recursive)).encode()
            elif path.startswith(resolve):
                content = files.get(path.removeprefix(resolve))
                if asked is not None:
                    asked.append(path.removeprefix(resolve))
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            content = content or b""
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", revision)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as address:
        yield address


def _as_dataset(path: str, name: str) -> str:
    """The address of a repository of models as it would be of one of datasets."""
    if path.startswith("/api/models/"):
        return path.replace("/api/models/", "/api/datasets/", 1)
    return f"/datasets{path}" if path.startswith(f"/{name}/") else path


@contextmanager
def serve_files(files: dict[str, bytes]) -> Iterator[str]:
    """Serve files by their paths; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(unquote(self.path))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as address:
        yield address


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict]:
    """The files (and, unless recursive, the folders) under a folder."""
    prefix = f"{folder}/" if folder else ""
    inside = [path.removeprefix(prefix) for path in files if path.startswith(prefix)]
    folders = sorted({path.split("/")[0] for path in inside if "/" in path})
    rows = [{"type": "directory", "path": prefix + path, "oid": "0" * 40} for path in folders]
    for path in inside:
        if recursive or "/" not in path:
            content = files[prefix + path]
            oid = hashlib.sha1(content).hexdigest()
            rows.append({"type": "file", "path": prefix + path, "size": len(content), "oid": oid})
    return rows
