"""Built-in soundscapes: synthetic events of known class, rooms, and scenes with known truth.

Example::

    scene = compose_scene(BuiltinSource(), seed=1, config=SoundscapeConfig(), duration_s=10.0, sample_rate_hz=32_000)
"""

from data_specs.soundscapes.events import EVENTS, EventModel, render_event
from data_specs.soundscapes.scenes import Scene, SceneRecipe, SceneTrack, compose_scene, remake_scene
from data_specs.soundscapes.sources import BuiltinSource, DrawnEvent, EventSource

__all__ = [
    "EVENTS",
    "BuiltinSource",
    "DrawnEvent",
    "EventModel",
    "EventSource",
    "Scene",
    "SceneRecipe",
    "SceneTrack",
    "compose_scene",
    "remake_scene",
    "render_event",
]
