//! Writes `docs/samples`, but for the dashboard: `make samples`.

#[tokio::main]
async fn main() {
    let program = std::env::current_exe().expect("a program has a path").with_file_name("tidegate");
    assert!(program.exists(), "{} is not built: use `make samples`", program.display());
    tests::samples::write(&program).await;
}
