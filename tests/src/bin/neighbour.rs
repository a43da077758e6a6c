//! `make neighbour`: one bad client beside a good tenant. With an argument, only the attacks with that in their names.

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [attack, name, url] = &arguments[..]
        && attack == "attack"
    {
        return tests::neighbour::attack(name, url).await;
    }
    let program = std::env::current_exe().expect("this program runs").with_file_name("tidegate");
    assert!(program.exists(), "{} is not built: use `make neighbour`", program.display());
    tests::neighbour::run(&program, arguments.first().map_or("", String::as_str)).await;
}
