"""The Prefect flow, its deployment, and the command line ``data-engine``."""
