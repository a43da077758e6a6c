//! The second stage: reads a request's body within limits of size, time and memory, inflates it, and makes it UTF-8.
//!
//! The bytes of bodies are counted as they arrive, and held until the answer. A body for which there is no memory waits
//! unread, which slows its sender down. Then the bodies that arrive slowest give way, and if that is not enough it is answered
//! 503. A body that does not arrive holds almost nothing, so senders that only keep connections open cannot block others.

mod arriving;
mod buffer;
mod charset;
mod decode;
mod zstd;

use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use encoding_rs::Encoding;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use shared::config::Limits;
use shared::gzip::Cap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::arriving::{ArrivingBodies, ArrivingBody};
use self::buffer::Buffer;
use crate::media::Coding;
use crate::offload::{INLINE_BYTES, is_inline, offload};
use crate::rejection::Rejection;

/// How long a request waits for memory before it is refused.
const WAIT: Duration = Duration::from_secs(1);
/// After so much of it, and again each time, the slowest bodies give way. Usually a request is answered sooner, so that
/// memory is free again.
const PATIENCE: Duration = Duration::from_millis(250);
/// A body up to this size is not counted: it does not wait for memory that large ones have taken. A connection's buffer has as
/// much, so the number of connections bounds these bodies.
const SMALL_BYTES: usize = 16 * 1024;
/// The usual compression ratio, to estimate the work of inflating.
const USUAL_RATIO: usize = 8;
/// How much of a refused body is read and discarded, as a multiple of the largest body.
const DISCARDED_BODIES: usize = 4;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The memory that all bodies share.
#[derive(Debug)]
pub(crate) struct Bodies {
    limits: Limits,
    free: Arc<Semaphore>,
    /// A body that is worked on needs several times its size, for what is made of it. More at once than there are cores would
    /// need more memory and be no faster.
    cores: Arc<Semaphore>,
    arriving: ArrivingBodies,
}

/// For as long as it exists, its holder may work on a large body.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<OwnedSemaphorePermit>);

/// A body as its request has it.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// From a connection.
    Arriving(Body),
    /// From Lambda, which has received it.
    Whole(Bytes),
}

/// A whole body.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) bytes: Bytes,
    /// Its share of the memory, until the answer.
    pub(crate) held: OwnedSemaphorePermit,
}

