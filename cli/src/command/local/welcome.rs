//! What `tidegate local` prints at its start: where everything is, what applies, and what to try.

use std::net::SocketAddr;

use local::data::DataFolder;
use shared::config::{AuthMode, Config, ConfigSource, Dispatch, Effective};

use super::LocalOptions;

/// It has no id: an event that is sent again under the same id is stored once, and would seem to be lost.
const EXAMPLE: &str = r#"{"tenant_id":"acme","text":"User 555-0199 accessed /reports"}"#;

/// The facts, from before the pipeline takes the configuration.
pub(super) struct Welcome {
    facts: Vec<(&'static str, String)>,
    data: DataFolder,
    /// Of the example.
    headers: String,
    signed: &'static str,
    reads: bool,
}

impl Welcome {
    pub(super) fn new(options: &LocalOptions, data: &DataFolder, effective: &Effective) -> Self {
        let config = &effective.config;
        let mut facts = vec![
            ("config", named(&options.config.source(), effective)),
            ("tiers", tiers(config)),
            ("data", options.data.display().to_string()),
        ];
        facts.extend(longest_text(config).map(|text| ("texts", text)));
        if config.dispatch.enabled {
            let Dispatch { url, rate_per_second, .. } = &config.dispatch;
            facts.push(("dispatch", format!("{url}, at most {rate_per_second} calls a second")));
        }
        let (signed, credential) = match config.auth.mode {
            AuthMode::None => {
                ("", format!("X-Customer-Tier: {}", config.tiers.allowed.first().map_or("", |t| t.as_str())))
            }
            AuthMode::ApiKey => ("", "Authorization: Bearer YOUR_KEY".to_owned()),
            AuthMode::Signature => {
                (", signed as docs/http-api.md#credentials shows", "webhook-signature: …".to_owned())
            }
        };
        Self {
            facts,
            data: data.clone(),
            headers: credential,
            signed,
            reads: config.reads.on_this_machine() && config.auth.mode == AuthMode::None,
        }
    }

    pub(super) fn text(&self, address: SocketAddr, has_page: bool) -> String {
        let Self { facts, data, headers, signed, reads } = self;
        let url = format!("http://{address}");
        let page = has_page.then(|| ("page", format!("{url}/_/")));
        let addresses = [("requests", format!("{url}/ingest")), ("metrics", format!("{url}/metrics"))];
        let facts = page.iter().chain(&addresses).chain(facts);
        let facts: Vec<_> = facts.map(|(name, fact)| format!("  {name:<9} {fact}")).collect();
        let facts = facts.join("\n");
        let (bucket, database) = (data.bucket(), data.database_file());
        let (bucket, database) = (bucket.display(), database.display());
        let back =
            if *reads { format!("  curl {url}/events -H 'X-Tenant-ID: acme'\n") } else { String::new() };
        format!(
            r"
Tidegate {version} runs on this machine.

{facts}

Send an event{signed}:

  curl -i {url}/ingest -H '{headers}' \
    -H 'Content-Type: application/json' \
    -d '{EXAMPLE}'

See it, within five seconds:

{back}  find {bucket}/events -name '*.gz' | xargs zcat
  sqlite3 {database} 'SELECT pk, sk, modified_data FROM items'

Ctrl-C stops it, once all that was accepted is stored; twice stops it at once.
To begin again without data: tidegate local --reset
",
            version = env!("CARGO_PKG_VERSION"),
        )
    }
}

/// The configuration, and the variables that change it.
fn named(source: &ConfigSource, effective: &Effective) -> String {
    let source = match source {
        ConfigSource::Defaults => "the defaults".to_owned(),
        ConfigSource::File(file) => file.display().to_string(),
        ConfigSource::Recipe(recipe) => format!("the recipe {}", recipe.name),
    };
    effective.variables().fold(source, |all, variable| format!("{all}, {variable}"))
}

fn tiers(config: &Config) -> String {
    let allowed = config.tiers.listed();
    match &config.tiers.default {
        Some(default) => format!("{allowed}; {default} if X-Customer-Tier is missing"),
        None => format!("{allowed}, by X-Customer-Tier"),
    }
}

/// Where work is simulated.
fn longest_text(config: &Config) -> Option<String> {
    let work = config.simulated_work()?;
    Some(format!(
        "at most {} characters: simulated work of {} s a character, within {} s",
        work.longest_text(),
        config.transform.simulate_work,
        config.consumer.timeout_seconds
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn no_example_sends_an_id_that_another_one_has() {
        let id = |event: &str| {
            let event: Value = serde_json::from_str(event).unwrap();
            ["id", "log_id", "event_id"].iter().find_map(|name| event[name].as_str().map(str::to_owned))
        };
        assert_eq!(id(EXAMPLE), None);
        let readme = include_str!("../../../../README.md");
        let sent = readme.split("-d '").skip(1).filter_map(|rest| id(rest.split('\'').next()?));
        let sent: Vec<_> = sent.collect();
        assert!(!sent.is_empty());
        assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len(), "{sent:?}");
    }
}
