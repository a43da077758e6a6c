//! The end of the page: tables of what is tested elsewhere, by the names of the tests. Each test is where what it proves is.

use std::fmt::Write;
use std::path::Path;

use super::{attacks, aws};

pub(super) struct Tested {
    pub what: &'static str,
    pub outcome: &'static str,
    /// File and name of each test.
    pub tests: &'static [(&'static str, &'static str)],
}

const TABLES: [(&str, &[Tested]); 2] =
    [(attacks::INTRODUCTION, attacks::ATTACKS), (aws::INTRODUCTION, aws::RULES)];

pub(super) fn page() -> String {
    let mut page = String::new();
    for (introduction, rows) in TABLES {
        page += introduction;
        for Tested { what, outcome, tests } in rows {
            let tests: Vec<_> = tests.iter().map(|(file, name)| format!("[`{name}`](../{file})")).collect();
            let _ = writeln!(page, "| {} | {outcome} | {} |", what.replace('|', "\\|"), tests.join("<br>"));
        }
    }
    page
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, name) in TABLES.iter().flat_map(|(_, rows)| *rows).flat_map(|row| row.tests) {
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        // In Rust, TypeScript and Python.
        let forms = [format!("fn {name}()"), format!("test('{name}',"), format!("def {name}(")];
        assert!(forms.iter().any(|form| source.contains(form)), "{file} has no test {name}");
    }
}
