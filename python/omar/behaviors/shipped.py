"""What ships with the package: policies of two qualities per task, the prey of PP and W, and a card."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OmarError
from ..runs.files import read_json
from ..tasks import References, get_task
from .policy import Behavior, read
from .prey import make_prey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .prey import Prey

FOLDER = Path(__file__).parent
CARD = "card.json"
PREY = "prey"
BEHAVIORS = ("medium", "expert")  # qualities that a policy ships for


def load(task: str, quality: str) -> Behavior:
    """The shipped behaviour policy of a quality; its dataset adds the card's noise.

    Raises:
        OmarError: Unknown task, or a quality that no policy ships for.
    """
    found = get_task(task)
    if quality not in BEHAVIORS:
        raise OmarError(f"no behaviour policy ships for {quality!r}: expected one of {', '.join(BEHAVIORS)}")
    path = FOLDER / task / f"{quality}.safetensors"
    if not path.is_file():
        raise OmarError(f"no {quality} policy of {task} ships with this version")
    sizes = {"obs_size": found.obs_size, "action_size": found.action_size}
    return Behavior(read(path, networks=found.num_learners, **sizes))


@cache
def load_prey(task: str) -> Prey | None:
    """The shipped prey of a task with its references; None where none ships.

    Raises:
        OmarError: Unknown task, or a damaged file.
    """
    found = get_task(task)
    path = FOLDER / task / f"{PREY}.safetensors"
    if not found.has_prey or not path.is_file():
        return None
    layers = read(path, networks=1, obs_size=found.obs_sizes[-1], action_size=found.action_size)
    references = card(task).get("references") if (FOLDER / task / CARD).is_file() else None
    prey = make_prey(layers, "shipped")
    return prey if references is None else replace(prey, references=to_references(references))


@cache
def card(task: str) -> dict[str, Any]:
    """The card of a task: how its policies were trained, their returns, the references of its prey.

    Raises:
        OmarError: No card ships for the task, or it is damaged.
    """
    path = FOLDER / get_task(task).name / CARD
    if not path.is_file():
        raise OmarError(f"no behaviour policies of {task} ship with this version")
    return read_json(path)


def to_references(entry: Mapping[str, Any]) -> References:
    """A card's `references` as the task registry has them."""
    return References(float(entry["random"]["mean"]), float(entry["expert"]["mean"]), str(entry["source"]))
