//! Attributes, and what they weigh: a write unit is 1 KB begun of an item, names included.

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Attribute {
    pub fn into_text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// [DynamoDB's rules](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html): a
    /// text has its bytes in UTF-8; a number one byte, one for two digits without zeros at either end, and one for the sign.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => {
                let digits = number.unsigned_abs().to_string().trim_end_matches('0').len();
                1 + digits.div_ceil(2) + usize::from(*number < 0)
            }
            Self::Flag(_) => 1,
        }
    }
}

/// The size of an item, or of a row of another table, that has these attributes.
pub fn bytes<'a>(attributes: impl IntoIterator<Item = &'a (&'static str, Attribute)>) -> usize {
    attributes.into_iter().map(|(name, value)| name.len() + value.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_that_of_names_and_values() {
        let check = |value, expected: usize| assert_eq!(bytes(&[("né", value)]), 3 + expected);
        check(Attribute::Text("ü\0".to_owned()), 3);
        check(Attribute::Text(String::new()), 0);
        check(Attribute::Flag(false), 1);
        for (number, expected) in
            [(0, 1), (7, 2), (10, 2), (12, 2), (123, 3), (-1, 3), (1_800_000_000, 2), (i64::MIN, 12)]
        {
            check(Attribute::Number(number), expected);
        }
        assert_eq!(bytes(&[]), 0);
    }
}
