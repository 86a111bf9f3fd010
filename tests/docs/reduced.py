"""How the documents are run in a test's time: smaller settings, smaller commands, and what is left out, with reasons.

Every entry has to match a command of a page, so that none outlives what it was made for.
"""

UNTIL_S = 500
"""How long one command may take on a machine that is busy with other tests."""

SMALL = {
    "rounds": 1,
    "audio": {"clip_duration_s": 4.0},
    "train": {"steps": 2, "batch_size": 2, "validate_every": 2, "validation_mixtures": 2},
    "evaluate": {"mixtures": 4},
    "gate": {"itt_db": 0.0, "sst_db": 3.0},  # low, so that four clips are enough to get shards
}
"""What is laid over every configuration that a page shows."""

CHANGED = {
    "sh infra/setup.sh && .venv/bin/data-engine demo": "data-engine demo --quick --rounds 1",
    "data-engine train-unconditional corpus.yaml --workspace workspace --out unconditional": (
        "data-engine train-unconditional corpus.yaml --workspace workspace --out unconditional --steps 1"
    ),
    "data-engine run corpus.yaml --workspace workspace --rounds 3": (
        "data-engine run corpus.yaml --workspace workspace --rounds 1"
    ),
    "data-engine soundscapes --sources builtin --count 300 --seed 2026 --out heldout": (
        "data-engine soundscapes --sources builtin --count 2 --seed 2026 --duration 2 --out heldout"
    ),
    "data-engine soundscapes --sources builtin --count 50 --seed 7 --out heldout": (
        "data-engine soundscapes --sources builtin --count 2 --seed 2026 --duration 2 --out heldout"
    ),
    "data-engine soundscapes --sources singles/clips.csv --count 60 --out scenes": (
        "data-engine soundscapes --sources singles/clips.csv --count 4 --duration 4 --out scenes"
    ),
    "data-engine weights adapt --sources singles/clips.csv --out my-clap": (
        "data-engine weights adapt --sources singles/clips.csv --out my-clap --steps 1"
    ),
    "data-engine experiment audio-queries --out audio-queries": (
        "data-engine experiment audio-queries --out audio-queries --size small --seeds 1 --family audio-dropout"
    ),
    "data-engine experiment weak-supervision --out weak": (
        "data-engine experiment weak-supervision --out weak --size small --seeds 1 --family weak"
    ),
    "data-engine experiment families --out families": (
        "data-engine experiment families --out families --size small --seeds 1 --family text --family mixit"
    ),
}
"""Commands that are run in a smaller form; what does the work stays the same."""

NIGHTLY = "a service that runs until it is stopped: tests/flows/test_deployment.py starts it and a run"
DOWNLOADS = "downloads 3 GB: tests/models/test_starting_point.py runs the same on small files in the published format"

CLUSTER = (
    "wants a bucket, a registry or a cluster: tests/infra validates the files, tests/pipeline a bucket on loopback"
)

LEFT_OUT = {
    "sh infra/setup.sh && .venv/bin/pytest": "these are the tests",
    'data-engine serve corpus.yaml --workspace workspace --cron "0 2 * * *"': NIGHTLY,
    "prefect deployment run data-engine/nightly": NIGHTLY,
    "data-engine weights fetch clapsep laion-clap roberta-base panns --out carry-me": (
        "downloads 3 GB: tests/models/test_download.py"
    ),
    "data-engine run full-size.yaml --workspace full": DOWNLOADS,
    "data-engine separate street.ogg --label Car --out full-size --config full": DOWNLOADS,
    "data-engine run s3://my-bucket/corpus.yaml --workspace s3://my-bucket/workspace --rounds 1": CLUSTER,
    "docker build -f infra/docker/Dockerfile.cuda -t my-registry/sound-data-engine:cuda .": CLUSTER,
    "docker push my-registry/sound-data-engine:cuda": CLUSTER,
    "kubectl apply --filename infra/kubernetes/namespace.yaml": CLUSTER,
    "kubectl apply --filename s3-credentials.yaml": CLUSTER,
    "kubectl apply --kustomize infra/kubernetes": CLUSTER,
    "kubectl -n sound-data-engine port-forward service/prefect 4200": CLUSTER,
    "data-engine pretrain --out weights --scratch scratch": "takes hours: tests/pipeline/test_pretrain.py",
    "data-engine --install-completion": "changes the shell of whoever runs the tests: tests/flows/test_completion.py",
}
"""Commands that no test of the documents runs, and why; where another test runs them, its name."""
