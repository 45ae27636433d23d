"""Conversations with one model or with several side by side, on a terminal or through pipes."""

import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai.asking.chat_model import ChatModel, derived_seed
from cai.asking.client import Failed
from cai.core.errors import fail_if
from cai.core.shown import shown
from cai.core.texts import encodable
from cai.models.sampling import Sampling
from cai.models.templates import Message

COMMANDS = "/reset begins a new conversation, /quit (or the end of the input) ends"
CUT = " [...]"  # after an answer that reached the longest length


class Speaker:
    """A model in a conversation, which sees the questions and its own answers.

    With ``forgets`` it sees the latest question alone.

    Raises:
        UserError: a system text for a model whose template has no place for one.
    """

    def __init__(
        self, name: str, model: ChatModel, system: str | None = None, *, forgets: bool = False
    ) -> None:
        fail_if(
            system is not None and not model.template.system,
            f"option --system: the template of {name} has no system turn",
        )
        self.name = name
        self._model = model
        self._forgets = forgets
        self._opening: list[Message] = (
            [] if system is None else [{"role": "system", "content": system}]
        )
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self._messages = list(self._opening)

    def answer(self, question: str, sampling: Sampling, seed: int) -> str:
        """The answer as it is shown; a question that failed is not remembered."""
        said: Message = {"role": "user", "content": encodable(question)}
        asked: list[Message] = [*self._messages, said]
        [reply] = self._model.replies([asked], sampling, seed, None)
        if isinstance(reply, Failed):
            return f"(no answer: {shown(reply.reason)}; {COMMANDS})"
        if not self._forgets:
            self._messages = [*asked, {"role": "assistant", "content": reply.text}]
        return shown(reply.text) + (CUT if reply.finish == "length" else "")


def converse(speakers: Sequence[Speaker], sampling: Sampling, seed: int) -> None:
    """Read questions from standard input, one a line, until it ends."""
    for turn, line in enumerate(_lines()):
        if line == "/quit":
            return
        if line == "/reset":
            for speaker in speakers:
                speaker.reset()
        elif line.startswith("/"):
            print(COMMANDS)
        elif line:
            ask(speakers, line, sampling, derived_seed(seed, turn))


def ask(speakers: Sequence[Speaker], question: str, sampling: Sampling, seed: int) -> None:
    """Put one question to every speaker and show the answers."""
    console = Console()
    with console.status("..."):
        answers = [(s.name, s.answer(question, sampling, seed)) for s in speakers]
    if len(answers) == 1:
        print(answers[0][1], flush=True)
    elif console.is_terminal:
        console.print(_side_by_side(answers))
    else:
        print("\n".join(f"[{name}] {text}" for name, text in answers), flush=True)


def _side_by_side(answers: Sequence[tuple[str, str]]) -> Table:
    table = Table(show_lines=True, expand=True)
    for name, _ in answers:
        table.add_column(name, ratio=1, overflow="fold")
    table.add_row(*(Text(text) for _, text in answers))  # an answer's [brackets] are no markup
    return table


def _lines() -> Iterator[str]:
    terminal = sys.stdin.isatty()
    if terminal:
        import readline  # noqa: F401 - gives input() its editing and its history

        print(COMMANDS)
    while True:
        try:
            line = input("> " if terminal else "").strip()
        except (EOFError, KeyboardInterrupt):
            print("\n" * terminal, end="")
            return
        if line and not terminal:
            print(f"> {shown(line)}")  # so that an answer is under its question
        yield line
