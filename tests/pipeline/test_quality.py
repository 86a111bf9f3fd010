"""The quality model: learns what scores are worth, and knows how sure it may be."""

import numpy as np
import pytest

from pipeline.quality import CalibrationTrack, QualityModel


def tracks(count: int, seed: int, noise_db: float = 2.0, sources: int = 20) -> list[CalibrationTrack]:
    """Tracks of which one score tells much, one little, one nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        level_db = rng.uniform(-10, 20)
        scores = {
            "softness": -level_db / 30 + rng.normal() * noise_db / 30,
            "spectral_overlap": -level_db / 30 + rng.normal(),
            "silence_share": rng.normal(),
        }
        made.append(CalibrationTrack(scores, level_db, 0.0, "Bark", f"recording {rng.integers(sources)}"))
    return made


def test_predictions_follow_the_truth():
    model = QualityModel.fit(tracks(400, seed=0), good_db=5.0)
    others = tracks(200, seed=1)
    predictions = model.predict([one.scores for one in others])
    truth_db = np.array([one.si_sdr_db for one in others])
    assert np.corrcoef(truth_db, [one.si_sdr_db for one in predictions])[0, 1] > 0.9
    assert np.mean((truth_db > 5) == (np.array([one.good_probability for one in predictions]) > 0.5)) > 0.85


@pytest.mark.parametrize("noise_db", [2.0, 12.0])
def test_stated_probabilities_are_true_ones(noise_db):
    model = QualityModel.fit(tracks(600, seed=2, noise_db=noise_db), good_db=5.0)
    others = tracks(600, seed=3, noise_db=noise_db)
    probability = np.array([one.good_probability for one in model.predict([one.scores for one in others])])
    good = np.array([one.si_sdr_db > 5 for one in others])
    for share in (0.1, 0.25, 0.5):
        best = np.argsort(-probability)[: round(share * len(good))]
        assert probability[best].mean() == pytest.approx(good[best].mean(), abs=0.07)


def test_a_score_that_is_missing_does_not_keep_it_from_predicting():
    model = QualityModel.fit(tracks(200, seed=4), good_db=5.0)
    (prediction,) = model.predict([{"softness": -0.6}])
    assert 0 < prediction.good_probability < 1


def test_the_same_table_gives_the_same_model():
    table, others = tracks(150, seed=5), [one.scores for one in tracks(20, seed=6)]
    first, second = (QualityModel.fit(table, good_db=5.0).predict(others) for _ in range(2))
    assert first == second


def test_partitions_teach_but_do_not_decide_how_sure_to_be():
    own = tracks(200, seed=7)
    made_up = [
        CalibrationTrack(one.scores, one.si_sdr_db, 0.0, one.label, one.source, origin="all to one") for one in own
    ]
    assert len(QualityModel.fit([*own, *made_up], good_db=5.0).unseen) == len(own)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (tracks(50, seed=8, sources=4), "4 sources are too few to calibrate on, 5 is the least"),
        ([one for one in tracks(90, seed=9) if one.si_sdr_db > 5], "all calibration tracks are good"),
        ([one for one in tracks(90, seed=9) if one.si_sdr_db < 5], "all calibration tracks are bad"),
    ],
)
def test_a_table_that_teaches_nothing_is_an_error(table, message):
    with pytest.raises(ValueError, match=message):
        QualityModel.fit(table, good_db=5.0)


def test_nothing_to_predict_is_no_error():
    assert QualityModel.fit(tracks(60, seed=10), good_db=5.0).predict([]) == []


def test_what_is_heard_beside_a_track_does_not_make_it_surer():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(8)
    made = []
    for scene in range(150):  # both tracks of a scene are good or bad, and share a score that says nothing else
        level_db, code = rng.choice([0.0, 10.0]), rng.normal()
        first, second = rng.choice(20, size=2, replace=False)
        for source in (first, second):
            scores = {"background_db": code, "softness": rng.normal()}
            made.append(CalibrationTrack(scores, level_db, 0.0, "Bark", f"recording {source}", scene=f"scene {scene}"))
    model = QualityModel.fit(made, good_db=5.0)
    assert roc_auc_score([one.si_sdr_db > 5 for one in made], model.unseen) < 0.6
