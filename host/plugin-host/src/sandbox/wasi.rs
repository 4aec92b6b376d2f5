//! WASI 0.2 that leads nowhere: no files, no environment, no sockets, a clock that stands still and numbers that repeat, so
//! that the same facts give the same answer. What a guest prints goes to its log.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView,
    WasiView, async_trait,
};

use super::Cell;
use crate::guest_log::{GuestLog, Level};

/// The state of one instance; most have none, because they import nothing of it.
#[derive(Default)]
pub(super) struct Inert(Option<(WasiCtx, ResourceTable)>);

impl WasiView for Cell {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.log;
        let (ctx, table) = self.wasi.0.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            builder
                .wall_clock(Still)
                .monotonic_clock(Still)
                .secure_random(Deterministic::new(numbers()))
                .insecure_random(Deterministic::new(numbers()))
                .insecure_random_seed(0)
                .stdout(Printed::to(log, Level::Info))
                // Where runtimes write the text of panics and exceptions.
                .stderr(Printed::to(log, Level::Error));
            (builder.build(), ResourceTable::new())
        });
        WasiCtxView { ctx, table }
    }
}

/// Makes the interfaces of the import gate available. Those for sockets are not even linked.
pub(super) fn link(linker: &mut Linker<Cell>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    filesystem::types::add_to_linker::<Cell, WasiFilesystem>(linker, Cell::filesystem)?;
    filesystem::preopens::add_to_linker::<Cell, WasiFilesystem>(linker, Cell::filesystem)?;
    random::insecure::add_to_linker::<Cell, WasiRandom>(linker, |cell| cell.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<Cell, WasiRandom>(linker, |cell| {
        cell.ctx().ctx.random()
    })?;
    cli::exit::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)?;
    cli::environment::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)?;
    cli::terminal_input::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)?;
    cli::terminal_output::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)?;
    cli::terminal_stdin::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)?;
    cli::terminal_stdout::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)?;
    cli::terminal_stderr::add_to_linker::<Cell, WasiCli>(linker, Cell::cli)
}

/// Every byte once, in an order without a pattern that a program would stumble over.
fn numbers() -> Vec<u8> {
    (0..=u8::MAX)
        .map(|byte| byte.wrapping_mul(167).wrapping_add(13))
        .collect()
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

/// An output that always accepts: a guest whose output is refused panics while it tells of another panic.
#[derive(Clone)]
struct Printed {
    log: Arc<Mutex<GuestLog>>,
    level: Level,
}

/// What one write may have.
const PERMIT: usize = 16 << 10;

impl Printed {
    fn to(log: &Arc<Mutex<GuestLog>>, level: Level) -> Self {
        Self {
            log: Arc::clone(log),
            level,
        }
    }

    fn log(&self) -> MutexGuard<'_, GuestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log().print(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.log().print(self.level, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
