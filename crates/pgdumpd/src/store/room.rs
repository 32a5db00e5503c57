//! A storage without room.

use crate::code::Code;
use crate::fault::Fault;

/// There is no room. Transient: retention, or a person, may free some before the next attempt.
pub(super) fn no_room(what: impl Into<String>) -> Fault {
    Fault::transient(Code::StorageFull, what).hint(
        "Free space on the storage's file system, raise its quota, or lower the storage's `min_free`.",
    )
}
