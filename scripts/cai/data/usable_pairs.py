"""Which comparisons are used, each once; a ledger counts the others, by the first reason."""

from collections.abc import Callable
from typing import TypeVar

from cai.data.dialogues import Malformed
from cai.files.records import Ledger, Record
from cai.models.tokens import LengthLimit

Pair = TypeVar("Pair")


class UsablePairs:
    """Looks at comparisons one after the other: malformed, equal, as a caller says, seen, too long.

    Args:
        ledger: counts what is not used.
        length: of a text.
        equal: the ledger's word for two texts that are the same.
        duplicate: its word for a comparison that was used before.
    """

    def __init__(
        self, ledger: Ledger, length: LengthLimit, *, equal: str = "", duplicate: str = ""
    ) -> None:
        self._ledger, self._length = ledger, length
        self._equal, self._duplicate = equal, duplicate
        self._seen: set[str] = set()

    def parsed(self, where: str, row: Record, parse: Callable[[Record], Pair]) -> Pair | None:
        """What ``parse`` makes of a record; None, and counted, if it is malformed."""
        try:
            return parse(row)
        except Malformed as error:
            self._ledger.drop(str(error), where=where, record=row)
            return None

    def uses(
        self, where: str, record: str, texts: tuple[str, str], key: str, other: str | None = None
    ) -> bool:
        """Whether a comparison is used.

        Args:
            where: its place.
            record: its id.
            texts: both sides.
            key: equal comparisons have the same.
            other: why it is left out, if the caller has a reason of its own.
        """
        reason = self._equal if texts[0] == texts[1] else other
        reason = reason or (self._duplicate if key in self._seen else None)
        if reason:
            self._ledger.leave_out(reason)
            return False
        if not self.fits(where, record, texts):
            return False
        self._seen.add(key)
        return True

    def fits(self, where: str, record: str, texts: tuple[str, str]) -> bool:
        """Whether both sides are short enough; if not, the comparison is counted."""
        fits = all(map(self._length.fits, texts))
        if not fits:
            self._ledger.drop("comparison too long", where=where, record=record, bad=False)
        return fits
