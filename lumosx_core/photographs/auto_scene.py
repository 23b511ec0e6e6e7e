"""From photographs and a plan to a scene: everybody found, their clothes cut out, the place emptied."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import LumosXError
from ..scene import Scene
from .auto_settings import AutoSettings, Finders
from .finders import Progress
from .overrides import Overrides
from .plan import ScenePlan
from .regions import Face
from .scene_search import AutoScene, SceneSearch


def build_scene(
    photographs: Sequence[Tensor],
    plan: ScenePlan,
    finders: Finders,
    settings: AutoSettings = AutoSettings(),  # noqa: B008 (frozen)
    *,
    faces: Sequence[Sequence[Face]] | None = None,
    overrides: Scene | None = None,
    progress: Progress | None = None,
) -> AutoScene:
    """Find everything a plan names in photographs, and make a scene of it.

    Each person's clothes are looked for inside that person's box, and what lies in somebody else's figure is theirs.

    Args:
        photographs: each (H, W, 3) float, 0..1.
        plan: phrases; its people are matched with those in the photographs by how well their words fit, then from
            left to right.
        faces: for each photograph the faces in it, instead of those the face finder finds.
        overrides: pictures that take the place of what would be found for the same phrase; they are not looked for.

    Raises:
        PartsMissing: people, faces or things that are not found; all of them are named.
        LumosXError: no photograph, an empty plan, or an override that the plan does not name.
    """
    if not photographs:
        raise LumosXError("There is no photograph. Give one or more.")
    if not plan.people and not plan.objects and plan.background is None:
        raise LumosXError(
            "The plan is empty: it names no person, no object and no background. Write one, such as "
            "man: denim jacket | woman: red hat || lamp || cozy room"
        )
    return SceneSearch(photographs, plan, finders, settings, faces, Overrides(plan, overrides), progress).scene()
