"""From photographs and a plan to a scene: everybody found, their clothes cut out, the place emptied."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import LumosXError
from ..scene.scene import Scene
from .cutouts.regions import Face
from .detectors import Progress
from .overrides import Overrides
from .plan.plan import ScenePlan
from .search import AutoScene, SceneSearch
from .settings import AutoSettings, Finders


def build_scene(
    photographs: Sequence[Tensor],
    plan: ScenePlan,
    finders: Finders,
    settings: AutoSettings = AutoSettings(),  # noqa: B008 (frozen)
    *,
    faces: Sequence[Sequence[Face]] | None = None,
    overrides: Scene | None = None,
    foreground: Sequence[Tensor] | None = None,
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
        foreground: for each photograph an (H, W) mask of what hides its place; nothing is then searched for just to
            empty the place.

    Raises:
        PartsMissing: people, faces or things that are not found; all of them are named.
        LumosXError: no photograph, an empty plan, an override that the plan does not name, or masks of other numbers or
            sizes than the photographs.
    """
    if not photographs:
        raise LumosXError("There is no photograph. Give one or more.")
    if not plan.people and not plan.objects and plan.background is None:
        raise LumosXError(
            "The plan is empty: it names no person, no object and no background. Write one, such as "
            "man: denim jacket | woman: red hat || lamp || cozy room"
        )
    if foreground is not None:
        _check_foreground(foreground, photographs)
    given = Overrides(plan, overrides)
    return SceneSearch(photographs, plan, finders, settings, faces, given, progress, foreground).scene()


def _check_foreground(masks: Sequence[Tensor], photographs: Sequence[Tensor]) -> None:
    if len(masks) != len(photographs):
        raise LumosXError(
            f"foreground has {len(masks)} masks, but there are {len(photographs)} photographs. Give a mask for each "
            f"photograph, in their order."
        )
    for number, (mask, image) in enumerate(zip(masks, photographs, strict=True), 1):
        if mask.shape != image.shape[:2]:
            raise LumosXError(
                f"The mask of photograph {number} in foreground is {mask.shape[1]}x{mask.shape[0]}, the photograph is "
                f"{image.shape[1]}x{image.shape[0]}. Give masks of the photographs' own size."
            )
