"""The sources by name, and how one is made from its settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from hilum.errors import UsageError
from hilum.findings import suggest
from hilum.sources.brax import Brax
from hilum.sources.chexpert import CheXpert
from hilum.sources.chexpert_5x200 import CheXpert5x200
from hilum.sources.covid import CovidCollection
from hilum.sources.dicom import DicomFolder
from hilum.sources.edema import PulmonaryEdema
from hilum.sources.jsrt import Jsrt
from hilum.sources.layout import Source
from hilum.sources.medmnist import MedMnist
from hilum.sources.mimic import MimicCxr
from hilum.sources.montgomery import Montgomery
from hilum.sources.nih import ChestXray14
from hilum.sources.openi import OpenI
from hilum.sources.padchest import PadChest
from hilum.sources.pediatric import PediatricPneumonia
from hilum.sources.phantom.source import PhantomFolder
from hilum.sources.ranzcr import Ranzcr
from hilum.sources.reflacx import Reflacx
from hilum.sources.rsna import RsnaPneumonia
from hilum.sources.shenzhen import Shenzhen
from hilum.sources.siim import SiimAcr
from hilum.sources.table import ImageTable
from hilum.sources.tbportals import TbPortals
from hilum.sources.vindr import VinDrCxr

# Layouts first, then datasets by name.
SOURCES: dict[str, type[Any]] = {
    "dicom": DicomFolder,
    "table": ImageTable,
    "phantom": PhantomFolder,
    "brax": Brax,
    "chexpert": CheXpert,
    "chexpert-5x200": CheXpert5x200,
    "covid": CovidCollection,
    "edema": PulmonaryEdema,
    "jsrt": Jsrt,
    "medmnist": MedMnist,
    "mimic": MimicCxr,
    "montgomery": Montgomery,
    "nih": ChestXray14,
    "openi": OpenI,
    "padchest": PadChest,
    "pediatric": PediatricPneumonia,
    "ranzcr": Ranzcr,
    "reflacx": Reflacx,
    "rsna": RsnaPneumonia,
    "shenzhen": Shenzhen,
    "siim": SiimAcr,
    "tbportals": TbPortals,
    "vindr": VinDrCxr,
}


def make_source(name: str, settings: Mapping[str, Any]) -> Source:
    """The source of this name with these settings; settings that are None or empty count as not given.

    Raises:
        UsageError: there is no such source, or it has no such setting.
    """
    if name not in SOURCES:
        close = suggest(name, tuple(SOURCES))
        hint = f" Did you mean '{close}'?" if close else ""
        raise UsageError(f"there is no source '{name}'.{hint} Sources: {', '.join(SOURCES)}. See: hilum sources")
    given = {setting: value for setting, value in settings.items() if value not in (None, (), [], {}, "")}
    known = list(inspect.signature(SOURCES[name]).parameters)
    for setting in given:
        if setting not in known:
            takes = f"It takes: {', '.join(known)}." if known else "It takes none."
            raise UsageError(f"source '{name}' has no setting '{setting}'. {takes}")
    made: Source = SOURCES[name](**given)
    return made
