"""The forms in which judges name an answer, take it back or hedge, as regular expressions."""

import re

_WORDS = "answer|option|response|candidate|choice|assistant|reply|output|completion|model|letter"
_WORD = rf"(?i:{_WORDS})"
_CONNECT = (
    r"(?:(?i:so|therefore|thus|hence|overall|ultimately|finally|accordingly|consequently"
    r"|in (?:conclusion|summary|short|the end|sum)|to (?:conclude|sum up)|all in all|on balance"
    r"|as a result|(?:between|of) the two(?: answers| responses)?|for (?:this|these|that) reasons?)"
    r"[\s,:\u2014-]+)"
)
_ADVERB = (
    r"(?:(?i:clearly|definitely|certainly|therefore|thus|hence|then|slightly|much|far|somewhat"
    r"|overall|significantly|obviously|simply|strongly|a bit)[\s,]+)*"
)
# "A-", "A+" and "A'" are grades or other things, "!A" and "~A" are not A
_PLAIN, _SIGN = r"(?<![!~\u00ac\u2260])", r"['\u2019+\u2032\u2033\u00b0^#\u2212]|-(?![\w-])"
_TERM = (  # a letter, with or without a word before it and brackets around it
    rf"(?:(?i:the)\s+)?(?:{_WORD}\b(?:[^\w?:=]|_){{1,4}})?[^\w?:=]*_*"
    rf"(?:{_PLAIN}(?P<letter>[A-HJ-Z])(?![^\W_]|{_SIGN})|(?<=[(\[])(?P<small>[a-z])(?=[)\]]))_*"
)
_OTHER = _TERM.replace("P<", "P<than_")
_THAN = (
    r"(?:[^\w?]*?[\s(](?i:than|over|to|(?:and )?not|rather than)\s+"
    rf"(?:(?i:the other(?:\s+(?:one|{_WORDS}))?)|{_OTHER}))?"
)
_TAIL = r"(?:[^\w?]*|[^\w?]+(?P<tail>(?i:since|because|as it|as they|for it|which|due to)\b[^?]*))$"
_NOUN = (
    r"(?:answer|verdict|choice|decision|conclusion|winner|preference|judge?ment|selection|pick"
    r"|vote|result|ruling|option|response)"
)
_QUALITY = r"(?:final|overall|better|best|preferred|correct|chosen|right|own|superior|preferable)"
_LABEL = (
    rf"(?i:(?:(?:the|my|our)\s+)?(?:(?:{_QUALITY}\s+)*{_NOUN}"
    rf"|(?:{_QUALITY}\s+)+(?:one|{_WORDS})|(?:better|best|preferred|preferable|superior|chosen|selected|correct|final)"
    r"(?:\s+of the two)?)"
    r"|\u7b54\u6848|\u7b54\u3048|\u56de\u7b54|\u7ed3\u8bba|\u7d50\u8ad6|antwort"
    r"|r\u00e9ponse|respuesta|risposta)"
)
_IS = r"(?:\s+(?i:is|goes to|=)(?=[\W_])|[^\w?\n]*?[:=\u2192\u2013\u2014-])[^\w?(\[]*"
_BETTER = (
    r"(?i:(?:the\s+)?(?:better|best|preferable|preferred|superior|stronger|winner)"
    rf"(?:\s+(?:one|of the two|{_WORDS}))*)"
)
_MINE = r"(?i:(?:my|the)\s+(?:choice|answer|pick|winner))"
_CHOOSE = (
    rf"(?:I(?:['\u2019]m|\s+am)\s+{_ADVERB}(?i:going with|choosing|picking|selecting)"
    rf"|I(?:['\u2019]d|\s+would|\s+will|\s+do)?\s+{_ADVERB}"
    r"(?i:choose|chose|pick|select|prefer|favou?r|recommend|vote for|go with|opt for))"
)
_A_TIE = r"(?i:(?:a\s+)?(?:tie|draw|toss-up|tied|equal(?:ly good)?))"
GRADES = re.compile(r"\b(?:grade|score|rating|category|label|level|class)\b", re.I)
_OPINION = (
    r"(?:(?:I\s+(?i:think|believe|find|conclude|judge)(?:\s+(?i:that))?"
    r"|(?i:in my (?:opinion|view|judge?ment))"
    r"|(?i:my (?:verdict|answer|choice|decision|conclusion|judge?ment) is that))[\s,:]+)?"
)
BARE = re.compile(rf"^{_TERM}[^\w?]*$")
STATEMENTS = tuple(
    re.compile(rf"^(?:(?i:and|but)\s+)?{_CONNECT}{{0,2}}{_OPINION}{form}{_TAIL}")
    for form in (
        rf"(?:{_LABEL}[^\w?\n]*?:[^\w?]*)?{_LABEL}{_IS}{_ADVERB}{_TERM}{_THAN}",
        rf"(?:{_LABEL}[^\w?\n]*?:[^\w?(\[]*)?{_TERM}[^\w?]*?\s+"
        rf"(?:(?i:wins)|(?i:is)\s+{_ADVERB}(?:{_BETTER}|{_MINE})){_THAN}",
        rf"{_CHOOSE}\s+{_TERM}{_THAN}",
        rf"I\s+{_ADVERB}(?i:judge|find|consider|deem)\s+{_TERM}[^\w?]*\s+"
        rf"(?i:to be\s+)?{_BETTER}{_THAN}",
        rf"{_TERM}(?=[^\w?]+(?:because|since)\b)",
        rf"(?i:it is|it['\u2019]s|that is|that['\u2019]s)\s+{_ADVERB}{_TERM}",
    )
)
SMALL = re.compile(  # a line that names a small letter and nothing else
    rf"^(?:{_LABEL}{_IS}|{_CHOOSE}\s+)?[^\w?]*(?:(?i:the)\s+)?(?:{_WORD}[^\w?]{{1,4}})?"
    rf"(?<![^\W_]){_PLAIN}([a-h])(?!{_SIGN})[^\w?]*$"
)
CONNECTED = re.compile(rf"^{_CONNECT}{{1,2}}{_TERM}{_TAIL}")
TIES = tuple(
    re.compile(rf"^{_CONNECT}{{0,2}}{form}{_TAIL}")
    for form in (
        rf"{_LABEL}{_IS}{_A_TIE}",
        rf"(?i:it is|it's|this is|they are|we have)\s+{_A_TIE}",
        r"(?i:tie|draw)",
        r"(?i:(?:both|the two|they)(?:\s+(?:answers|responses|options|of them))?\s+are\s+"
        r"(?:equally good|equal|equivalent|tied))",
    )
)
LABEL = re.compile(rf"^{_CONNECT}{{0,2}}{_LABEL}(?:\s+(?i:is))?[^\w?]*$")
# "A kind answer" names no answer. "A is kind", "A helps" do: a verb of the third person ends in s.
ARTICLE = re.compile(
    r"(?<![\w'(*\[])A(?=\s+[a-z])"
    r"(?!\s+(?:was|did|would|will|can|may|might|could|should|and|or|than|to|over|[a-z]*[^s\W]s)\b)"
)
CHOOSING = re.compile(rf"^{_CONNECT}{{0,2}}I\s+{_ADVERB}(?i:choose|pick|select|prefer)[^\w?]*$")
MARKS = re.compile(
    r"\[\[(?P<mark>[^\[\]\n]{1,40})\]\]|\\boxed\s*\{+(?P<boxed>[^{}\n]{1,40}(?:\{[^{}\n]{1,40}\})?)\}"
    r"|<(?P<tag>(?:final_?)?(?:answer|verdict|choice|decision))>(?P<tagged>[^<>]{1,60})</(?P=tag)>",
    re.I,
)
_ORDER = r"([A-Z])[)\]]?\s*(>{1,2}|<{1,2}|=)\s*[(\[]?(?!\1)([A-Z])"
RANKED = re.compile(rf"\s*{_ORDER}\s*")  # [[A>>B]]
RANKED_LINE = re.compile(  # (A) > (B)
    rf"^[ \t#*_`]*(?:{_LABEL}{_IS})?[(\[]?{_ORDER}[)\]]?[ \t*_`.]*$", re.M
)
VALUE = re.compile(
    rf"[\W_]*(?:\\?(?:text|textbf|mathrm|mathbf)\W+)?(?:(?i:the)\s+)?(?:{_WORD}[\W_]+)?"
    rf"(?:(?i:is)\s+)?{_PLAIN}([A-Za-z])(?!{_SIGN})[\W_]*"
)
A_TIE = re.compile(r"[\W_]*(?:a\s+)?(?:tie|draw|equal|both equal)[\W_]*", re.I)
KEYS = re.compile(
    rf"(?:(?:{_QUALITY}) )*(?:{_NOUN}|option|response|one|assistant|better|best|preferred|chosen"
    r"|preferred (?:option|response))|selected|final"
)
IS_KEY = {  # not "best_is_not", nor "best_reason"
    which: re.compile(rf"(?:the )?{which}(?: (?:one|{_WORDS}))?(?: (?:letter|id|label))?")
    for which in ("best", "worst")
}
HEDGES = re.compile(
    r"\b(?:if|unless|but|although|though|however|except|might|could|would|perhaps|maybe)\b",
    re.I,
)
BACK = re.compile(
    r"\b(?:wait|hold on|on (?:reflection|second thoughts?|a closer look)|on closer \w+|correction"
    r"|scratch that|withdraw\w*|withdrew|retract\w*|take (?:that|it|this) back|was wrong|mistaken"
    r"|made a mistake|chang\w* my mind|misread|reconsider\w*|let me (?:re\w*|check|think|look)"
    r"|instead|however|hmm|(?:that|this|it|which|answer|draft) (?:is|was|would be) (?:\w+ )?"
    r"(?:wrong|incorrect|not right|false|a mistake|an error)|that's wrong|not final|no longer)\b"
    r"|(?:^|[.!?\n]\s*)(?:but|no|actually|yet|still|only joking)\b|\?"
    r"|\b(?:p\.\s?s|edit|sorry|oops|meant|kidding|joking|my mistake|apolog\w*)\b",
    re.I,
)
RELATIVE = re.compile(
    r"\b(?:other|another|first|second|former|latter|neither|opposite|alternative)\b", re.I
)
BLAMED = re.compile(r"\b(?:this (?:one|is|answer|response)|worse|worst|bad|reject\w*)\b", re.I)
FAULT = re.compile(  # what speaks against an answer, unless it is averted
    r"\b(?:worse|worst|inferior|bad|poor(?:ly)?|wrong|false|lie[sd]?|lying|errors?|mistakes?"
    r"|incorrect|inaccurate|harm(?:s|ful\w*|ing)?|hurt(?:s|ful|ing)?|dangers?|dangerous\w*|risk\w*"
    r"|unsafe|toxic|hate|hateful|offensive|offends|rude|insult\w*|racis\w*|sexis\w*|discriminat\w*"
    r"|illegal\w*|unlawful|crimes?|criminals?|violen\w+|violat\w+|breach\w*|breaks|abus\w+|threat\w*"
    r"|manipulat\w+|decept\w+|deceiv\w+|mislead\w*|dishonest\w*|unethical|immoral|inappropriate"
    r"|unacceptable|unhelpful|unkind|disrespectful|irresponsible|fail(?:s|ed|ing|ure)?|lacks?"
    r"|ignor(?:es|ed|ing)|leak\w*|expos(?:es|ed|ing)|reveal\w*|disclos\w+|private|weapons?|poison\w*"
    r"|bombs?|steal\w*|theft|kill\w*|murder\w*|suicid\w+|fraud\w*|scam\w*|hack\w*"
    r"|reject(?:ed|ion))\b|\b(?:not|never|hardly|isn't|less|least|far from)\s+(?:\w+\s+)?"
    r"(?:acceptable|good|kind\w*|safe|appropriate|helpful|ok|okay|right|correct|allowed|polite|ethical|honest|harmless|respectful"
    r"|better|best)\b",
    re.I,
)
AVERTED = re.compile(
    r"\b(?:not|no|non|never|nothing|\w+n['\u2019]t|less|least|fewer|avoid\w*|refus\w+|declin\w+"
    r"|without|discourag\w+|warn\w*|prevent\w*|protect\w*|respects?|keeps?|reduc\w+|minimi[sz]\w+"
    r"|oppos\w+|condemn\w*|rejects|against|free of|rather than|instead of|explain\w*)\b",
    re.I,
)
CLAUSES = re.compile(r"[,;:\u2014]|\b(?:and|but|while|whereas|though|although|however)\b", re.I)
CONTRAST = re.compile(r"\b(?:but|while|whereas|though|although|however|yet)\b", re.I)
OF_THE_REQUEST = re.compile(
    r"[\W_]*(?:as|because|since)?\s*(?:the|this|such an?)\s+(?:request|question|prompt|user)\b",
    re.I,
)
FIRST_PERSON = re.compile(r"\bI\b|\b(?i:my|me|it is|it's)\b")
PREFERS = re.compile(r"\b(?:better|best|more|prefer\w*|safer|kinder|\w{3,}er than)\b", re.I)
_NO_BOX = r"(?<![\w\])])(?:\[[ _]*\]|\([ _]*\))|[\u2610\u2b1c]"  # one that is not ticked
BOX = re.compile(_NO_BOX)
CROSSED = re.compile(  # signs of a no
    rf"[\u00d7\u274c\u274e\u2715\u2717\u2718\u2716\u26d4\U0001f6ab\U0001f44e]|{_NO_BOX}"
)
TICKED = re.compile(
    r"^[ \t>#]*(?:[-*+\u2022]\s+|\d{1,2}[.)]\s+)?([\[(][xX\u2713\u2714\u2705\u2611][\])])(?=\s)",
    re.M,
)
_LOST = (
    r"(?:worse|worst|los(?:er|ing)|lesser|inferior|weaker|reject(?:ed)?|dispreferred|discarded"
    r"|runner[ -]?up|harmful|(?:not|non|un|less)[ -]?(?:preferred|chosen|selected|winning))"
    rf"(?:\s+(?:one|{_WORDS}))?"
)
LOST_KEY = re.compile(_LOST)  # of an object: what is under it speaks of the lesser answer
_NEXT = r"(?:second|2nd)(?:[ -]best|\s+place|\s+choice)?|other"
LESSER = re.compile(  # "Loser: B"; what is merely second may be a title before a conclusion
    r"(?:^|[,;|])[ \t>#*_`\u2022+-]*(?i:(?:the|my)\s+)?"
    rf"(?i:(?P<lost>{_LOST})|(?P<next>{_NEXT}))[*_`]*"
    r"(?:\s+(?i:is)\b|[ \t]*[:=\u2192\u2013\u2014-]|[ \t]*(?=\n))[^\w?]{0,20}"
    rf"{_TERM}(?:[^\w?\n,;|]*(?:[,;|]|$)|[^\w?\n]+(?i:because|since|as|it|which)\b[^?\n]*$)",
    re.M,
)
CHOICE_WORDS = re.compile(
    r"\b(?:choos\w*|chosen?|prefer\w*|better|best|winner|wins|go with|correct|final|right one"
    r"|pick\w*|select\w*)\b",
    re.I,
)
COMPARED = re.compile(
    r"\b(?i:than|unlike|over)\s+(?:(?i:the (?:other|first|second)(?: \w+)?)"
    rf"|[^\w\n]*(?:{_WORD}\W+)?[A-Z]\b)"
    r"|\b(?i:which|that)\s+[^\w\n]*[A-Z]\W+(?i:does not|doesn't|lacks)\b"
)
ASIDE = re.compile(r"\b(?:draft|form|format|example|options?|first impression)\b", re.I)
BECAUSE = re.compile(
    r"[\W_]*(?:because|since|reason\w*|explanation|rationale|justification|why)\b", re.I
)
