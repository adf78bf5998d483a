"""Random changes of a batch of gray pictures, on whatever device the batch is, from a passed generator."""

from hilum.imaging.augment.apply import augment, augment_with_flips
from hilum.imaging.augment.blur import GaussianBlur
from hilum.imaging.augment.clahe import Clahe
from hilum.imaging.augment.erasing import RandomErasing
from hilum.imaging.augment.gentle import light
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
from hilum.imaging.augment.pictures import Pictures
from hilum.imaging.augment.plans import PLANS, Plan, plan
from hilum.imaging.augment.step import Step

__all__ = [
    "PLANS",
    "Affine",
    "CenterCrop",
    "Clahe",
    "GaussianBlur",
    "Grayscale",
    "HorizontalFlip",
    "Jitter",
    "PadToSquare",
    "Pictures",
    "Plan",
    "RandomCrop",
    "RandomErasing",
    "RandomResizedCrop",
    "RandomScaledCrop",
    "ResizeLonger",
    "ResizeShorter",
    "Rotate",
    "Squash",
    "Step",
    "augment",
    "augment_with_flips",
    "light",
    "plan",
]
