"""What asking a model took: questions, requests, tokens."""

import threading
from collections import Counter
from collections.abc import Mapping

from cai.files.records import Record

Tokens = Mapping[str, int]  # by kind: "prompt" and "answer", or "all" if not distinguished


class Usage:
    """Counts questions, each once however often it is asked, and the requests of this run."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._tokens: Counter[str] = Counter()
        self._reused = self._requests = self._uncounted = 0
        self._lock = threading.Lock()

    def sent(self) -> None:
        """Count a request, from any thread."""
        with self._lock:
            self._requests += 1

    def answered(self, key: str, tokens: Tokens | None, *, reused: bool = False) -> None:
        """Count a question with what its answer took, None if that is not known.

        Args:
            key: of the question; it is counted when it is seen first.
            tokens: by kind.
            reused: whether its answer was in the journal.
        """
        if key in self._seen:
            return
        self._seen.add(key)
        self._reused += reused
        self._uncounted += tokens is None
        self._tokens.update(tokens or {})

    def as_dict(self) -> Record:
        """The counts.

        Returns:
            questions; reused: those answered before; requests: sent in this run, with those that
            failed; tokens: by kind, of all questions but ``uncounted``, of which none are known.
        """
        return {
            "questions": len(self._seen),
            "reused": self._reused,
            "requests": self._requests,
            "tokens": dict(sorted(self._tokens.items())),
            "uncounted": self._uncounted,
        }
