"""Where each subject is in a video, and how much of what its region looks at is its own: the binding score.

A subject's region must not be found by what it wears: a jacket on the wrong person would carry the region along, and
the score would praise it. So a region is what is nearest to the place from which the subject's face is looked at.

Shapes: S subjects, R images, T latent frames of h x w asked tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import LumosXError
from ..scene.layout import ReferenceLayout
from .record import AttentionRecord

UPRIGHT = 0.3  # what a step up or down counts, beside a step to the side: people are taller than wide
CLEARLY = 0.6  # a token is of the nearest subject if all others are further away by more than this fraction


@dataclass(frozen=True, eq=False)
class Binding:
    """What the regions of S subjects look at.

    Args:
        shares: (S, R), what each image adds to the attention of each region that goes to subjects' images: rows
            sum to 1, or are 0 where a region looks at none. Images that belong to nobody have 0.
        scores: S binding scores, 0..1: the sum of a subject's own shares.
    """

    shares: Tensor
    scores: tuple[float, ...]


def measure_binding(record: AttentionRecord, video: int, regions: Tensor | None = None) -> Binding:
    """The binding score of each subject in one video of a recording.

    How much a region and an image belong together is the mean over the region of the attention to the image,
    divided by the square root of the sum of these means over all regions. That lies half-way between what the region
    gives the image and what the image has from the region: the first alone is high for a loud image that all look
    at, the second for one that hardly anybody looks at. A subject's group counts with the mean over its images, its
    face among them; its score is what its own group has of the sum over all subjects' groups. With attention that knows
    nothing of who is where it is 1/S; with a face in place and each garment at somebody else's, about the face's part.

    Args:
        regions: (S, T, h, w) weights; None: `subject_regions`.
    """
    groups = subject_groups(record.layout)
    mass = record.mass[video]
    if not groups:
        return Binding(torch.zeros(0, len(mass)), ())
    regions = subject_regions(record, video) if regions is None else regions
    area = regions.flatten(1).sum(dim=1)
    looks = torch.einsum("sthw,rthw->sr", regions, mass) / area.clamp_min(1e-9)[:, None]
    looks = looks / looks.sum(dim=0).sqrt().clamp_min(1e-9)
    shares = torch.zeros_like(looks)
    for group in groups:
        seen = [picture for picture in group if record.seen[picture]]
        shares[:, seen] = looks[:, seen] / max(1, len(seen))
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-9)
    scores = tuple(float(shares[subject, list(group)].sum()) for subject, group in enumerate(groups))
    return Binding(shares, scores)


def subject_regions(record: AttentionRecord, video: int) -> Tensor:
    """The region of each subject, from where its face is looked at.

    In each frame, each token goes to the subject whose centre is nearest; those in between two go to nobody. Steps up
    and down count less than to the side. A token that looks at no image of a subject has no weight in a score, so
    that the ground above and below people need not be left out.

    Returns:
        (S, T, h, w) float32, 0 or 1; all 0 for a subject that was never seen.
    """
    height, width = record.mass.shape[-2:]
    x, y = face_centres(record, video)
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    distance = (
        (columns - x[:, :, None, None]).square() + (UPRIGHT * (rows - y[:, :, None, None])).square()
    ).sqrt()  # (S, T, h, w)
    seen = [any(record.seen[picture] for picture in group) for group in subject_groups(record.layout)]
    distance[[not each for each in seen]] = torch.inf
    regions = torch.zeros_like(distance)
    for subject in [subject for subject, each in enumerate(seen) if each]:
        others = torch.cat([distance[:subject], distance[subject + 1 :]])
        nearest = others.amin(dim=0) if len(others) else torch.inf
        regions[subject] = (distance[subject] < CLEARLY * nearest).float()
    return regions


def face_centres(record: AttentionRecord, video: int) -> tuple[Tensor, Tensor]:
    """The place from which each subject's face is looked at, in each frame.

    The centre of mass of what is above the frame's mean, squared so that peaks count; where another face is looked at
    as well, a token counts less. A subject without a face has the first of its images instead.

    Returns:
        x, y: (S, T), in tokens from the left and top edge.
    """
    mass = record.mass[video]
    faces = torch.stack([mass[anchor].sum(dim=0) for anchor in anchors(record.layout, record.labels)])
    heat = faces / faces.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-9)
    heat = heat * heat / heat.sum(dim=0).clamp_min(1e-9)
    peaks = (heat - heat.mean(dim=(2, 3), keepdim=True)).clamp_min(0).square()
    total = peaks.sum(dim=(2, 3)).clamp_min(1e-9)
    rows, columns = (torch.arange(side) + 0.5 for side in mass.shape[-2:])
    return (peaks.sum(dim=2) * columns).sum(dim=2) / total, (peaks.sum(dim=3) * rows).sum(dim=2) / total


def anchors(layout: ReferenceLayout, labels: tuple[str, ...]) -> list[list[int]]:
    """The images of each subject's face: the first of its group, and what follows with the same phrase."""
    found = []
    for group in subject_groups(layout):
        size = 1
        while size < len(group) and labels[group[0]] and labels[group[size]] == labels[group[0]]:
            size += 1
        found.append(list(group[:size]))
    return found


def subject_groups(layout: ReferenceLayout) -> tuple[range, ...]:
    """The groups of the subjects, without background and objects."""
    return layout.groups[layout.standalone :]


def regions_from_masks(masks: Tensor, record: AttentionRecord) -> Tensor:
    """An artist's masks as regions, the same in all frames.

    Args:
        masks: (S, H, W), or (H, W) of a single subject, 0..1, of any size.

    Returns:
        (S, T, h, w) float32.

    Raises:
        LumosXError: not one mask for each subject, or an empty one.
    """
    subjects, (frames, height, width) = len(record.layout.subjects), record.mass.shape[2:]
    masks = masks.reshape(-1, *masks.shape[-2:])
    if len(masks) != subjects:
        raise LumosXError(
            f"regions has {len(masks)} masks, but the scene has {subjects} subjects. Connect a batch with one mask for "
            f"each subject, in the order of the scene, or nothing."
        )
    small = F.interpolate(masks[:, None].float(), (height, width), mode="area")[:, 0]
    for number, mask in enumerate(small, 1):
        if not mask.any():
            raise LumosXError(
                f"The mask of subject {number} in regions is empty. White is where the subject is in the video; put "
                f"Invert Mask between if it is the other way round."
            )
    return small[:, None].expand(-1, frames, -1, -1)
