"""study.toml: what a study compares, on what, how, and how its numbers are made."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hilum.errors import UsageError

Adaptation = Literal["zero-shot", "probe", "finetune"]
ADAPTATIONS: tuple[Adaptation, ...] = ("zero-shot", "probe", "finetune")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,60}$"  # names become file names


class Part(BaseModel):
    """Base of the tables of study.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelEntry(Part):
    """One encoder: a folder, a released checkpoint to import, or a tower with ImageNet's or random weights."""

    name: str = Field(pattern=NAME, description="as results and figures call it")
    folder: str | None = Field(None, description="a model folder")
    checkpoint: str | tuple[str, ...] | None = Field(None, description="a released file, or several for an ensemble")
    release: str | None = Field(None, description="which importer reads the checkpoint; see hilum import")
    options: dict[str, Any] = Field({}, description="of the importer, such as vocab")
    init: str | None = Field(None, description="'imagenet', 'random', or a file with ImageNet weights")
    tower: str = Field("resnet50", description="of init")
    image_size_px: int = Field(224, gt=0, description="of init")
    seed: int = Field(0, description="of random weights")
    pretrained_on: tuple[str, ...] = Field((), description="names of sources, and archives, that its pretraining saw")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, values: Any) -> Any:
        """`{name = "random"}` and `{name = "imagenet"}` say all that is needed."""
        is_bare = isinstance(values, dict) and not {"folder", "checkpoint", "init"} & values.keys()
        if is_bare and values.get("name") in ("imagenet", "random"):
            return {**values, "init": values["name"]}
        return values

    @model_validator(mode="after")
    def _one_origin(self) -> ModelEntry:
        given = [key for key in ("folder", "checkpoint", "init") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"model '{self.name}': give one of folder, checkpoint or init (got {', '.join(given) or 'none'})"
            )
        if self.checkpoint is not None and self.release is None:
            raise ValueError(f"model '{self.name}': a checkpoint needs a release, such as release = \"moco-cxr\"")
        return self


class DatasetEntry(Part):
    """One target: an archive and what to predict."""

    name: str = Field(pattern=NAME, description="as results and figures call it")
    archive: str = Field(description="the archive")
    target: str | tuple[str, ...] | None = Field(
        None, description="a label set or findings; default all that is labeled"
    )
    said_by: str | None = Field(None, description="whose labels")
    labels: str | None = Field(None, description="a table of labels in place of the archive's")
    where: str | None = Field(None, description="which images, such as \"view != 'lateral'\"")


class ZeroShotSettings(Part):
    """How findings are asked for."""

    prompts: str = Field("chexzero", description="prompt set, or a TOML file")


class ProbeSettings(Part):
    """How probes are fitted."""

    protocol: Literal["validated", "cxrlearn"] = Field(
        "validated", description="C by validation, or the study's constants"
    )


class FinetuneSettings(Part):
    """How encoders are finetuned."""

    recipe: Literal["paper", "modern"] = Field(
        "paper", description="the founding study's settings, or those usual today"
    )
    settings: tuple[str, ...] = Field((), description="key=value changes of the recipe")
    keep_models: bool = Field(False, description="keep the finetuned model folders under runs/")


class Statistics(Part):
    """How numbers are made."""

    metrics: tuple[Literal["auroc", "average_precision"], ...] = Field(("auroc",), min_length=1, description="measured")
    replicates: int = Field(1000, gt=0, description="bootstrap resamples, shared by all cells of a dataset")
    level: float = Field(0.95, gt=0, lt=1, description="of the intervals")
    seed: int = Field(0, ge=0, description="of the first resample")
    by: Literal["patient", "image"] = Field("patient", description="what is resampled")
    least_positives: int = Field(
        10, ge=1, description="a finding with fewer positive (or negative) test images is not averaged"
    )
    correction: Literal["none", "holm"] = Field("none", description="of p-values over datasets")


