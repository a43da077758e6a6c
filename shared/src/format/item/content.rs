//! What an item has of its event's content: `items.content` decides.

use std::borrow::Cow;

use crate::config::ItemContent;
use crate::fields::Fields;

/// The most bytes of a text in an item. With [`FIELDS_BYTES`], two texts, all names and ids, the whole item is smaller than
/// [`crate::limits::ITEM_BYTES`].
const TEXT_BYTES: usize = 150_000;
const FIELDS_BYTES: usize = 60_000;

/// Texts and fields. An item that has them has an original text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldContent {
    /// As it came in.
    pub original_text: HeldText,
    /// After the transform; `None` if it is the original.
    pub modified_data: Option<HeldText>,
    pub fields: HeldFields,
}

impl HeldContent {
    /// Of an event with these texts and fields. `only_constants` are the fields of an event without fields.
    pub fn new<'a>(
        content: ItemContent,
        original_text: &str,
        text: impl Into<Cow<'a, str>>,
        fields: &Fields,
        only_constants: impl FnOnce() -> Fields,
    ) -> Option<Self> {
        let text = text.into();
        let is_written = match content {
            ItemContent::Both => true,
            // The whole texts: where they differ only after the part that is held, the size may be that of the original.
            ItemContent::Changed => text != original_text,
            ItemContent::Reference => return None,
        };
        Some(Self {
            original_text: HeldText::of(original_text),
            modified_data: is_written.then(|| text.into()),
            fields: HeldFields::of(fields, only_constants),
        })
    }

    /// The text after the transform.
    pub fn text(&self) -> &HeldText {
        self.modified_data.as_ref().unwrap_or(&self.original_text)
    }

    /// About as many as it takes in memory.
    pub fn bytes(&self) -> usize {
        let modified = self.modified_data.as_ref().map_or(0, |text| text.held.len());
        self.original_text.held.len() + modified + self.fields.held.as_json().len()
    }

    /// Whether the text after the transform or the fields are not whole.
    pub fn is_cut(&self) -> bool {
        self.text().whole_bytes.is_some() || self.fields.whole_bytes.is_some()
    }
}

/// A text, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldText {
    pub held: String,
    /// The size of the whole in bytes, if only the beginning is held.
    pub whole_bytes: Option<i64>,
}

impl HeldText {
    pub fn of(text: &str) -> Self {
        Self::from(Cow::Borrowed(text))
    }
}

impl From<Cow<'_, str>> for HeldText {
    fn from(text: Cow<'_, str>) -> Self {
        if text.len() <= TEXT_BYTES {
            return Self { held: text.into_owned(), whole_bytes: None };
        }
        let held = &text[..text.floor_char_boundary(TEXT_BYTES)];
        Self { held: held.to_owned(), whole_bytes: Some(size(&text)) }
    }
}

/// The client's other members and the configured constants; or, of large fields, the constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFields {
    pub held: Fields,
    /// The size of all fields in bytes, if only the constants are held.
    pub whole_bytes: Option<i64>,
}

impl HeldFields {
    pub fn of(fields: &Fields, only_constants: impl FnOnce() -> Fields) -> Self {
        if fields.as_json().len() <= FIELDS_BYTES {
            Self { held: fields.clone(), whole_bytes: None }
        } else {
            Self { held: only_constants(), whole_bytes: Some(size(fields.as_json())) }
        }
    }
}

fn size(text: &str) -> i64 {
    i64::try_from(text.len()).expect("no text has 2^63 bytes")
}
