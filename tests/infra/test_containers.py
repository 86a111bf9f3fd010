"""Container files: linted, built from files that exist, and started with options that exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "infra" / "docker").glob("Dockerfile*"))
COMPOSE = ROOT / "infra" / "prefect" / "compose.yaml"


def run(*command: object, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, **options)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_container_file_has_no_lint(path):
    done = run(Path(sys.executable).parent / "hadolint", path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_container_is_built_from_files_that_the_context_has(path):
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [line.split()[1:-1] for line in path.read_text().splitlines() if re.match(r"COPY (?!--from)", line)]
    assert copied
    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists()
        assert f"!{name}" in allowed


def test_the_package_that_is_installed_is_the_package_that_is_copied():
    layers = {"data_specs", "models", "pipeline", "flows"}
    for path in DOCKERFILES:
        assert layers <= set(re.findall(r"^COPY (\w+) \./\1$", path.read_text(), re.MULTILINE))


def test_the_compose_file_fits_the_compose_specification():
    done = run(Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_reads_the_compose_file_with_the_example_environment():
    if not shutil.which("docker") or run("docker", "compose", "version").returncode != 0:
        pytest.skip("no docker compose on this machine")
    example = ROOT / "infra" / "prefect" / "engine.env"
    done = run("docker", "compose", "--file", COMPOSE, "--env-file", example, "config", "--quiet")
    assert done.returncode == 0, done.stderr


def test_every_variable_of_the_compose_file_is_in_the_example_environment_or_has_a_default():
    example = (ROOT / "infra" / "prefect" / "engine.env").read_text()
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE.read_text()):
        assert rest.startswith(":-") or re.search(rf"^{name}=.", example, re.MULTILINE), name
