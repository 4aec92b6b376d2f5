//! Measures the processor time of one call: the thread's clock while the call is being polled, and nothing while it waits.
//!
//! Ticks would charge a guest for the time in which others had the processor.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// The time that one call has spent.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Nanoseconds of the polls that have ended.
    ended: AtomicU64,
    /// The thread's clock when the current poll began, in nanoseconds.
    began: AtomicU64,
}

impl Meter {
    /// Until now. Only meaningful on the thread that polls the call.
    pub(super) fn spent(&self) -> Duration {
        let current = thread_time().saturating_sub(self.began.load(Ordering::Relaxed));
        Duration::from_nanos(self.ended.load(Ordering::Relaxed).saturating_add(current))
    }
}

/// Nanoseconds of processor time of this thread.
fn thread_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The same future, with its polls measured.
pub(super) fn metered<F: Future>(future: F, meter: Arc<Meter>) -> impl Future<Output = F::Output> {
    Metered {
        future: Box::pin(future),
        meter,
    }
}

struct Metered<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_time();
        self.meter.began.store(began, Ordering::Relaxed);
        let outcome = self.future.as_mut().poll(context);
        let took = thread_time().saturating_sub(began);
        self.meter.ended.fetch_add(took, Ordering::Relaxed);
        outcome
    }
}
