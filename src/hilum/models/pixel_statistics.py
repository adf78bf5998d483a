"""Mean and standard deviation of pixels in [0, 1] that released encoders were trained with; each is named once, here."""

from __future__ import annotations

Triple = tuple[float, float, float]

# torchvision's constants of ImageNet, red, green, blue.
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

# OpenAI's CLIP (Radford et al. 2021, released code).
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)

# Grays of CheXpert (MoCo-CXR and MedAug, released code).
CHEXPERT_MEAN: Triple = (0.5020, 0.5020, 0.5020)
CHEXPERT_STD: Triple = (0.085585, 0.085585, 0.085585)

# [0, 1] to [-1, 1] (GLoRIA; CXR-CLIP's Swin; Google's vision transformers).
HALF_MEAN: Triple = (0.5, 0.5, 0.5)
HALF_STD: Triple = (0.5, 0.5, 0.5)
