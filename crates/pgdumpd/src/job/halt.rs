//! Why a running job must stop before its end, and the token that its steps listen to.

use std::sync::Mutex;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Why a job must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// Somebody asked to cancel it.
    Cancelled,
    /// Another daemon may own it by now: nothing of it may be published.
    LeaseLost,
    /// The daemon stops and hands it back.
    Released,
    /// It ran for longer than it may.
    TimedOut(Duration),
}

/// Thrown at most once for each reason; the first reason stands, but for a lost lease, which outranks all.
#[derive(Debug, Default)]
pub(super) struct HaltSwitch {
    token: CancellationToken,
    reason: Mutex<Option<Halt>>,
}

impl HaltSwitch {
    /// Asks the job to stop.
    pub(super) fn throw(&self, halt: Halt) {
        let mut reason = self
            .reason
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if reason.is_none() || halt == Halt::LeaseLost {
            *reason = Some(halt);
        }
        drop(reason);
        self.token.cancel();
    }

    /// The reason, once thrown.
    pub(super) fn reason(&self) -> Option<Halt> {
        *self
            .reason
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Cancelled as soon as there is a reason.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stands_but_for_a_lost_lease() {
        let switch = HaltSwitch::default();
        assert_eq!(switch.reason(), None);
        assert!(!switch.token().is_cancelled());
        switch.throw(Halt::Cancelled);
        switch.throw(Halt::Released);
        assert_eq!(switch.reason(), Some(Halt::Cancelled));
        switch.throw(Halt::LeaseLost);
        assert_eq!(switch.reason(), Some(Halt::LeaseLost));
        assert!(switch.token().is_cancelled());
    }
}
