//! The name that was probably meant.

/// Longer ones are no typing errors, and comparing takes time and memory by the product of the lengths.
const LONGEST: usize = 100;

/// The known name that differs least from `name`, if it differs in at most two of five characters. Case does not matter.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let near = known.into_iter().map(|known| (distance(known), known));
    near.filter(|(distance, known)| *distance * 5 <= known.len() * 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The same for an error of `serde`, which lists what it expects: ``unknown field `alowed`, expected `allowed` or `default` ``.
pub(super) fn nearest_expected(problem: &str) -> Option<&str> {
    if !problem.starts_with("unknown ") {
        return None;
    }
    let mut quoted = problem.split('`').skip(1).step_by(2);
    nearest(quoted.next()?, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_probably_meant_is_found_and_no_other_is_guessed() {
        let known = ["allowed", "default", "TIDEGATE_STREAM"];
        for (name, expected) in [
            ("alowed", Some("allowed")),
            ("defualt", Some("default")),
            ("tidegate_straem", Some("TIDEGATE_STREAM")),
            ("spread", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
    }
}
