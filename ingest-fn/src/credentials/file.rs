//! The credentials in a file of this machine.

use std::path::PathBuf;

use futures::future::BoxFuture;

use super::{CredentialSource, CredentialsError};

#[derive(Clone, Debug)]
pub struct CredentialFile(pub PathBuf);

impl CredentialSource for CredentialFile {
    fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
        // The file is small, and one request in minutes reads it.
        let text = std::fs::read_to_string(&self.0);
        let unreadable =
            |error| CredentialsError::Unreadable(format!("the credentials cannot be read: {error}"));
        Box::pin(std::future::ready(text.map_err(unreadable)))
    }

    fn name(&self) -> String {
        format!("`{}`", self.0.display())
    }
}
