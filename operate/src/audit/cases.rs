//! Cases: all that was found of one admission.

use std::collections::HashMap;

use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

use super::facts::{ArchivedLine, AuditFacts, KnownEvent, KnownItem};

/// All that was found of one admission.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// `None` if it cannot be read.
    pub(crate) name: Option<(TenantId, EventId)>,
    pub(crate) admission_id: Option<AdmissionId>,
    /// `None` if only the archive has it, which has no hash.
    pub(crate) content_hash: Option<String>,
    pub(crate) received_at: Timestamp,
    is_named_after_its_origin: bool,
    /// Every origin that it has or had, the latest last.
    pub(crate) origins: Vec<Origin>,
    /// The origins at which the stream still has it.
    pub(crate) arrivals: Vec<Origin>,
    /// The origins that a later one replaced.
    pub(crate) former: Vec<Origin>,
    pub(crate) is_spilled: bool,
    pub(crate) is_dead: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Cases {
    all: Vec<Case>,
    by_admission: HashMap<AdmissionId, usize>,
    by_origin: HashMap<Origin, usize>,
}

impl Cases {
    /// The cases in `facts`. Archived lines count only if `counts` says so.
    pub(crate) fn of(facts: &AuditFacts, counts: impl Fn(&ArchivedLine) -> bool) -> Self {
        let mut cases = Self::default();
        // Redriven events come after the ones that they replace, so that they find the case.
        let (first, again): (Vec<_>, Vec<_>) =
            facts.arrivals.iter().partition(|arrival| arrival.redrive_of.is_empty());
        for line in facts.quarantined.iter().chain(&facts.failed) {
            cases.find(Some(&line.origin), line.event.as_ref(), line.received_at);
        }
        for arrival in first.into_iter().chain(again) {
            let known = arrival.redrive_of.iter().find_map(|former| cases.by_origin.get(former)).copied();
            if let Some(known) = known {
                cases.by_origin.insert(arrival.origin.clone(), known);
            }
            let case = cases.find(Some(&arrival.origin), arrival.event.as_ref(), arrival.received_at);
            // A redriven event may have got a new id.
            if let (false, Some(event)) = (arrival.redrive_of.is_empty(), &arrival.event) {
                case.name = Some((event.tenant.clone(), event.id.clone()));
            }
            case.arrivals.push(arrival.origin.clone());
            case.former.extend(arrival.redrive_of.iter().cloned());
        }
        for line in facts.objects.iter().flat_map(|object| &object.lines).filter(|line| counts(line)) {
            cases.find(Some(&line.origin), Some(&line.event), line.event.received_at);
        }
        for event in &facts.spilled {
            cases.find(None, Some(event), event.received_at).is_spilled = true;
        }
        for event in &facts.dead {
            cases.find(None, Some(event), event.received_at).is_dead = true;
        }
        cases
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Case> {
        self.all.iter()
    }

    /// The case of a line: by its origin, else by its admission, else a new one.
    fn find(
        &mut self,
        origin: Option<&Origin>,
        event: Option<&KnownEvent>,
        received_at: Timestamp,
    ) -> &mut Case {
        let by_origin = origin.and_then(|origin| self.by_origin.get(origin)).copied();
        let by_admission = || self.by_admission.get(&event?.admission_id).copied();
        let index = by_origin.or_else(by_admission).unwrap_or_else(|| {
            self.all.push(Case { received_at, ..Case::default() });
            self.all.len() - 1
        });
        let case = &mut self.all[index];
        if let Some(origin) = origin {
            self.by_origin.insert(origin.clone(), index);
            if !case.origins.contains(origin) {
                case.origins.push(origin.clone());
            }
        }
        if let Some(event) = event {
            self.by_admission.insert(event.admission_id, index);
            case.name.get_or_insert_with(|| (event.tenant.clone(), event.id.clone()));
            case.admission_id.get_or_insert(event.admission_id);
            if !event.content_hash.is_empty() {
                case.content_hash.get_or_insert_with(|| event.content_hash.clone());
            }
        }
        let of_foreign = |Origin { shard, sequence_number, position }: &Origin| {
            AdmissionId::of_foreign(shard, sequence_number, *position)
        };
        let matches = origin.is_some_and(|origin| case.admission_id == Some(of_foreign(origin)));
        case.is_named_after_its_origin |= matches;
        case
    }
}

impl Case {
    /// A foreign producer put it on the stream. Events of ingest can be read, and their admission does not depend on the
    /// origin.
    pub(crate) fn is_of_foreign_producer(&self) -> bool {
        self.is_named_after_its_origin || self.admission_id.is_none()
    }

    /// The item belongs to this event, not to another one with the same id.
    pub(crate) fn owns(&self, item: &KnownItem) -> bool {
        self.origins.contains(&item.origin) || self.admission_id == Some(item.admission_id)
    }

    /// The origins that no later one replaced.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Origin> {
        self.origins.iter().filter(|origin| !self.former.contains(*origin))
    }

    pub(crate) fn named(&self) -> Option<(&TenantId, &EventId)> {
        self.name.as_ref().map(|(tenant, id)| (tenant, id))
    }
}
