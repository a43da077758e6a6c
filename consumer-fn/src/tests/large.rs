//! Large events, and many: what goes by reference, where objects end, what they hold.
