//! Applies the configured steps to texts and fields. Pure: the same event and configuration give the same result.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use shared::config::{self, ConfigError, TransformStep};
use shared::fields::Fields;

use self::redact::Redactor;

pub(crate) mod redact;
pub(crate) mod work;

/// The compiled steps.
#[derive(Debug)]
pub struct Transform(Vec<Step>);

#[derive(Debug)]
enum Step {
    Redact(Redactor),
    Uppercase,
    Enrich(BTreeMap<String, Box<RawValue>>),
}

impl Transform {
    pub fn new(config: &config::Transform) -> Result<Self, ConfigError> {
        let step = |step: &TransformStep| match step {
            TransformStep::Redact => Redactor::new(&config.redact).map(Step::Redact),
            TransformStep::Uppercase => Ok(Step::Uppercase),
            TransformStep::Enrich => Ok(Step::Enrich(constants(&config.enrich))),
        };
        Ok(Self(config.steps.iter().map(step).collect::<Result<_, _>>()?))
    }

    /// Applies the steps to a text.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, step| match step {
            Step::Redact(redactor) => redactor.redact(text),
            Step::Uppercase => Cow::Owned(text.to_uppercase()),
            Step::Enrich(_) => text,
        })
    }

    /// Adds the constants to the other members. These are the client's own structure and stay verbatim; `redact` applies to the
    /// flat text only.
    pub fn fields(&self, fields: &Fields) -> Fields {
        self.0.iter().fold(fields.clone(), |fields, step| match step {
            Step::Enrich(constants) => fields.with_constants(constants),
            Step::Redact(_) | Step::Uppercase => fields,
        })
    }
}

fn constants(enrich: &BTreeMap<String, serde_json::Value>) -> BTreeMap<String, Box<RawValue>> {
    let json = |value| serde_json::value::to_raw_value(value).expect("a JSON value always serialises");
    enrich.iter().map(|(name, value)| (name.clone(), json(value))).collect()
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
