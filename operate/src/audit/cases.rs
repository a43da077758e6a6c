//! Cases: all that was found of one admission.

use std::collections::HashMap;

use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

use super::facts::{Event, Facts, Item, Line};

/// All that was found of one admission.
#[derive(Debug)]
pub(crate) struct Case {
    /// `None` where nothing of it can be read.
    pub(crate) name: Option<(TenantId, EventId)>,
    pub(crate) admission_id: Option<AdmissionId>,
    /// `None` where only the archive has it, which does not say.
    pub(crate) content_hash: Option<String>,
    pub(crate) received_at: Timestamp,
    is_named_after_its_place: bool,
    /// Every place that it has or had on the stream, the latest last.
    pub(crate) origins: Vec<Origin>,
    /// Those of them at which the stream has it still.
    pub(crate) arrivals: Vec<Origin>,
    /// Those of them that a later one was put in place of.
    pub(crate) former: Vec<Origin>,
    /// Whether the spill queue has it.
    pub(crate) is_spilled: bool,
    /// Whether the dead-letter queue has it.
    pub(crate) is_dead: bool,
}

/// All cases.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    all: Vec<Case>,
    by_admission: HashMap<AdmissionId, usize>,
    by_origin: HashMap<Origin, usize>,
}

impl Cases {
    /// The cases in `facts`, of the archived lines only those that `counts` lets in.
    pub(crate) fn of(facts: &Facts, counts: impl Fn(&Line) -> bool) -> Self {
        let mut cases = Self::default();
        // What was put back comes behind what it replaces, so that it finds the case.
        let (first, again): (Vec<_>, Vec<_>) =
            facts.arrivals.iter().partition(|arrival| arrival.redrive_of.is_empty());
        for kept in facts.quarantined.iter().chain(&facts.failed) {
            cases.find(Some(&kept.origin), kept.event.as_ref(), kept.received_at);
        }
        for arrival in first.into_iter().chain(again) {
            let known = arrival.redrive_of.iter().find_map(|former| cases.by_origin.get(former)).copied();
            if let Some(known) = known {
                cases.by_origin.insert(arrival.origin.clone(), known);
            }
            let case = cases.find(Some(&arrival.origin), arrival.event.as_ref(), arrival.received_at);
            case.arrivals.push(arrival.origin.clone());
            case.former.extend(arrival.redrive_of.iter().cloned());
        }
        for line in facts.objects.iter().flat_map(|object| &object.lines).filter(|line| counts(line)) {
            let event = Event {
                tenant: line.tenant.clone(),
                id: line.id.clone(),
                admission_id: line.admission_id,
                content_hash: String::new(),
                received_at: line.received_at,
            };
            cases.find(Some(&line.origin), Some(&event), line.received_at);
        }
        for (queued, is_dead) in facts
            .spilled
            .iter()
            .map(|event| (event, false))
            .chain(facts.dead.iter().map(|event| (event, true)))
        {
            let case = cases.find(None, Some(queued), queued.received_at);
            if is_dead { case.is_dead = true } else { case.is_spilled = true }
        }
        cases
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Case> {
        self.all.iter()
    }

    /// The case of a line: by where it lies, else by its admission, else a new one.
    fn find(&mut self, origin: Option<&Origin>, event: Option<&Event>, received_at: Timestamp) -> &mut Case {
        let by_origin = origin.and_then(|origin| self.by_origin.get(origin)).copied();
        let by_admission = || self.by_admission.get(&event?.admission_id).copied();
        let index = by_origin.or_else(by_admission).unwrap_or_else(|| {
            self.all.push(Case {
                name: None,
                admission_id: None,
                content_hash: None,
                received_at,
                is_named_after_its_place: false,
                origins: Vec::new(),
                arrivals: Vec::new(),
                former: Vec::new(),
                is_spilled: false,
                is_dead: false,
            });
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
        let of_its_place = |origin: &Origin, admission: AdmissionId| {
            admission == AdmissionId::of_foreign(&origin.shard, &origin.sequence_number, origin.position)
        };
        let matches = origin.zip(case.admission_id).is_some_and(|(origin, id)| of_its_place(origin, id));
        case.is_named_after_its_place |= matches;
        case
    }
}

impl Case {
    /// Whether another producer put it on the stream: what comes by our door can be read, and has an admission that
    /// says nothing of a place.
    pub(crate) fn is_of_other_producer(&self) -> bool {
        self.is_named_after_its_place || self.admission_id.is_none()
    }

    /// Whether the item that has its id is that of its event.
    pub(crate) fn owns(&self, item: &Item) -> bool {
        self.origins.contains(&item.origin) || self.admission_id == Some(item.admission_id)
    }

    /// The places that nothing was put in place of.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Origin> {
        self.origins.iter().filter(|origin| !self.former.contains(*origin))
    }

    pub(crate) fn named(&self) -> Option<(&TenantId, &EventId)> {
        self.name.as_ref().map(|(tenant, id)| (tenant, id))
    }
}
