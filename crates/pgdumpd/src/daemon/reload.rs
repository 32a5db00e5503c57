//! Keeps the targets and storages up to date: at SIGHUP, and where a server's list of databases could not be read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::listing::Listing;
use super::self_check::check_and_wait;
use crate::config::{Config, ConfigError, HttpConfig, ReceiverConfig, Sources};
use crate::context::{Catalog, KnownStorages, Services, resolve_targets};
use crate::finding::Finding;
use crate::lifecycle::{Lifecycle, notify_systemd};

/// How long the queue may take to say which storages it knows.
const QUEUE_LIMIT: Duration = Duration::from_secs(15);

/// Where sections go that are read again, beside targets and storages.
pub(super) struct Reloaded {
    pub(super) http: watch::Sender<HttpConfig>,
    pub(super) notify: watch::Sender<BTreeMap<String, ReceiverConfig>>,
}

/// Reads targets, storages, `[http]` and `[notify.NAME]` again at SIGHUP. Runs the checks at the start, at each reload, when daemons begin or
/// cease to differ and every `check_interval`. A server's list of databases is read again before each check, and when
/// [`Listing`] says so.
pub(super) async fn run(
    services: Arc<Services>,
    mut config: Config,
    reload: Option<PathBuf>,
    reloaded: Reloaded,
    lifecycle: Lifecycle,
    shutdown: CancellationToken,
) {
    let started_with = config.clone();
    let mut refused: Option<Finding> = None;
    let check = |config: &Config, refused: &Option<Finding>| {
        Box::pin(check_and_wait(
            Arc::clone(&services),
            config.clone(),
            refused.clone(),
        ))
    };
    let mut checked = check(&config, &refused);
    let mut listing = Listing::default();
    loop {
        let before = services.catalog();
        let mut known = Arc::clone(&before.known);
        // A check may take minutes: whoever reloads does not wait for it.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = lifecycle.reload.notified() => {
                match Config::load(&Sources::of_process(reload.clone())) {
                    Ok(loaded) => {
                        refused = None;
                        log_warnings(&loaded.warnings);
                        report_what_needs_a_restart(&started_with, &loaded.config);
                        let mut loaded = loaded.config;
                        loaded.share_bandwidths(&config);
                        config = loaded;
                        // Also if it is the same: a certificate's file may have changed.
                        reloaded.http.send_replace(config.http.clone());
                        reloaded.notify.send_replace(config.notify.clone());
                        // Read at the start alone, so checks judge what the jobs use.
                        config.daemon = services.daemon.clone();
                        config.pg_dump = services.pg_dump.clone();
                        known = tokio::select! {
                            () = shutdown.cancelled() => return,
                            known = known_from_now_on(&services, &before, &config) => known,
                        };
                    }
                    Err(error) => {
                        error!("the configuration stays as it was: {error}");
                        notify_systemd(&[NotifyState::Status("the configuration was refused, and stays as it was")]);
                        refused = Some(refusal(&error));
                        checked = check(&config, &refused);
                        continue;
                    }
                }
            }
            () = services.checks_asked_for() => {
                checked = check(&config, &refused);
                continue;
            }
            () = &mut checked => {}
            () = listing.due(&services.queue, &before, &config) => {
                let catalog = tokio::select! {
                    () = shutdown.cancelled() => return,
                    catalog = resolve_targets(&config, Some(&before), known) => catalog,
                };
                let is_same = catalog.unlisted == before.unlisted
                    && catalog.unserved == before.unserved
                    && catalog.targets.keys().eq(before.targets.keys());
                if !is_same {
                    announce(&services, catalog);
                    checked = check(&config, &refused);
                }
                continue;
            }
        }
        let catalog = tokio::select! {
            () = shutdown.cancelled() => return,
            catalog = resolve_targets(&config, Some(&before), known) => catalog,
        };
        announce(&services, catalog);
        checked = check(&config, &refused);
    }
}

/// What is known of the storages of a configuration that was read again.
async fn known_from_now_on(
    services: &Services,
    before: &Catalog,
    config: &Config,
) -> Arc<KnownStorages> {
    let asked = tokio::time::timeout(QUEUE_LIMIT, services.queue.remembered_storages()).await;
    if !matches!(asked, Ok(Ok(_))) {
        warn!("the queue cannot be queried for its storages: using what was known before");
    }
    let unchanged = |name: &str| match (before.storages.get(name), config.storages.get(name)) {
        (Some(before), Some(now)) => before.is_same_place_as(now),
        _ => false,
    };
    let remembered = asked.ok().and_then(Result::ok);
    Arc::new(before.known.reloaded(remembered, unchanged))
}

fn announce(services: &Services, catalog: Catalog) {
    info!(
        targets = catalog.targets.len(),
        storages = catalog.storages.len(),
        "targets and storages in service"
    );
    services.replace_catalog(catalog);
}

/// Logs what a configuration has that may not be meant.
pub(crate) fn log_warnings(warnings: &[String]) {
    for warning in warnings {
        warn!("in the configuration: {warning}");
    }
}

fn refusal(error: &ConfigError) -> Finding {
    let what = format!(
        "the configuration was refused when it was read again, and stays as it was: {error}"
    );
    Finding::error("configuration_refused", what)
        .hint("Correct it and reload again: the daemon would not start with it.")
}

fn report_what_needs_a_restart(started_with: &Config, now: &Config) {
    let sections = [
        ("queue", started_with.queue != now.queue),
        ("daemon", started_with.daemon != now.daemon),
        ("pg_dump", started_with.pg_dump != now.pg_dump),
        ("log", started_with.log != now.log),
    ];
    let changed = sections.iter().filter(|(_, is_changed)| *is_changed);
    let changed: Vec<&str> = changed.map(|(section, _)| *section).collect();
    if !changed.is_empty() {
        warn!(
            "changes in the sections {} count only after a restart",
            changed.join(", ")
        );
    }
}
