//! A storage that is a local directory, held open by its descriptor.

pub(super) mod directory;
pub(super) mod marker;
pub(super) mod read;
pub(super) mod upload;
pub(super) mod walk;
