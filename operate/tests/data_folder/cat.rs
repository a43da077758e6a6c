//! `cat` on objects that a hundred tenants share. The deployment notes what is read of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::Ledger;
use consumer_fn::items::Existing;
use local::adapters::Plain;
use local::data::DataFolder;
use local::embedded::EmbeddedStream;
use operate::archive::Span;
use operate::cat::{Printed, cat};
use operate::deployment::{
    Attributes, Deployment, ItemPage, ListedObject, ManifestPart, Messages, NotedRow, QueueName,
    QueuedMessage, ShardRead, Start,
};
use shared::digest::sha256;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::gzip;
use shared::id::{EventId, TenantId};
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;
use shared::time::{Clock, Timestamp};

const SHARD: &str = "shardId-000000000000";
const AT: i64 = 1_704_937_370_234;

/// Reads: `(key, offset, length)`, the length `None` for a whole object.
type Asked = Arc<Mutex<Vec<(String, usize, Option<usize>)>>>;

struct Noting<D> {
    objects: NotingObjects<D>,
}

struct NotingObjects<D> {
    inner: D,
    asked: Asked,
}

impl<D: Deployment> ObjectStore for NotingObjects<D> {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        ObjectStore::put_if_absent(self.inner.objects(), key, bytes, covers_end).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.inner.objects().put(key, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        self.asked.lock().unwrap().push((key.to_owned(), 0, None));
        self.inner.objects().get(key).await
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        self.asked.lock().unwrap().push((key.to_owned(), 0, None));
        self.inner.objects().find(key).await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        self.asked.lock().unwrap().push((key.to_owned(), offset, Some(length)));
        self.inner.objects().get_range(key, offset, length).await
    }
}

impl<D: Deployment> Deployment for Noting<D> {
    type Objects = NotingObjects<D>;
    type Ledger = D::Ledger;
    type Stream = D::Stream;

    fn name(&self) -> &str {
        self.objects.inner.name()
    }

    fn identity(&self) -> &str {
        self.objects.inner.identity()
    }

    fn objects(&self) -> &NotingObjects<D> {
        &self.objects
    }

    fn ledger(&self) -> &D::Ledger {
        self.objects.inner.ledger()
    }

    fn stream(&self) -> Arc<D::Stream> {
        self.objects.inner.stream()
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        self.objects.inner.retention().await
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        self.objects.inner.shards().await
    }

    async fn records(&self, shard: &str, start: Start) -> anyhow::Result<ShardRead> {
        self.objects.inner.records(shard, start).await
    }

    async fn checkpoint(&self, shard: &str) -> anyhow::Result<Option<String>> {
        self.objects.inner.checkpoint(shard).await
    }

    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>> {
        self.objects.inner.manifest_rows(shard, part).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        self.objects.inner.list(prefix, after).await
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        self.objects.inner.items(names).await
    }

    async fn attributes_of(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Attributes>>> {
        self.objects.inner.attributes_of(names).await
    }

    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        self.objects.inner.list_items(after).await
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        self.objects.inner.messages(queue).await
    }

    async fn delete_message(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        self.objects.inner.delete_message(queue, message).await
    }

    async fn dispatch_again(&self, body: String) -> anyhow::Result<()> {
        self.objects.inner.dispatch_again(body).await
    }
}

async fn deployment() -> (tempfile::TempDir, Noting<impl Deployment>) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
    let inner = local::deployment::open(folder.path(), &Plain).await.unwrap();
    (folder, Noting { objects: NotingObjects { inner, asked: Asked::default() } })
}

fn tenant(number: usize) -> TenantId {
    TenantId::parse(&format!("tenant-{number}")).unwrap()
}

