"""What Prefect's UI shows of a round: the report's figures as Markdown and tables, and a link to the report.

Every round publishes new versions under the keys of its workspace, so that the UI keeps their history.

Example::

    publish_round(Workspace("s3://bucket/workspace"), 3)
"""

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.output import browsable
from pipeline.workspace import Workspace


def publish_round(workspace: Workspace, round_number: int) -> None:
    """Create the artifacts of a finished round in the run that calls this."""
    from pipeline.report.artifacts import artifact_key, round_artifacts  # plots: not for a run with nothing to do

    for artifact in round_artifacts(workspace, round_number):
        if artifact.markdown:
            create_markdown_artifact(artifact.markdown, key=artifact.key, description=artifact.description)
        else:
            create_table_artifact(list(artifact.table), key=artifact.key, description=artifact.description)
    report = f"{workspace.round_storage(round_number).uri}/report/index.html"
    create_link_artifact(
        browsable(report),
        link_text=f"report of round {round_number}",
        key=artifact_key("report", workspace),
        description=f"Round {round_number} of {workspace.uri}: quality report",
    )
