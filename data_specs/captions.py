"""Captions of recordings: which sounds they tell of, in their own words.

Weak supervision asks for every sound of a mixture by itself. A caption tells of several in one sentence; what stands
between commas, semicolons and words such as "and" or "while" is taken for one sound each, as far as it holds a word.

Example::

    sources_of("A man speaks while rain falls, and a dog barks")    # ("A man speaks", "rain falls", "a dog barks")
"""

import re

_BETWEEN = re.compile(r"[;,.]|\b(?:and|while|followed by|then)\b", re.IGNORECASE)


def sources_of(*captions: str) -> tuple[str, ...]:
    """The sounds that captions tell of, each once, whatever its case; none where they hold no word."""
    phrases = [" ".join(phrase.split()) for caption in captions for phrase in _BETWEEN.split(caption)]
    return tuple({phrase.casefold(): phrase for phrase in reversed(phrases) if re.search(r"\w", phrase)}.values())[::-1]
