"""Workers for processes of their own. They live here because a new process has to import them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from speculatoviz.errors import BadRequestError, ModelError


class Obedient:
    """Does what its methods are named after."""

    def __init__(self, name: str, progress: Callable[[str], None]) -> None:
        progress(f"loading {name}")
        if name == "missing":
            raise ModelError("There is no such model.", "Name another.")
        if name == "fatal":
            os._exit(3)
        self.name = name

    def echo(self, value: object) -> tuple[str, object]:
        return self.name, value

    def refuse(self) -> None:
        raise BadRequestError("That is not allowed.", "Ask for something else.")

    def pid(self) -> int:
        return os.getpid()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        """Nothing is held."""
