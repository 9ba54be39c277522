# Run inside a virtual environment in which likewise is installed with the extras test, lint and docs.
.PHONY: check format lint types test docs

check: lint types test docs  ## everything that has to hold before a change is taken in

format:  ## rewrite files in the project's form
	ruff format .
	ruff check --fix .

lint:  ## tests misspell on purpose, so codespell passes them over
	ruff format --check .
	ruff check .
	codespell src docs examples benchmarks *.md

types:
	mypy
	mypy docs examples

test:
	pytest -n auto

docs:
	mkdocs build --strict
