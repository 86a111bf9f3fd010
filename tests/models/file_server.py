"""A web server on this machine with files from memory: ranges, redirects, and cuts where a test wants them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """``files`` by path; ``cuts`` are byte counts after which the next answers break off; ``asked`` is the log."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"{self.address}/{path}"


class _Handler(BaseHTTPRequestHandler):
    files: FileServer

    def do_GET(self) -> None:
        path, wanted = self.path.lstrip("/"), self.headers.get("Range")
        self.files.asked.append((path, wanted))
        if path.startswith("moved/"):
            self.send_response(302)
            self.send_header("Location", "/" + path.removeprefix("moved/"))
            self.end_headers()
            return
        if path not in self.files.files:
            self.send_error(404)
            return
        content = self.files.files[path]
        etag = f'"{hash(content)}"'
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.headers["If-Range"] == etag else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = self.files.cuts.pop(0) if self.files.cuts else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server for the length of a test."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.files = FileServer(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield handler.files
        server.shutdown()
