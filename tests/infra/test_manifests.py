"""Kubernetes, Ray and S3 files: validated by the tools that own their formats, and commands with options that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import kubernetes_validate
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.testing import CliRunner

from data_specs.config import load_config
from flows.cli import app
from tests.infra.kuberay import schema
from tests.s3 import BUCKET

INFRA = Path(__file__).resolve().parents[2] / "infra"
KUBERNETES_VERSION = "1.31"
MANIFESTS = sorted(path for path in (INFRA / "kubernetes").glob("*.yaml") if not path.name.startswith("ku"))
CLUSTERS = sorted((INFRA / "ray").glob("*.yaml"))
COMPOSE = INFRA / "prefect" / "compose.yaml"


def documents(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def check(document: dict[str, Any]) -> None:
    """Validate a core kind by Kubernetes' schema, KubeRay's kinds by theirs and their pods by Kubernetes'."""
    if document["kind"] not in ("RayCluster", "RayJob"):
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
        return
    jsonschema.validate(document, schema(document["kind"]))
    spec = document["spec"] if document["kind"] == "RayCluster" else document["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_fits_the_schemas_of_its_kinds(path):
    for document in documents(path):
        check(document)


def test_a_manifest_with_a_misspelt_field_is_refused():
    (cluster,) = documents(INFRA / "kubernetes" / "ray-cluster.yaml")
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 8
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        check(cluster)


def test_rays_autoscaler_reads_the_cluster_and_finds_its_gpus():
    (cluster,) = documents(INFRA / "kubernetes" / "ray-cluster.yaml")
    cluster["metadata"]["namespace"] = "sound-data-engine"
    types = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["max_workers"] == 8


def test_kustomize_puts_the_users_image_everywhere():
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine")
    command = ["kubectl", "kustomize", str(INFRA / "kubernetes")]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for document in yaml.safe_load_all(rendered):
        check(document)
    images = set(re.findall(r"image: (\S+)", rendered))
    assert images == {"my-registry/sound-data-engine:cuda"}


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.name)
def test_ray_accepts_the_cluster_file(path):
    (cluster,) = documents(path)
    own_schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(cluster, own_schema)
    validate_config(prepare_config(cluster))


@pytest.mark.parametrize(
    "path", [*MANIFESTS, *CLUSTERS, INFRA / "prefect" / "compose.yaml"], ids=lambda path: path.name
)
def test_commands_of_the_engine_have_options_that_exist(path):
    for name, rest in re.findall(r"data-engine (serve|run)\b([^\n]*)", path.read_text("utf-8")):
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in shown, f"data-engine {name} has no {option}"


def test_the_version_of_ray_is_the_one_that_is_installed():
    for path in MANIFESTS:
        for version in re.findall(r"rayVersion: (\S+)", path.read_text("utf-8")):
            assert version == ray.__version__


def test_the_example_configuration_is_valid_beside_its_corpus(s3, tmp_path):
    (tmp_path / "corpus.yaml").write_text((INFRA / "s3" / "corpus.yaml").read_text("utf-8"))
    config = load_config(str(tmp_path / "corpus.yaml"))
    assert config.corpus.audio_root == "s3://my-bucket/audio"
    assert config.workers.separate_gpus == 1


def test_a_store_takes_the_lifecycle_and_the_policy(s3_server):
    client = boto3.client(
        "s3", endpoint_url=s3_server.endpoint, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    lifecycle = json.loads((INFRA / "s3" / "lifecycle.json").read_text())
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=lifecycle)
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] > 0
    policy = json.loads((INFRA / "s3" / "policy.json").read_text())
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"} <= allowed
