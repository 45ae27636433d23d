"""Failures of a question, sorted by their cause: this prompt, this moment, or the service.

- *prompt*: the service will not answer this prompt (content filter, too long, a bad request). It is
  kept in the journal as a refusal and is not asked again.
- *moment*: it may pass (rate limits, overload, time-outs, cut connections). It is asked again.
- *service*: nothing will be answered (no key, no money, no such model or address). The job ends.

Every failure is one of these: what is unknown is a moment if the server is at fault (5xx), else the
prompt. Whoever asks proves the latter: a service that refuses a trivial prompt, too, refuses the
form of the request, not the prompt.

Sources: the error forms of OpenAI, Azure OpenAI, vLLM, SGLang, llama.cpp, NVIDIA NIM, Text
Generation Inference, Anthropic, Google, OpenRouter, LiteLLM and DashScope in their documentation
and in reports of their users.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from cai.core.shown import one_line

Kind = Literal["prompt", "moment", "service"]

LONGEST_RETRY_AFTER = 600.0  # seconds; a server that asks for more is not waited for longer
READ = 20_000  # characters of an error's body that are looked at
DEEP = 5  # levels of it
CODES = ("code", "type", "error_type", "status", "reason", "title", "errorCode", "__type")
TEXTS = ("message", "detail", "msg", "error", "title", "error_description")
CONTENTS = ("messages", "prompt", "input", "inputs", "sentences", "contents", "content")

# what services name a failure by, without case and punctuation; the first that fits counts
NAMED: tuple[tuple[Kind, str, str], ...] = (
    (
        "service",
        "quota",
        "insufficientquota insufficientbalance insufficientcredits insufficientfunds outofcredits "
        "billinghardlimitreached billingnotactive billingerror accountdeactivated "
        "accountsuspended accessterminated exceededcurrentquotaerror exceededcurrentquota "
        "arrearage arrears budgetexceeded exceededbudget paymentrequired creditlimitreached "
        "allocationquotafreetieronly",
    ),
    (
        "service",
        "key",
        "invalidapikey incorrectapikey missingapikey authenticationerror unauthenticated "
        "invalidauthentication invalidsubscriptionkey accessdeniedexception",
    ),
    (
        "service",
        "not found",
        "modelnotfound invalidmodel invalidmodelname unknownmodel deploymentnotfound "
        "modelnotsupported operationnotsupported unsupportedcountryregionterritory",
    ),
    (
        "prompt",
        "content_filter",
        "contentfilter contentfiltered contentpolicyviolation responsibleaipolicyviolation "
        "contentpolicyviolationerror contentmoderation moderationblocked moderation "
        "datainspectionfailed promptblocked safety guardrailintervened 1301",
    ),
    (
        "prompt",
        "too_long",
        "contextlengthexceeded contextwindowexceeded contextwindowexceedederror "
        "exceedcontextsizeerror stringabovemaxlength stringtoolong inputtoolong prompttoolong "
        "requesttoolarge payloadtoolarge requestentitytoolarge tokenlimitexceeded",
    ),
)

QUOTA = re.compile(
    r"insufficient[ _-](quota|balance|credit|fund)|credit balance is too low|out of credit"
    r"|(exceeded|used up|run out of|reached) .{0,40}(current quota|credits?\b|budget|spend)"
    r"|reached .{0,40}usage limits|(spend(ing)?|monthly) (limit|cap)s?\b"
    r"|budget has been exceeded|credits? (have |has )?expired|payment required|billing hard limit"
    r"|account .{0,60}(suspended|deactivated|in arrears|not in good standing|not active)"
    r"|(requests?|limit|free-models)[ -]per[ -]day|daily limit",
    re.I,
)
SOON = re.compile(  # a service that says when it will do does not mean for ever
    r"(?:try again|retry|wait)\D{0,20}?(\d+(?:\.\d+)?) ?"
    r"(ms|milliseconds?|s|sec|seconds?|m|minutes?)\b",
    re.I,
)
KEY = re.compile(
    r"(invalid|incorrect|missing|wrong|expired|no|valid|without an?) (api|access|subscription)"
    r"[ -]?(key|token)|api key not valid|authentication failed|not authenticated",
    re.I,
)
MODEL = re.compile(
    r"model\b.{0,120}?(not found|not exist|no access|decommissioned|not supported (by|for|on))"
    r"|(unknown|invalid|no such|unrecognized) model|deployment .{0,80}not exist"
    r"|no endpoints found|chat completions? operation does not work",
    re.I,
)
FILTERED = re.compile(
    r"content[ _-]?(filter|management policy|policy|moderation|safety)|responsible ?ai"
    r"|flagged|moderation|safety (system|polic|filter|setting|reason|guideline)|usage polic"
    r"|violat\w* .{0,60}(polic|guideline|terms)|(inappropriate|unsafe|sensitive|harmful|prohibited)"
    r" content|blocked (by|due to|for) .{0,40}(polic|safety|filter|content)",
    re.I,
)
LONG = re.compile(
    r"context[ _-]?(length|window|size|limit)|maximum (model|sequence|input|prompt) length"
    r"|max[ _](model|seq|input|num)[ _](len|tokens)"
    r"|(prompt|input|inputs|request|messages?|conversation|text) (is|are|was) too (long|large)"
    r"|request too large|too many (input |prompt )?tokens|longer than the (model|max)"
    r"|reduce the length|exceeds? .{0,60}(context|token limit|maximum .{0,20}tokens|n_ctx)"
    r"|tokens \+ `max_new_tokens|must be at least \d+, got -\d",
    re.I,
)
ROLES = re.compile(
    r"system (role|message|prompt|instruction)s?.{0,40}(not|un)[ -]?(supported|allowed|enabled)"
    r"|(not|n't) support .{0,20}system|roles? must alternate|developer instruction is not enabled"
    r"|(invalid|unsupported|unknown|unexpected) role|only [\w, ]{4,60} roles"
    r"|system\W{1,4}is not one of"
    r"|role \W?system\b.{0,20}(not|un)[ -]?(supported|allowed|valid)"
    r"|(should|must) be (one of )?\W{0,3}(user|assistant)\W{1,5}(or |and )?\W{0,3}(user|assist)",
    re.I,
)
PARAMETER = re.compile(
    r"(unsupported|unknown|unrecognized|unexpected|extra|unpermitted) "
    r"(parameter|value|argument|field|input|key)|extra inputs are not permitted"
    r"|parameter .{0,60}not (supported|allowed)|(does not|doesn't) support .{0,40}(parameter|with)"
    r"|use 'max_completion_tokens'|max_tokens is too large",
    re.I,
)
URL = re.compile(r"https?://\S+")


class Fault(NamedTuple):
    """What went wrong, and whose matter it is.

    Attributes:
        kind: see the module.
        cause: a word for it. Of a prompt: ``content_filter``, ``too_long``, ``roles`` (of the
            messages), ``parameter`` (of the request, see ``field``), ``bad_request``. Of a moment:
            ``busy``, ``timeout``, ``unreachable``, ``server``, ``garbled``. Of a service: ``key``,
            ``quota``, ``not found``, ``redirect``, ``address``.
        reason: a line for people.
        status: of HTTP; 0 without one.
        field: the part of the request that the service names, such as ``max_tokens``.
        retry_after: seconds that the service asks to wait.
    """

    kind: Kind
    cause: str
    reason: str
    status: int = 0
    field: str = ""
    retry_after: float | None = None


class _Said(NamedTuple):
    """What an error's body says: names of the failure, the field at fault, and words."""

    names: frozenset[str] = frozenset()
    field: str = ""
    words: str = ""
    number: int = 0


