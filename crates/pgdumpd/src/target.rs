//! STUB
#![allow(
    missing_docs,
    clippy::todo,
    clippy::allow_attributes,
    clippy::unused_async
)]
use crate::config::TargetConfig;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::finding::Finding;
use std::time::{Duration, Instant};
#[derive(Debug)]
pub struct Target;
pub struct TableSize {
    pub oid: u32,
    pub bytes: u64,
    pub estimated_rows: Option<i64>,
}
pub struct CopyProgress {
    pub bytes: u64,
    pub rows: u64,
}
impl CopyProgress {
    pub fn qualified_name(&self) -> String {
        todo!()
    }
}
pub struct LockWait;
#[derive(Default)]
pub struct SessionLook {
    pub waiting_for_lock: Option<LockWait>,
    pub copy: Option<CopyProgress>,
}
pub struct LockGuard;
impl LockGuard {
    pub fn new(_: Duration) -> Self {
        Self
    }
    pub fn see(&mut self, _: Instant, _: &SessionLook) -> Option<Fault> {
        None
    }
}
pub struct StallGuard;
impl StallGuard {
    pub fn new(_: Duration) -> Self {
        Self
    }
    pub fn see(&mut self, _: Instant, _: u64, _: bool) -> Option<Fault> {
        None
    }
}
impl Target {
    pub async fn connect(_: &str, _: &DatabaseUrl) -> Result<Self, Fault> {
        todo!()
    }
    pub async fn end_sessions(&self, _: &[String], _: Duration) -> Result<usize, Fault> {
        todo!()
    }
    pub async fn sessions_gone(&self, _: &str, _: Duration) -> Result<bool, Fault> {
        todo!()
    }
    pub fn server_major(&self) -> u32 {
        0
    }
    pub fn server_version(&self) -> &str {
        ""
    }
    pub fn system_identifier(&self) -> Option<u64> {
        None
    }
    pub async fn database_size(&self) -> Result<u64, Fault> {
        todo!()
    }
    pub async fn table_sizes(&self) -> Result<Vec<TableSize>, Fault> {
        todo!()
    }
    pub async fn look(&self, _: &str) -> Result<SessionLook, Fault> {
        todo!()
    }
}
pub fn application_name(_: uuid::Uuid) -> String {
    todo!()
}
pub async fn databases(_: &str, _: &TargetConfig) -> Result<Vec<String>, Fault> {
    todo!()
}
pub async fn check(_: &str, _: &TargetConfig, _: &[std::path::PathBuf]) -> Vec<Finding> {
    todo!()
}
