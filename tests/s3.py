"""A store that speaks S3, on this machine, and a TCP proxy in front of it that breaks requests on demand.

The store is moto's server in a process of its own. The proxy is a real one: what it breaks is broken on the wire.

Example::

    with S3Server.start(log) as store, FaultyProxy(store.port) as proxy:
        proxy.break_next(r"PUT /bucket/a", "unavailable", times=2)
"""

import random
import re
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Literal

START_S = 60.0
BUCKET = "bucket"

Fault = Literal["unavailable", "reset", "stall", "torn upload", "torn answer"]
AT_ONCE: tuple[Fault, ...] = ("unavailable", "reset", "torn upload", "torn answer")


@dataclass(frozen=True)
class S3Server:
    """A running store with an empty bucket."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, port: int | None = None) -> dict[str, str]:
        """What a client needs to find the store, by way of the proxy at ``port`` if one is given."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @classmethod
    @contextmanager
    def start(cls, log: Path) -> Iterator["S3Server"]:
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
            try:
                deadline = time.monotonic() + START_S
                while not _made_bucket(port):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                yield cls(port)
            finally:
                process.kill()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _made_bucket(port: int) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("PUT", f"/{BUCKET}")
        return connection.getresponse().status == 200
    except OSError:
        return False


class FaultyProxy(socketserver.ThreadingTCPServer):
    """Passes requests on to the store, except for those that are to be broken.

    ``requests`` has them all, ``broken`` counts the faults that happened.

    Kinds of fault: ``unavailable`` answers 503; ``reset`` breaks the connection before an answer; ``stall`` never
    answers; ``torn upload`` passes half of the body on and breaks; ``torn answer`` sends half of the answer and breaks.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, store_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port: int = self.server_address[1]
        self.store_port = store_port
        self.requests: list[str] = []
        self.broken: Counter[Fault] = Counter()
        self._faults: list[tuple[re.Pattern[str], Fault, int]] = []
        self._chance: tuple[random.Random, float] | None = None
        self._end: re.Pattern[str] | None = None
        self._down = False
        self._lock = threading.Lock()

    def __enter__(self) -> "FaultyProxy":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def break_next(self, request: str, fault: Fault, *, times: int = 1_000_000) -> None:
        """Break the next ``times`` requests whose ``METHOD /path?query`` begins with the pattern ``request``."""
        with self._lock:
            self._faults.append((re.compile(request), fault, times))

    def break_some(self, share: float, *, seed: int) -> None:
        """Break this share of all requests, each at random in one of the ways that fail at once."""
        with self._lock:
            self._chance = (random.Random(seed), share)

    def break_down(self, request: str) -> None:
        """From the first request on that begins with the pattern, answer nothing but 503."""
        with self._lock:
            self._end = re.compile(request)

    def heal(self) -> None:
        """Break nothing any more, and forget the requests so far."""
        with self._lock:
            self._faults, self.requests = [], []
            self._chance, self._end, self._down, self.broken = None, None, False, Counter()

    @property
    def unmet(self) -> list[str]:
        """Requests that are still to be broken."""
        with self._lock:
            return [pattern.pattern for pattern, _, _ in self._faults]

    def fault_of(self, request: str) -> Fault | None:
        """Note a request and say how to break it."""
        with self._lock:
            fault = self._fault_of(request)
            self.requests.append(request)
            self.broken.update([fault] if fault else [])
            return fault

    def _fault_of(self, request: str) -> Fault | None:
        self._down = self._down or bool(self._end and self._end.match(request))
        if self._down:
            return "unavailable"
        for position, (pattern, fault, times) in enumerate(self._faults):
            if pattern.match(request):
                self._faults[position] = (pattern, fault, times - 1)
                if times == 1:
                    del self._faults[position]
                return fault
        if self._chance and self._chance[0].random() < self._chance[1]:
            return self._chance[0].choice(AT_ONCE)
        return None


class _Connection(socketserver.StreamRequestHandler):
    """One request per connection."""

    server: FaultyProxy

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline()).strip():
            lines.append(line.decode("latin-1").strip())
        if not lines:
            return
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        method, target, _ = lines[0].split(" ")
        fault = self.server.fault_of(f"{method} {target}")
        if "expect" in headers:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = headers.get("transfer-encoding") == "chunked"
        body = self._chunks() if chunked else self.rfile.read(int(headers.get("content-length", "0")))
        if fault == "unavailable":
            self.wfile.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        elif fault == "stall":
            self.request.settimeout(120)
            self.rfile.read(1)  # until the client gives up
        elif fault == "reset":
            self._break()
        else:
            passed = [line for line in lines[1:] if not re.match(r"(?i)expect:|connection:", line)]
            head = "\r\n".join([lines[0], *passed, "Connection: close"]).encode("latin-1") + b"\r\n\r\n"
            self._pass_on(head, body, fault)

    def _chunks(self) -> bytes:
        """A chunked body as it came (RFC 9112, section 7.1)."""
        body = b""
        while True:
            size = self.rfile.readline()
            body += size + self.rfile.read(int(size, 16)) + self.rfile.readline()
            if int(size, 16) == 0:
                return body

    def _pass_on(self, head: bytes, body: bytes, fault: Fault | None) -> None:
        with socket.create_connection(("127.0.0.1", self.server.store_port)) as store:
            if fault == "torn upload":
                store.sendall(head + body[: len(body) // 2])
                self._break()
                return
            store.sendall(head + body)
            answer = b"".join(iter(lambda: store.recv(1 << 16), b""))
        if fault == "torn answer":
            end_of_head = answer.index(b"\r\n\r\n") + 4
            answer = answer[: end_of_head + (len(answer) - end_of_head) // 2]
        self.wfile.write(answer)
        if fault == "torn answer":
            self._break()

    def _break(self) -> None:
        """End the connection by a reset."""
        self.wfile.flush()
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()
