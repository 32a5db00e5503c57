//! The library against a real PostgreSQL with pgdumpd's own migrations. A daemon is played by a superuser.

mod asking;
mod enqueueing;
mod queue;
mod roles;
mod waiting;
mod watching;
