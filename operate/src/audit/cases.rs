//! Cases: all that was found of one admission of one event.

use std::collections::HashMap;

use shared::format::content_hash::is_same;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

use super::facts::{ArchivedLine, AuditFacts, KnownEvent, KnownItem, KnownLine};

/// All that was found of one admission. Of a redriven event that got another name, this is its part under one of the two.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// `None` if it cannot be read.
    pub(crate) name: Option<Name>,
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
    by_admission: HashMap<(Name, AdmissionId), Vec<usize>>,
    by_origin: HashMap<(Option<Name>, Origin), usize>,
}

/// Cases of different names are never one: a foreign producer may copy an admission, and origins are unique.
type Name = (TenantId, EventId);

impl Cases {
    /// The cases in `facts`. Archived lines count only if `counts` says so. `is_covered` says of a line whether the stream still
    /// has it.
    pub(crate) fn of(
        facts: &AuditFacts,
        counts: impl Fn(&ArchivedLine) -> bool,
        is_covered: impl Fn(&KnownLine) -> bool,
    ) -> Self {
        let mut cases = Self::default();
        // Redriven events come after the ones that they replace, so that they find the case.
        let (first, again): (Vec<_>, Vec<_>) =
            facts.arrivals.iter().partition(|arrival| arrival.redrive_of.is_empty());
        // While the stream has such a line, it is known whether another one replaced it. After that, its event may be stored
        // under the new id.
        let id_reused = facts.id_reused.iter().filter(|line| is_covered(line));
        let as_new = facts.as_new.iter().filter(|line| !is_covered(line));
        for line in facts.quarantined.iter().chain(id_reused).chain(as_new).chain(&facts.failed) {
            cases.find(Some(&line.origin), line.event.as_ref(), line.received_at);
        }
        for arrival in first.into_iter().chain(again) {
            let name = arrival.event.as_ref().map(name_of);
            let key = |origin: &Origin| (name.clone(), origin.clone());
            let known = arrival.redrive_of.iter().find_map(|former| cases.by_origin.get(&key(former)));
            // A foreign producer may name the origin of another event.
            let admission_id = arrival.event.as_ref().map(|event| event.admission_id);
            let known = known.copied().filter(|known| cases.all[*known].admission_id == admission_id);
            if let Some(known) = known {
                cases.by_origin.insert(key(&arrival.origin), known);
            }
            let case = cases.find(Some(&arrival.origin), arrival.event.as_ref(), arrival.received_at);
            case.arrivals.push(arrival.origin.clone());
            for former in &arrival.redrive_of {
                case.note_producer(former);
                case.former.push(former.clone());
            }
        }
        for line in facts.archived.iter().filter(|line| counts(line)) {
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
        let name = event.map(name_of);
        let by_origin = origin.map(|origin| (name.clone(), origin.clone()));
        let by_admission = name.clone().zip(event.map(|event| event.admission_id));
        let known = by_origin.as_ref().and_then(|key| self.by_origin.get(key)).copied();
        let known = known.or_else(|| {
            let (event, of_admission) = (event?, self.by_admission.get(by_admission.as_ref()?)?);
            of_admission.iter().copied().find(|index| self.all[*index].may_have(&event.content_hash))
        });
        let index = known.unwrap_or_else(|| {
            self.all.push(Case { name, received_at, ..Case::default() });
            self.all.len() - 1
        });
        let case = &mut self.all[index];
        if let Some(event) = event {
            case.admission_id.get_or_insert(event.admission_id);
            if !event.content_hash.is_empty() {
                case.content_hash.get_or_insert_with(|| event.content_hash.clone());
            }
        }
        if let Some(by_admission) = by_admission {
            let of_admission = self.by_admission.entry(by_admission).or_default();
            if !of_admission.contains(&index) {
                of_admission.push(index);
            }
        }
        if let (Some(origin), Some(by_origin)) = (origin, by_origin) {
            self.by_origin.insert(by_origin, index);
            if !case.origins.contains(origin) {
                case.origins.push(origin.clone());
            }
            case.note_producer(origin);
        }
        case
    }
}

fn name_of(event: &KnownEvent) -> Name {
    (event.tenant.clone(), event.id.clone())
}

impl Case {
    /// A foreign producer put it on the stream. Events of ingest can be read, and their admission does not depend on the
    /// origin.
    pub(crate) fn is_of_foreign_producer(&self) -> bool {
        self.is_named_after_its_origin || self.admission_id.is_none()
    }

    /// Notes whether its admission is that of a foreign producer's event at `origin`.
    fn note_producer(&mut self, Origin { shard, sequence_number, position }: &Origin) {
        let of_foreign = || AdmissionId::of_foreign(shard, sequence_number, *position);
        self.is_named_after_its_origin |=
            self.admission_id.is_some_and(|admission_id| admission_id == of_foreign());
    }

    /// It may have this content. A foreign producer may copy an admission, and write another content.
    fn may_have(&self, content_hash: &str) -> bool {
        content_hash.is_empty() || self.content_hash.as_ref().is_none_or(|hash| is_same(hash, content_hash))
    }

    /// The item belongs to this event, not to another one with the same id.
    pub(crate) fn owns(&self, item: &KnownItem) -> bool {
        self.origins.contains(&item.origin)
            || (self.admission_id == Some(item.admission_id) && self.may_have(&item.content_hash))
    }

    /// The origins that no later one of this case replaced.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Origin> {
        self.origins.iter().filter(|origin| !self.former.contains(*origin))
    }

    pub(crate) fn named(&self) -> Option<(&TenantId, &EventId)> {
        self.name.as_ref().map(|(tenant, id)| (tenant, id))
    }
}
