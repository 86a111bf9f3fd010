"""What ``data-engine doctor`` tells: packages, weights, accelerators, and the machine.

Example::

    facts = examine()
    facts["problems"] == []
"""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Any

DISTRIBUTION = "sound-data-engine"
ENVIRONMENT = ("RAY_ADDRESS", "PREFECT_API_URL", "CUDA_VISIBLE_DEVICES", "DATA_ENGINE_WEIGHTS", "HF_HUB_OFFLINE")


def examine() -> dict[str, Any]:
    """Facts about this installation; ``problems`` has one line for each thing that keeps the engine from running."""
    packages = {name: _version(name) for name in _requirements()}
    problems = [f"{name} is not installed: run sh infra/setup.sh" for name, version in packages.items() if not version]
    weights = _weights(packages)
    if weights and not weights["embedded"]:
        problems.append("the embedded weights are missing: install the package again or run data-engine pretrain")
    public = _public_weights() if not problems else {"folders": [], "files": []}
    problems += [f"{one['path']} {one['problem']}" for one in public["files"] if one["problem"]]
    return {
        "engine": _version(DISTRIBUTION),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "environment": sys.prefix,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "free_disk_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "gpus": _gpus(packages),
        "weights": weights,
        "public_weights": public,
        "settings": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "packages": packages,
        "problems": problems,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    """The packages this project depends on, without the development ones."""
    lines = importlib.metadata.requires(DISTRIBUTION) or []
    return [re.split(r"[\s\[<>=!~;(]", line)[0] for line in lines if "extra ==" not in line]


def _memory_gb() -> float | None:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _gpus(packages: dict[str, str | None]) -> list[dict[str, Any]]:
    if not packages.get("torch"):
        return []
    import torch

    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [{"name": gpu.name, "memory_gb": round(gpu.total_memory / 1e9, 1)} for gpu in found]


def _weights(packages: dict[str, str | None]) -> dict[str, str | None]:
    """Where the embedded weights are; None for a missing folder."""
    if not packages.get("torch"):
        return {}
    from models.checkpoints import CLAP_FILES, EMBEDDED_FOLDER, SEPARATOR_FILES

    whole = all((EMBEDDED_FOLDER / name).is_file() for name in (*SEPARATOR_FILES, *CLAP_FILES))
    return {"embedded": str(EMBEDDED_FOLDER) if whole else None}


def _public_weights() -> dict[str, Any]:
    """The known weight files of others: where each is here, how large, and what is known of its checksum.

    Nothing is hashed: ``verified`` says that a file is untouched since its checksum was found right.
    """
    from models.weights import WeightStore

    store = WeightStore()
    files = []
    for name, weights in store.known.items():
        path = store.find(name)
        size, expected = path.stat().st_size if path else None, weights.size_bytes
        problem = (
            f"has {size} bytes instead of {expected}: delete it"
            if None not in (size, expected) and size != expected
            else ""
        )
        files.append(
            {
                "name": name,
                "what": weights.what,
                "file": weights.file,
                "url": weights.url,
                "path": str(path) if path else None,
                "size_bytes": size,
                "expected_bytes": expected,
                "verified": bool(path and not problem and store.checksums.verified(path)),
                "problem": problem,
            }
        )
    return {"folders": [str(folder) for folder in store.folders], "files": files}
