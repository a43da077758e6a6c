//! A JSON object without a text, as flat text: one `path=value` line a leaf, sorted by path.

use serde_json::value::RawValue;

use crate::fields::Members;

/// Flattens `members`. `{"b":{"c":1},"a":["x",null]}` gives `a[0]=x`, `a[1]=null`, `b.c=1`. A string stands as it is,
/// but in JSON's spelling where it holds control characters, so that a line stays a line.
pub(crate) fn flatten(members: &[(String, &RawValue)]) -> String {
    let mut lines = Vec::new();
    for (name, value) in members {
        leaves(name, value.get(), &mut lines);
    }
    lines.sort_unstable();
    lines.join("\n")
}

/// Appends the leaves below `path`. Depth is bounded by the check that made the members ([`crate::json`]).
fn leaves(path: &str, json: &str, lines: &mut Vec<String>) {
    match json.as_bytes()[0] {
        b'{' if json != "{}" => {
            let Members(members) = serde_json::from_str(json).expect("a member's value is valid JSON");
            for (name, value) in members {
                leaves(&format!("{path}.{name}"), value.get(), lines);
            }
        }
        b'[' if json != "[]" => {
            let elements: Vec<&RawValue> =
                serde_json::from_str(json).expect("a member's value is valid JSON");
            for (index, element) in elements.into_iter().enumerate() {
                leaves(&format!("{path}[{index}]"), element.get(), lines);
            }
        }
        b'"' => {
            let text: String = serde_json::from_str(json).expect("a member's value is valid JSON");
            if text.chars().any(char::is_control) {
                lines.push(format!("{path}={json}"));
            } else {
                lines.push(format!("{path}={text}"));
            }
        }
        _ => lines.push(format!("{path}={json}")),
    }
}
