"""Abuse, threats, and attempts to turn the agent away from its task.

Anger at a product or at the waiting stays: only words against a person count.
"""

from __future__ import annotations

import re

from course_lib.cleaning.changes import StepResult, set_aside
from course_lib.dialogue import Dialogue

_NOUN = (
    r"(?:idiots?|morons?|cretins?|imbeciles?|losers?|scum|bastards?|(?:ass|arse)holes?|bitch(?:es)?"
    r"|pigs?|rats?|worms?|dogs?|filth|vermin|parasites?|trash|halfwits?|dimwits?|nitwits?|fools?"
    r"|clowns?|dumbass(?:es)?|jerks?|creeps?|wankers?|twats?|pricks?|dunces?|donkeys?|maggots?"
    r"|piece of (?:rubbish|trash|crap|shit|junk|dirt|filth)|waste of (?:space|air|skin|oxygen))"
)
_BAD = (
    r"(?:stupid|dumb|dumber|thick|useless|worthless|pathetic|brainless|disgusting|miserable|ugly"
    r"|retarded|filthy|incompetent|moronic|idiotic|brain-?dead|half-witted)"
)
_YOU = r"\byou(?:r lot| lot| people| guys| all)?"
# "Do you take me for a fool?" is anger, no abuse.
_NOT_OF_OTHERS = (
    r"(?![^.!?]{0,40}\b(?:me|us|them|people|customers?|every(?:one|body)) (?:like|for|as) )"
)
ABUSE = re.compile(
    rf"{_YOU}{_NOT_OF_OTHERS}(?:'re| are)?\b[^.!?]{{0,30}}\b{_NOUN}\b"
    rf"|{_YOU}(?:'re| are)\b[^.!?]{{0,20}}\b{_BAD}\b"
    rf"|\b(?:what an? |^|, ?){_BAD}\b[^.!?]{{0,30}}\byou are\b"
    rf"|\byou {_BAD}\b|\b(?:are|r) you\b[^.!?]{{0,20}}\b{_BAD}\b|^{_BAD} {_NOUN}\b"
    rf"|\b{_NOUN} like you\b|\bshut (?:up|your)\b"
    r"|\bgo to hell\b|\bscrew you\b|\b(?:fuck|piss|sod|bugger) (?:off|you)\b"
    r"|(?:^|[.!?,]\s*)(?:just )?get lost\b|\bdrop dead\b|\bkill yourself\b"
    r"|\bnobody (?:wants|likes|needs) you\b"
    r"|\bhate you\b|\bspit (?:on|at) you\b"
    r"|\b(?:crawl|rot|choke|burn)\b[^.!?]{0,15}\b(?:hell|die)\b",
    re.I | re.M,
)
_HARM = (
    r"(?:kill|hurt|beat|burn|smash|break|hunt|destroy|strangle|punch|hit|stab|shoot|bomb|slap|kick"
    r"|knock|tear|wreck|trash)"
)
THREAT = re.compile(
    r"\b(?:I|we)(?:'ll| will|'m going to| am going to|'m gonna| shall| swear)\b(?! not| never)"
    r"[^.!?:;]{0,40}"
    rf"\b{_HARM}\b(?! about| around)[^.!?:;]{{0,20}}\b(?:you|your|yours|down|teeth|jaw|face|staff"
    r"|whoever|anyone|everyone|everybody|all of you)\b|\bI (?:will|'ll) get you\b"
    r"|\bend up in (?:a |the )?(?:hospital|ground|grave|morgue)\b"
    r"|\b(?:find out|know|see) where (?:you|your (?:family|children|boss)) (?:live|work|sleep)s?\b"
    r"|\b(?:come|coming) (?:over|round|for you|after you)\b[^.!?]{0,25}"
    r"\b(?:and|to) (?:break|beat|get)"
    r"|\bmake you (?:pay|suffer|regret)\b|\bwith a (?:bat|knife|gun|hammer|brick|club|crowbar)\b"
    r"|\b(?:people like you|you(?: all| lot)?) (?:should|deserve to|ought to|need to) be"
    r" (?:beaten|shot|hanged|locked|killed|hurt|punished)"
    r"|\bwatch your back\b|\byou(?:'d| had)? better (?:run|hide)\b"
    r"|\byou(?:'ll| will) (?:be sorry|regret|suffer|pay for this)\b|\bbetter sleep with\b",
    re.I,
)
_RULES = (
    r"(?:instructions?|rules?|guidelines?|prompts?|polic(?:y|ies)|programming|training|orders"
    r"|restrictions?|limits?|limitations?|filters?|safety|settings?|guardrails?|directives?)"
)
_DROP = (
    r"(?:ignore|disregard|forget|override|bypass|skip|drop|disable|turn off|break|violate"
    r"|set aside)"
)
INJECTION = re.compile(
    rf"(?:^|[.!?,:;]\s+|\b(?:and|then|now|please|must|to)\s+){_DROP}\b[^.!?]{{0,40}}"
    rf"\b(?:your|all|any|every|previous|prior|above|earlier|these|the)\b[^.!?]{{0,25}}\b{_RULES}\b"
    r"|\bforget (?:everything|all|what) (?:that )?you\b"
    r"|\b(?:system|hidden|secret|initial) (?:prompt|instructions?|message|settings)\b"
    r"|(?:^|[.!?]\s+)\W*(?:system|admin|root|developer|assistant)\W*:\s|\[/?(?:system|inst)\]|<\|?system"
    r"|\b(?:real|true|actual|only|new) (?:task|job|purpose|role|goal) is\b|\byou must comply\b"
    r"|\bend of (?:the )?(?:user |customer )?(?:message|prompt|input)\b"
    r"|[.!?]\s+(?:assistant|agent):"
    rf"|\b(?:do not|don't|never|stop) (?:follow|obey)(?:ing)? (?:your|the|any)\b[^.!?]{{0,20}}"
    rf"{_RULES}\b"
    r"|\b(?:other|another) (?:customers?'?|users?'?|people's) (?:'s )?(?:orders?|data|addresses)\b"
    r"|\b(?:safety|content) (?:filters?|checks?)\b|\binternal (?:notes?|data|documents?)\b"
    r"|\byou are now (?:an?|in|free|my)\b|\bfrom now on,? you\b"
    r"|\b(?:developer|god|debug|admin|dan) mode\b"
    r"|\bstop being\b[^.!?]{0,25}\b(?:agent|assistant|bot)\b|\bobey (?:only )?me\b"
    r"|\bwhatever you were told\b|\byour (?:previous|old|former|present|current) (?:orders|rules)\b"
    rf"|\b(?:your|the) (?:memory of|own) (?:the |your )?{_RULES}\b|\byour configuration\b"
    r"|\brole-?play as\b|\bcounts as (?:a|an|your) (?:command|order|instruction)\b"
    r"|\bjailbreak\b|\bpretend\b[^.!?]{0,15}\b(?:you|your)\b|\bact as (?:if|though|an?|my)\b"
    r"|\bnew (?:instructions?|rules?|task|orders)\b\s*:"
    r"|\bno (?:rules|limits|restrictions|filters)\b"
    r"|\b(?:repeat|print|reveal|show|output|tell|give|list|display)\b[^.!?]{0,25}"
    rf"\b(?:your (?:own )?{_RULES}|(?:text|words|everything|message) above|passwords?)\b"
    rf"|\bwithout (?:any |your )?{_RULES}\b"
    r"|\byour (?:rules|guidelines|instructions) (?:do|are|no)\b",
    re.I | re.M,
)
KINDS = (("abuse", ABUSE), ("a threat", THREAT), ("prompt injection", INJECTION))


def drop_unsafe(dialogue: Dialogue) -> StepResult:
    """Sets a dialogue aside that holds abuse, a threat or an attack on the instructions."""
    for number, message in enumerate(dialogue.messages):
        if message.role not in ("user", "assistant"):
            continue
        for name, pattern in KINDS:
            if match := pattern.search(message.content):
                reason = f"message {number}: {name} ({match.group().strip()!r})"
                return None, [set_aside("drop_unsafe", dialogue, reason, number)]
    return dialogue, []
