//! The table as a page.

use crate::Cells;

pub(crate) fn check(_cells: &Cells) {}
