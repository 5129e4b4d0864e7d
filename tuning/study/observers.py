"""Who is told what becomes of a search's trials."""

import logging
from collections.abc import Iterable
from typing import Any

from tuning.study.trials import Observer

logger = logging.getLogger(__name__)


class Observers(list[Observer]):
    """Observers, told in their order; one that fails is reported once, and the search goes on."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        super().__init__(observers)
        self._muted: set[int] = set()

    def tell(self, event: str, *details: Any) -> None:
        """Call the method `event` of each."""
        for index, observer in enumerate(self):
            try:
                getattr(observer, event)(*details)
            except Exception as error:
                if index not in self._muted:
                    self._muted.add(index)
                    name = type(observer).__name__
                    logger.warning("%s failed and may miss trials: %r", name, error)
