//! Keeps the targets and storages up to date: at SIGHUP, and where a server's list of databases could not be read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::self_check::check_and_wait;
use crate::config::{Config, Sources};
use crate::context::{Catalog, KnownStorages, Services, resolve_targets};
use crate::lifecycle::Lifecycle;

/// How soon a server is asked again that could not be asked for its databases.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// Reads targets and storages again at SIGHUP. Runs the checks at the start, at each reload, when daemons begin or
/// cease to differ and every `check_interval`. A server's list of databases is read again before each check, and soon
/// where it could not be read.
pub(super) async fn run(
    services: Arc<Services>,
    mut config: Config,
    reload: Option<PathBuf>,
    lifecycle: Lifecycle,
    shutdown: CancellationToken,
) {
    let mut checked = Box::pin(check_and_wait(Arc::clone(&services), config.clone()));
    loop {
        let before = services.catalog();
        let mut known = Arc::clone(&before.known);
        // A check may take minutes: whoever reloads does not wait for it.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = lifecycle.reload.notified() => {
                match Config::load(&Sources::of_process(reload.clone())) {
                    Ok(loaded) => {
                        let mut loaded = loaded.config;
                        loaded.share_bandwidths(&config);
                        config = loaded;
                        // Read at the start alone, so checks judge what the jobs use.
                        config.daemon = services.daemon.clone();
                        config.pg_dump = services.pg_dump.clone();
                        known = tokio::select! {
                            () = shutdown.cancelled() => return,
                            known = known_from_now_on(&services, &before, &config) => known,
                        };
                    }
                    Err(error) => error!("the configuration stays as it was: {error}"),
                }
            }
            () = services.checks_asked_for() => {
                checked.set(check_and_wait(Arc::clone(&services), config.clone()));
                continue;
            }
            () = &mut checked => {}
            () = time_to_ask_again(&before) => {
                let catalog = tokio::select! {
                    () = shutdown.cancelled() => return,
                    catalog = resolve_targets(&config, Some(&before), known) => catalog,
                };
                if catalog.unlisted != before.unlisted {
                    announce(&services, catalog);
                    checked.set(check_and_wait(Arc::clone(&services), config.clone()));
                }
                continue;
            }
        }
        let catalog = tokio::select! {
            () = shutdown.cancelled() => return,
            catalog = resolve_targets(&config, Some(&before), known) => catalog,
        };
        announce(&services, catalog);
        checked.set(check_and_wait(Arc::clone(&services), config.clone()));
    }
}

/// What is known of the storages of a configuration that was read again.
async fn known_from_now_on(
    services: &Services,
    before: &Catalog,
    config: &Config,
) -> Arc<KnownStorages> {
    let asked = tokio::time::timeout(ASK_AGAIN, services.queue.remembered_storages()).await;
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

async fn time_to_ask_again(catalog: &Catalog) {
    if catalog.unlisted.is_empty() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(ASK_AGAIN).await;
}
