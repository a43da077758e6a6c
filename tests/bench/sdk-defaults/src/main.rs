//! As the SDK's guide begins: load the configuration, make a client, call.

#[tokio::main]
async fn main() {
    let client = aws_sdk_kinesis::Client::new(&aws_config::load_from_env().await);
    // `start.py` ends the process when the call's first byte arrives.
    let _ = client.list_streams().send().await;
}
