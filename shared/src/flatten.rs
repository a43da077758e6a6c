//! A JSON object without a text, as flat text: one `path=value` line a leaf, sorted by path.

use serde_json::value::RawValue;

use crate::fields::Members;
use crate::limits;

/// The most text that an object is flattened to, in bytes. Each leaf repeats its whole path, so that the text may be
/// many thousand times the object; nothing is lost when it ends early, since the fields keep the object itself.
const FLATTENED_BYTES: usize = limits::BODY_BYTES;

/// The last line of a text that ends early.
const CUT: &str = "…";

/// Flattens `members`. `{"b":{"c":1},"a":["x",null]}` gives `a[0]=x`, `a[1]=null`, `b.c=1`. A string stands as it is,
/// but in JSON's spelling where it holds control characters, so that a line stays a line.
pub(crate) fn flatten(members: &[(String, &RawValue)]) -> String {
    let mut flat = Flat { path: String::new(), lines: Vec::new(), bytes: 0, is_cut: false };
    for (name, value) in members {
        flat.below(name, value.get());
    }
    flat.lines.sort_unstable();
    if flat.is_cut {
        flat.lines.push(CUT.to_owned());
    }
    flat.lines.join("\n")
}

struct Flat {
    /// Of the value that is looked at.
    path: String,
    lines: Vec<String>,
    /// Of all lines.
    bytes: usize,
    is_cut: bool,
}

impl Flat {
    /// Appends the leaves of the value that lies `step` below the path.
    fn below(&mut self, step: &str, json: &str) {
        if self.is_cut {
            return;
        }
        let length = self.path.len();
        self.path.push_str(step);
        self.leaves(json);
        self.path.truncate(length);
    }

    /// Appends the leaves of the value at the path. Depth is bounded by the check that made the members
    /// ([`crate::json`]).
    fn leaves(&mut self, json: &str) {
        match json.as_bytes()[0] {
            b'{' if json != "{}" => {
                let Members(members) = serde_json::from_str(json).expect("a member's value is valid JSON");
                for (name, value) in members {
                    self.below(&format!(".{name}"), value.get());
                }
            }
            b'[' if json != "[]" => {
                let elements: Vec<&RawValue> =
                    serde_json::from_str(json).expect("a member's value is valid JSON");
                for (index, element) in elements.into_iter().enumerate() {
                    self.below(&format!("[{index}]"), element.get());
                }
            }
            b'"' => {
                let text: String = serde_json::from_str(json).expect("a member's value is valid JSON");
                if text.chars().any(char::is_control) { self.line(json) } else { self.line(&text) }
            }
            _ => self.line(json),
        }
    }

    fn line(&mut self, value: &str) {
        let bytes = self.path.len() + "=".len() + value.len() + "\n".len();
        if self.bytes + bytes > FLATTENED_BYTES {
            self.is_cut = true;
        } else {
            self.bytes += bytes;
            self.lines.push(format!("{}={value}", self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::client_object::ClientObject;

    use super::*;

    #[test]
    fn an_object_whose_paths_multiply_is_cut_and_its_fields_are_not() {
        let body = format!(r#"{{"{}":[{}1]}}"#, "k".repeat(100_000), "1,".repeat(10_000));
        let object = ClientObject::parse(&body).unwrap();
        assert!(object.text.len() <= FLATTENED_BYTES + CUT.len());
        assert_eq!(object.text.lines().count(), 100);
        assert_eq!(object.text.lines().last(), Some(CUT));
        assert_eq!(object.fields.as_json(), body);
    }
}
