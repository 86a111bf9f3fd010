"""A round's tags by PANNs and its tracks by LAION-CLAP's queries, from files in their published formats."""

import pytest
import torch

from data_specs.config import Config, CorpusConfig, ModelConfig, SeparatorConfig, TagConfig
from models.checkpoints import save_separator
from models.separator import Separator
from models.taggers import load_tagger
from pipeline.label_queries import prepare_queries, round_encoder
from pipeline.progress import NO_PROGRESS
from pipeline.separate import separate_unit
from pipeline.tag import tag_clips
from pipeline.unit_jobs import load_separator
from pipeline.units import separate_units
from pipeline.workspace import Workspace
from tests.pipeline.test_tag import clips_of


@pytest.fixture
def config(laion_clap, cnn14, tmp_path, own_cache) -> Config:
    torch.manual_seed(0)
    save_separator(Separator(SeparatorConfig(query_dim=512)), tmp_path / "separator")
    return Config(
        corpus=CorpusConfig(kind="folder", path=str(tmp_path)),
        tag=TagConfig(tagger="panns", labels_max=2),
        model=ModelConfig(
            checkpoint=str(tmp_path / "separator"), clap=str(laion_clap.path.parent), panns=str(cnn14.path)
        ),
    )


def test_clips_without_labels_become_tracks(config, tmp_path):
    workspace = Workspace.open(tmp_path / "workspace", config)
    prepare_queries(workspace, config, NO_PROGRESS)
    clips = clips_of(tmp_path, ([(500, 0.3), (2000, 0.3)], ()), ([(900, 0.2)], ()))
    tags = tag_clips(clips, config, lambda: load_tagger(config, round_encoder(workspace, config).vectors))
    assert [(tag.outcome, tag.source, len(tag.labels)) for tag in tags] == [("kept", "panns", 2)] * 2
    assert all(0 < score < 1 for tag in tags for score in tag.scores)
    separator = load_separator(config, config.model.checkpoint, round_encoder(workspace, config))
    (unit,) = separate_units(zip(clips, tags, strict=True), unit_clips=8)
    tracks = separate_unit(unit, config, separator).tracks
    assert [track.label for track in tracks] == [label for tag in tags for label in tag.labels]
    assert all(track.outcome != "failed" and track.re_sdr_db is not None for track in tracks)
