//! What an error of wasmtime means: which limit, which trap, where, and in which words the guest itself put it.

use std::fmt;

use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::Cell;
use crate::fault::{Fault, FaultKind};
use crate::limits::Limits;

/// Frames of the guest's stack that a message names.
const FRAMES: usize = 3;

/// The guest has used up its processor time.
#[derive(Debug)]
pub(super) struct CpuBudgetSpent;

impl fmt::Display for CpuBudgetSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the processor time of the call is used up")
    }
}

impl std::error::Error for CpuBudgetSpent {}

/// Classifies the error that a call ended with.
pub(super) fn fault(error: &Error, cell: &Cell, limits: &Limits) -> Fault {
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::unavailable(format!("no room for another call: {error}"));
    }
    if error.is::<CpuBudgetSpent>() || matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt))
    {
        return Fault::new(
            FaultKind::CpuExhausted,
            format!(
                "used up its {} ms of processor time{}",
                limits.cpu.as_millis(),
                frames(error)
            ),
        );
    }
    // The error's type is private to wasmtime.
    if error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls")
    {
        return Fault::new(
            FaultKind::AnswerTooLarge,
            format!("handed over more than {} bytes at once", limits.answer),
        );
    }
    let said = cell.guest_log().last_words();
    if cell.limiter.denied() {
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        return Fault::new(
            FaultKind::OutOfMemory,
            format!(
                "needs more than {} MiB of memory{said}",
                limits.memory >> 20
            ),
        );
    }
    let trap = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let message = match said {
        Some(said) => format!("{said} ({trap}{})", frames(error)),
        None => format!("{trap}{}", frames(error)),
    };
    Fault::new(FaultKind::Trapped, message)
}

/// The innermost functions that are the author's, as ` in a < b < c`.
fn frames(error: &Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let names: Vec<String> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .filter(|name| !is_runtime(name))
        .take(FRAMES)
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" in {}", names.join(" < "))
    }
}

/// The machinery between a panic and the trap.
fn is_runtime(name: &str) -> bool {
    [
        "std::", "core::", "alloc::", "__rust", "rust_", "abort", "<alloc::", "<core::", "<std::",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || name.contains("catch_panics")
}
