//! DynamoDB says `ValidationError` of an item that it will never take, and of a table that is not as we take it to be:
//! only the message tells them apart.

/// What it says of an item. Ours have no sets, no nesting and no attribute of a client's naming, so that there is little
/// else to say (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>).
const OF_AN_ITEM: [&str; 5] = [
    // "Item size has exceeded the maximum allowed size"
    "item size",
    "maximum allowed size",
    // "Size of hashkey has exceeded the maximum size limit of2048 bytes", and of rangekey
    "maximum size limit",
    // "The AttributeValue for a key attribute cannot contain an empty string value. Key: sk"
    "empty string",
    // "Nesting Levels have exceeded supported limits"
    "nesting level",
];

/// Whether a validation error is about the item itself, which then can never be written. Any other, such as `Missing the
/// key id in the item` or `The provided key element does not match the schema`, would be said of every item: those are
/// not to be quarantined one and all, but to wait until the table is right.
pub(super) fn is_of_the_item(message: &str) -> bool {
    let message = message.to_lowercase();
    OF_AN_ITEM.iter().any(|part| message.contains(part))
}
