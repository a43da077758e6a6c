"""Tidegate's redaction (consumer-fn/src/transform/redact.rs), as it is written in Python: expressions over the whole text. E-mail
addresses are found in ASCII only."""

import bisect
import re

SPELLED = re.compile(
    r"%(?:25)*(?P<percent>[0-9A-Fa-f]{2})?|\\+(?:u(?P<unicode>[0-9A-Fa-f]{4})|(?P<line>[nrt])(?=[0-9+(]))?"
    "|(?P<other>[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2010-\u2013\ufe63\u2212\u0660-\u0669\u06f0-\u06f9\uff01-\uff5e"
    "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u20e3])"
)
EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])")
RUN = re.compile(r"\b[0-9](?:[ .\x1f-]?[0-9]){12,}\b", re.ASCII)
GROUP = re.compile("[0-9]+")
PHONE = re.compile(
    r"""\+ [1-9][0-9]{0,14} (?: [\ ./\x1f-]? \(? [0-9]{1,12} \)? ){0,6} \b
      | (?: \b 1 [\ .\x1f-]? )? \( [0-9]{3} \) [\ .\x1f-]? [0-9]{3} [\ .\x1f-]? [0-9]{4} \b
      | \b (?: 1 [\ .\x1f-] )? [0-9]{3} [\ .\x1f-] [0-9]{3} [\ .\x1f-] [0-9]{4} \b
      | \b [0-9]{3} - [0-9]{4} \b""",
    re.ASCII | re.VERBOSE,
)
# What each character means that is spelled in another way than in ASCII.
MEANING = {
    **dict.fromkeys(map(chr, [0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000]), " "),
    **dict.fromkeys("\u2010\u2011\u2012\ufe63", "-"),
    **dict.fromkeys("\u2013\u2212", "\x1f"),
    **{chr(zero + digit): str(digit) for zero in (0x660, 0x6F0) for digit in range(10)},
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(chr, [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]), ""),
    **dict.fromkeys(map(chr, [*range(0xFE00, 0xFE10), 0xFEFF, 0x20E3]), ""),
}


def redact(text: str) -> str:
    for _ in range(8):
        found = find(text)
        if not found:
            break
        for start, end in reversed(found):
            text = f"{text[:start]}[REDACTED]{text[end:]}"
    return text


def find(text: str) -> list[tuple[int, int]]:
    if text.isascii() and "%" not in text and "\\" not in text:
        return found_in(text)
    spelled, here, there = spelling(text)

    def original(at: int) -> int:
        last = bisect.bisect_right(here, at) - 1
        return at if last < 0 else there[last] + at - here[last]

    return [(original(start), original(end)) for start, end in found_in(spelled)]


def found_in(text: str) -> list[tuple[int, int]]:
    found = [match.span() for match in EMAIL.finditer(text)] if "@" in text else []
    for more in (cards(text), phones(text)):
        found += [span for span in more if all(end <= span[0] or span[1] <= start for start, end in found)]
    return sorted(found)


def spelling(text: str) -> tuple[str, list[int], list[int]]:
    """The text in one spelling, and after each character that was spelled in another way: the index there and here."""
    pieces, length, here, there, copied = [], 0, [], [], 0
    for match in SPELLED.finditer(text):
        meaning = meant(match)
        if meaning is not None:
            pieces += text[copied : match.start()], meaning
            length += match.start() - copied + len(meaning)
            copied = match.end()
            here.append(length)
            there.append(copied)
    pieces.append(text[copied:])
    return "".join(pieces), here, there


def meant(match: re.Match) -> str | None:
    if match["other"]:
        return MEANING[match["other"]]
    if match["percent"]:
        char = chr(int(match["percent"], 16))
        return char if char.isascii() and (char.isprintable() and not char.isalnum() or char in " \t\n\f\r") else None
    if match["unicode"]:
        code = int(match["unicode"], 16)
        return None if 0xD800 <= code <= 0xDFFF else MEANING.get(chr(code), chr(code))
    return "\n" if match["line"] else None


def cards(text: str) -> list[tuple[int, int]]:
    found = []
    for run in RUN.finditer(text):
        groups = [group.span() for group in GROUP.finditer(text, *run.span())]
        for index, (start, _) in enumerate(groups):
            if found and start < found[-1][1]:
                continue
            ends = (end for _, end in reversed(groups[index : index + 5]))
            found += [(start, end) for end in ends if is_card(text[start:end])][:1]
    return found


def is_card(spelled: str) -> bool:
    digits = [int(char) for char in spelled if char.isdigit()]
    if len(spelled) > 23 or not 13 <= len(digits) <= 19 or not 2 <= digits[0] <= 6:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    if (sum(digits[-1::-2]) + sum(doubled)) % 10:
        return False
    groups = [len(group) for group in GROUP.findall(spelled)]
    separators = {char for char in spelled if not char.isdigit()}
    if len(separators) <= 1 and separators != {"."}:
        return all(digits >= 4 for digits in groups[:-1])
    in_fours = len(groups) >= 4 and groups[-1] <= 4 and all(digits == 4 for digits in groups[:-1])
    return in_fours or groups in ([4, 6, 4], [4, 6, 5])


def phones(text: str) -> list[tuple[int, int]]:
    found, at = [], 0
    while candidate := PHONE.search(text, at):
        if is_phone(text, *candidate.span()):
            found.append(candidate.span())
            at = candidate.end()
        else:
            at = candidate.start() + 1
    return found


def is_phone(text: str, start: int, end: int) -> bool:
    """Whether a candidate is a number of its own, not a piece of something longer."""
    digits = "0123456789"
    before = text[max(start - 2, 0) : start]
    if text[start] == "+":
        return sum(char in digits for char in text[start:end]) >= 8 and before[-1:] not in tuple(digits)
    if text[start] == "(":
        return True
    after = text[end : end + 2]
    in_chain_before = len(before) == 2 and before[0] in digits and before[1] in "-.\x1f"
    return not in_chain_before and not (len(after) == 2 and after[0] in "-.\x1f" and after[1] in digits)
