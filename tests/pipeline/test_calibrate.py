"""The calibrate stage on real audio: scenes of held-back recordings, a gate that rejects what only adds up."""

import numpy as np
import pytest
import torch

from data_specs.config import Config, CorpusConfig, ModelConfig
from data_specs.corpus import read_corpus
from data_specs.records import Clip, TaggedClip
from data_specs.soundscapes import BuiltinSource
from models.label_separator import LabelSeparator
from pipeline.calibrate import Separators, calibrate_round, calibration_tracks, load_gate
from pipeline.calibration import gate_of, summarise
from pipeline.calibration_scenes import ClipEvents, calibration_scene, label_sets, scenes_of, scenes_to_calibrate_on
from pipeline.evidence import ask, examine, finite_or_none, remix_evidence, second_look
from pipeline.gate import CalibratedGate, PaperGate
from pipeline.label_free import FoundTracks
from pipeline.metrics import si_sdr_db
from pipeline.partitions import RIGHT, WRONG
from pipeline.quality import ABSENT_DB
from pipeline.units import write_plan
from pipeline.workspace import Workspace

CONFIG = Config.model_validate(
    {
        "audio": {"clip_duration_s": 2.56},
        "gate": {"preset": "calibrated", "shift_clips": 4},
        "soundscapes": {"labels_max": 2, "room_probability": 0.2, "background_probability": 0.1},
    }
)


EVENTS = BuiltinSource(
    ["Siren", "Rain", "Bark", "Church bell", "Chainsaw", "Meow", "Speech", "Applause", "Piano", "Guitar"]
)

SCENES = 60


def clips_of(shared_data, split: str) -> list[Clip]:
    entries = read_corpus(CorpusConfig(kind="clip_list", path=str(shared_data / "esc10" / "clips.csv"), split=split))
    return [
        Clip(clip_id=entry.path.split("/")[-1][:-4], path=entry.path, labels=entry.labels, duration_s=5.0)
        for entry in entries
    ]


@pytest.fixture(scope="module")
def separator() -> LabelSeparator:
    return LabelSeparator.load(ModelConfig())


def test_scenes_mix_labels_as_the_corpus_does(shared_data):
    tags = [TaggedClip(clip_id="a", labels=("Rain", "Chainsaw", "Piano"))] * 3
    source = ClipEvents(clips_of(shared_data, "fold1"))
    sets = label_sets(source.labels, tags)
    assert sets == [("Rain", "Chainsaw")] * 3
    drawn = [
        tuple(track.label for track in calibration_scene(source, sets, seed=seed, config=CONFIG).tracks)
        for seed in range(20)
    ]
    assert 5 <= drawn.count(("Rain", "Chainsaw")) <= 15


def test_half_of_the_scenes_are_of_recordings_that_were_trained_on(shared_data):
    held_back, trained = clips_of(shared_data, "fold1"), clips_of(shared_data, "fold2")
    known = list(scenes_to_calibrate_on(held_back, trained, CONFIG, count=7, seed=0))
    of_trained = {clip.clip_id for clip in trained}
    assert [set(scene.sources) <= of_trained for scene in known] == [False] * 4 + [True] * 3
    assert [set(scene.sources) & of_trained for scene in known[:4]] == [set()] * 4
    assert len({scene.name for scene in known}) == 7
    without_rain = [clip for clip in trained if clip.labels != ("Rain",)]
    alone = list(scenes_to_calibrate_on(held_back, without_rain, CONFIG, count=7, seed=0))
    assert not any(set(scene.sources) & of_trained for scene in alone)


def test_the_same_seed_gives_the_same_scene(shared_data):
    source = ClipEvents(clips_of(shared_data, "fold1"))
    first, second = (calibration_scene(source, [], seed=5, config=CONFIG) for _ in range(2))
    np.testing.assert_array_equal(first.mixture, second.mixture)