fn line(tenant: &TenantId, object: u32, number: usize) -> String {
    let received_at = Timestamp::from_unix_ms(AT + i64::from(object) * 1_000);
    format!(r#"{{"id":"{object}-{number}","tenant":"{tenant}","received_at":"{received_at}"}}"#)
}

/// Writes the `number`th object, with two lines of each of a hundred tenants, and returns their ranges.
async fn write(
    deployment: &Noting<impl Deployment>,
    number: u32,
    has_sidecar: bool,
    has_row: bool,
) -> BTreeMap<TenantId, TenantRange> {
    let (mut object, mut ranges) = (Vec::new(), Vec::new());
    for tenant in (0..100).map(tenant) {
        let mut lines = String::new();
        for line in (0..2).map(|event| line(&tenant, number, event)) {
            writeln!(lines, "{line}").unwrap();
        }
        let member = gzip::compress(lines.as_bytes(), gzip::Level::FAST);
        ranges.push(TenantRange { tenant, offset: object.len(), length: member.len(), lines: 2 });
        object.extend(member);
    }
    let at = Timestamp::from_unix_ms(AT + i64::from(number) * 1_000);
    let first = ShardPosition::new(format!("49{number}"), 0);
    let before = ShardPosition::new(format!("49{number}"), 200);
    let key = shared::format::key::archive_object(SHARD, &first.sequence_number, 0, at);
    let sidecar = shared::format::key::manifest_sidecar(&key);
    let tenants = if has_sidecar {
        let json = gzip::compress(&serde_json::to_vec(&ranges).unwrap(), gzip::Level::FAST);
        deployment.objects.put(&sidecar, json.into()).await.unwrap();
        TenantIndex::Sidecar(sidecar)
    } else {
        TenantIndex::Ranges(ranges.clone())
    };
    let (bytes, sha256) = (object.len(), sha256(&object));
    let stored = &deployment.objects;
    stored.put_if_absent(&key, object.into(), Some(&before)).await.unwrap();
    if has_row {
        let row = ManifestRow {
            key,
            first,
            end: before,
            bytes,
            sha256,
            lines: 200,
            received_at: [at, at],
            tenants,
        };
        deployment.ledger().note(SHARD, &row).await.unwrap();
    }
    ranges.into_iter().map(|range| (range.tenant.clone(), range)).collect()
}

async fn printed(deployment: &Noting<impl Deployment>, number: usize, span: Span) -> (Vec<String>, Printed) {
    let mut out = Vec::new();
    let printed = cat(deployment, &tenant(number), span, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    (text.lines().map(str::to_owned).collect(), printed)
}

#[tokio::test]
async fn no_byte_of_another_tenants_member_is_read() {
    let (_folder, deployment) = deployment().await;
    let ranges = [write(&deployment, 1, false, true).await, write(&deployment, 2, true, true).await];
    let (lines, printed) = printed(&deployment, 42, Span::default()).await;
    let expected: Vec<_> =
        (1..=2).flat_map(|object| (0..2).map(move |event| line(&tenant(42), object, event))).collect();
    assert_eq!(lines, expected);

    let asked = deployment.objects.asked.lock().unwrap().clone();
    let of_archive: Vec<_> = asked.iter().filter(|(key, ..)| key.starts_with("events/")).collect();
    let own: Vec<_> = ranges.iter().map(|ranges| &ranges[&tenant(42)]).collect();
    let asked_for: Vec<_> = of_archive.iter().map(|(_, offset, length)| (*offset, *length)).collect();
    assert_eq!(asked_for, own.iter().map(|range| (range.offset, Some(range.length))).collect::<Vec<_>>());
    assert_eq!(asked.len(), 3, "and the sidecar of the second object: {asked:?}");

    let read: usize = own.iter().map(|range| range.length).sum();
    assert_eq!((printed.lines, printed.objects, printed.read_bytes), (4, 2, read as u64));
    assert!(printed.object_bytes > 90 * printed.read_bytes, "{printed:?}");
}

#[tokio::test]
async fn only_objects_and_lines_of_the_span_are_read() {
    let (_folder, deployment) = deployment().await;
    for object in 1..=3 {
        write(&deployment, object, false, true).await;
    }
    let at = |seconds: i64| Some(Timestamp::from_unix_ms(AT + seconds * 1_000));
    let (lines, _) = printed(&deployment, 7, Span::new(at(2), at(3))).await;
    assert_eq!(lines, [line(&tenant(7), 2, 0), line(&tenant(7), 2, 1)]);
    assert_eq!(deployment.objects.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_object_without_a_manifest_row_is_named_and_a_fence_is_not() {
    let (_folder, deployment) = deployment().await;
    write(&deployment, 1, false, false).await;
    let key = shared::format::key::archive_object(SHARD, "4911", 0, Timestamp::from_unix_ms(AT));
    let fence = Bytes::from(gzip::compress(b"", gzip::Level::FAST));
    deployment.objects.put_if_absent(&key, fence, None).await.unwrap();
    let (lines, printed) = printed(&deployment, 7, Span::default()).await;
    assert!(lines.is_empty());
    let unlisted: Vec<_> = printed.unlisted.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(unlisted, ["events/dt=2024-01-11/hr=01/shardId-000000000000-491-0.ndjson.gz"]);
}

#[tokio::test]
async fn expired_and_lost_objects_are_reported_and_the_rest_is_printed() {
    let (folder, deployment) = deployment().await;
    for object in 1..=4 {
        write(&deployment, object, object == 1, true).await;
    }
    let rows = deployment.manifest(SHARD, ManifestPart::After(None)).await.unwrap();
    let TenantIndex::Sidecar(sidecar) = &rows[0].tenants else { panic!("the first row has a sidecar") };
    let objects = DataFolder::open(folder.path()).unwrap().objects().unwrap();
    for key in [sidecar, &rows[0].key, &rows[2].key] {
        objects.folder.delete(key).await.unwrap();
    }
    let (lines, printed) = printed(&deployment, 7, Span::default()).await;
    assert_eq!(
        lines,
        [2, 2, 4, 4].iter().zip([0, 1, 0, 1]).map(|(o, n)| line(&tenant(7), *o, n)).collect::<Vec<_>>()
    );
    let lines = printed.absent.describe();
    assert_eq!(lines[0], format!("objects older than {} do not exist any more", rows[1].key));
    assert!(lines[1].starts_with(&format!("left out: {}: the manifest has it", rows[2].key)), "{lines:?}");
    assert_eq!((lines.len(), printed.absent.lost()), (2, 1));
}

#[tokio::test]
async fn a_member_with_another_tenants_lines_is_refused() {
    let (_folder, deployment) = deployment().await;
    write(&deployment, 1, false, true).await;
    let mut row = deployment.manifest(SHARD, ManifestPart::After(None)).await.unwrap().remove(0);
    let TenantIndex::Ranges(ranges) = &mut row.tenants else { panic!("they are few") };
    ranges[7].offset = ranges[8].offset;
    ranges[7].length = ranges[8].length;
    deployment.ledger().note(SHARD, &row).await.unwrap();
    let mut out = Vec::new();
    let error = cat(&deployment, &tenant(7), Span::default(), &mut out).await.unwrap_err();
    assert!(format!("{error:#}").contains("its range of `tenant-7` holds something else"), "{error:#}");
    assert!(out.is_empty());
}

/// A closed pipe.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let (_folder, deployment) = deployment().await;
    write(&deployment, 1, false, true).await;
    let printed = cat(&deployment, &tenant(7), Span::default(), &mut Closed).await.unwrap();
    assert_eq!(printed.lines, 0);
}
