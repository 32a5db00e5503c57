//! How far a dump has come: sampled, estimated, reported.

mod catalog;
pub(super) mod cost;
mod estimate;
pub(super) mod reporter;
mod sampling;
pub(super) mod tracker;
pub(super) mod watch;
