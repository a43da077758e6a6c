//! Reads and writes a deployed stack by the AWS SDK. The default `tidegate` does not compile it.
//!
//! | module | job |
//! |---|---|
//! | [`stack`] | finds a stack's resources by its name |
//! | [`deployment`] | the operator's port on a deployed stack |
//! | [`mapping`] | an event source mapping between a stream and a function of AWS |
//! | [`doctor`] | reads what `tidegate doctor` compares |
//! | [`account`] | reads what an account has room for |
//! | [`status`] | reads what `tidegate status` and `top` show |
//! | [`verify`] | asks a stack what only AWS can answer |
//! | [`kinesis`] | reads a stream |
//! | [`query`] | calls the services whose SDK crates are not compiled |

pub mod account;
pub mod deployment;
pub mod doctor;
mod error;
pub mod kinesis;
pub mod mapping;
mod patience;
pub mod query;
pub mod stack;
pub mod status;
pub mod verify;

use aws_config::SdkConfig;

/// Region and credentials come from the environment, as for every AWS tool. `endpoint_url` replaces AWS's own endpoints.
pub async fn sdk(endpoint_url: Option<&str>) -> SdkConfig {
    let loader = shared::sdk::from_env();
    match endpoint_url {
        Some(url) => loader.endpoint_url(url).load().await,
        None => loader.load().await,
    }
}
