"""From photos and a plan to a scene: people found, their clothes cut out, the background filled."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import LumosXError
from ..scene.scene import Scene
from .cutouts.regions import Face
from .detectors import Progress, check_photo
from .overrides import Overrides
from .persons import KnownPeople
from .plan.plan import ScenePlan
from .search import AutoScene, SceneSearch
from .settings import AutoSettings, Finders


def build_scene(
    photos: Sequence[Tensor],
    plan: ScenePlan,
    finders: Finders,
    settings: AutoSettings = AutoSettings(),  # noqa: B008 (frozen)
    *,
    faces: Sequence[Sequence[Face]] | None = None,
    overrides: Scene | None = None,
    foreground: Sequence[Tensor] | None = None,
    known: KnownPeople | None = None,
    progress: Progress | None = None,
) -> AutoScene:
    """Find everything a plan names in photos, and make a scene of it.

    Each person's clothes are looked for inside that person's box, and what is inside another person's figure is theirs.

    Args:
        photos: each (H, W, 3) float, 0..1.
        plan: phrases; its people are matched with those in the photos by how well their words fit, then from
            left to right.
        faces: for each photo the faces in it, instead of those the face finder finds.
        overrides: images used instead of a search for the same phrase.
        foreground: for each photo an (H, W) mask of what hides its place; nothing is then searched for just to
            empty the place.
        known: people who were found before, and who of them is meant; nobody is searched for, and the scene may be
            empty.

    Raises:
        PartsMissing: people, faces or things that are not found; all of them are named.
        LumosXError: no photo, one that is tiny or has values that are not numbers, an empty plan, an override that the
            plan does not name, or masks of other numbers or sizes than the photos.
    """
    if not photos:
        raise LumosXError("There is no photo. Give one or more.")
    for number, image in enumerate(photos, 1):
        check_photo(image, f"Photo {number}")
    if not plan.people and not plan.objects and plan.background is None:
        raise LumosXError(
            "The plan is empty: it names no person, no object and no background. Write one, such as "
            "man: denim jacket | woman: red hat || lamp || cozy room"
        )
    if foreground is not None:
        _check_foreground(foreground, photos)
    given = Overrides(plan, overrides)
    return SceneSearch(photos, plan, finders, settings, faces, given, progress, foreground, known).scene()


def _check_foreground(masks: Sequence[Tensor], photos: Sequence[Tensor]) -> None:
    if len(masks) != len(photos):
        raise LumosXError(
            f"foreground has {len(masks)} masks, but there are {len(photos)} photos. Give a mask for each "
            f"photo, in their order."
        )
    for number, (mask, image) in enumerate(zip(masks, photos, strict=True), 1):
        if mask.shape != image.shape[:2]:
            raise LumosXError(
                f"The mask of photo {number} in foreground is {mask.shape[1]}x{mask.shape[0]}, the photo is "
                f"{image.shape[1]}x{image.shape[0]}. Give masks of the photos' own size."
            )
