"""Montgomery County chest radiographs for tuberculosis (Jaeger et al. 2014, Quant Imaging Med Surg 4)."""

from __future__ import annotations

from typing import ClassVar

from hilum.sources.shenzhen import Shenzhen


class Montgomery(Shenzhen):
    """Montgomery County: the layout of Shenzhen, with other names and lung masks that are not read.

    The published task joins it with Shenzhen: ingest both into one archive.
    """

    name: ClassVar[str] = "montgomery"
    title: ClassVar[str] = "Montgomery County (NLM)"
    size: ClassVar[str] = "138 images, one a patient (58 with tuberculosis)"
    licence: ClassVar[str] = "public; acknowledge the National Library of Medicine and Montgomery County"
    layout: ClassVar[str] = (
        "MontgomerySet/CXR_png/MCUCXR_####_{0,1}.png and ClinicalReadings/MCUCXR_####_{0,1}.txt (also under "
        "NLM-MontgomeryCXRSet/), or these folders themselves."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = ("that the PNGs hold 12 bits",)
    folders: ClassVar[tuple[str, ...]] = ("NLM-MontgomeryCXRSet/MontgomerySet", "MontgomerySet")
    prefix: ClassVar[str] = "MCUCXR"
