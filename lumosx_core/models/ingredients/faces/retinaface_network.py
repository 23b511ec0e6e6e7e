"""RetinaFace with ResNet-50 under the names of its release.

Formulas: RetinaFace (arXiv 1905.00641) on a feature pyramid (arXiv 1612.03144) of ResNet-50 (arXiv 1512.03385), whose
strides are in the 3 x 3 convolutions. Tests hold it equal to facexlib's.

Shapes: B images of H x W pixels; at strides 8, 16 and 32 each point of a feature map has two anchors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
ANCHORS = ((16, 32), (64, 128), (256, 512))
"""Pixels of the square anchors at each stride."""

_BLOCKS = (3, 4, 6, 3)  # of each stage
_EXPANSION = 4  # channels that a block gives, to those inside of it


class RetinaFaceNetwork(nn.Module):
    """Images to scores, boxes and landmarks of all anchors.

    Args:
        width: channels of the first convolution, 64 in the release.
        pyramid: channels of the feature pyramid, 256 in the release.
    """

    def __init__(self, width: int = 64, pyramid: int = 256):
        super().__init__()
        self.body = Body(width)
        self.fpn = FeaturePyramid([width * _EXPANSION * factor for factor in (2, 4, 8)], pyramid)
        self.ssh1, self.ssh2, self.ssh3 = (ContextModule(pyramid) for _ in STRIDES)
        self.ClassHead = nn.ModuleList(Head(pyramid, 2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(pyramid, 4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(pyramid, 10) for _ in STRIDES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network says of A anchors: by stride, then row, column and size.

        Args:
            images: (B, 3, H, W), blue, green, red in 0..255, less the mean.

        Returns:
            (B, A) probabilities of a face; (B, A, 4) and (B, A, 10) offsets of box and landmarks, see `anchors`.
        """
        maps = [
            context(each)
            for context, each in zip((self.ssh1, self.ssh2, self.ssh3), self.fpn(self.body(images)), strict=True)
        ]
        scores, boxes, landmarks = (
            torch.cat([head(each) for head, each in zip(heads, maps, strict=True)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return scores.softmax(dim=-1)[..., 1], boxes, landmarks


class Body(nn.Module):
    """ResNet-50 up to its feature maps at strides 8, 16 and 32."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, _BLOCKS[0], stride=1)
        self.layer2 = _stage(width * 4, width * 2, _BLOCKS[1], stride=2)
        self.layer3 = _stage(width * 8, width * 4, _BLOCKS[2], stride=2)
        self.layer4 = _stage(width * 16, width * 8, _BLOCKS[3], stride=2)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self.bn1(self.conv1(images)).relu(), 3, stride=2, padding=1)
        x = self.layer1(x)
        maps = []
        for stage in (self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def _stage(before: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    after = width * _EXPANSION
    return nn.Sequential(Bottleneck(before, width, stride), *(Bottleneck(after, width, 1) for _ in range(blocks - 1)))


class Bottleneck(nn.Module):
    """Three convolutions, added to what came in; the first block of a stage brings that to its size."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        after = width * _EXPANSION
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample: nn.Module = nn.Identity()
        if before != after or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn1(self.conv1(x)).relu()
        inner = self.bn2(self.conv2(inner)).relu()
        return (self.bn3(self.conv3(inner)) + self.downsample(x)).relu()


def _convolution(before: int, after: int, size: int = 3, *, relu: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(before, after, size, padding=size // 2, bias=False), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class FeaturePyramid(nn.Module):
    """Brings coarse maps into the finer ones."""

    def __init__(self, widths: list[int], pyramid: int):
        super().__init__()
        self.output1, self.output2, self.output3 = (_convolution(width, pyramid, 1) for width in widths)
        self.merge1, self.merge2 = (_convolution(pyramid, pyramid) for _ in range(2))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return fine, middle, coarse


class ContextModule(nn.Module):
    """SSH (arXiv 1708.03979): what is around a point, at three ranges."""

    def __init__(self, width: int):
        super().__init__()
        self.conv3X3 = _convolution(width, width // 2, relu=False)
        self.conv5X5_1 = _convolution(width, width // 4)
        self.conv5X5_2 = _convolution(width // 4, width // 4, relu=False)
        self.conv7X7_2 = _convolution(width // 4, width // 4)
        self.conv7x7_3 = _convolution(width // 4, width // 4, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        far = self.conv7x7_3(self.conv7X7_2(shared))
        return torch.cat([self.conv3X3(x), self.conv5X5_2(shared), far], dim=1).relu()


class Head(nn.Module):
    """Some numbers for each anchor of each point."""

    def __init__(self, width: int, numbers: int):
        super().__init__()
        self.numbers = numbers
        self.conv1x1 = nn.Conv2d(width, 2 * numbers, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, h * w * 2, numbers)"""
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.numbers)


def anchors(height: int, width: int) -> Tensor:
    """(A, 3): x and y of the middle and the side of each anchor of an image of this size, in pixels."""
    found = []
    for stride, sides in zip(STRIDES, ANCHORS, strict=True):
        y = (torch.arange(-(-height // stride)) + 0.5) * stride
        x = (torch.arange(-(-width // stride)) + 0.5) * stride
        rows, columns, side = torch.meshgrid(y, x, torch.tensor(sides, dtype=torch.float32), indexing="ij")
        found.append(torch.stack([columns, rows, side], dim=-1).flatten(0, 2))
    return torch.cat(found)
