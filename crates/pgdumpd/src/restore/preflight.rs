//! Compares a backup with the database that it is to be restored into, before anything is changed.

use pgdump_archive::{Text, Toc};

use super::plan::Plan;
use super::{Options, major_of, named};
use crate::code::Code;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::readback::{Source, Stored};
use crate::server::{Finished, Restored};

/// Whether this database may be restored into: it is empty, or is asked for in spite of that, or has the beginning of
/// this restore.
pub(super) async fn check_place(
    restored: &mut Restored,
    finished: Option<&Finished>,
    stored: &Stored,
    toc: &Toc,
    options: &Options,
) -> Result<(), Fault> {
    let wanted = stored.manifest.backup_id;
    let database = options.into.database();
    match finished {
        Some(finished) if options.resume && !finished.was_empty => {
            let what = format!(
                "the restore that was begun in database \"{database}\" was told --not-empty, and cannot go on: what was there before cannot be told from what it made"
            );
            return Err(Fault::permanent(Code::RestoreRefused, what).hint(
                "Drop what it made, and the schema pgdumpd_restore; or restore into a new database.",
            ));
        }
        Some(finished) if options.resume => {
            if finished.backup_id == wanted && finished.tables == named(&options.tables) {
                return Ok(());
            }
            let what = format!(
                "the restore that was begun in database \"{database}\" is of backup {}, tables: {}",
                finished.backup_id,
                if finished.tables.is_empty() {
                    "all"
                } else {
                    &finished.tables
                }
            );
            return Err(Fault::permanent(Code::RestoreRefused, what)
                .hint("Go on with that one, or restore into another database."));
        }
        Some(finished) => {
            let what = format!(
                "a restore of backup {} was begun in database \"{database}\" and has not ended",
                finished.backup_id
            );
            return Err(Fault::permanent(Code::DatabaseNotEmpty, what).hint(
                "Go on with it by --resume once nobody else restores there, or restore into another database.",
            ));
        }
        None if options.resume => {
            let what = format!("no restore was begun in database \"{database}\"");
            return Err(Fault::permanent(Code::RestoreRefused, what).hint("Leave --resume out."));
        }
        None => {}
    }
    let contents = match options.not_empty {
        true => collisions(restored, toc).await?,
        false => restored.contents().await?,
    };
    if contents.is_empty() {
        return Ok(());
    }
    let has = if options.not_empty {
        "has what the backup has, too"
    } else {
        "is not empty"
    };
    let what = format!("database \"{database}\" {has}: {}", contents.join(", "));
    let hint = if options.not_empty {
        "Restore into a new database. `--merge` brings missing rows into a table that is there."
    } else {
        "Make a new one (createdb --template=template0 NAME) and restore into that, or say --not-empty."
    };
    Err(Fault::permanent(Code::DatabaseNotEmpty, what).hint(hint))
}

/// What of the archive the database has already, at most a few.
async fn collisions(restored: &mut Restored, toc: &Toc) -> Result<Vec<String>, Fault> {
    let (mut schemas, mut names, mut large_objects) = (Vec::new(), Vec::new(), false);
    for entry in toc.entries() {
        let kind = entry.description.as_str().unwrap_or_default();
        large_objects |= kind.starts_with("BLOB");
        let named =
            [entry.schema.as_ref(), Some(&entry.tag)].map(|text| text.and_then(Text::as_str));
        if let [Some(schema), Some(tag)] = named
            && MADE.contains(&kind)
        {
            // A function's tag has its arguments.
            let name = tag.split('(').next().unwrap_or(tag);
            schemas.push(schema.to_owned());
            names.push(name.to_owned());
        }
    }
    restored.collisions(&schemas, &names, large_objects).await
}

/// Entries that make something with a schema and a name.
const MADE: [&str; 11] = [
    "TABLE",
    "FOREIGN TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "INDEX",
    "FUNCTION",
    "PROCEDURE",
    "AGGREGATE",
    "TYPE",
    "DOMAIN",
];

/// Compares what the archive needs with what the server has.
pub(super) async fn look(
    stored: &Stored,
    source: &Source<'_>,
    plan: &Plan,
    options: &Options,
    restored: &mut Restored,
) -> Result<Vec<Finding>, Fault> {
    let mut findings = Vec::new();
    for difference in source.differences() {
        let what = format!("the manifest is damaged: {difference}");
        findings.push(Finding::error("manifest_invalid", what));
    }
    if stored.manifest.partial {
        let what = "the backup is of a part of the database: its job's filters left the rest out";
        let finding = Finding::warning("partial", what);
        findings.push(finding.hint("`pgdumpd show` has its warnings and filters."));
    }
    if restored.is_standby() {
        findings.push(
            Finding::error(
                "restore_refused",
                "the server is a standby: it takes no writes",
            )
            .hint("Restore into a primary server."),
        );
    }
    if !restored.may_create() {
        findings.push(
            Finding::error(
                "permission_denied",
                "the role may not make schemas in the database",
            )
            .hint("GRANT CREATE ON DATABASE, or make the role the database's owner."),
        );
    }
    let of_server = major_of(&stored.manifest.database.server_version);
    if of_server.is_some_and(|major| major > restored.major()) {
        let what = format!(
            "the backup is of PostgreSQL {}, and the server is {}: what is new in it will be refused",
            stored.manifest.database.server_version,
            restored.version()
        );
        findings.push(Finding::warning("server_too_old", what));
    }
    if !plan
        .encoding()
        .unwrap_or("UTF8")
        .contains(restored.encoding())
    {
        let what = format!(
            "the database's encoding is {}, and the backup's another: values that it does not know will be refused",
            restored.encoding()
        );
        let finding = Finding::warning("not_convertible", what);
        findings.push(
            finding.hint("createdb --template=template0 --encoding=UTF8 makes one that takes all."),
        );
    }
    let mut needs = plan.needs();
    if options.no_owner {
        needs.roles.clear();
    }
    let lacks = restored.lacks(&needs.extensions, &needs.roles, &needs.tablespaces);
    for (kind, name) in lacks.await? {
        findings.push(lacking(&kind, &name));
    }
    Ok(findings)
}

fn lacking(kind: &str, name: &str) -> Finding {
    let what = format!("the server has no {kind} \"{name}\"");
    match kind {
        "extension" => Finding::error("extension_missing", what).hint(
            "Install its package on the server's host; with --force all that does not need it is restored.",
        ),
        "role" => Finding::warning("role_missing", what).hint(
            "What it owns will be the restoring role's. Restore the globals first (`pgdumpd fetch --globals`), or say --no-owner.",
        ),
        _ => Finding::warning("tablespace_missing", what)
            .hint("What lay there will lie in the database's own tablespace."),
    }
}
