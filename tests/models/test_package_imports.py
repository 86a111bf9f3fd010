"""What the packages of others do when they are imported through this project: nothing but importing."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys

CONNECTIONS = ("socket.connect", "socket.getaddrinfo", "urllib.Request")
PROCESSES = ("os.system", "subprocess.Popen", "os.posix_spawn")

def watch(event, arguments):
    command = str(arguments[0]) if event in PROCESSES else ""
    if event in CONNECTIONS or "wget" in command or "http" in command:
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(watch)
from models.laion import laion_package
from models.panns import panns_package

print(laion_package().CLAP.__name__, panns_package().Cnn14.__name__)
"""


def test_importing_the_packages_opens_no_connection_and_writes_no_label_table(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.split(), done.returncode) == (["CLAP", "Cnn14"], 0), done.stderr[-2000:]
    assert not (tmp_path / "panns_data").exists()
