//! `fuzz-seeds FOLDER` writes the seeds and dictionaries of libFuzzer: the seeds of each target to
//! `FOLDER/seeds/TARGET/`, its words to `FOLDER/TARGET.dictionary`.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;

use fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(
        std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: fuzz-seeds FOLDER"))?,
    );
    for target in TARGETS {
        let seeds = folder.join("seeds").join(target.name);
        fs::create_dir_all(&seeds)?;
        for seed in seeds::of(target.name) {
            fs::write(seeds.join(seed.name), seed.input)?;
        }
        let words = target.words.iter().fold(String::new(), |mut words, word| {
            let escaped = word.bytes().fold(String::new(), |mut escaped, byte| {
                write!(escaped, "\\x{byte:02x}").expect("writing to a string cannot fail");
                escaped
            });
            writeln!(words, "\"{escaped}\"").expect("writing to a string cannot fail");
            words
        });
        fs::write(folder.join(format!("{}.dictionary", target.name)), words)?;
    }
    Ok(())
}
