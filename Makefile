# The few commands people use. `make check` is what .ci/run does, without the tests.
.PHONY: setup demo test check format docs lock

setup:
	sh infra/setup.sh

demo: setup
	.venv/bin/data-engine demo

test: setup
	.venv/bin/pytest

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The API reference, from the docstrings, into build/docs/.
docs: setup
	.venv/bin/python docs/reference/make.py build/docs

# After a change of dependencies in pyproject.toml. The overrides are explained in infra/overrides.txt.
lock:
	uv pip compile pyproject.toml --extra dev --override infra/overrides.txt --universal --no-header \
		--no-emit-index-url --python-version 3.11 -o requirements.txt
