//! Headers that are there more than once. A container gets each line; a Function URL joins them with commas. Both must lead to the
//! same answer, so both are read as a list. No value that is read here may have a comma in it.

use http::HeaderMap;
use http::header::AsHeaderName;

/// All values of a header.
pub(crate) fn values(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

/// The header's value. If there are others, the first other one, too: two are enough to refuse them.
pub(crate) fn distinct(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<&[u8]> {
    let mut all = values(headers, name);
    let first = all.next();
    let other = all.find(|value| Some(*value) != first);
    first.into_iter().chain(other).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn lines_and_a_list_are_the_same() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-tenant-id", HeaderValue::from_static(line));
            }
            let values = distinct(&headers, "x-tenant-id");
            values.into_iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(&["a", "a"]), ["a"]);
        assert_eq!(of(&["a,a"]), ["a"]);
        assert_eq!(of(&["a", "b", "c"]), ["a", "b"]);
        assert_eq!(of(&["a, a,b,c"]), ["a", "b"]);
        assert_eq!(of(&[""]), [""]);
        assert!(of(&[]).is_empty());
    }
}