@pytest.fixture(scope="module")
def verdicts(separator) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per partition of unheard built-in scenes: probability of good (N, 2), kept (N, 2), true SI-SDR in dB (N, 2)."""
    known = scenes_of(EVENTS, CONFIG, count=SCENES, seed=0)
    tracks = calibration_tracks(Separators(separator), known, total=SCENES)
    gate = gate_of(tracks, summarise(tracks, [], CONFIG), CONFIG)
    found: dict[str, list] = {}
    rng = np.random.default_rng(0)
    for scene in scenes_of(EVENTS, CONFIG, count=24, seed=1):
        mixtures, truth = torch.from_numpy(scene.mixture)[None], scene.truth
        answers = ask(separator, mixtures, [scene.labels])
        divided = {"own": answers[0].own.numpy()} | {name: one(truth, rng) for name, one in {**WRONG, **RIGHT}.items()}
        many = len(divided)
        tracks_of = [torch.from_numpy(np.ascontiguousarray(one)) for one in divided.values()]
        clips = examine(separator, mixtures.expand(many, -1), [scene.labels] * many, answers * many, tracks_of)
        second_look(separator, clips, gate.in_doubt(clips))
        for name, clip, decided in zip(divided, clips, gate.decide(finite_or_none(clips)), strict=True):
            true_db = si_sdr_db(clip.tracks, torch.from_numpy(truth)).numpy()
            probable = [decision.prediction.good_probability for decision in decided]
            kept = [decision.tier != "rejected" for decision in decided]
            found.setdefault(name, []).append((probable, kept, true_db))
    return {name: tuple(np.array(column) for column in zip(*rows, strict=True)) for name, rows in found.items()}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_the_gate_rejects_partitions_that_only_add_up(verdicts, name):
    _, kept, true_db = verdicts[name]
    bad = true_db < 2  # by chance some are good: the mixture, say, where one source is far louder than the others
    assert bad.sum() >= 10
    # 5 % and a track, since there are few; the paper's gate keeps all of them.
    assert kept[bad].sum() <= 0.05 * bad.sum() + 1


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_the_gate_accepts_true_tracks(verdicts, name):
    assert verdicts[name][1].mean() >= 0.8


@pytest.mark.parametrize("name", sorted(set(WRONG) - {"one and mixture"}))
def test_the_paper_accepts_every_partition_that_adds_up(name):
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((2, 8000)).astype(np.float32)
    tracks = torch.from_numpy(np.ascontiguousarray(WRONG[name](truth, rng)))
    clips = remix_evidence(torch.from_numpy(truth).sum(dim=0)[None], [("Rain", "Bark")], [tracks])
    assert {decision.tier for decision in PaperGate(CONFIG.gate).decide(clips)[0]} == {"sst"}


def test_the_separators_own_tracks_are_told_apart(verdicts):
    from sklearn.metrics import roc_auc_score

    probable, _, true_db = verdicts["own"]
    assert roc_auc_score(true_db.ravel() > 5, probable.ravel()) > 0.75


def test_a_workspace_without_calibration_clips_falls_back_and_says_why(tmp_path):
    workspace = Workspace.open(tmp_path, CONFIG)
    workspace.write_clips("single_source", [])
    workspace.write_clips("natural", [])
    summary = calibrate_round(workspace, CONFIG, 1)
    assert summary.gate == "paper"
    assert summary.warning.startswith("0 single-source clips could be held back")
    assert isinstance(load_gate(workspace, CONFIG, 1), PaperGate)


def test_a_stored_calibration_gives_the_same_gate_again(tmp_path, shared_data):
    config = Config.model_validate(
        {
            **CONFIG.model_dump(),
            "audio": {"clip_duration_s": 5.0},
            "gate": {"preset": "calibrated", "calibration_scenes": 8, "tracks_min": 16},
        }
    )
    clips = [Clip(**{**clip.model_dump(), "split": "calibration"}) for clip in clips_of(shared_data, "fold1")]
    workspace = Workspace.open(tmp_path, config)
    workspace.write_clips("single_source", clips)
    workspace.write_clips("natural", [])
    write_plan(workspace, 1, "tag", [], count=1)
    summary = calibrate_round(workspace, config, 1)
    assert summary.gate == "calibrated", summary.warning
    first, second = load_gate(workspace, config, 1), load_gate(workspace, config, 1)
    assert isinstance(first, CalibratedGate)

    class Scored:
        labels = ("Rain", "Bark")
        scores = ({"softness": 0.1, "spectral_overlap": 0.2}, {"softness": 0.8, "spectral_overlap": 0.9})

    assert first.decide([Scored()]) == second.decide([Scored()])


class TruthWithoutLabels:
    """Separates scenes without labels, as a perfect network and tagger would but for the name of one track."""

    def __init__(self, scenes):
        self._scenes = iter(scenes)

    def find_batch(self, mixtures):
        found = []
        for _ in mixtures:
            scene = next(self._scenes)
            labels = ("Toot", *scene.labels[1:]) if scene.name == "0" else scene.labels
            found.append(FoundTracks(labels, torch.from_numpy(scene.truth)))
        return found


def test_a_round_without_labels_is_calibrated_on_what_it_hears(separator):
    known = list(scenes_of(EVENTS, CONFIG, count=4, seed=3))
    separators = Separators(separator, label_free=TruthWithoutLabels(known), by_labels=False)
    tracks = calibration_tracks(separators, known, total=4)
    own = [track for track in tracks if not track.origin]
    assert len(own) == 8
    assert [(track.label, track.si_sdr_db) for track in own if track.si_sdr_db < 50] == [("Toot", ABSENT_DB)]
    assert {track.origin for track in tracks} > {""}
