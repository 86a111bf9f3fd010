"""The fields of KubeRay's kinds that a manifest may use, as a JSON schema, after KubeRay's API reference (ray.io/v1).

Strict: a field that is not listed is an error. Pod templates are Kubernetes' own and are validated as such.
"""

from typing import Any

STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
STRINGS = {"type": "object", "additionalProperties": STRING}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


_CLUSTER = _object(
    ("headGroupSpec",),
    rayVersion=STRING,
    suspend=BOOLEAN,
    enableInTreeAutoscaling=BOOLEAN,
    autoscalerOptions=_object(
        (),
        idleTimeoutSeconds=INTEGER,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        version={"enum": ["v1", "v2"]},
        image=STRING,
        resources={"type": "object"},
    ),
    headServiceAnnotations=STRINGS,
    headGroupSpec=_object(
        ("template",), rayStartParams=STRINGS, serviceType=STRING, enableIngress=BOOLEAN, template={"type": "object"}
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            ("groupName", "template"),
            groupName=STRING,
            replicas=INTEGER,
            minReplicas=INTEGER,
            maxReplicas=INTEGER,
            numOfHosts=INTEGER,
            idleTimeoutSeconds=INTEGER,
            rayStartParams=STRINGS,
            template={"type": "object"},
        ),
    },
)

_JOB = _object(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=STRING,
    rayClusterSpec=_CLUSTER,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    shutdownAfterJobFinishes=BOOLEAN,
    ttlSecondsAfterFinished=INTEGER,
    activeDeadlineSeconds=INTEGER,
    backoffLimit=INTEGER,
    runtimeEnvYAML=STRING,
    suspend=BOOLEAN,
)


def schema(kind: str) -> dict[str, Any]:
    """The schema of a ``RayCluster`` or ``RayJob``."""
    spec = {"RayCluster": _CLUSTER, "RayJob": _JOB}[kind]
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata={"type": "object"},
        spec=spec,
    )
