//! Who sends: a few tenants send most, as Zipf's law says, the tenant of rank `n` a share of `1/n`.

use anyhow::{Context, ensure};
use fastrand::Rng;
use shared::id::TenantId;

/// A tenant and its API key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub tenant: TenantId,
    key: String,
}

impl Key {
    /// Of `TENANT=KEY`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        // The key is a secret, so no error shows it.
        let (tenant, key) = text.split_once('=').context("an API key is written TENANT=KEY")?;
        let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        ensure!(
            !key.is_empty() && is_printable,
            "the API key of `{tenant}` has no characters, or one that no header can have"
        );
        Ok(Self { tenant: TenantId::parse(tenant)?, key: key.to_owned() })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.tenant)
    }
}

#[derive(Debug)]
pub(super) struct Tenants {
    names: Vec<TenantId>,
    keys: Vec<String>,
    /// How often one of the first so many tenants sends.
    up_to: Vec<f64>,
}

impl Tenants {
    /// Those of the keys, or `count` that are made up.
    pub(super) fn new(count: usize, keys: Vec<Key>) -> anyhow::Result<Self> {
        let (mut names, keys): (Vec<_>, Vec<_>) = keys.into_iter().map(|key| (key.tenant, key.key)).unzip();
        if keys.is_empty() {
            ensure!(count > 0, "at least one tenant must send");
            names = (1..=count)
                .map(|number| TenantId::parse(&format!("tenant-{number:03}")))
                .collect::<Result<_, _>>()?;
        }
        let mut sum = 0.0;
        let mut up_to = Vec::with_capacity(names.len());
        let mut rank = 0.0;
        for _ in &names {
            rank += 1.0;
            sum += 1.0 / rank;
            up_to.push(sum);
        }
        Ok(Self { names, keys, up_to })
    }

    /// The number of one.
    pub(super) fn draw(&self, random: &mut Rng) -> usize {
        let all = self.up_to.last().copied().unwrap_or_default();
        let drawn = random.f64() * all;
        self.up_to.partition_point(|up_to| *up_to <= drawn).min(self.names.len() - 1)
    }

    pub(super) fn name(&self, number: usize) -> &TenantId {
        &self.names[number]
    }

    pub(super) fn key(&self, number: usize) -> Option<&str> {
        self.keys.get(number).map(String::as_str)
    }

    /// Then tenant and tier are those of the key.
    pub(super) fn have_keys(&self) -> bool {
        !self.keys.is_empty()
    }
}
