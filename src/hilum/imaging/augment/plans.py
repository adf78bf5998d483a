"""The augmentations of each pretraining recipe, with their sources.

Paper: MoCo v1, MoCo v2 and S2MTS2 flip last. Here: right after the crop, where it costs nothing. Jitter and blur do the same to a
mirrored picture, and rotations to both sides are equally probable, so the pictures that can come out are the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from hilum.errors import UsageError
from hilum.imaging.augment.blur import GaussianBlur
from hilum.imaging.augment.clahe import Clahe
from hilum.imaging.augment.erasing import RandomErasing
from hilum.imaging.augment.geometric import (
    Affine,
    CenterCrop,
    HorizontalFlip,
    PadToSquare,
    RandomCrop,
    RandomResizedCrop,
    RandomScaledCrop,
    ResizeLonger,
    ResizeShorter,
    Rotate,
    Squash,
)
from hilum.imaging.augment.jitter import Grayscale, Jitter
from hilum.imaging.augment.step import Step

Plan = tuple[Step, ...]

# Level that is zero after normalization by ImageNet's mean: of one gray channel the mean of its three, on 0-255.
_IMAGENET_MEAN_LEVEL = 114


def plan(name: str, side_px: int) -> Plan:
    """The steps of a recipe's augmentation.

    Args:
        name: one of `PLANS`.
        side_px: side of the squares. Lengths in a plan are the paper's at the paper's side, and grow and shrink with it.

    Raises:
        UsageError: there is no such plan (the closest is named), or the side is below 1.

    Example:
        >>> plan("gloria", 224)
        (ResizeLonger(px=256, filter='area'), PadToSquare(), RandomCrop())
    """
    if name not in PLANS:
        close = difflib.get_close_matches(name, PLANS, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"there is no augmentation plan '{name}'.{hint} Plans: {', '.join(PLANS)}.")
    if side_px < 1:
        raise UsageError(f"plan {name}: side_px is {side_px}; expected 1 or more.")
    return PLANS[name](side_px)


def _moco_cxr(side_px: int) -> Plan:
    """MoCo-CXR, setting "chexpert" (Sowrirajan et al. 2021; paper 320 px). MedAug's too (Vu et al. 2021)."""
    return (ResizeShorter(side_px), HorizontalFlip(0.5), Rotate(10), RandomCrop())


def _moco_v1(side_px: int) -> Plan:
    """MoCo (He et al. 2020; 224 px), an alternative of MoCo-CXR and MedAug."""
    return (RandomResizedCrop((0.2, 1.0)), HorizontalFlip(0.5), Grayscale(0.2), Jitter(0.4, 0.4, 0.4, 0.4))


def _moco_v2(side_px: int) -> Plan:
    """MoCo v2 (Chen et al. 2020; 224 px), an alternative of MoCo-CXR and MedAug."""
    return (
        RandomResizedCrop((0.2, 1.0)),
        HorizontalFlip(0.5),
        Jitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        Grayscale(0.2),
        _blur(0.1, 2.0, side_px / 224, p=0.5),
    )


def _moco_v2_chexpert(side_px: int) -> Plan:
    """MedAug (Vu et al. 2021): MoCo-CXR's geometry, and all of MoCo v2 after it."""
    return (*_moco_cxr(side_px), *_moco_v2(side_px))


def _s2mts2(side_px: int) -> Plan:
    """S2MTS2 (Liu et al. 2021; paper 256 px), the loader of CheXpert."""
    return (
        RandomResizedCrop((0.2, 1.0)),
        HorizontalFlip(0.5),
        Affine(10, p=0.5),
        Jitter(0.4, 0.4, 0.4, 0.4, p=0.8),
        _blur(0.1, 2.0, side_px / 256, p=0.5),
    )


def _s2mts2_erasing(side_px: int) -> Plan:
    """S2MTS2, the loader of ChestX-ray14: with a rectangle of the mean erased."""
    # Paper: three normalized channels are set to zero. Here: one channel of bytes, so one level for the three means.
    return (*_s2mts2(side_px), RandomErasing(0.5, level=_IMAGENET_MEAN_LEVEL))


def _refers(side_px: int) -> Plan:
    """REFERS (Zhou et al. 2022; paper 224 px); pictures are OpenCV's, whose bilinear filter does not widen."""
    return (
        RandomResizedCrop((0.05, 1.0), (0.6, 1.0), "linear"),
        HorizontalFlip(0.5),
        Jitter(0.4, 0.4, 0.4, 0.1, p=0.8),
    )


def _convirt(side_px: int) -> Plan:
    """ConVIRT (Zhang et al. 2020, section 4; 224 px): each optional step with probability 0.95."""
    return (
        ResizeShorter(int(side_px / 0.6)),
        RandomScaledCrop((0.6, 1.0), p=0.95),
        HorizontalFlip(0.5),
        Affine(20, (0.1, 0.1), (0.95, 1.05), p=0.95),
        Jitter(0.4, 0.4, p=0.95),
        _blur(0.1, 3.0, side_px / 224, p=0.95),
        PadToSquare(),
        Squash(),
    )


def _gloria(side_px: int) -> Plan:
    """GLoRIA (Huang et al. 2021; paper 256 px, crop 224)."""
    return (ResizeLonger(max(side_px, round(side_px * 256 / 224)), "area"), PadToSquare(), RandomCrop())


def _cxr_clip(side_px: int) -> Plan:
    """CXR-CLIP (You et al. 2023; paper 224 px). Never mirrored."""
    return (RandomResizedCrop((0.8, 1.1)), Clahe((1, 4), 8, p=0.5), Jitter(0.1, 0.2, 0.2, 0.1), CenterCrop())


def _blur(least: float, most: float, zoom: float, p: float) -> GaussianBlur:
    return GaussianBlur((least * zoom, most * zoom), p)


PLANS: dict[str, Callable[[int], Plan]] = {
    "moco-cxr": _moco_cxr,
    "medaug": _moco_cxr,
    "moco_v1": _moco_v1,
    "moco_v2": _moco_v2,
    "moco_v2-chexpert": _moco_v2_chexpert,
    "s2mts2": _s2mts2,
    "s2mts2-erasing": _s2mts2_erasing,
    "refers": _refers,
    "convirt": _convirt,
    "gloria": _gloria,
    "cxr-clip": _cxr_clip,
}
