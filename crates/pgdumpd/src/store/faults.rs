//! What a storage's errors mean for a job, and what an operator can do about each.

use std::io;
use std::path::Path;

use super::key::ObjectKey;
use super::marker::MISSING_HINT;
use super::remote::error::RequestError;
use super::room::no_room;
use crate::code::Code;
use crate::fault::Fault;

/// Turns an error of the operating system into a fault; `what` says what failed, and names the thing.
pub(super) fn of_io(what: impl Into<String>, path: &Path, error: io::Error) -> Fault {
    let what = what.into();
    let shown = path.display();
    let fault = match error.kind() {
        io::ErrorKind::PermissionDenied => Fault::permanent(Code::StorageDenied, what).hint(format!(
            "Let the daemon's user (uid {}) read and write {shown}; under systemd, name it in ReadWritePaths= too.",
            rustix::process::geteuid().as_raw()
        )),
        io::ErrorKind::ReadOnlyFilesystem => Fault::permanent(Code::StorageReadonly, what).hint(format!(
            "{shown} is mounted read-only, or systemd's ProtectSystem= makes it so: name it in ReadWritePaths=."
        )),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            return no_room(what).caused_by(error);
        }
        io::ErrorKind::NotADirectory => Fault::permanent(Code::StorageMissing, what)
            .hint(format!("{shown} is, or lies below, something that is not a directory.")),
        io::ErrorKind::NotFound => {
            Fault::transient(Code::StorageMissing, what).hint(MISSING_HINT)
        }
        _ => Fault::transient(Code::StorageFailed, what),
    };
    fault.caused_by(error)
}

/// Turns an error of object_store into a fault, by the operating system's error inside it where there is one.
pub(super) fn of_object_store(what: impl Into<String>, error: object_store::Error) -> Fault {
    let what = what.into();
    if let Some(request) = RequestError::inside(&error) {
        return request.fault(what);
    }
    let kind = io_kind(&error);
    match (&error, kind) {
        (object_store::Error::NotFound { .. }, _) | (_, Some(io::ErrorKind::NotFound)) => {
            Fault::transient(Code::StorageMissing, what)
                .hint("Check whether the storage is mounted and reachable, and whether someone removed the object.")
        }
        (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }, _)
        | (_, Some(io::ErrorKind::PermissionDenied)) => Fault::permanent(Code::StorageDenied, what)
            .hint("Let the daemon read, write and list the storage."),
        (_, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) => no_room(what),
        _ => Fault::transient(Code::StorageFailed, what),
    }
    .caused_by(error)
}

/// There is no object under this key.
pub(super) fn object_missing(key: &ObjectKey) -> Fault {
    Fault::transient(Code::ObjectMissing, format!("{key} is missing"))
        .hint("Somebody has removed it: take the backup from another storage.")
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
