"""What a person asks for: a picture, settings and a checkpoint become a recipe, and a recipe becomes a run that waits.

Settings are checked once on their way down: each knob's bounds where a text or number becomes `GenerationSettings`, and
what the checkpoint makes of them where the run is accepted, wherever its recipe comes from. Knows the history, the
catalogue and pictures; nothing of workers, models or screens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from svdlab.errors import BadInput
from svdlab.failpoints import failpoint
from svdlab.history.ids import new_id
from svdlab.history.queue import History
from svdlab.lab import framing, pictures
from svdlab.lab.live import Live
from svdlab.lab.pictures import PictureSource, StoredPicture
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint, Decoder
from svdlab.recipes.loras import Lora, together
from svdlab.recipes.presets import Presets
from svdlab.recipes.records import Comparison, Recipe, Run
from svdlab.recipes.settings import GenerationSettings, resolve_seed
from svdlab.recipes.visitors import OPERATOR, Visitor
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.loras import Loras


class Asking:
    """The verbs that end in something being asked for."""

    catalogue: Catalogue
    presets: Presets
    history: History
    live: Live
    loras: Loras
    _on_asked: list[Callable[[Sequence[str]], None]]

    def on_asked(self, told: Callable[[Sequence[str]], None]) -> None:
        """Has a worker told which runs were asked for, in the thread and context of whoever asked, before they wait."""
        self._on_asked.append(told)

    def _tell_asked(self, *run_ids: str) -> None:
        for told in self._on_asked:
            told(run_ids)
        self.live.notify()

    def add_picture(self, source: PictureSource) -> StoredPicture:
        """Checks an untrusted picture and keeps it by hash. Raises `BadPicture`, `DataFolderError`."""
        return pictures.keep(self.history, source)

    def picture(self, sha256: str) -> StoredPicture:
        """A kept picture by hash. Raises `NotFound`, also for one whose file is damaged."""
        return pictures.stored(self.history, sha256)

    def settings(
        self,
        checkpoint: str,
        changes: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        picture: StoredPicture | None = None,
    ) -> GenerationSettings:
        """All knobs: the checkpoint's official ones, then the preset's, then `changes`; the seed resolved.

        With `picture`, the size is the native one that fits its shape, unless the preset or `changes` say another.
        `seed` None, '' or 'random' draws one. Each knob is within its bounds; whether the checkpoint can do them
        together is said by `notes` and by `submit`. Raises `BadSettings`, `NotFound`.
        """
        made_for = self.catalogue.get(checkpoint)
        base = self.presets.get(preset).settings_for(made_for) if preset else limits.defaults_for(made_for)
        if picture is not None:
            told = {*(changes or {}), *(self.presets.get(preset).settings if preset else {})}
            base = framing.shaped(made_for, base, picture.size, told)
        return GenerationSettings.parse({**(changes or {}), "seed": resolve_seed(seed)}, base=base)

    def recipe(
        self,
        checkpoint: str,
        picture: StoredPicture | str,
        settings: GenerationSettings,
        loras: tuple[Lora, ...] = (),
    ) -> Recipe:
        """A recipe, which `submit` checks. Raises `NotFound`."""
        id = self.catalogue.get(checkpoint).id
        sha256 = picture if isinstance(picture, str) else picture.sha256
        return Recipe(checkpoint=id, picture_sha256=sha256, settings=settings, loras=loras)

    def recipe_of(
        self,
        picture: PictureSource,
        checkpoint: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        changes: Mapping[str, Any] | None = None,
        loras: tuple[Lora, ...] = (),
    ) -> Recipe:
        """The recipe of what is asked for in one go, the picture kept; without a checkpoint, the best there is here.

        Raises `BadSettings`, `NotFound`, `BadPicture`, `DataFolderError`.
        """
        id = checkpoint or self.catalogue.default().id
        settings = self.settings(id, changes, preset, seed)  # a wrong knob is said before the picture is read
        stored = self.add_picture(picture)
        return self.recipe(id, stored, self.settings(id, changes, preset, settings.seed, stored), loras)

    def notes(
        self, checkpoint: str, settings: GenerationSettings, picture: StoredPicture | None = None
    ) -> tuple[limits.Note, ...]:
        """What the checkpoint was not trained for, and how much of `picture` a crop leaves out.

        Raises `BadSettings` on what it cannot do.
        """
        made_for = self.catalogue.get(checkpoint)
        notes = limits.check(made_for, settings)
        cut = framing.crop_note(made_for, settings, picture.size) if picture is not None else None
        return (*notes, cut) if cut is not None else notes

    def submit(
        self, recipe: Recipe, preset: str | None = None, by: Visitor = OPERATOR, most: int | None = None
    ) -> Run:
        """Accepts a run: when this returns it is on disk and waits to be claimed.

        `by` asks for it, of whose runs at most `most` may wait; what `by` may ask for is decided before
        (`svdlab.lab.visit`).

        This is where a recipe is checked, wherever it comes from. Whether weights can be had is found when it is
        rendered. Raises `BadSettings`, `NotFound`, `DataFolderError`.
        """
        self._check(recipe)
        run = self.history.add(recipe, preset, by, most)
        failpoint("accepted")
        self._tell_asked(run.id)
        return run

    def submit_comparison(
        self, a: Recipe, b: Recipe, preset: str | None = None, by: Visitor = OPERATOR, most: int | None = None
    ) -> Comparison:
        """Accepts two runs that are rendered together, in lockstep where both models fit."""
        self._check(a)
        self._check(b)
        comparison = self.history.add_comparison(a, b, preset, by, most)
        failpoint("accepted")
        self._tell_asked(comparison.a.id, comparison.b.id)
        return comparison

    def decoders(self, checkpoint: str) -> tuple[Decoder, ...]:
        """The decoders a checkpoint's latents can be decoded with here: its own, and one that another lends.

        Raises `NotFound`.
        """
        made_for = self.catalogue.get(checkpoint)
        lent = [
            decoder
            for decoder, lender in made_for.lenders.items()
            if availability(self.catalogue.get(lender)).ready
        ]
        return (*made_for.decoders, *lent)

    def decode_again(
        self,
        run_id: str,
        decoder: Decoder | None = None,
        decode_chunk_size: int | None = None,
        by: Visitor = OPERATOR,
        most: int | None = None,
    ) -> Comparison:
        """Decodes a finished run's latents with another decoder or chunk size, beside the run itself.

        Nothing is sampled, so what differs between the two is the decoder's doing. Raises `BadInput`, `NotFound`.
        """
        run = self.history.get(run_id)
        if not run.done:
            raise BadInput("only a finished run can be decoded again")
        source = self.history.get(run.latents_of) if run.latents_of else run
        if not source.latents.is_file():
            raise BadInput("the latents of this run were not kept; render it again to decode it again")
        changes = {"decoder": decoder or run.settings.decoder, "decode_chunk_size": decode_chunk_size}
        settings = GenerationSettings.parse(changes, base=run.settings)
        if (settings.decoder, settings.frames_at_once) == (run.settings.decoder, run.settings.frames_at_once):
            raise BadInput("choose another decoder or another chunk size than the run already has")
        recipe = run.recipe.model_copy(update={"settings": settings, "versions": {}})
        self._check(recipe)
        pair = self.history.add_decode(recipe, run, by, most)
        self._tell_asked(pair.b.id)
        return pair

    def pair(self, a: str, b: str, by: Visitor = OPERATOR) -> Comparison:
        """Two finished runs as a comparison, whatever they differ in; the one `by` has, if it paired them before.

        Raises `BadInput`, `NotFound`.
        """
        first, second = self.history.get(a), self.history.get(b)
        if first.id == second.id or not (first.done and second.done):
            raise BadInput("choose two different runs that are finished")
        for id in self.history.comparisons_of(first.id):
            before = self.history.comparison(id)
            if (before.a.id, before.b.id) == (first.id, second.id) and by.owns(before.visitor):
                return before
        made = Comparison(new_id(), first, second, time.time(), visitor=by.stored)
        self.history.adopt_comparison(made, ())
        return self.history.comparison(made.id)

    def _check(self, recipe: Recipe) -> None:
        made_for = self.catalogue.get(recipe.checkpoint)
        limits.check(made_for, recipe.settings, self.decoders(made_for.id))
        self.picture(recipe.picture_sha256)
        for lora in recipe.loras:
            self.loras.of(lora)

    def comparison_recipes(
        self,
        picture: StoredPicture,
        a: str | None = None,
        b: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        changes: Mapping[str, Any] | None = None,
        native_frames: bool = False,
        loras: tuple[Lora, ...] = (),
        own_loras: Sequence[tuple[Lora, ...]] = ((), ()),
    ) -> tuple[Recipe, Recipe]:
        """Two recipes with the same settings: A's official ones, the preset's, then `changes`, at a size as `settings`.

        Both sides get `loras`, and each its `own_loras`. Each side decodes with what its checkpoint has. With
        `native_frames` each side makes the frame count it was trained for, and only the shared prefix can be put side
        by side. Raises `BadInput` on too many LoRAs, or one twice.
        """
        default_a, default_b = self.catalogue.pair()
        first = self.catalogue.get(a) if a else default_a
        second = self.catalogue.get(b) if b else default_b
        shared = dict(changes or {})
        decoder = shared.pop("decoder", None)
        base = self.settings(first.id, shared, preset, seed, picture)

        def side(checkpoint: Checkpoint, own_loras: tuple[Lora, ...]) -> Recipe:
            own: dict[str, Any] = {
                "decoder": decoder if decoder in checkpoint.decoders else checkpoint.decoders[0]
            }
            if native_frames:
                own["num_frames"] = checkpoint.native_frames
            return self.recipe(checkpoint.id, picture, base.but(**own), together((*loras, *own_loras)))

        return side(first, own_loras[0]), side(second, own_loras[1])
