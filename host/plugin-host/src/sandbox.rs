//! Enters guests: one engine, a fresh store and instance for each call, and the limits that hold while it runs.
//!
//! It knows nothing of passes, grants or jobs.

mod engine;
mod limiter;
mod meter;
mod trap;
#[cfg(feature = "wasi")]
mod wasi;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use self::limiter::Limiter;
use self::meter::Meter;
use crate::answer::{Answer, Facts};
use crate::fault::{Fault, FaultKind};
use crate::guest_log::GuestLog;
use crate::host::StartError;
use crate::limits::Limits;
use crate::unusable::Unusable;
use crate::wit::v0_1::{self, Exports};

pub(crate) use self::engine::{compiler_engine, fingerprint};

/// What belongs to one instance.
pub(crate) struct Cell {
    /// Shared with what the guest prints to.
    log: Arc<Mutex<GuestLog>>,
    limiter: Limiter,
    #[cfg(feature = "wasi")]
    wasi: wasi::Inert,
}

impl Cell {
    pub(crate) fn guest_log(&self) -> MutexGuard<'_, GuestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine with everything that guests may import.
///
/// A host has one of its own. Rehearsals that start many hosts after each other share one between them, with
/// [`crate::Settings::sandbox`]: it keeps what was loaded in it, ready to be entered, until it is dropped itself.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Cell>,
    limits: Arc<Limits>,
    /// Calls that may run at the same time; the pool has room for them.
    permits: Semaphore,
    /// What was loaded, by digest, where that is kept.
    kept: Option<Mutex<BTreeMap<String, Arc<Ready>>>>,
    ticker: Option<engine::Ticker>,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub time: Duration,
    pub memory: usize,
    pub dropped_lines: u64,
}

/// A component, ready to be entered.
pub(crate) struct Ready {
    pre: InstancePre<Cell>,
    exports: Exports,
}

impl Sandbox {
    /// An engine. Without a ticker nothing limits processor time, and no thread runs beside the caller's.
    pub(crate) fn new(limits: Arc<Limits>, ticker: bool) -> wasmtime::Result<Self> {
        let engine = engine::new(&limits)?;
        let mut linker = Linker::new(&engine);
        v0_1::link(&mut linker)?;
        #[cfg(feature = "wasi")]
        wasi::link(&mut linker)?;
        let ticker = ticker.then(|| engine::Ticker::start(&engine)).transpose()?;
        Ok(Self {
            permits: Semaphore::new(limits.calls),
            engine,
            linker,
            limits,
            kept: None,
            ticker,
        })
    }

    /// A sandbox for many hosts, one after the other.
    ///
    /// # Errors
    /// The engine does not work on this machine.
    pub fn shared(limits: Limits, ticker: bool) -> Result<Arc<Self>, StartError> {
        let sandbox = Self::new(Arc::new(limits), ticker).map_err(StartError::of)?;
        Ok(Arc::new(Self {
            kept: Some(Mutex::default()),
            ..sandbox
        }))
    }

    /// What was loaded with this digest, if that is kept.
    pub(crate) fn kept(&self, digest: &str) -> Option<Arc<Ready>> {
        let kept = self.kept.as_ref()?.lock();
        let kept = kept.unwrap_or_else(PoisonError::into_inner);
        kept.get(digest).cloned()
    }

