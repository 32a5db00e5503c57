//! Requests over HTTP, as applications send them: to a real daemon, with a real queue behind it.

mod access;
mod answers;
mod document;
mod events;
mod examples;
mod face;
mod lifecycle;
mod limits;
mod many;
mod metrics;
mod page;
mod routes;
mod sockets;
