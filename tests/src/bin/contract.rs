//! Writes `cdk/contract.json`.

fn main() -> std::io::Result<()> {
    std::fs::write(tests::contract::file(), tests::contract::text())
}
