//! Items; and what is stored under a key that has the tenant: claim checks and large lines.

use shared::format::key::{self, StoredLineKey};
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

use super::plan::Standing;
use super::report::Counts;
use super::{Erasable, Eraser};

impl<D: Erasable> Eraser<'_, D> {
    pub(super) async fn items(&mut self) -> anyhow::Result<()> {
        let tenant = self.erasure.tenant().clone();
        if let Some(id) = self.event {
            let name = (tenant, id.clone());
            let item = self.deployment.items(std::slice::from_ref(&name)).await?.pop().flatten();
            let found = item.map(|item| (name.0, name.1, item.origin));
            return self.page(found.into_iter().collect()).await;
        }
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.deployment.tenant_items(&tenant, after).await?;
            seen += page.items.len() as u64;
            (self.progress)("items", seen, None);
            for row in page.unreadable {
                self.report.unreadable(row.to_string());
            }
            self.page(
                page.items.into_iter().map(|item| (item.tenant, item.id, item.existing.origin)).collect(),
            )
            .await?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn page(&mut self, items: Vec<(TenantId, EventId, Origin)>) -> anyhow::Result<()> {
        let standing = |(tenant, id, origin): &_| self.erasure.standing(tenant, id, origin);
        let (due, later): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| standing(item) == Standing::Due);
        self.report.later.items += later.len() as u64;
        self.needed.extend(later.into_iter().map(|(_, id, _)| id));
        self.found(|counts| &mut counts.items, due.len() as u64);
        if self.apply && !due.is_empty() {
            let deleted = self.deployment.delete_items(&due).await?;
            self.removed(|counts| &mut counts.items, deleted);
        }
        Ok(())
    }

    /// Those of events that are left to the next erasure are still needed.
    pub(super) async fn stored_lines(&mut self) -> anyhow::Result<()> {
        let tenant = self.erasure.tenant();
        let of_event = |id: &EventId| [key::claim(tenant, id, ""), key::text(tenant, id, "")];
        let of_tenant = || [key::CLAIMS, key::TEXTS].map(|prefix| format!("{prefix}{tenant}/"));
        for prefix in self.event.map_or_else(of_tenant, of_event) {
            let mut after = None;
            loop {
                let page = self.deployment.list(&prefix, after.as_deref()).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for object in page {
                    let id = StoredLineKey::parse(&object.key).map(|key| key.id);
                    if id.is_some_and(|id| self.needed.contains(&id)) || !self.is_older(object.written) {
                        self.report.later.stored_lines += 1;
                        continue;
                    }
                    let count: fn(&mut Counts) -> &mut u64 =
                        if prefix.starts_with(key::CLAIMS) { claim_checks } else { large_lines };
                    self.found(count, 1);
                    if self.apply {
                        self.deployment.delete_object(&object.key).await?;
                        self.removed(count, 1);
                    }
                }
            }
        }
        Ok(())
    }
}

fn claim_checks(counts: &mut Counts) -> &mut u64 {
    &mut counts.claim_checks
}

fn large_lines(counts: &mut Counts) -> &mut u64 {
    &mut counts.large_lines
}
