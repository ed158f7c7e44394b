"""Opens the store of the settings: for a command that reads it, and for runs that are recorded into it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speculatoviz.config import Settings, store_place
from speculatoviz.errors import StoreError
from speculatoviz.lab.store.recorder import Recorder
from speculatoviz.lab.store.runs import RunStore

log = logging.getLogger(__name__)


def open_store(settings: Settings) -> RunStore:
    """The store of the settings. Raises StoreError if it cannot be opened, or is switched off."""
    place = store_place(settings)
    if place is None:
        raise StoreError("The store of runs is switched off.", "Name it with --store, or leave out --store none.")
    return RunStore.open(place)


def store_for_recording(settings: Settings) -> RunStore | None:
    """The store that runs are recorded into; None if they are not.

    A store that the settings name must open: raises StoreError. The default one is reported in the log if it does not,
    and once when it is made, because prompts are kept in it.
    """
    place = store_place(settings)
    if place is None:
        return None
    new = settings.store is None and not Path(place).exists()
    try:
        store = RunStore.open(place)
    except StoreError as error:
        if settings.store is not None:
            raise
        log.warning("Runs are not recorded: %s", error)
        return None
    if new:
        log.warning("Runs are kept in %s, with their prompts and texts. --store none switches that off.", place)
    return store


def recorder_of(store: RunStore, settings: Settings) -> Recorder:
    """A recorder within the limits of the settings."""
    return Recorder(store, settings.store_runs, settings.store_bytes)


@contextmanager
def recording(settings: Settings) -> Iterator[Recorder | None]:
    """What runs are recorded by, until the end of the block; None if they are not. Raises as `store_for_recording`."""
    store = store_for_recording(settings)
    if store is None:
        yield None
        return
    recorder = recorder_of(store, settings)
    try:
        yield recorder
    finally:
        recorder.close()
        store.close()
