//! Where a function's configuration file is.

use std::path::PathBuf;

use crate::environment::CONFIG;

/// The configuration file: the one that [`CONFIG`] names, else `tidegate.toml` in the working folder or in the folder of
/// the function's code, if it exists. `variable` reads the environment: `|name| std::env::var(name).ok()`.
pub fn locate(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // If the named file is missing, reading it gives the error.
    if let Some(named) = variable(CONFIG).filter(|name| !name.is_empty()) {
        return Some(named.into());
    }
    let code = variable("LAMBDA_TASK_ROOT").unwrap_or_else(|| "/var/task".to_owned());
    let folders = [PathBuf::from("."), code.into()];
    folders.map(|folder| folder.join("tidegate.toml")).into_iter().find(|file| file.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_is_taken_whether_it_exists_or_not() {
        let file = locate(|name| (name == CONFIG).then(|| "no/such.toml".to_owned()));
        assert_eq!(file, Some("no/such.toml".into()));
    }
}