class Study(Part):
    """A benchmark: models x datasets x adaptations x parts of the training images x seeds."""

    name: str = Field("study", description="title of the report")
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    datasets: tuple[DatasetEntry, ...] = Field(min_length=1)
    adaptations: tuple[Adaptation, ...] = Field(("probe",), min_length=1)
    fractions: tuple[float, ...] = Field((1.0,), min_length=1, description="of the training patients or images")
    shots: tuple[int, ...] = Field((), description="images of each class, beside the fractions")
    unit: Literal["patient", "image"] = Field("patient", description="what a fraction is of")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of parts, and of finetuning")
    baseline: str = Field("imagenet", description="the model that others are compared with")
    exclude_seen: bool = Field(True, description="leave test images out that a model's pretraining has seen")
    zero_shot: ZeroShotSettings = Field(ZeroShotSettings(), alias="zero-shot")
    probe: ProbeSettings = ProbeSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    statistics: Statistics = Statistics()

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Study:
        for kind, entries in (("models", self.models), ("datasets", self.datasets)):
            names = [entry.name for entry in entries]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind}: two are named '{twice[0]}'")
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise ValueError(f"fractions: {fraction} is no share above 0 and at most 1")
        return self


def load_study(path: str | Path) -> Study:
    """A study from its TOML file. Paths in it are relative to the file.

    Raises:
        UsageError: there is no such file, it is not TOML, or a setting is unknown or out of range; all are named.
    """
    place = Path(path)
    try:
        content = tomllib.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{place}: cannot be read ({error.strerror or error}). Name a study.toml.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: not TOML: {error}.") from None
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{place}: {'; '.join(_explained(one) for one in error.errors())}.") from None
    return _anchored(study, place.resolve().parent)


def _explained(error: Any) -> str:
    """One problem: where, what, and the setting that was probably meant."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _fields_at(error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(known)}"
        return f"there is no setting '{where}'.{hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _fields_at(place: Sequence[Any]) -> list[str]:
    kinds: dict[str, type[BaseModel]] = {
        "models": ModelEntry,
        "datasets": DatasetEntry,
        "zero-shot": ZeroShotSettings,
        "probe": ProbeSettings,
        "finetune": FinetuneSettings,
        "statistics": Statistics,
    }
    kind = kinds.get(str(place[0]), Study) if place else Study
    return [field.alias or name for name, field in kind.model_fields.items()]


def _anchored(study: Study, folder: Path) -> Study:
    """The study with its paths made absolute; hub ids, URIs and names of sources stay as they are."""

    def place(text: str) -> str:
        if "://" in text or Path(text).is_absolute():
            return text
        found = folder / text
        is_hub_id = text.count("/") == 1 and not text.startswith(".") and not found.exists()
        return text if is_hub_id and not found.parent.exists() else str(found)

    def seen(text: str) -> str:
        return str(folder / text) if "://" not in text and (folder / text).exists() else text

    models = []
    for model in study.models:
        changes: dict[str, Any] = {"pretrained_on": tuple(seen(text) for text in model.pretrained_on)}
        if model.folder is not None:
            changes["folder"] = place(model.folder)
        if model.checkpoint is not None:
            files = (model.checkpoint,) if isinstance(model.checkpoint, str) else model.checkpoint
            changes["checkpoint"] = tuple(str(folder / one) for one in files)
        if model.init not in (None, "imagenet", "random"):
            changes["init"] = str(folder / str(model.init))
        options = {
            k: str(folder / v) if isinstance(v, str) and (folder / v).exists() else v for k, v in model.options.items()
        }
        models.append(model.model_copy(update={**changes, "options": options}))
    datasets = [
        dataset.model_copy(
            update={
                "archive": place(dataset.archive),
                "labels": str(folder / dataset.labels) if dataset.labels is not None else None,
            }
        )
        for dataset in study.datasets
    ]
    return study.model_copy(update={"models": tuple(models), "datasets": tuple(datasets)})