impl Bodies {
    pub(crate) fn new(limits: &Limits) -> Self {
        let permits = limits.bodies_in_memory_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            limits: limits.clone(),
            free: Arc::new(Semaphore::new(permits)),
            cores: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get))),
            arriving: ArrivingBodies::default(),
        }
    }

    /// Reads the body as it came.
    pub(crate) async fn receive(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<Arrived, Rejection> {
        let most = self.limits.body_bytes;
        if announced(headers).is_some_and(|bytes| bytes > most as u64) {
            return Err(Rejection::BodyTooLarge { limit: most });
        }
        let body = match body {
            Incoming::Arriving(body) => body,
            Incoming::Whole(bytes) => return self.whole(std::mem::take(bytes)).await,
        };
        let mut held = self.hold(0).await?;
        let arriving = self.arriving.begin();
        let bytes = tokio::select! {
            biased;
            bytes = self.collect(announced(headers), body, &mut held, &arriving) => bytes,
            () = arriving.must_give_way() => Err(self.overloaded()),
            () = tokio::time::sleep(self.limits.body_timeout()) => {
                Err(Rejection::BodyTimeout { limit_ms: self.limits.body_timeout_ms })
            }
        };
        Ok(Arrived { bytes: bytes?, held })
    }

    async fn whole(&self, bytes: Bytes) -> Result<Arrived, Rejection> {
        let most = self.limits.body_bytes;
        if bytes.len() > most {
            return Err(Rejection::BodyTooLarge { limit: most });
        }
        let counted = if bytes.len() > SMALL_BYTES { bytes.len() } else { 0 };
        Ok(Arrived { held: self.hold(counted).await?, bytes })
    }

    /// Inflates a body that is compressed. `check` is asked when it is the turn of one that becomes large: meanwhile others may have
    /// used up the quota. It needs, from where it is whole, what the largest body needs. `charge` gets the
    /// number of bytes that it added; of a body that cannot be inflated, the most that it can have added.
    pub(crate) async fn inflate(
        &self,
        received: Arrived,
        coding: Coding,
        turn: &mut Turn,
        check: impl FnOnce() -> Result<(), Rejection>,
        charge: impl FnOnce(usize),
    ) -> Result<Arrived, Rejection> {
        let Arrived { bytes, mut held } = received;
        let most = self.limits.body_bytes;
        let cap = Cap { bytes: most, ratio: self.limits.inflate_ratio };
        let bytes = match coding {
            Coding::Identity => decode::inflate(&bytes, coding, cap)?,
            coding => {
                self.grow(&mut held, bytes.len() + most).await?;
                let came = bytes.len();
                let inflated = self.inflated(bytes, coding, cap, turn, check).await;
                let became = match &inflated {
                    Ok(inflated) => inflated.len(),
                    // No work was done on it.
                    Err(Rejection::QuotaExceeded { .. }) => came,
                    Err(_) => cap.of(came),
                };
                charge(became.saturating_sub(came));
                inflated?
            }
        };
        Ok(Arrived { bytes, held })
    }

    /// A small body is inflated at once. If it turns out to be a large one, it is inflated again as such: a few kilobytes can be
    /// ten megabytes, and nothing else would run meanwhile.
    async fn inflated(
        &self,
        bytes: Bytes,
        coding: Coding,
        cap: Cap,
        turn: &mut Turn,
        check: impl FnOnce() -> Result<(), Rejection>,
    ) -> Result<Bytes, Rejection> {
        let about = coding.about(bytes.len());
        if is_inline(about) {
            let small = Cap { bytes: cap.bytes.min(INLINE_BYTES), ..cap };
            match decode::inflate(&bytes, coding, small) {
                Err(Rejection::BodyTooLarge { .. }) if small != cap => {}
                inflated => return inflated,
            }
        }
        let about = about.max(INLINE_BYTES + 1);
        self.wait_for_turn(turn, about).await;
        check()?;
        offload(about, move || decode::inflate(&bytes, coding, cap)).await
    }

    /// The body without a byte order mark, as UTF-8 if the mark or `charset` name another encoding. `charge` gets the number of
    /// bytes that it added.
    pub(crate) async fn decode(
        &self,
        body: Arrived,
        charset: &'static Encoding,
        charge: impl FnOnce(usize),
    ) -> Result<Arrived, Rejection> {
        let Arrived { bytes, mut held } = body;
        let most = self.limits.body_bytes;
        let bytes = match charset::of(&bytes, charset) {
            (None, text) => bytes.slice_ref(text),
            (Some(encoding), text) => {
                let (bytes, came) = (bytes.slice_ref(text), bytes.len());
                self.grow(&mut held, came + most).await?;
                let decoded = offload(came, move || charset::decode(&bytes, encoding, most)).await?;
                charge(decoded.len().saturating_sub(came));
                decoded
            }
        };
        Ok(Arrived { bytes, held })
    }

    /// Waits until a core is free for work on about `bytes` bytes. Little work does not wait. Gives whether it waited.
    pub(crate) async fn wait_for_turn(&self, turn: &mut Turn, bytes: usize) -> bool {
        let waits = turn.0.is_none() && !is_inline(bytes);
        if waits {
            let core = Arc::clone(&self.cores).acquire_owned().await;
            turn.0 = Some(core.expect("the semaphore is never closed"));
        }
        waits
    }

    async fn collect(
        &self,
        announced: Option<u64>,
        body: &mut Body,
        held: &mut OwnedSemaphorePermit,
        arriving: &ArrivingBody<'_>,
    ) -> Result<Bytes, Rejection> {
        let most = self.limits.body_bytes;
        let whole =
            announced.and_then(|bytes| usize::try_from(bytes).ok()).map_or(most, |bytes| bytes.min(most));
        let mut bytes = Buffer::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Rejection::BodyInterrupted)?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Rejection::BodyTooLarge { limit: most });
            }
            if bytes.len() + data.len() > SMALL_BYTES {
                self.grow(held, bytes.len() + data.len()).await?;
            }
            if bytes.len() == 0 && body.is_end_stream() {
                // It came in one piece.
                return Ok(data.clone());
            }
            bytes.extend(data, whole).map_err(|_| self.overloaded())?;
            arriving.holds(bytes.len());
        }
        Ok(bytes.into())
    }

    /// Makes the share large enough for `bytes`.
    async fn grow(&self, held: &mut OwnedSemaphorePermit, bytes: usize) -> Result<(), Rejection> {
        if let Some(missing) = bytes.checked_sub(held.num_permits()).filter(|missing| *missing > 0) {
            held.merge(self.hold(missing).await?);
        }
        Ok(())
    }

    /// Takes `bytes` of the memory. Waiting requests hold memory themselves, so the wait has a time limit.
    async fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        if permits == 0
            && let Ok(held) = Arc::clone(&self.free).try_acquire_many_owned(0)
        {
            return Ok(held);
        }
        let mut held = pin!(Arc::clone(&self.free).acquire_many_owned(permits));
        let end = Instant::now() + WAIT;
        loop {
            match tokio::time::timeout(PATIENCE, &mut held).await {
                Ok(held) => return Ok(held.expect("the semaphore is never closed")),
                Err(_) if Instant::now() < end => self.arriving.make_room(bytes),
                Err(_) => return Err(self.overloaded()),
            }
        }
    }

    fn overloaded(&self) -> Rejection {
        Rejection::Overloaded { limit: self.limits.bodies_in_memory_bytes }
    }
}