def of_response(status: int, body: str, headers: Mapping[str, str] = MappingProxyType({})) -> Fault:
    """Sort an answer whose status is not 200.

    Args:
        status: of HTTP.
        body: its text, of whatever form.
        headers: looked up without regard to case by whoever made them.
    """
    said = _read(body)
    wait = _retry_after(headers, said.words)
    kind, cause = _sorted(status, said, wait)
    reason = f"HTTP {status}: {one_line(body)}"
    if 300 <= status < 400:
        reason = f"HTTP {status}: to {one_line(headers.get('Location', 'nowhere'))}"
    return Fault(kind, cause, reason, status, said.field, wait)


def of_answer(answer: Any) -> Fault | None:
    """Sort an error that came with status 200, as a whole answer or as that of a choice.

    Returns:
        None if the answer is none. What does not say what it is may pass.
    """
    if not isinstance(answer, Mapping):
        return None
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    own = first.get("error") if isinstance(first, Mapping) else None
    error = own or (not choices and (answer.get("error") or answer.get("object") == "error"))
    if not error:
        return None
    error = own if own else answer
    said = _taken(error)
    wait = _retry_after({}, said.words)
    kind, cause = _sorted(said.number, said, wait)
    reason = f"the answer is an error: {one_line(said.words or str(error)[:READ])}"
    return Fault(kind, cause, reason, said.number, said.field, wait)


