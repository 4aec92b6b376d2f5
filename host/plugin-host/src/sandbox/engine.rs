//! How the engine is set up. Everything that changes compiled code is in `base`, which the compiling child shares.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits::Limits;

/// How often guests that compute are interrupted.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Memories and tables that one call may need, in the pool's reckoning: runtimes of other languages have several.
const MEMORIES_PER_CALL: u32 = 4;
const TABLES_PER_CALL: u32 = 6;
/// Instances of core modules in one component.
const CORE_INSTANCES_PER_CALL: u32 = 16;
/// Memory of a slot that stays with it between calls; the kernel says which pages have to be cleared.
const KEPT_RESIDENT: usize = 1 << 20;
/// Slots that stay warm.
const WARM_SLOTS: u32 = 8;

/// What compiled code depends on.
fn base() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // The bits of a NaN must not depend on the processor: the same facts give the same answer.
        .cranelift_nan_canonicalization(true)
        // A tenth of a compiled plugin, resident with the rest, and nobody asks where in the component an instruction
        // is from: messages name functions.
        .generate_address_map(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}

/// An engine that only compiles: it reserves no address space for instances.
pub(crate) fn compiler_engine() -> wasmtime::Result<Engine> {
    Engine::new(&base())
}

/// The engine of the host: pooled where the address space allows it.
pub(super) fn new(limits: &Limits) -> wasmtime::Result<Engine> {
    match Engine::new(&pooled(limits)) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(%error, "no pool for plugins, their calls will be slower: is the address space limited?");
            Engine::new(&base())
        }
    }
}

fn pooled(limits: &Limits) -> Config {
    let calls = u32::try_from(limits.calls)
        .unwrap_or(u32::MAX)
        .saturating_add(2);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES_PER_CALL))
        .total_memories(calls.saturating_mul(MEMORIES_PER_CALL))
        .total_tables(calls.saturating_mul(TABLES_PER_CALL))
        .total_stacks(calls)
        .max_core_instances_per_component(CORE_INSTANCES_PER_CALL)
        .max_memories_per_component(MEMORIES_PER_CALL)
        .max_tables_per_component(TABLES_PER_CALL)
        .max_memory_size(limits.memory)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(WARM_SLOTS)
        .pagemap_scan(Enabled::Auto);
    if cfg!(target_os = "linux") {
        pool.linear_memory_keep_resident(KEPT_RESIDENT);
    }
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Identifies what compiled code depends on besides the component: compatible engines have the same.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Collect(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    // The order of fields is this build's own, so the build belongs to it.
    hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
    crate::digest::sha256(&hasher.0)
}

/// Takes what is hashed as it is: std's hashers are seeded or may change.
struct Collect(Vec<u8>);

impl Hasher for Collect {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Advances the engine's epoch while guests run, on a thread of its own: a busy runtime would delay it just when it is
/// needed.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// Calls that are at work; without any the thread sleeps until there is one.
    running: AtomicUsize,
}

/// A call at work.
pub(super) struct Running<'a>(&'a State);

impl Ticker {
    /// Ticks for an engine as long as that lives.
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.weak();
        Self::ticking(move || {
            let engine = engine.upgrade();
            engine.inspect(Engine::increment_epoch).is_some()
        })
    }

    /// Does this at each tick, until it says that nobody needs it any more.
    fn ticking(mut tick: impl FnMut() -> bool + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("plugin-ticks".to_owned())
            .spawn(move || {
                while !shared.stop.load(Ordering::Acquire) {
                    if shared.running.load(Ordering::Acquire) == 0 {
                        // A call that began meanwhile has left a token, and this returns at once.
                        std::thread::park();
                        continue;
                    }
                    std::thread::sleep(TICK);
                    if !tick() {
                        return;
                    }
                }
            })?
            .thread()
            .clone();
        Ok(Self { state, thread })
    }

    /// Ticks until the call is over.
    pub(super) fn run(&self) -> Running<'_> {
        if self.state.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Running(&self.state)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_ticks_while_a_call_is_at_work_and_rests_without() {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ticks);
        let ticker = Ticker::ticking(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        })
        .expect("a thread");
        let ticks = || ticks.load(Ordering::SeqCst);
        std::thread::sleep(TICK * 3);
        assert_eq!(ticks(), 0);

        for _ in 0..3 {
            let running = ticker.run();
            let (before, began) = (ticks(), Instant::now());
            while ticks() == before {
                assert!(began.elapsed() < Duration::from_secs(60), "no tick");
                std::thread::sleep(TICK);
            }
            drop(running);
            // One may be on its way.
            let ended = ticks();
            std::thread::sleep(TICK * 5);
            assert!(ticks() <= ended + 1);
        }
    }
}
