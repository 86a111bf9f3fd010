"""Names inside shards: written and parsed alike, and the order that readers rely on."""

import pytest

from data_specs.shard_format import Member, member_name, name_problems, parse_member


@pytest.mark.parametrize("part", ["json", "mix", "0", "12"])
def test_a_name_parses_to_what_made_it(part):
    assert parse_member(member_name("5f0c", part)) == Member("5f0c", part)


@pytest.mark.parametrize("name", ["5f0c.wav", "5f0c.-1.flac", "a/b.json", "5f0c.x.flac", "5f0c", ".json"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="is no member of a shard"):
        parse_member(name)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a.json", "a.0.flac", "b.json", "b.mix.flac", "b.0.flac"], None),
        ([], None),
        (["a.0.flac", "a.json"], "a does not begin with its JSON"),
        (["a.json", "b.json", "a.0.flac"], "a.0.flac is apart from the other members of its clip"),
        (["a.json", "a.0.flac", "a.0.flac"], "a.0.flac is there twice"),
        (["a.json", "readme.txt"], "'readme.txt' is no member of a shard"),
    ],
)
def test_problems_with_order_and_names_are_found(names, problem):
    assert name_problems(names) == ([problem] if problem else [])
