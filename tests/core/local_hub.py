"""A small hub on this machine: real transfers, real damage, nothing mocked."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 10 * 1024 * 1024  # bytes that the hub's client hands on at once
COMMIT = "0123456789abcdef0123456789abcdef01234567"
METADATA_NAME = ".metadata"


class Hub:
    """Answers the hub's listing and file addresses for small repositories, and fails on demand."""

    def __init__(self, files: dict[str, dict[str, bytes]]):
        self.files = files
        self.checksums: dict[str, str] = {}  # name -> what the listing claims instead of the truth
        self.cut: dict[str, int] = {}  # name -> bytes of the first answer after which the line goes dead
        self.gone: set[str] = set()  # names that are listed but no longer there
        self.requests: list[tuple[str, str | None]] = []  # file name, Range header
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.split("?")[0]
        for repository, files in self.files.items():
            if path in (f"/api/models/{repository}", f"/api/models/{repository}/revision/main"):
                return self.send(request, 200, json.dumps(self.listing(repository)).encode())
            prefix = f"/{repository}/resolve/{COMMIT}/"
            if path.startswith(prefix) and (name := path.removeprefix(prefix)) in files.keys() - self.gone:
                return self.send_file(request, name, files[name])
        self.send(request, 404, b"{}", "EntryNotFound" if "/resolve/" in path else "RepoNotFound")

    def listing(self, repository: str) -> dict:
        def describe(name: str, content: bytes) -> dict:
            sha1 = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            entry = {"rfilename": name, "size": len(content), "blobId": sha1}
            if not name.endswith((".md", ".json", ".txt", METADATA_NAME)):
                sha256 = self.checksums.get(name, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
            return entry

        siblings = [describe(name, content) for name, content in self.files[repository].items()]
        return {"id": repository, "modelId": repository, "sha": COMMIT, "tags": [], "siblings": siblings}

    def send_file(self, request: BaseHTTPRequestHandler, name: str, content: bytes) -> None:
        asked = request.headers.get("Range")
        self.requests.append((name, asked))
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        cut = self.cut.get(name)
        if cut is not None and len([n for n, _ in self.requests if n == name]) > 1:
            return self.send(request, 503, b"the line is dead")
        request.send_response(206 if asked else 200)
        request.send_header("Content-Length", str(len(content) - start))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        request.wfile.write(content[start:cut])
        if cut is not None:
            request.close_connection = True

    @staticmethod
    def send(request: BaseHTTPRequestHandler, status: int, body: bytes, error: str = "") -> None:
        request.send_response(status)
        if error:
            request.send_header("X-Error-Code", error)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
