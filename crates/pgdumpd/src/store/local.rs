//! A storage that is a local directory, held open by its descriptor.

mod backend;
pub(super) mod directory;
pub(super) mod marker;
mod probe;
mod range;
mod read;
mod upload;
mod walk;

use std::io;

use self::directory::Root;
use super::faults;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

/// The directory, and what is to be left on its disk.
#[derive(Debug, Clone)]
pub(super) struct LocalBackend {
    pub(super) root: Root,
    pub(super) min_free: u64,
}

impl LocalBackend {
    /// Does something in the directory, off the runtime. Where that fails, the fault says "cannot" and this.
    async fn run<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Root) -> String + Send + 'static,
        work: impl FnOnce(&Root) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let root = self.root.clone();
        off_runtime("works in the directory", move || {
            work(&root)
                .map_err(|e| faults::of_io(format!("cannot {}", what(&root)), root.path(), e))
        })
        .await?
    }
}

/// "read /backups/a/b"; with an empty key the root itself.
fn acting_on(verb: &'static str, key: &str) -> impl FnOnce(&Root) -> String + Send + use<> {
    let key = key.to_owned();
    move |root| match key.as_str() {
        "" => format!("{verb} {}", root.path().display()),
        key => format!("{verb} {}", root.join(key).display()),
    }
}