impl Coding {
    /// About how many bytes a body of `bytes` bytes becomes.
    pub(crate) fn about(self, bytes: usize) -> usize {
        match self {
            Self::Identity => bytes,
            _ => bytes.saturating_mul(USUAL_RATIO),
        }
    }
}

/// `Content-Length`: used to refuse early, never trusted.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads and discards the rest of a refused body, within bounds. If the server closed the connection while the client still
/// writes, the client would see a reset instead of the answer. A client that sent `Expect: 100-continue` has not begun to
/// write.
pub(crate) async fn discard(headers: &HeaderMap, body: &mut Incoming, limits: &Limits) {
    let Incoming::Arriving(body) = body else { return };
    if headers.contains_key(EXPECT) {
        return;
    }
    let most = limits.body_bytes.saturating_mul(DISCARDED_BODIES);
    let read = async {
        let mut dropped = 0;
        while let Some(Ok(frame)) = body.frame().await {
            dropped += frame.data_ref().map_or(0, Bytes::len);
            if dropped > most {
                break;
            }
        }
    };
    let _out_of_time = tokio::time::timeout(DISCARD_TIME, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(body_bytes: usize) -> Limits {
        Limits { body_bytes, bodies_in_memory_bytes: 2 * body_bytes, ..Limits::default() }
    }

    fn no_headers() -> HeaderMap {
        HeaderMap::new()
    }

    async fn read(bodies: &Bodies, body: impl Into<Body>) -> Result<Arrived, Rejection> {
        bodies.receive(&no_headers(), &mut Incoming::Arriving(body.into())).await
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_is_read_and_one_byte_more_is_refused() {
        let bodies = Bodies::new(&limits(1_000));
        for (bytes, expected) in [(1_000, Ok(1_000)), (1_001, Err("body_too_large"))] {
            let mut whole = Incoming::Whole(vec![b'x'; bytes].into());
            let received = bodies.receive(&no_headers(), &mut whole).await;
            assert_eq!(received.map(|body| body.bytes.len()).map_err(|refused| refused.code()), expected);
        }
        assert_eq!(read(&bodies, vec![b'x'; 1_000]).await.unwrap().bytes.len(), 1_000);
        assert_eq!(read(&bodies, vec![b'x'; 1_001]).await.unwrap_err().code(), "body_too_large");
    }

    #[tokio::test]
    async fn the_limit_holds_for_a_body_with_a_wrong_content_length() {
        let bodies = Bodies::new(&limits(1_000));
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, "10".parse().unwrap())]);
        let mut body = Incoming::Arriving(Body::from(vec![b'x'; 1_001]));
        let rejection = bodies.receive(&headers, &mut body).await.unwrap_err();
        assert_eq!(rejection.limit(), Some(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_refused_after_the_time_limit() {
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let rejection = read(&Bodies::new(&limits(1_000)), silent).await.unwrap_err();
        assert_eq!(rejection.to_string(), "the body did not arrive within 30000 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_memory_and_is_then_refused() {
        let bodies = Bodies::new(&limits(20_000));
        let large = || vec![b'x'; 20_000];
        let first = read(&bodies, large()).await.unwrap();
        let _second = read(&bodies, large()).await.unwrap();
        let rejection = read(&bodies, large()).await.unwrap_err();
        assert_eq!((rejection.code(), rejection.limit()), ("overloaded", Some(40_000)));
        // A small one does not wait.
        assert_eq!(read(&bodies, "small").await.unwrap().bytes, "small");
        drop(first);
        assert_eq!(read(&bodies, large()).await.unwrap().bytes.len(), 20_000);
    }

    /// A body of which so much arrives, and no more.
    fn stalled(bytes: usize) -> Body {
        let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes]))]);
        Body::from_stream(futures::StreamExt::chain(begun, futures::stream::pending()))
    }

    /// Strangers fill the memory with bodies that do not end; the next ones come through, and each takes the place of one.
    #[tokio::test(start_paused = true)]
    async fn bodies_that_stopped_arriving_do_not_hold_the_memory_that_others_need() {
        let bodies = Arc::new(Bodies::new(&limits(20_000)));
        let strangers: Vec<_> = (0..2)
            .map(|_| {
                let bodies = Arc::clone(&bodies);
                tokio::spawn(async move { read(&bodies, stalled(20_000)).await.map(drop) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let whole = read(&bodies, vec![0xff; 20_000]).await.unwrap();
        assert_eq!(strangers.iter().filter(|stranger| stranger.is_finished()).count(), 1);
        let inflated =
            bodies.inflate(whole, Coding::Gzip, &mut Turn::default(), || Ok(()), |_| {}).await.unwrap_err();
        assert_eq!(inflated.code(), "body_corrupt", "there was memory to try it");
        for stranger in strangers {
            assert_eq!(stranger.await.unwrap().unwrap_err().code(), "overloaded");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_body_that_becomes_large_waits_for_a_core_and_others_do_not() {
        let bodies = Bodies::new(&Limits::default());
        let cores = u32::try_from(bodies.cores.available_permits()).unwrap();
        let busy = Arc::clone(&bodies.cores).acquire_many_owned(cores).await.unwrap();
        let inflate = async |bytes: usize| {
            let body = shared::gzip::compress(&vec![b'x'; bytes], shared::gzip::Level::new(9).unwrap());
            assert!(body.len() < 16_000);
            let arrived = read(&bodies, body).await.unwrap();
            let mut turn = Turn::default();
            let inflated =
                bodies.inflate(arrived, Coding::Gzip, &mut turn, || Ok(()), |added| assert!(added < bytes));
            tokio::time::timeout(Duration::from_secs(1), inflated).await.map(|done| done.unwrap().bytes.len())
        };
        assert_eq!(inflate(INLINE_BYTES).await.ok(), Some(INLINE_BYTES));
        assert!(inflate(10_000_000).await.is_err());
        drop(busy);
        assert_eq!(inflate(10_000_000).await.ok(), Some(10_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_bodies_that_do_not_arrive_block_no_other_request() {
        let bodies = Arc::new(Bodies::new(&limits(1_000)));
        for _ in 0..1_000 {
            let bodies = Arc::clone(&bodies);
            tokio::spawn(async move { read(&bodies, stalled(0)).await.map(drop) });
        }
        tokio::task::yield_now().await;
        assert_eq!(read(&bodies, "x").await.unwrap().bytes, "x");
    }
}
