"""Asks pgdumpd for PostgreSQL backups, follows and cancels them.

The functions here take a connection or a pool of psycopg that blocks; `pgdumpd_client.aio` has the same ones for async.
`pgdumpd_client.web` has the answers of a web application's routes.
"""

from ._cancel import Cancelled
from ._enqueue import BackupSpec, Enqueued
from ._errors import (
    BackupError,
    BusyError,
    DeniedError,
    IdTakenError,
    InvalidRequestError,
    NotMigratedError,
    QuotaError,
    UnavailableError,
    UnexpectedError,
)
from ._list import BackupPage, PageKey
from ._monitoring import MonitoredBackup
from ._run import Pool
from ._status import BackupOutcome, BackupState, BackupStatus, JobKind, StoredIn
from ._sync import (
    Database,
    backup_status,
    backup_statuses,
    cancel_backup,
    enqueue_backup,
    list_backups,
    monitoring,
    targets,
    watch_backup,
)
from ._targets import Target

__all__ = [
    "BackupError",
    "BackupOutcome",
    "BackupPage",
    "BackupSpec",
    "BackupState",
    "BackupStatus",
    "BusyError",
    "Cancelled",
    "Database",
    "DeniedError",
    "Enqueued",
    "IdTakenError",
    "InvalidRequestError",
    "JobKind",
    "MonitoredBackup",
    "NotMigratedError",
    "PageKey",
    "Pool",
    "QuotaError",
    "StoredIn",
    "Target",
    "UnavailableError",
    "UnexpectedError",
    "backup_status",
    "backup_statuses",
    "cancel_backup",
    "enqueue_backup",
    "list_backups",
    "monitoring",
    "targets",
    "watch_backup",
]
