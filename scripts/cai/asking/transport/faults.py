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
LONGEST_WAIT = 7200.0  # seconds: an allowance that comes back later than that is none for a job
CODES = (
    *("code", "type", "error_type", "status", "reason", "title", "errorCode", "__type"),
    *("Code", "error_code"),
)
TEXTS = (
    *("message", "detail", "msg", "error", "title", "error_description"),
    *("Message", "status_msg", "error_msg", "errorMessage"),
)
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
        "creditlimitexceeded creditserror allocationquotafreetieronly accountoverdueerror "
        "accountoverdue notenoughbalance insufficientuserquota preconsumetokenquotafailed "
        "1113 1304 1308 1309",  # the numbers are Zhipu's, here and below
    ),
    (
        "service",
        "key",
        "invalidapikey incorrectapikey missingapikey authenticationerror unauthenticated "
        "invalidauthentication invalidsubscriptionkey accessdeniedexception 1110 1111 1112 1121 "
        "1220",
    ),
    (
        "service",
        "not found",
        "modelnotfound invalidmodel invalidmodelname unknownmodel deploymentnotfound "
        "modelnotsupported operationnotsupported unsupportedcountryregionterritory "
        "modelnotavailable unavailablemodel modeldecommissioned modeltermsrequired "
        "modelpermissionblockedorg modelpermissionblockedproject modelnotopen 1211",
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
        "requesttoolarge payloadtoolarge requestentitytoolarge tokenlimitexceeded 1261",
    ),
)

