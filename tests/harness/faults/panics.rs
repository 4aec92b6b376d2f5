//! Panics of a history: a controller survives one in a pass, and nobody else would hear of it.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Listens from now on, on this thread; what was heard before is forgotten.
pub(super) fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // A thread that ends has nobody who listens.
            let _ = HEARD.try_with(|heard| heard.borrow_mut().push(panic.to_string()));
            before(panic);
        }));
    });
    HEARD.take();
}

/// What was heard since.
pub(super) fn heard() -> Vec<String> {
    HEARD.take()
}