    /// Keeps what was loaded, if this sandbox does that.
    pub(crate) fn keep(&self, digest: &str, ready: &Arc<Ready>) {
        if let Some(kept) = &self.kept {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(digest.to_owned(), Arc::clone(ready));
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Links a component and tries it out once, so that nothing but its own code can fail later.
    ///
    /// # Errors
    /// Why it is not taken: for what it is, unless time or room were missing.
    pub(crate) async fn ready(
        &self,
        component: &Component,
        kinds: &[sluice_engine::plugin::PluginKind],
        name: &str,
    ) -> Result<Ready, Unusable> {
        let pre = self
            .linker
            .instantiate_pre(component)
            .map_err(|error| Unusable::refused(format!("does not fit this host: {error:#}")))?;
        let exports = Exports::find(&pre, kinds).map_err(Unusable::refused)?;
        // Its start may compute for ever, too.
        let _ticking = self.ticker.as_ref().map(engine::Ticker::run);
        let log = GuestLog::new(name, "the trial at loading".to_owned(), 0, self.limits.log);
        let meter = Arc::new(Meter::default());
        let mut store = self.store(log, &meter);
        let trial = async {
            let instance = pre.instantiate_async(&mut store).await?;
            exports.try_out(&mut store, &instance)
        };
        let outcome =
            tokio::time::timeout(self.limits.wall, meter::metered(trial, Arc::clone(&meter))).await;
        store.data().guest_log().end();
        match outcome {
            Ok(Ok(())) => Ok(Ready { pre, exports }),
            Ok(Err(error)) => Err(unfit(trap::fault(&error, store.data(), &self.limits))),
            Err(_) => Err(Unusable::for_now("does not start in time")),
        }
    }

    /// Calls a guest once. Dropping the future ends the guest.
    pub(crate) async fn call(
        &self,
        ready: &Ready,
        log: GuestLog,
        facts: &Facts<'_>,
    ) -> (Result<Answer, Fault>, Cost) {
        let Ok(_permit) = self.permits.acquire().await else {
            return (
                Err(Fault::unavailable("the controller is stopping")),
                Cost::default(),
            );
        };
        let begun = Instant::now();
        let _ticking = self.ticker.as_ref().map(engine::Ticker::run);
        let meter = Arc::new(Meter::default());
        let mut store = self.store(log, &meter);
        let call = async {
            let instance = ready.pre.instantiate_async(&mut store).await?;
            ready.exports.call(&mut store, &instance, facts).await
        };
        let outcome = tokio::time::timeout(self.limits.wall, meter::metered(call, meter)).await;
        store.data().guest_log().end();
        let answer = match outcome {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(why))) => Err(Fault::invalid(why)),
            Ok(Err(error)) => Err(trap::fault(&error, store.data(), &self.limits)),
            Err(_) => Err(Fault::new(
                FaultKind::TimedOut,
                format!("did not answer within {} s", self.limits.wall.as_secs_f64()),
            )),
        };
        let cell = store.data();
        let cost = Cost {
            time: begun.elapsed(),
            memory: cell.limiter.peak(),
            dropped_lines: cell.guest_log().dropped(),
        };
        (answer, cost)
    }

    fn store(&self, log: GuestLog, meter: &Arc<Meter>) -> Store<Cell> {
        let cell = Cell {
            #[cfg(feature = "wasi")]
            wasi: wasi::Inert::default(),
            log: Arc::new(Mutex::new(log)),
            limiter: Limiter::new(self.limits.memory, self.limits.table_elements),
        };
        let mut store = Store::new(&self.engine, cell);
        store.limiter(|cell| &mut cell.limiter);
        store.set_hostcall_fuel(self.limits.answer);
        let budget = self.limits.cpu;
        let meter = Arc::clone(meter);
        // A guest that computes gives way at each tick, and ends where its budget does.
        store.epoch_deadline_callback(move |_| {
            if meter.spent() >= budget {
                return Err(trap::CpuBudgetSpent.into());
            }
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        store.set_epoch_deadline(1);
        store
    }
}

/// What the end of a trial says about the component. On a busy machine time and room may be missing that are there later.
fn unfit(fault: Fault) -> Unusable {
    let reason = format!("does not fit this host: {}", fault.message);
    match fault.kind {
        FaultKind::CpuExhausted | FaultKind::TimedOut | FaultKind::Unavailable => {
            Unusable::for_now(reason)
        }
        FaultKind::Trapped
        | FaultKind::OutOfMemory
        | FaultKind::SecretMissing
        | FaultKind::AnswerTooLarge
        | FaultKind::AnswerInvalid
        | FaultKind::ChangeRefused
        | FaultKind::TooManyRounds => Unusable::refused(reason),
    }
}
