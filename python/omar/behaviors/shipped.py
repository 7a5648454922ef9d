"""What ships with the package for each task: policies of two qualities, a recording, a prey, and a card."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OmarError
from ..runs.files import read_json
from ..tasks import get_task
from .policy_file import load_policy
from .recording import Recording, load_recording

if TYPE_CHECKING:
    from .policy import Policy

FOLDER = Path(__file__).parent
CARD = "card.json"
PREY = "prey"
RECORDING = "replay.safetensors"
BEHAVIORS = ("medium", "expert")  # qualities that a policy ships for


@cache
def load(task: str, quality: str) -> Policy:
    """The shipped behaviour policy of a quality; its dataset adds the card's noise.

    Raises:
        OmarError: Unknown task, a quality that no policy ships for, or a damaged file.
    """
    if quality not in BEHAVIORS:
        raise OmarError(f"no behaviour policy ships for {quality!r}: expected one of {', '.join(BEHAVIORS)}")
    return load_policy(FOLDER / get_task(task).name / f"{quality}.safetensors")


@cache
def shipped_prey(task: str) -> Policy:
    """The shipped prey of a task, with its references.

    Raises:
        OmarError: Unknown task, one without a prey, or a damaged file.
    """
    if not get_task(task).has_prey:
        raise OmarError(f"{task} has no prey")
    return load_policy(FOLDER / task / f"{PREY}.safetensors")


@cache
def recording(task: str) -> Recording:
    """What acted in the shipped training until the medium level; its dataset adds the card's noise.

    Raises:
        OmarError: Unknown task, or a damaged file.
    """
    prey = shipped_prey(task) if get_task(task).has_prey else None
    return load_recording(FOLDER / get_task(task).name / RECORDING, prey)


@cache
def card(task: str) -> dict[str, Any]:
    """The card of a task: how its policies were trained, their returns, the references of its prey.

    Raises:
        OmarError: Unknown task.
        ValueError: A damaged card.
    """
    return read_json(FOLDER / get_task(task).name / CARD)
