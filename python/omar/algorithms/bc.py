"""Behaviour cloning: every policy imitates its own agent's actions in the data. It has no critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from . import losses
from .backbone import Backbone, preset_updates
from .base import Algorithm, Preset

if TYPE_CHECKING:
    from ..random import Draw
    from .base import LossTerms
    from .batch import Batch
    from .presets import PresetName


@dataclass(frozen=True, slots=True)
class BcSettings:
    """Behaviour cloning has no settings of its own."""


class Bc(Algorithm[BcSettings]):
    """Actor: minimise `mean |pi(o) - a|^2`."""

    Settings: ClassVar[type[BcSettings]] = BcSettings
    has_critics: ClassVar[bool] = False
    estimates_values: ClassVar[bool] = False

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[BcSettings]:
        """The shared backbone, trained as long as the other algorithms."""
        return Preset(Backbone.preset(task, name), BcSettings(), preset_updates(task, quality))

    def actor_terms(self, batch: Batch, draw: Draw) -> LossTerms:
        """The distance of the policies' actions from the data's."""
        return {"imitation": losses.squared_distance(self.agents.act(batch.observations), batch.actions)}
