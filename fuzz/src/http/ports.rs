//! The ports of ingest, in memory. They fail if the input says so: `stream-hangs`, `stream-refuses`, `stream-flaky`
//! (every other record, once), `queue-refuses`, `objects-refuse`.

use std::sync::{Arc, Mutex};

use ingest_fn::{
    EventStream, Put, Refusal, SpillFailure, SpillMessage, SpillQueue, StreamFailure, StreamRecord,
};
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::record;
use shared::limits;
use shared::objects::memory::{Fault, MemoryObjects};

use super::input::Input;

/// The three ports.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    stream: Stream,
    queue_refuses: bool,
    objects: MemoryObjects,
    objects_refuse: bool,
    reached: Arc<Mutex<Reached>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Works,
    Hangs,
    Refuses,
    Flaky,
}

#[derive(Debug, Default)]
struct Reached {
    puts: usize,
    records: Vec<StreamRecord>,
    messages: Vec<SpillMessage>,
}

impl Ports {
    pub(crate) fn new(input: &Input) -> Self {
        let faults = [
            ("stream-hangs", Stream::Hangs),
            ("stream-refuses", Stream::Refuses),
            ("stream-flaky", Stream::Flaky),
        ];
        let fault = faults.into_iter().find(|(word, _)| input.has(word));
        let mut objects = MemoryObjects::default();
        let objects_refuse = input.has("objects-refuse");
        objects.fail(move |_| objects_refuse.then_some(Fault::Refused));
        Self {
            stream: fault.map_or(Stream::Works, |(_, stream)| stream),
            queue_refuses: input.has("queue-refuses"),
            objects,
            objects_refuse,
            reached: Arc::default(),
        }
    }

    /// Whether an event may be refused without a fault of its client.
    pub(crate) fn may_fail(&self) -> bool {
        self.objects_refuse || (self.stream != Stream::Works && self.queue_refuses)
    }

    /// Everything on the stream and in the queue: partition keys and packed lines.
    pub(super) fn packed(&self) -> Vec<(String, Vec<u8>)> {
        let reached = self.reached.lock().unwrap();
        let on_stream =
            reached.records.iter().map(|record| (record.partition_key.clone(), record.data.to_vec()));
        let spilled = reached.messages.iter().map(|message| {
            let lines: Vec<_> =
                SpillMessage::read(message.body()).unwrap().into_iter().map(|line| line.line).collect();
            (message.partition_key().to_owned(), record::pack(&lines))
        });
        on_stream.chain(spilled).collect()
    }

    pub(super) fn objects(&self) -> MemoryObjects {
        self.objects.clone()
    }

    /// The event whose line is stored for a head.
    pub(super) fn stored(&self, claim_check: &ClaimCheck) -> Event {
        let parts: Vec<_> = claim_check.part_keys().iter().map(|key| self.objects.bytes(key)).collect();
        serde_json::from_slice(&claim_check.line(&parts).unwrap()).unwrap()
    }
}

impl EventStream for Ports {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        assert!(!records.is_empty() && records.len() <= limits::PUT_RECORDS);
        let size = |record: &StreamRecord| record.data.len() + record.partition_key.len();
        assert!(records.iter().all(|record| size(record) <= limits::RECORD_BYTES));
        assert!(records.iter().map(size).sum::<usize>() <= limits::PUT_BYTES);
        match self.stream {
            Stream::Hangs => std::future::pending().await,
            Stream::Refuses => return Err(StreamFailure::Refused("away".to_owned())),
            Stream::Works | Stream::Flaky => {}
        }
        let mut reached = self.reached.lock().unwrap();
        let put = |record: &StreamRecord| {
            reached.puts += 1;
            if self.stream == Stream::Flaky && reached.puts % 2 == 1 {
                return Put::Refused(Refusal::Throttled("slow down".to_owned()));
            }
            reached.records.push(record.clone());
            Put::Taken
        };
        Ok(records.iter().map(put).collect())
    }
}

impl SpillQueue for Ports {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        assert!(!messages.is_empty() && messages.len() <= limits::BATCH_MESSAGES);
        assert!(messages.iter().map(|message| message.body().len()).sum::<usize>() <= limits::MESSAGE_BYTES);
        let send = |message: &SpillMessage| {
            if self.queue_refuses {
                return Err(SpillFailure("away".to_owned()));
            }
            self.reached.lock().unwrap().messages.push(message.clone());
            Ok(())
        };
        messages.iter().map(send).collect()
    }
}