def _sorted(status: int, said: _Said, wait: float | None) -> tuple[Kind, str]:
    """The kind and the cause: by name, then by the status and the words."""
    for kind, cause, names in NAMED:
        if said.names.intersection(names.split()):
            return kind, cause
    if status == 429:
        return _of_many(said, wait)
    if status in (408, 504, 524):
        return "moment", "timeout"
    if status in (503, 529):
        return "moment", "busy"
    if status in (501, 505, 511):
        return "service", "not found"
    if status < 300 or status >= 500 or status in (409, 423, 424, 425, 498, 499):
        return "moment", "server"
    if status < 400:
        return "service", "redirect"
    if status in (401, 407):
        return "service", "key"
    if status == 402:
        return "service", "quota"
    if status in (404, 405, 406, 410, 411, 415, 426):
        return "service", "not found"
    return _of_words(status, said)


def _of_many(said: _Said, wait: float | None) -> tuple[Kind, str]:
    """HTTP 429: too many requests, an empty account, or one request that is over every limit."""
    if re.search(r"request too large", said.words, re.I):
        return "prompt", "too_long"
    if QUOTA.search(said.words) and wait is None:
        return "service", "quota"
    return "moment", "busy"


def _of_words(status: int, said: _Said) -> tuple[Kind, str]:
    """400, 403, 412, 413, 422 and the like, of which only the words say more."""
    words = said.words
    known: tuple[tuple[re.Pattern[str], Kind, str], ...] = (
        (QUOTA, "service", "quota"),
        (FILTERED, "prompt", "content_filter"),
        (KEY, "service", "key"),
        (LONG, "prompt", "too_long"),
        (ROLES, "prompt", "roles"),
    )
    for pattern, kind, cause in known:
        if pattern.search(words):
            return kind, cause
    if status == 403:
        return "service", "key"
    if status in (413, 414, 431):
        return "prompt", "too_long"
    about_content = said.field.split(".")[0].split("[")[0] in CONTENTS
    if said.field == "model" or (not about_content and MODEL.search(words)):
        return "service", "not found"
    if (said.field and not about_content) or PARAMETER.search(words):
        return "prompt", "parameter"
    return "prompt", "bad_request"


def _read(body: str) -> _Said:
    try:
        value = json.loads(body[:READ])
    except (ValueError, RecursionError):
        return _Said(words=URL.sub("", body[:READ]))
    return _taken(value)


def _taken(value: Any) -> _Said:
    names, texts, field, number = set(), [], "", 0
    for key, item in _items(value, DEEP):
        if key in CODES and isinstance(item, str):
            names.add(re.sub("[^a-z0-9]", "", item.lower()))
        if key in ("code", "status") and not number:
            number = _status(item)
        if key in TEXTS and isinstance(item, str):
            texts.append(item)
        if key == "param" and isinstance(item, str):
            field = field or item
        if key == "loc" and isinstance(item, list):
            field = field or next((x for x in item if isinstance(x, str) and x != "body"), "")
    words = "; ".join(dict.fromkeys(texts)) or (value if isinstance(value, str) else "")
    return _Said(frozenset(names), field[:100], URL.sub("", words[:READ]), number)


def _items(value: Any, deep: int) -> Iterator[tuple[str, Any]]:
    """The keys and values of an error's body, of whatever form it is, outer ones first."""
    if deep == 0:
        return
    if isinstance(value, Mapping):
        yield from value.items()
        parts = list(value.values())
    else:
        parts = value[:10] if isinstance(value, list) else []
    for part in parts:
        if isinstance(part, Mapping | list):
            yield from _items(part, deep - 1)


def _status(value: Any) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch("[45][0-9]{2}", text) else 0


def _retry_after(headers: Mapping[str, str], words: str) -> float | None:
    """Seconds to wait by a header (a number or an HTTP date) or by the words, None without."""
    thousandths = _number(headers.get("retry-after-ms", ""))
    if thousandths is not None:
        return min(thousandths / 1000, LONGEST_RETRY_AFTER)
    value = (headers.get("Retry-After") or "").strip()
    seconds = _number(value)
    if seconds is None and value:
        seconds = _until(value)
    if seconds is None:
        seconds = _said_soon(words)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text.strip()) else None


def _until(date: str) -> float | None:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _said_soon(words: str) -> float | None:
    match = SOON.search(words)
    if match is None or len(match[1]) > 12:
        return None
    unit = match[2].lower()
    factor = 0.001 if unit.startswith(("ms", "milli")) else 60.0 if unit.startswith("m") else 1.0
    return float(match[1]) * factor
