//! (to be written)

pub mod list;
