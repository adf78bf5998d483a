"""Image encoders from files of the original formats, and the originals' preprocessing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from hilum.models.image_towers import build_tower
from hilum.models.pixel_statistics import (
    CHEXPERT_MEAN,
    CHEXPERT_STD,
    CLIP_MEAN,
    CLIP_STD,
    HALF_MEAN,
    HALF_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
)
from hilum.models.preprocess_kinds import LongerSidePadCrop, PadThenResize, Scaled, ShorterSideCrop, Squash
from hilum.models.released.moco_cxr import import_moco_cxr
from hilum.models.released.refers import import_refers
from hilum.models.released.s2mts2 import import_s2mts2
from hilum.models.tower import ImageTower
from hilum.models.tower_weights import load_pretrained
from hilum.models.towers_vit import ViT
from tests.parity import GOLDEN, Check, golden

MOCO_RESIZE_PX = 32  # the shorter side before the crop, in the arrays of MoCo-CXR's transform


def checks() -> Iterator[Check]:
    """The released image encoders and their transforms."""
    with torch.inference_mode():
        yield from moco_cxr()
        yield from s2mts2()
        yield from refers()
        yield from preprocessing()


def moco_cxr() -> Iterator[Check]:
    """Pooled features and embeddings of an imported query encoder, with either head."""
    arrays = golden("moco_cxr")
    for tag in sorted(key.removesuffix("_import_x") for key in arrays if key.endswith("_import_x")):
        model = import_moco_cxr(GOLDEN / "moco_cxr" / f"{tag}_ckpt_step2.pth.tar", keep_head=True)
        images = torch.from_numpy(arrays[f"{tag}_import_x"])
        for quantity, ours in (
            ("pooled", model.encoder.encode_images(images)),
            ("embed", model.encoder.project(images)),
        ):
            yield Check("moco-cxr import", f"{tag} {quantity}", ours, arrays[f"{tag}_import_{quantity}"], 1e-5)


def s2mts2() -> Iterator[Check]:
    """Pooled features, and the original's way on through `classifier` (twice) and a new last part."""
    arrays = golden("s2mts2")
    file = GOLDEN / "s2mts2" / "pretrain_ckpt_step2.pth.tar"
    images = torch.from_numpy(arrays["pre_import_x"])
    pooled = import_s2mts2(file).encoder.encode_images(images)
    encoder = import_s2mts2(file, features="head").encoder
    twice = encoder.encode_images(images)
    first, last = (torch.from_numpy(arrays[f"pre_import_group{k}_w"]) for k in (0, 2))
    hidden = F.relu(twice @ first.T + torch.from_numpy(arrays["pre_import_group0_b"]))
    for quantity, ours in {
        "pooled": pooled,
        "classifier_once": encoder.head[0](pooled),
        "classifier_twice_relu": twice,
        "out": hidden @ last.T,
    }.items():
        yield Check("s2mts2 import", quantity, ours, arrays[f"pre_import_{quantity}"], 1e-5)


def refers() -> Iterator[Check]:
    """Tokens and class token from the downstream file, a file of pretraining, and Google's `.npz`."""
    arrays = golden("refers")
    width, layers, heads, mlp, patch, side = map(int, arrays["vit_cfg"])
    images = torch.from_numpy(arrays["vit_img"])
    head = torch.from_numpy(arrays["vit_head_w"]), torch.from_numpy(arrays["vit_head_b"])
    for file in ("refers_flat_checkpoint.pth", "pretrain_visual_checkpoint_7.pth"):
        encoder = import_refers(GOLDEN / "refers" / file, heads=heads).encoder
        kind = "flat" if "flat" in file else "full"
        vector = encoder.encode_images(images)
        yield Check("refers import", f"{kind} tokens", tokens(encoder.image_tower, images), arrays["vit_tokens"], 1e-5)
        yield Check("refers import", f"{kind} cls", vector, arrays["vit_cls"], 1e-5)
        yield Check("refers import", f"{kind} logits", F.linear(vector, *head), arrays["vit_logits"], 1e-5)
    start = GOLDEN / "refers" / "vit_init.npz"
    tower = build_tower(ViT(image_size=side, patch=patch, width=width, layers=layers, heads=heads, mlp=mlp)).eval()
    load_pretrained(tower, str(start))
    with np.load(start) as saved:
        kernel, bias = torch.from_numpy(saved["head/kernel"]), torch.from_numpy(saved["head/bias"])
    yield Check("refers .npz", "position grid", tower.weights()["pos_embed"], arrays["npz_posemb"], 1e-6)
    yield Check("refers .npz", "tokens", tokens(tower, images), arrays["npz_tokens"], 1e-5)
    yield Check("refers .npz", "logits", F.linear(tower(images), kernel.T, bias), arrays["npz_logits"], 1e-5)


