//! The queue on a real PostgreSQL: its states, its claims, its roles, its migrations.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail the test, as the tests themselves do"
)]

mod cancels;
mod claims;
mod copies;
mod differences;
mod documents;
mod fixture;
mod hints;
mod hostile;
mod identity;
mod kept;
mod left_running;
mod links;
mod metrics;
mod migrations;
mod model;
mod quotas;
mod retention_model;
mod roles;
mod schedules;
mod shown;
mod statements;
mod states;
mod turns;
mod volume;
