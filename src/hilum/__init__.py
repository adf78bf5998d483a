"""hilum: label-free chest X-ray AI.

The public names below load on first use, so that ``import hilum`` stays quick and silent.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Archive": "hilum.archive",
    "Model": "hilum.models",
    "ingest": "hilum.sources",
    "label": "hilum.reports",
    "pretrain": "hilum.training",
    "embed": "hilum.tasks",
    "zeroshot": "hilum.tasks",
    "probe": "hilum.tasks",
    "compose": "hilum.tasks",
    "Corpus": "hilum.tasks",
    "Search": "hilum.tasks.search",
    "finetune": "hilum.tasks",
    "predict": "hilum.tasks",
    "explain": "hilum.tasks",
    "Probe": "hilum.tasks.estimators",
    "Features": "hilum.tasks.estimators",
    "evaluate": "hilum.evaluation",
    "import_checkpoint": "hilum.models",
    "HilumError": "hilum.errors",
}
_ROOMS = (
    "archive",
    "errors",
    "evaluation",
    "findings",
    "imaging",
    "methods",
    "models",
    "reports",
    "sources",
    "studies",
    "tasks",
    "training",
)

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from hilum.archive import Archive as Archive
    from hilum.errors import HilumError as HilumError
    from hilum.evaluation import evaluate as evaluate
    from hilum.models import Model as Model
    from hilum.models import import_checkpoint as import_checkpoint
    from hilum.reports import label as label
    from hilum.sources import ingest as ingest
    from hilum.tasks import Corpus as Corpus
    from hilum.tasks import compose as compose
    from hilum.tasks import embed as embed
    from hilum.tasks import explain as explain
    from hilum.tasks import finetune as finetune
    from hilum.tasks import predict as predict
    from hilum.tasks import probe as probe
    from hilum.tasks import zeroshot as zeroshot
    from hilum.tasks.estimators import Features as Features
    from hilum.tasks.estimators import Probe as Probe
    from hilum.tasks.search import Search as Search
    from hilum.training import pretrain as pretrain


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _ROOMS:
        return import_module(f"hilum.{name}")
    raise AttributeError(f"module 'hilum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC, *_ROOMS])
