"""The sounds that a caption tells of: one per part of the sentence, each once, in the caption's own words."""

import pytest

from data_specs.captions import sources_of


@pytest.mark.parametrize(
    ("captions", "sources"),
    [
        (["A man speaks while rain falls, and a dog barks."], ("A man speaks", "rain falls", "a dog barks")),
        (["birds sing; birds  sing", "Birds sing followed by thunder"], ("birds sing", "thunder")),
        (["a sandy band plays"], ("a sandy band plays",)),
        (["Глухой гром and 雨の音"], ("Глухой гром", "雨の音")),
        (["", " , and ...", "🙂"], ()),
        ([], ()),
    ],
)
def test_a_caption_is_taken_apart_at_commas_and_conjunctions(captions, sources):
    assert sources_of(*captions) == sources
