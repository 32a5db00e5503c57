//! The queue on a real PostgreSQL: its states, its claims, its roles, its migrations.

mod claims;
mod documents;
mod fixture;
mod migrations;
mod model;
mod roles;
mod statements;
mod states;
