"""The base of all configuration sections.

Example::

    class GateConfig(Section):
        itt_db: float = 10.0
"""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of all configuration sections: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
