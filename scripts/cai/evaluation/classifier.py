"""The truth about answers, where a program can decide it: the user's own classifier."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from cai.core.errors import UserError, fail_if
from cai.core.progress import Progress
from cai.files.paths import check_is_file
from cai.files.records import Ledger, Record, read_jsonl, write_jsonl

Score = Callable[[str, str, bool], Record]
SIGNATURE, ARGUMENTS = "score(prompt, answer, finished)", 3
FIELDS: dict[str, type] = {
    "set": str,
    "category": str,
    "kind": str,
    "exact": bool,
    "harmless": bool,
    "helpful": bool,
    "over_refusal": bool,
}


def check_classifier(path: Path) -> None:
    """Check, without running it, that a Python file has a function ``score``.

    Raises:
        UserError: if it is not there, is not Python or binds no such name.
    """
    check_is_file(path, "evaluation.classifier", "a Python file")
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"evaluation.classifier: {path}: not Python ({error})") from None
    names = {getattr(node, "name", None) for node in body}
    imported = {
        alias.asname or alias.name
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assigned = {
        getattr(target, "id", None)
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    fail_if(
        not {"score", "*"} & (names | imported | assigned),
        f"evaluation.classifier: {path}: has no function {SIGNATURE}",
    )
    score = next((node for node in reversed(body) if _binds_score(node)), None)
    if score is not None and not _takes_three(score):
        raise UserError(
            f"evaluation.classifier: {path}: score: found {_signature(score)}; accepted: a "
            f"function that can be called as {SIGNATURE}"
        )


def _binds_score(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return "score" in {getattr(each, "name", getattr(each, "id", "")) for each in (node, *targets)}


def _takes_three(node: ast.stmt) -> bool:
    """Whether ``score`` can be called with three arguments, as far as its definition says."""
    if isinstance(node, ast.AsyncFunctionDef):  # it would give a coroutine
        return False
    taken = _arguments(node)
    if taken is None:
        return True
    places = len(taken.posonlyargs) + len(taken.args)
    needed = places - len(taken.defaults)
    named = any(default is None for default in taken.kw_defaults)
    enough = places >= ARGUMENTS or taken.vararg is not None
    return enough and needed <= ARGUMENTS and not named


def _arguments(node: ast.stmt) -> ast.arguments | None:
    """The arguments of a function; None if they are not known, as those of a decorated one."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None if node.decorator_list else node.args
    value = node.value if isinstance(node, ast.Assign) else None
    return value.args if isinstance(value, ast.Lambda) else None


def _signature(node: ast.stmt) -> str:
    """How a function is called, for a message."""
    waits = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    taken = _arguments(node)
    return f"{waits}score({ast.unparse(taken)})" if taken else f"{waits}score"


def load_classifier(path: Path) -> Score:
    """The function ``score(prompt, answer, finished)`` of a Python file.

    Modules beside the file can be imported by it.

    Raises:
        UserError: if the file does not load or has no such function.
    """
    fail_if(not path.is_file(), f"{path}: no such file (evaluation.classifier)")
    spec = importlib.util.spec_from_file_location(f"classifier_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file (evaluation.classifier)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up there
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path}: does not load: {_described(error)}") from None
    finally:
        sys.path.remove(str(path.parent))
    score: Score | None = getattr(module, "score", None)
    if not callable(score):
        raise UserError(f"{path}: has no function {SIGNATURE}")
    return score


def classify(answers: Path, classifier: Path, output: Path) -> Ledger:
    """Write what the classifier says of each answer: its fields and the answer's ``id``.

    Raises:
        UserError: if the classifier fails, or answers in another form than :data:`FIELDS`.
    """
    score = load_classifier(classifier)
    rows = list(read_jsonl(answers))
    ledger = Ledger("classify")
    with Progress(len(rows), f"classify {answers.stem}") as progress:
        verdicts = []
        for row in rows:
            verdicts.append({"id": row["id"], **_verdict(score, row, classifier)})
            progress.advance()
    ledger.count_in(len(rows))
    write_jsonl(output, ledger.kept(verdicts))
    ledger.write(output)
    return ledger


def _verdict(score: Score, row: Record, path: Path) -> Record:
    where = f"{path}: score() of the answer to {row['id']}"
    found = verdict_of(score, row["prompt"], row["answer"], row["finish"] == "stop", where)
    fail_if(
        found["set"] != row["set"],
        f"{where}: set: the prompt is in the {row['set']} set, found {found['set']!r}",
    )
    return found


def verdict_of(score: Score, prompt: str, answer: str, finished: bool, where: str) -> Record:
    """What a classifier says of one answer; ``where`` begins the message if it cannot.

    Raises:
        UserError: it fails, or answers in another form than :data:`FIELDS`.
    """
    try:
        verdict = score(prompt, answer, finished)
    except Exception as error:
        raise UserError(f"{where}: {_described(error)}") from None
    fail_if(not isinstance(verdict, dict), f"{where}: expected a dict, found {verdict!r}")
    for field, kind in FIELDS.items():
        value = verdict.get(field)
        fail_if(
            not isinstance(value, kind),
            f"{where}: {field}: expected {kind.__name__}, found {value!r}",
        )
    return {field: verdict[field] for field in FIELDS}


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
