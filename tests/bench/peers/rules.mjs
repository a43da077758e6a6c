// Tidegate's redaction (consumer-fn/src/transform/redact.rs), as it is written in JavaScript: expressions over the whole text.
// E-mail addresses are found in ASCII only.

const OTHER_THAN_ASCII = /[^\x00-\x7f]|[%\\]/;
const SPELLED = new RegExp(
  String.raw`%(?:25)*(?<percent>[0-9A-Fa-f]{2})?|\\+(?:u(?<unicode>[0-9A-Fa-f]{4})|(?<line>[nrt])(?=[0-9+(]))?` +
    String.raw`|(?<other>[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2010-\u2013\ufe63\u2212\u0660-\u0669\u06f0-\u06f9\uff01-\uff5e` +
    String.raw`\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u20e3])`,
  "g",
);
const EMAIL = /[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])/g;
const RUN = /\b[0-9](?:[ .\x1f-]?[0-9]){12,}\b/g;
const PHONE = new RegExp(
  [
    String.raw`\+[1-9][0-9]{0,14}(?:[ ./\x1f-]?\(?[0-9]{1,12}\)?){0,6}\b`,
    String.raw`(?:\b1[ .\x1f-]?)?\([0-9]{3}\)[ .\x1f-]?[0-9]{3}[ .\x1f-]?[0-9]{4}\b`,
    String.raw`\b(?:1[ .\x1f-])?[0-9]{3}[ .\x1f-][0-9]{3}[ .\x1f-][0-9]{4}\b`,
    String.raw`\b[0-9]{3}-[0-9]{4}\b`,
  ].join("|"),
  "g",
);

export function redact(text) {
  for (let pass = 0; pass < 8; pass += 1) {
    const found = find(text);
    if (found.length === 0) break;
    let out = "";
    let copied = 0;
    for (const [start, end] of found) {
      out += `${text.slice(copied, start)}[REDACTED]`;
      copied = end;
    }
    text = out + text.slice(copied);
  }
  return text;
}

function find(text) {
  if (!OTHER_THAN_ASCII.test(text)) return foundIn(text);
  const { spelled, ends } = spelling(text);
  const original = (at) => {
    const [here, there] = ends.findLast(([here]) => here <= at) ?? [0, 0];
    return there + at - here;
  };
  return foundIn(spelled).map((range) => range.map(original));
}

function foundIn(text) {
  const found = text.includes("@") ? Array.from(text.matchAll(EMAIL), span) : [];
  for (const more of [cards(text), phones(text)]) {
    found.push(...more.filter(([start, end]) => found.every((other) => other[1] <= start || end <= other[0])));
  }
  return found.sort((one, other) => one[0] - other[0]);
}

const span = (match) => [match.index, match.index + match[0].length];

// The text in one spelling, and after each character that was spelled in another way: the index there and here.
function spelling(text) {
  let spelled = "";
  let copied = 0;
  const ends = [];
  for (const match of text.matchAll(SPELLED)) {
    const meaning = meant(match.groups);
    if (meaning === undefined) continue;
    spelled += text.slice(copied, match.index) + meaning;
    copied = match.index + match[0].length;
    ends.push([spelled.length, copied]);
  }
  return { spelled: spelled + text.slice(copied), ends };
}

function meant({ percent, unicode, line, other }) {
  if (other) return meaning(other.charCodeAt(0));
  if (percent) {
    const char = String.fromCharCode(parseInt(percent, 16));
    return /[\t\n\f\r -/:-@[-`{-~]/.test(char) ? char : undefined;
  }
  if (unicode) {
    const code = parseInt(unicode, 16);
    return code >= 0xd800 && code <= 0xdfff ? undefined : meaning(code);
  }
  return line ? "\n" : undefined;
}

function meaning(code) {
  const within = (first, last) => code >= first && code <= last;
  if ([0xa0, 0x1680, 0x202f, 0x205f, 0x3000].includes(code) || within(0x2000, 0x200a)) return " ";
  if (within(0x2010, 0x2012) || code === 0xfe63) return "-";
  if (code === 0x2013 || code === 0x2212) return "\x1f";
  if (within(0x660, 0x669)) return String(code - 0x660);
  if (within(0x6f0, 0x6f9)) return String(code - 0x6f0);
  if (within(0xff01, 0xff5e)) return String.fromCharCode(code - 0xfee0);
  const isNotSeen =
    [0xad, 0xfeff, 0x20e3].includes(code) ||
    within(0x200b, 0x200f) || within(0x202a, 0x202e) || within(0x2060, 0x2069) || within(0xfe00, 0xfe0f);
  return isNotSeen ? "" : String.fromCharCode(code);
}

function cards(text) {
  const found = [];
  for (const run of text.matchAll(RUN)) {
    const groups = Array.from(run[0].matchAll(/[0-9]+/g), (group) => span(group).map((at) => at + run.index));
    for (const [index, [start]] of groups.entries()) {
      if (found.length > 0 && start < found.at(-1)[1]) continue;
      const last = groups.slice(index, index + 5).findLast(([, end]) => isCard(text.slice(start, end)));
      if (last) found.push([start, last[1]]);
    }
  }
  return found;
}

function isCard(spelled) {
  const digits = Array.from(spelled.replace(/[^0-9]/g, ""), Number);
  if (spelled.length > 23 || digits.length < 13 || digits.length > 19 || digits[0] < 2 || digits[0] > 6) return false;
  const doubled = (digit, index) => (index % 2 === 0 ? digit : Math.trunc((digit * 2) / 10) + ((digit * 2) % 10));
  if (digits.toReversed().map(doubled).reduce((sum, digit) => sum + digit) % 10 !== 0) return false;
  const groups = spelled.split(/[^0-9]/).map((group) => group.length);
  const others = groups.slice(0, -1);
  const separators = [...new Set(spelled.replace(/[0-9]/g, ""))].join("");
  if (separators.length <= 1 && separators !== ".") return others.every((length) => length >= 4);
  const inFours = groups.length >= 4 && groups.at(-1) <= 4 && others.every((length) => length === 4);
  return inFours || ["4,6,4", "4,6,5"].includes(groups.join());
}

function phones(text) {
  const found = [];
  PHONE.lastIndex = 0;
  for (let match = PHONE.exec(text); match; match = PHONE.exec(text)) {
    const [start, end] = span(match);
    if (isPhone(text, start, end)) found.push([start, end]);
    else PHONE.lastIndex = start + 1;
  }
  return found;
}

// Whether a candidate is a number of its own, not a piece of something longer.
function isPhone(text, start, end) {
  const isDigit = (at) => /[0-9]/.test(text[at] ?? "");
  const isInChain = (at) => /[-.\x1f]/.test(text[at] ?? "");
  if (text[start] === "+") return text.slice(start, end).replace(/[^0-9]/g, "").length >= 8 && !isDigit(start - 1);
  if (text[start] === "(") return true;
  return !(isInChain(start - 1) && isDigit(start - 2)) && !(isInChain(end) && isDigit(end + 1));
}
