//! Limits the memory of a whole store: a component may have several memories, and wasmtime's own limiter counts each alone.

use wasmtime::ResourceLimiter;

/// Adds up the memories and tables of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    most_memory: usize,
    elements: usize,
    most_elements: usize,
    denied: bool,
}

impl Limiter {
    pub(super) fn new(most_memory: usize, most_elements: usize) -> Self {
        Self {
            memory: 0,
            most_memory,
            elements: 0,
            most_elements,
            denied: false,
        }
    }

    /// Whether the guest was refused memory: what follows is probably its consequence.
    pub(super) fn denied(&self) -> bool {
        self.denied
    }

    /// The most that was in use; memories never shrink.
    pub(super) fn peak(&self) -> usize {
        self.memory
    }

    fn grow(used: &mut usize, most: usize, current: usize, desired: usize) -> bool {
        let grown = used.saturating_sub(current).saturating_add(desired);
        if grown > most {
            return false;
        }
        *used = grown;
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = Self::grow(&mut self.memory, self.most_memory, current, desired);
        self.denied |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = Self::grow(&mut self.elements, self.most_elements, current, desired);
        self.denied |= !granted;
        Ok(granted)
    }
}
