//! `make neighbour`: one bad client beside a good tenant. With an argument, only the attacks with that in their names.

#[tokio::main]
async fn main() {
    let program = std::env::current_exe().expect("this program runs").with_file_name("tidegate");
    assert!(program.exists(), "{} is not built: use `make neighbour`", program.display());
    tests::neighbour::run(&program, &std::env::args().nth(1).unwrap_or_default()).await;
}
