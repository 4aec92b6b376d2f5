//! WASI 0.2 that leads nowhere: no files, no environment, no sockets; a clock that stands still and numbers that repeat, so
//! that the same facts give the same answer. What a guest prints goes to its log.

use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};

use super::Cell;

/// The state of one instance; most have none, because they import nothing of it.
#[derive(Default)]
pub(super) struct Inert(Option<(WasiCtx, ResourceTable)>);

impl WasiView for Cell {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, table) = self.wasi.0.get_or_insert_with(|| {
            let context = WasiCtxBuilder::new()
                .wall_clock(Still)
                .monotonic_clock(Still)
                .insecure_random_seed(0)
                .build();
            (context, ResourceTable::new())
        });
        WasiCtxView { ctx, table }
    }
}

/// Makes the interfaces available; the import gate has turned away everything else.
pub(super) fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}
