"""What a request may ask for: the archive as it is now, models, searches, drafts, scores, images being tried, reports."""

from __future__ import annotations

import logging
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from hilum.errors import HilumError
from hilum.findings import CHEXPERT_NAMES
from hilum.web.models_at_hand import Models
from hilum.web.result_folders import ResultFolders
from hilum.web.settings import Settings
from hilum.web.shelf import Shelf, Snapshot
from hilum.web.tries import Decoder, Tries

if TYPE_CHECKING:
    import pyarrow as pa

    from hilum.models.zero_shot import PromptSet
    from hilum.reports import RuleLabeler
    from hilum.tasks.composing import Corpus
    from hilum.tasks.image_scores import ImageScorer
    from hilum.tasks.search import Browser, Search

log = logging.getLogger(__name__)

PROMPT_SETS = ("reports", "chexzero", "cxr-clip", "biovil")


class Desk:
    """Everything behind the pages; one for a server, shared by its threads.

    Args:
        settings: of the server.

    Raises:
        ArchiveError: the archive cannot be opened now.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shelf = Shelf(settings.archive)
        self.models = Models(settings.models)
        self.decoder = Decoder(settings.limits)
        self.tries = Tries()
        self.results = ResultFolders(settings.results)
        self.receiving = 0  # uploads on their way

    @cached_property
    def private(self) -> tuple[str, ...]:
        """Places on this machine as they were given, which no answer may name."""
        given = [self.settings.archive, *self.settings.models, *self.settings.results]
        return tuple({str(place) for place in given} | {str(Path(place).resolve()) for place in given})

    def start(self) -> None:
        """Load models, and what the first visitor would wait for, in a thread of its own."""
        threading.Thread(target=self._warm, name="warm-up", daemon=True).start()

    def stop(self) -> None:
        """End workers."""
        self.decoder.close()

    def _warm(self) -> None:
        self.models.load_all()
        try:
            self.browser(self.archive)
            for name, slot in self.models.slots.items():
                if slot.model is not None:
                    self.search(self.archive, name)
                    self.scorer(self.archive, name)
        except HilumError as error:  # told to whoever asks; here it only means that nothing is warm
            log.info("not warm: %s", error)

    @property
    def archive(self) -> Snapshot:
        """The archive as it is now; see `Shelf.now` for what it raises."""
        return self.shelf.now()

    def search(self, snapshot: Snapshot, model: str | None = None) -> Search:
        """A model's search over one state of the archive."""
        from hilum.tasks.search import Search

        loaded = self.models.get(model)
        return snapshot.once(("search", loaded.fingerprint), lambda: Search(loaded, snapshot.archive))

    def browser(self, snapshot: Snapshot) -> Browser:
        """The archive without a model."""
        from hilum.tasks.search import Browser

        return snapshot.once("browser", lambda: Browser(snapshot.archive))

    def corpus(self, snapshot: Snapshot, whole: bool = False) -> Corpus:
        """The training reports that drafts are made of; nothing of it is written to the archive."""
        from hilum.tasks.composing import Corpus

        return snapshot.once(("corpus", whole), lambda: Corpus.of_archive(snapshot.archive, whole=whole, keep=False))

    def scorer(
        self, snapshot: Snapshot, model: str | None, prompts: str = PROMPT_SETS[0], finding: str | None = None
    ) -> ImageScorer:
        """Zero-shot scores of the 14 observations, made once for each prompt set; or of one other finding, made now."""
        from hilum.tasks.image_scores import ImageScorer

        loaded, asked = self.models.get(model), self.prompt_set(prompts)
        if finding:
            return ImageScorer(loaded, [finding], asked, archive=snapshot.archive)
        return snapshot.once(
            ("scorer", loaded.fingerprint, prompts),
            lambda: ImageScorer(loaded, CHEXPERT_NAMES, asked, archive=snapshot.archive),
        )

    def prompt_set(self, name: str) -> PromptSet:
        """A packaged prompt set; names that come through the web are looked for in a list, not among files."""
        from hilum.errors import UsageError
        from hilum.models.zero_shot import load_prompts

        if name not in PROMPT_SETS:
            raise UsageError(f"There is no prompt set of this name. Prompt sets: {', '.join(PROMPT_SETS)}.")
        return load_prompts(name)

    def labels(self, snapshot: Snapshot, said_by: str, split: str | None, frontal: bool) -> pa.Table:
        """One speaker's labels, image by image."""
        from hilum.evaluation.prompt_trial import labels_of

        key = ("labels", said_by, split, frontal)
        return snapshot.once(key, lambda: labels_of(snapshot.archive, said_by, split, frontal))

    def speakers(self, snapshot: Snapshot) -> list[str]:
        """Who has said labels, those who know best first: datasets, readers, then what was read out of reports."""
        names = {row["said_by"] for row in snapshot.summary()["labels"]}
        return sorted(names, key=lambda name: (not name.startswith(("dataset:", "reader:")), name))

    @cached_property
    def labeler(self) -> RuleLabeler:
        """The rules, which show the words that a label rests on."""
        from hilum.reports import RuleLabeler

        return RuleLabeler()


async def _desk_of(request: Request) -> Desk:  # of a plain function FastAPI makes a turn of its own in a thread
    desk: Desk = request.app.state.desk
    return desk


DeskOf = Annotated[Desk, Depends(_desk_of)]