def preprocessing() -> Iterator[Check]:
    """Evaluation transforms of six originals; colors one channel at a time, since ours are gray."""
    arrays = golden("moco_cxr")
    for index, image in pictures(arrays, "tf_in_{}"):
        for shape, kind in (("ratio", ShorterSideCrop), ("square", Squash)):
            expected = arrays[f"tf_{shape}_out_{index}"]
            settings = {"canvas_px": expected.shape[-1], "resize_px": MOCO_RESIZE_PX}
            ours = channels(kind(**settings, mean=CHEXPERT_MEAN, std=CHEXPERT_STD), image)
            yield Check("moco-cxr preprocessing", f"{shape} {index}", ours, expected, 1e-5)
    arrays = golden("cxr_clip")
    for index, image in pictures(arrays, "tf_in_{}"):
        for name, mean, std in (("imagenet", IMAGENET_MEAN, IMAGENET_STD), ("huggingface", HALF_MEAN, HALF_STD)):
            expected = arrays[f"tf_out_{name}_{index}"]
            ours = channels(ShorterSideCrop(canvas_px=expected.shape[-1], mean=mean, std=std), image)
            yield Check("cxr-clip preprocessing", f"{name} {index}", ours, expected, 1e-5)
    arrays = golden("convirt")
    for index, image in pictures(arrays, "pp_in_{}"):
        expected, part = arrays[f"pp_out_u8_{index}"], arrays[f"pp_out_slice_{index}"]
        kind = PadThenResize(canvas_px=expected.shape[-1])
        step = expected.shape[-1] // part.shape[-1]
        yield Check("convirt preprocessing", f"bytes {index}", kind.squares(image)[0], expected, 0)
        yield Check("convirt preprocessing", f"normalized {index}", kind(image)[0, :, ::step, ::step], part, 1e-5)
    arrays = golden("gloria")
    for index, image in pictures(arrays, "pp_in_{}"):
        padded, expected = arrays[f"pp_resized_{index}"], arrays[f"pp_out_{index}"]
        area = LongerSidePadCrop(canvas_px=expected.shape[-1], resize_px=padded.shape[-1])
        yield Check("gloria preprocessing", f"resized and padded {index}", area.padded(image), padded, 0)
        yield Check("gloria preprocessing", f"cropped {index}", area.squares(image)[0], expected, 0)
    arrays = golden("cxrlearn_protocol")
    for index, image in pictures(arrays, "pp{}_in"):
        if image.dtype != np.uint8:
            continue  # 16 bits saturate to white there; here they are windowed when the file is read
        for suffix, kind in (("", Squash), ("_int", ShorterSideCrop)):
            expected = arrays[f"pp{index}_out{suffix}"]
            settings = {"canvas_px": expected.shape[-1], "resample": "bicubic"}
            ours = channels(kind(**settings, mean=CLIP_MEAN, std=CLIP_STD), image)
            yield Check("cxrlearn preprocessing", f"{kind.__name__} {index}", ours, expected, 1e-5)


def tokens(tower: ImageTower, images: torch.Tensor) -> torch.Tensor:
    """A ViT's class token and patch tokens (N, 1 + P, F)."""
    maps = tower.feature_maps(images)
    return torch.cat([maps.pooled.unsqueeze(1), maps.local.flatten(2).transpose(1, 2)], dim=1)


def pictures(arrays: dict, pattern: str) -> Iterator[tuple[int, np.ndarray]]:
    """Index and array for 0, 1, 2, ... as long as there are any."""
    index = 0
    while pattern.format(index) in arrays:
        yield index, arrays[pattern.format(index)]
        index += 1


def channels(kind: Scaled, image: np.ndarray) -> np.ndarray:
    """(3, S, S) of a gray (H, W), or of each channel of (H, W, 3) by itself."""
    if image.ndim == 2:
        return kind(image)[0].numpy()
    return np.stack([kind(np.ascontiguousarray(image[..., c]))[0, c].numpy() for c in range(3)])
