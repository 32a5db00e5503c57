//! Work that blocks or computes for long, on a thread where it keeps no other task waiting.

use tokio::task::{JoinError, JoinHandle};

use crate::code::Code;
use crate::fault::Fault;

/// Begins it at once, and gives its answer. `what` is what the thread does ("hashes the copy"), for the fault.
///
/// # Errors
/// A transient `internal` if the thread ended without an answer: by a panic, or with the runtime.
pub(crate) fn off_runtime<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, Fault>> {
    answer(what, tokio::task::spawn_blocking(work))
}

/// The answer of a thread that was begun before.
///
/// # Errors
/// As [`off_runtime`].
pub(crate) async fn answer<T>(what: &'static str, thread: JoinHandle<T>) -> Result<T, Fault> {
    thread.await.map_err(|error| ended(what, error))
}

fn ended(what: &str, error: JoinError) -> Fault {
    Fault::transient(Code::Internal, format!("the thread that {what} ended")).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_is_a_fault_that_says_what_it_did() {
        assert_eq!(off_runtime("adds", || 1 + 1).await.unwrap(), 2);
        let panics = off_runtime("hashes the copy", || -> u8 { panic!("no memory") });
        let fault = panics.await.unwrap_err();
        assert_eq!(fault.code(), Code::Internal);
        assert!(
            fault
                .report()
                .starts_with("the thread that hashes the copy ended"),
            "{}",
            fault.report()
        );
    }
}
