//! How many connections the process may have: each is an open file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Unless it is configured, a cap beyond the file limit: so many waiting connections take about 300 MB.
const CONNECTIONS: usize = 10_000;

/// Raises the soft limit of open files to the hard one, and returns the cap on connections: the configured one, or what
/// leaves a quarter of the files to everything else.
pub(super) fn connections(configured: Option<usize>) -> usize {
    let most = cap(raised());
    match configured {
        Some(connections) if connections > most => {
            tracing::warn!(
                connections = most,
                "`server.connections` is {connections}, but the limit of open files allows {most}"
            );
            most
        }
        Some(connections) => connections,
        None => most.min(CONNECTIONS),
    }
}

fn cap(files: u64) -> usize {
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    (files / 4 * 3).max(1)
}

fn raised() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Some systems refuse the hard limit where it is infinite. Then the soft one holds.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let now = if raised.is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_open_files_becomes_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        // Many systems start a process with both the same.
        let lower = hard.map_or(1 << 20, |hard| hard - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(lower), maximum: hard }).unwrap();
        let connections = connections(None);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
        assert!(connections <= CONNECTIONS && connections as u64 <= hard.unwrap_or(u64::MAX) / 4 * 3);
    }

    #[test]
    fn a_quarter_of_the_files_is_left_to_everything_else() {
        assert_eq!(cap(1_024), 768);
        assert_eq!(cap(1), 1);
        assert_eq!(connections(Some(7)), 7);
        assert_eq!(connections(Some(usize::MAX)), cap(raised()));
    }
}
