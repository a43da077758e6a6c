//! How far a replay is, in a file. The next one continues from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use shared::id::TenantId;
use shared::origin::ShardPosition;
use shared::time::Timestamp;

const VERSION: u32 = 1;

/// What a replay reads, and where it puts it. A cursor of one task means nothing for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplayTask {
    pub(crate) of: String,
    pub(crate) to: String,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) from: Timestamp,
    pub(crate) before: Timestamp,
}

/// How far a replay is in a shard: in the object that begins at this position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplayCursor {
    #[serde(flatten)]
    pub(crate) first: ShardPosition,
    /// How many of the object's lines are done, of those that the task selects.
    pub(crate) lines: usize,
}

/// The file. The names are on disk: never rename them.
#[derive(Debug, Serialize, Deserialize)]
struct Resume {
    v: u32,
    task: ReplayTask,
    shards: BTreeMap<String, ReplayCursor>,
}

/// The cursors of all shards, and the file if there is one.
#[derive(Debug)]
pub(crate) struct Cursors {
    file: Option<PathBuf>,
    resume: Resume,
}

impl Cursors {
    /// Of `task`, from `file` if it exists.
    pub(crate) fn open(file: Option<PathBuf>, task: ReplayTask) -> anyhow::Result<Self> {
        let begun = file.as_deref().filter(|file| file.exists()).map(read).transpose()?;
        if begun.as_ref().is_some_and(|begun| begun.task != task) {
            bail!(
                "the resume file belongs to another replay: name the same deployments, tenant and times, or another file"
            );
        }
        let resume = begun.unwrap_or_else(|| Resume { v: VERSION, task, shards: BTreeMap::new() });
        Ok(Self { file, resume })
    }

    /// Where to continue in a shard.
    pub(crate) fn of(&self, shard: &str) -> Option<&ReplayCursor> {
        self.resume.shards.get(shard)
    }

    /// Everything before `cursor` is done.
    pub(crate) fn reach(&mut self, shard: &str, cursor: ReplayCursor) -> anyhow::Result<()> {
        self.resume.shards.insert(shard.to_owned(), cursor);
        let Some(file) = &self.file else { return Ok(()) };
        // Whole or not at all: a kill leaves the old file.
        let aside = file.with_extension("new");
        let written = std::fs::write(&aside, serde_json::to_vec_pretty(&self.resume)?);
        let renamed = written.and_then(|()| std::fs::rename(&aside, file));
        renamed.with_context(|| format!("the resume file `{}` cannot be written", file.display()))
    }
}

fn read(file: &Path) -> anyhow::Result<Resume> {
    let unreadable = || format!("the resume file `{}` cannot be read", file.display());
    let resume: Resume =
        serde_json::from_slice(&std::fs::read(file).with_context(unreadable)?).with_context(unreadable)?;
    if resume.v > VERSION {
        bail!("the resume file has version {}, this version of Tidegate knows {VERSION}", resume.v);
    }
    Ok(resume)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(to: &str) -> ReplayTask {
        let at = Timestamp::from_unix_ms;
        ReplayTask {
            of: "local:/a".to_owned(),
            to: to.to_owned(),
            tenant: None,
            from: at(0),
            before: at(1_000),
        }
    }

    #[test]
    fn a_replay_continues_from_its_file_and_another_replay_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("cursor.json"));
        let mut cursors = Cursors::open(file.clone(), task("stdout")).unwrap();
        assert_eq!(cursors.of("s"), None);
        cursors.reach("s", ReplayCursor { first: ShardPosition::new("95", 2), lines: 7 }).unwrap();

        let again = Cursors::open(file.clone(), task("stdout")).unwrap();
        let cursor = again.of("s").unwrap();
        assert_eq!((&cursor.first, cursor.lines), (&ShardPosition::new("95", 2), 7));
        let other = Cursors::open(file, task("local:/b")).unwrap_err().to_string();
        assert!(other.contains("belongs to another replay"), "{other}");
    }
}
