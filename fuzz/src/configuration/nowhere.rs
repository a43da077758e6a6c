//! Stores that are never called: a consumer is only built with them.

use bytes::Bytes;
use consumer_fn::items::{Insert, Item, TakeOver, TakenOver};
use consumer_fn::ledger::{LedgerFailure, Progress, Written};
use consumer_fn::{ItemStore, Ledger};
use shared::format::manifest_row::ManifestRow;
use shared::objects::ObjectStore;
use shared::objects::{Created, FoundObject, ObjectFailure};
use shared::origin::ShardPosition;

#[derive(Debug)]
pub(super) struct Nowhere;

impl ItemStore for Nowhere {
    async fn insert(&self, _: &[Item]) -> Vec<Insert> {
        unreachable!("no batch is handled")
    }

    async fn take_over(&self, _: &[TakeOver]) -> Vec<TakenOver> {
        unreachable!("no batch is handled")
    }
}

impl ObjectStore for Nowhere {
    async fn put_if_absent(
        &self,
        _: &str,
        _: Bytes,
        _: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        unreachable!("no batch is handled")
    }

    async fn put(&self, _: &str, _: Bytes) -> Result<(), ObjectFailure> {
        unreachable!("no batch is handled")
    }

    async fn find(&self, _: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        unreachable!("no batch is handled")
    }
}

impl Ledger for Nowhere {
    async fn read(&self, _: &str) -> Result<Progress, LedgerFailure> {
        unreachable!("no batch is handled")
    }

    async fn write(&self, _: &str, _: &Progress) -> Result<Written, LedgerFailure> {
        unreachable!("no batch is handled")
    }

    async fn note(&self, _: &str, _: &ManifestRow) -> Result<(), LedgerFailure> {
        unreachable!("no batch is handled")
    }
}
