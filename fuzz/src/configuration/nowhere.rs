//! Stores that are never called: a consumer is only built with them.

use std::sync::Arc;

use consumer_fn::items::{Insert, Item, TakeOver, TakenOver};
use consumer_fn::ledger::{LedgerFailure, Progress, Written};
use consumer_fn::{ItemStore, Ledger};
use shared::format::manifest_row::ManifestRow;

#[derive(Debug)]
pub(super) struct Nowhere;

impl ItemStore for Nowhere {
    async fn insert(&self, _: &[Arc<Item>]) -> Vec<Insert> {
        unreachable!("no batch is handled")
    }

    async fn take_over(&self, _: &[TakeOver]) -> Vec<TakenOver> {
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