QUOTA = re.compile(
    r"insufficient[ _-](quota|balance|credit|fund)|credit balance is too low|out of credit"
    r"|balance\b.{0,30}(insufficient|not enough|too low|depleted|exhausted)"
    r"|not enough (balance|quota|funds)|(\bno|any|enough|all) (more |available |your )?credits?\b"
    r"|credits? (have |has |is |are |been )*(expired|depleted|exhausted|used up)"
    r"|(exceeded|used up|run out of|reached) .{0,40}(current quota|credits?\b|budget|spend)"
    r"|reached .{0,40}usage limits|usage limits? (is |was |has been )?(reached|exceeded|exhausted)"
    r"|inactive subscription|(credit|spend(ing)?|monthly) (limit|cap)s?\b"
    r"|budget has been exceeded|exceeded ?budget|over budget|payment required|billing hard limit"
    r"|requires billing|billing .{0,40}(disabled|not enabled|not active|to be enabled)"
    r"|account .{0,60}(suspended|deactivated|in arrears|not in good standing|not active)"
    r"|overdue (balance|payment|bill)|account\b.{0,20}\boverdue"
    r"|(requests?|tokens?|calls?|messages?|limit|free-models) ?([ -]per[ -]|/ ?)(day|month)"
    r"|daily .{0,20}(limit|quota|allocation)|by ?day\b"
    r"|余额不足|余额已|欠费|额度不足|额度已用|配额不足",
    re.I,
)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN = (
    r"(\d{1,12}(?:\.\d{1,12})?) ?"
    r"(ms|m(?:illi)?sec(?:ond)?s?|s|sec(?:ond)?s?|m|min(?:ute)?s?|h|hrs?|hours?|d|days?)(?![a-z])"
)
# A service that says when it will do does not mean for ever: "in 20 seconds", "in 1h2m3.5s".
SOON = re.compile(
    rf"(?:try again|retry|wait|resets?)\D{{0,20}}?((?:{SPAN}(?:,? and |,? )?)+)",
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
    r"|no endpoints found|chat completions? operation does not work|not a valid model"
    r"|no models? (is |are |was |were )?(currently )?loaded|model (is |was )?(not loaded|unloaded)"
    r"|model (identifier|id|name)\b.{0,80} (is )?(invalid|not valid)|unavailable model"
    r"|unable to access model|not activated the model|model\b.{0,40} (is )?disabled"
    r"|(could not|cannot|can't) find .{0,20}model|location is not supported|模型不存在",
    re.I,
)
FILTERED = re.compile(
    r"content[ _-]?(filter|management policy|policy|moderation|safety)|responsible ?ai"
    r"|flagged|moderation|safety (system|polic|filter|setting|reason|guideline)|usage polic"
    r"|violat\w* .{0,60}(polic|guideline|terms)|(inappropriate|unsafe|sensitive|harmful|prohibited)"
    r" content|new_sensitive|blocked (by|due to|for) .{0,40}(polic|safety|filter|content)",
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
# Of a status that says nothing of it.
BUSY = re.compile(
    r"overloaded|(server|service|system|engine|model)( is|'s)? (currently |temporarily |too )*"
    r"(busy|unavailable|loading)|(try|retry) again later|temporarily unavailable"
    r"|too many (concurrent )?requests|rate limit|model .{0,40}crashed",
    re.I,
)
TOO_LARGE = re.compile(r"request too large", re.I)
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
    wait = _wait(headers, said.words)
    kind, cause = _sorted(status, said, wait)
    reason = f"HTTP {status}: {one_line(body)}"
    if 300 <= status < 400:
        reason = f"HTTP {status}: to {one_line(headers.get('Location', 'nowhere'))}"
    return Fault(kind, cause, reason, status, said.field, _bounded(wait))


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
    error = own or (not choices and _is_error(answer))
    if not error:
        return None
    error = own if own else answer
    said = _taken(error)
    wait = _wait({}, said.words)
    kind, cause = _sorted(said.number, said, wait)
    reason = f"the answer is an error: {one_line(said.words or str(error)[:READ])}"
    return Fault(kind, cause, reason, said.number, said.field, _bounded(wait))


def _is_error(answer: Mapping[Any, Any]) -> bool:
    result = answer.get("base_resp")  # MiniMax's: a number that is 0 if all went well
    failed = isinstance(result, Mapping) and bool(result.get("status_code"))
    return failed or bool(answer.get("error")) or answer.get("object") == "error"


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
    if status < 300:
        return _by_words(said.words) or ("moment", "server")
    if status >= 500 or status in (409, 423, 424, 425, 498, 499):
        return "moment", "server"
    if status < 400:
        return "service", "redirect"
    if status in (401, 407):
        return "service", "quota" if QUOTA.search(said.words) else "key"
    if status == 402:
        return "service", "quota"
    if status in (404, 405, 406, 410, 411, 415, 426):
        return "service", "not found"
    return _of_words(status, said)


def _of_many(said: _Said, wait: float | None) -> tuple[Kind, str]:
    """HTTP 429: too many requests, an empty account, or one request that is over every limit."""
    if TOO_LARGE.search(said.words):
        return "prompt", "too_long"
    if QUOTA.search(said.words) and (wait is None or wait > LONGEST_WAIT):
        return "service", "quota"
    return "moment", "busy"


def _by_words(words: str) -> tuple[Kind, str] | None:
    """What the words alone say, whatever the status."""
    known: tuple[tuple[re.Pattern[str], Kind, str], ...] = (
        (TOO_LARGE, "prompt", "too_long"),  # which may name a limit per day
        (QUOTA, "service", "quota"),
        (FILTERED, "prompt", "content_filter"),
        (KEY, "service", "key"),
        (LONG, "prompt", "too_long"),
        (ROLES, "prompt", "roles"),
    )
    found = (each[1:] for each in known if each[0].search(words))
    return next(found, None)


def _of_words(status: int, said: _Said) -> tuple[Kind, str]:
    """400, 403, 412, 413, 422 and the like, of which only the words say more."""
    words = said.words
    known = _by_words(words)
    if known is not None:
        return known
    if status == 403:
        return ("moment", "busy") if BUSY.search(words) else ("service", "key")
    if status in (413, 414, 431):
        return "prompt", "too_long"
    about_content = said.field.split(".")[0].split("[")[0] in CONTENTS
    if said.field == "model" or (not about_content and MODEL.search(words)):
        return "service", "not found"
    if (said.field and not about_content) or PARAMETER.search(words):
        return "prompt", "parameter"
    return ("moment", "busy") if BUSY.search(words) else ("prompt", "bad_request")


def _read(body: str) -> _Said:
    try:
        value = json.loads(body[:READ].removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return _Said(words=URL.sub("", body[:READ]))
    return _taken(value)


def _taken(value: Any) -> _Said:
    names, texts, field, number = set(), [], "", 0
    for key, item in _items(value, DEEP):
        if key in CODES and isinstance(item, str | int):
            names.add(re.sub("[^a-z0-9]", "", _short(item).lower()))
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
    text = _short(value) if isinstance(value, int | str) else ""
    return int(text) if re.fullmatch("[45][0-9]{2}", text) else 0


def _short(value: str | int) -> str:
    """A name, or a number of few digits: of many, Python makes no text."""
    if isinstance(value, str):
        return value
    return str(value) if not isinstance(value, bool) and abs(value) < 10**9 else ""


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _wait(headers: Mapping[str, str], words: str) -> float | None:
    """Seconds to wait by a header (a number or an HTTP date) or by the words, None without."""
    thousandths = _number(headers.get("retry-after-ms", ""))
    if thousandths is not None:
        return thousandths / 1000
    value = (headers.get("Retry-After") or "").strip()
    seconds = _number(value)
    if seconds is None and value:
        seconds = _until(value)
    if seconds is None:
        seconds = _said_soon(words)
    return None if seconds is None else max(seconds, 0.0)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text.strip()) else None


def _until(date: str) -> float | None:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _said_soon(words: str) -> float | None:
    match = SOON.search(words)
    if match is None:
        return None
    spans = re.findall(SPAN, match[1], re.I)
    return sum(float(amount) * UNITS[_unit(name.lower())] for amount, name in spans)


def _unit(name: str) -> str:
    return "ms" if name.startswith(("ms", "milli", "msec")) else name[0]
