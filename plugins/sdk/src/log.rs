//! Lines for the host's log, and the text of panics, which a trap would lose.

use std::sync::Once;

pub use crate::bindings::router::sluice::plugin::logging::Level;

/// Hands one line to the host's log; in a native build, to standard error.
///
/// `fields` are extra names and values. A line must not contain credentials.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    #[cfg(target_family = "wasm")]
    {
        let fields: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        crate::bindings::router::sluice::plugin::logging::log(level, message, &fields);
    }
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message} {fields:?}");
}

/// From now on the text of a panic goes to the log with level error, right before the trap.
///
/// Called by the export macros at the start of every call: an instance lives for one call, and has no other start.
#[doc(hidden)]
pub fn catch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string(), &[])))
    });
}
