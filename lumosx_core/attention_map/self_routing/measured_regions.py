"""Regions of subjects in a video that is still being sampled: soft, and shared out evenly.

`subject_regions` of `binding` find a subject by its face alone, as a score must not trust what it measures. Here the
regions are what the video is to become, so garments count, too, and no subject may be left without a place: while the
video is noise, two subjects are often looked at in the same one.

Shapes: B videos, S subjects, R images, T latent frames of h x w asked tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..binding import subject_groups
from ..record import AttentionRecord

SHARPNESS = 4.0  # power of the attention that a region is made of
ROUNDS = 20


def measured_regions(record: AttentionRecord) -> Tensor:
    """Where each subject is looked at, so that all subjects have regions of equal area.

    The attention to a subject's images, relative to its mean, is balanced over tokens and subjects in turn (Sinkhorn):
    a token's weights sum to at most 1, a subject's to an equal part of the video.

    Returns:
        (B, S, T, h, w) float32, 0 to 1; all 0 for a subject that was not seen, or that nobody else was seen beside.
    """
    groups = subject_groups(record.layout)
    mass = torch.stack([record.mass[:, list(group)].mean(dim=1) for group in groups], dim=1)  # (B, S, T, h, w)
    seen = [subject for subject, group in enumerate(groups) if any(record.seen[picture] for picture in group)]
    regions = torch.zeros_like(mass)
    if len(seen) < 2:
        return regions
    # All rows of a column share its attention: people are taller than wide.
    looked = mass[:, seen].sum(dim=3, keepdim=True).expand(-1, -1, -1, mass.shape[3], -1)
    looked = looked / looked.mean(dim=(2, 3, 4), keepdim=True).clamp_min(1e-9)
    weights = SHARPNESS * looked.clamp_min(1e-6).log()
    area = math.log(weights[0, 0].numel() / len(seen))
    for _ in range(ROUNDS):
        weights = weights - weights.logsumexp(dim=1, keepdim=True)
        weights = weights - weights.logsumexp(dim=(2, 3, 4), keepdim=True) + area
    weights = weights.exp()
    regions[:, seen] = weights / weights.sum(dim=1, keepdim=True).clamp_min(1)
    return regions
