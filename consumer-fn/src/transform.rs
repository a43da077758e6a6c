//! Applies the configured steps to texts and fields. Pure: the same event and configuration give the same result.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use shared::config::{self, TransformStep};
use shared::fields::Fields;

use self::redact::Redactor;

pub(crate) mod redact;
pub(crate) mod work;

/// Constants go into every item, together with the client's fields.
const ENRICH_BYTES: usize = 10_000;

/// A transform that cannot work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvalidTransform {
    /// A configured pattern is not a regular expression.
    #[error(
        "configuration: `transform.redact.patterns[{index}]` is `{pattern}`, allowed: a regular expression ({source})"
    )]
    Pattern {
        /// The number of the pattern, from 0.
        index: usize,
        /// The pattern.
        pattern: String,
        source: regex::Error,
    },
    #[error("configuration: `transform.enrich` is {bytes} bytes of JSON, allowed: at most {ENRICH_BYTES}")]
    Enrich {
        /// How many there are.
        bytes: usize,
    },
}

/// The compiled steps.
#[derive(Debug)]
pub(crate) struct Transform(Vec<Step>);

#[derive(Debug)]
enum Step {
    Redact(Redactor),
    Uppercase,
    Enrich(BTreeMap<String, Box<RawValue>>),
}

impl Transform {
    pub(crate) fn new(config: &config::Transform) -> Result<Self, InvalidTransform> {
        let step = |step: &TransformStep| match step {
            TransformStep::Redact => Redactor::new(&config.redact).map(Step::Redact),
            TransformStep::Uppercase => Ok(Step::Uppercase),
            TransformStep::Enrich => constants(&config.enrich).map(Step::Enrich),
        };
        Ok(Self(config.steps.iter().map(step).collect::<Result<_, _>>()?))
    }

    /// Applies the steps to a text.
    pub(crate) fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, step| match step {
            Step::Redact(redactor) => redactor.redact(&text).into_owned(),
            Step::Uppercase => text.to_uppercase(),
            Step::Enrich(_) => text,
        })
    }

    /// Adds the constants to the other members. These are the client's own structure and stay verbatim; `redact` applies to the
    /// flat text only.
    pub(crate) fn fields(&self, fields: &Fields) -> Fields {
        self.0.iter().fold(fields.clone(), |fields, step| match step {
            Step::Enrich(constants) => fields.with_constants(constants),
            Step::Redact(_) | Step::Uppercase => fields,
        })
    }
}

fn constants(
    enrich: &BTreeMap<String, serde_json::Value>,
) -> Result<BTreeMap<String, Box<RawValue>>, InvalidTransform> {
    let json = |value| serde_json::value::to_raw_value(value).expect("a JSON value always serialises");
    let constants: BTreeMap<_, _> = enrich.iter().map(|(name, value)| (name.clone(), json(value))).collect();
    let bytes = Fields::empty().with_constants(&constants).as_json().len();
    if bytes > ENRICH_BYTES { Err(InvalidTransform::Enrich { bytes }) } else { Ok(constants) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn transform(steps: &[TransformStep]) -> Transform {
        Transform::new(&config::Transform {
            steps: steps.to_vec(),
            enrich: BTreeMap::from([("brand".to_owned(), json!("ours"))]),
            ..config::Transform::default()
        })
        .unwrap()
    }

    fn check(steps: &[TransformStep], text: &str, expected: &str) {
        assert_eq!(transform(steps).text(text), expected);
    }

    #[test]
    fn steps_are_taken_in_the_configured_order() {
        use TransformStep::{Redact, Uppercase};
        check(&[Redact], "User 555-0199 accessed /reports", "User [REDACTED] accessed /reports");
        check(&[Uppercase], "straße 555-0199", "STRASSE 555-0199");
        check(&[Redact, Uppercase], "a@b.co ok", "[REDACTED] OK");
        check(&[], "a@b.co", "a@b.co");
    }

    #[test]
    fn enrichment_adds_its_constants_and_leaves_the_rest_verbatim() {
        let fields: Fields = serde_json::from_str(r#"{"phone":"555-0199","n":1.0}"#).unwrap();
        let enriched = transform(&[TransformStep::Redact, TransformStep::Enrich]).fields(&fields);
        assert_eq!(enriched.as_json(), r#"{"phone":"555-0199","n":1.0,"brand":"ours"}"#);
        assert_eq!(transform(&[TransformStep::Redact]).fields(&fields), fields);
    }
}
