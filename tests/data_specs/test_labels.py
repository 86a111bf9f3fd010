"""AudioSet's label table: spelling, ontology relations, mutually exclusive labels."""

import csv
import json
import pickle
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_specs.labels import UnknownLabelError, label_table

TABLE = label_table()
names = st.lists(st.sampled_from(TABLE.names), max_size=12)
# Labels drawn from one family meet their relatives far more often than labels drawn from all of AudioSet.
FAMILIES = {"Animal", "Vehicle", "Music"}
family = st.lists(st.sampled_from([name for name in TABLE.names if TABLE.ancestors(name) & FAMILIES]), max_size=12)


def asset(name):
    return resources.files("data_specs").joinpath("assets", name).read_text("utf-8")


def test_the_table_has_audiosets_527_classes_in_its_order():
    assert len(TABLE) == len(TABLE.names) == len(TABLE.mids) == 527
    assert (TABLE.names[0], TABLE.mids[0]) == ("Speech", "/m/09x0r")
    assert TABLE.names[526] == "Field recording"
    assert [TABLE.index(name) for name in TABLE.names] == list(range(527))


def test_the_shipped_tables_hold_the_facts_of_the_published_ones(shared_data):
    with (shared_data / "audioset" / "class_labels_indices.csv").open(encoding="utf-8", newline="") as stream:
        published = list(csv.DictReader(stream))
    assert list(csv.DictReader(asset("audioset_labels.csv").splitlines())) == published
    ontology = json.loads((shared_data / "audioset" / "ontology.json").read_text("utf-8"))
    mids = {row["mid"] for row in published}
    assert json.loads(asset("ontology.json")) == [
        {
            "id": node["id"],
            "name": node["name"],
            "child_ids": node["child_ids"],
            "abstract": "abstract" in node["restrictions"],
            "labelled": node["id"] in mids,
        }
        for node in ontology
    ]


@pytest.mark.parametrize("name", ["Bark", "bark", " BARK ", "/m/05tny_", "/M/05TNY_"])
def test_a_name_or_mid_is_found_whatever_its_case(name):
    assert TABLE.resolve(name) == "Bark"


@pytest.mark.parametrize("name", ["Baby cry, infant cry", "Baby_cry_and_infant_cry", "baby cry,infant cry"])
def test_spellings_of_other_corpora_are_found(name):
    assert TABLE.resolve(name) == "Baby cry, infant cry"


def test_every_name_and_mid_resolves_to_its_own_class():
    assert tuple(TABLE.resolve(name) for name in TABLE.names) == TABLE.names
    assert tuple(TABLE.resolve(name.replace(", ", "_and_").replace(" ", "_")) for name in TABLE.names) == TABLE.names
    assert tuple(TABLE.resolve(mid) for mid in TABLE.mids) == TABLE.names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Barkk", "unknown label: 'Barkk' (did you mean 'Bark'?)"),
        ("Dog bark", "unknown label: 'Dog bark' (did you mean 'Bark'?)"),
        ("Bark,Rain", "unknown label: 'Bark,Rain' (separate labels with ';')"),
        ("zzzzqq", "unknown label: 'zzzzqq'"),
        ("", "unknown label: ''"),
        ("/m/nothing", "unknown label: '/m/nothing'"),
        ("Yak", "unknown label: 'Yak' (in AudioSet's ontology, but not one of its 527 classes)"),
    ],
)
def test_an_unknown_label_says_what_may_have_been_meant(text, message):
    with pytest.raises(UnknownLabelError) as caught:
        TABLE.resolve(text)
    assert str(caught.value) == message
    assert caught.value.label == text


def test_an_unknown_label_error_survives_a_trip_between_processes():
    error = pickle.loads(pickle.dumps(UnknownLabelError("Barkk", "did you mean 'Bark'?")))
    assert str(error) == "unknown label: 'Barkk' (did you mean 'Bark'?)"


def test_ontology_nodes_that_are_no_class_are_left_out_beside_a_more_specific_label():
    assert TABLE.resolve_all(["Human_voice", "Speech", "speech", "/m/05tny_"]) == ("Speech", "Bark")
    with pytest.raises(UnknownLabelError, match="not one of its 527 classes"):
        TABLE.resolve_all(["Human voice", "Bark"])


def test_ancestors_follow_every_path_of_the_graph():
    assert TABLE.ancestors("Bark") == {"Dog", "Domestic animals, pets", "Animal"}
    assert {"Vehicle", "Alarm", "Siren", "Emergency vehicle"} <= TABLE.ancestors("Police car (siren)")
    assert TABLE.ancestors("Animal") == frozenset()


def test_ancestor_goes_when_descendant_is_present_and_order_stays():
    assert TABLE.exclusive(["Animal", "Rain", "Dog", "Bark", "Rain"]) == ("Rain", "Bark")
    assert TABLE.exclusive(["Bark", "Meow"]) == ("Bark", "Meow")
    assert TABLE.exclusive([]) == ()


@given(st.one_of(names, family))
@settings(deadline=None)
def test_exclusive_labels_are_unrelated_and_stay_as_they_are(labels):
    exclusive = TABLE.exclusive(labels)
    assert not any(TABLE.related(a, b) for a in exclusive for b in exclusive if a != b)
    assert TABLE.exclusive(exclusive) == exclusive
    assert set(exclusive) <= set(labels)
    assert list(exclusive) == [label for label in dict.fromkeys(labels) if label in exclusive]


@given(family)
@settings(deadline=None)
def test_every_label_that_goes_has_a_descendant_that_stays(labels):
    exclusive = TABLE.exclusive(labels)
    assert all(any(label in TABLE.ancestors(kept) for kept in exclusive) for label in labels if label not in exclusive)


@given(st.sampled_from(TABLE.names), st.sampled_from(TABLE.names))
@settings(deadline=None)
def test_being_related_is_symmetric_and_no_label_is_its_own_ancestor(a, b):
    assert TABLE.related(a, b) == TABLE.related(b, a)
    assert TABLE.related(a, a)
    assert a not in TABLE.ancestors(a)


def test_every_label_lies_in_one_of_the_seven_categories_of_the_paper():
    assert len(TABLE.categories) == 7
    assert {TABLE.category(name) for name in TABLE.names} == set(TABLE.categories)
    assert TABLE.category("Bark") == "Animal"
    assert TABLE.category("Music") == "Music"
    assert TABLE.category("no label") == ""


@given(st.text(max_size=30))
@settings(deadline=None)
def test_a_text_that_differs_from_every_spelling_is_an_unknown_label(text):
    text = f"{text} is no class"
    with pytest.raises(UnknownLabelError, match=r"^unknown label: "):
        TABLE.resolve(text)
