//! What one plugin may use, in one place; every other number (pool, permits) follows from these.

use std::time::Duration;

/// The limits of every plugin that an administrator gave no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memories of one call, all together, in bytes.
    pub memory: usize,
    /// Elements of the tables of one call, all together.
    pub table_elements: usize,
    /// Processor time of one call. It is looked at once in each tick of 10 ms.
    pub cpu: Duration,
    /// Time of one call on the wall clock. No I/O happens inside, so it ends only a guest that sleeps.
    pub wall: Duration,
    /// Calls of one pass; the last of them must not ask for more.
    pub rounds: u32,
    /// Bytes that one transfer from the guest may have: its answer, or a log line.
    pub answer: usize,
    /// Bytes of a state, and of a step's status.
    pub state: usize,
    /// Bytes of log lines of one call; what is over is dropped and counted.
    pub log: usize,
    /// Requests of one plugin to one server (scheme, host and port) that are under way at the same time.
    pub requests_to_one_server: usize,
    /// Requests of one plugin that are under way at the same time, since each has a socket. As many times the former as
    /// servers may hang before requests to others wait.
    pub requests_in_flight: usize,
    /// Requests that one pass may make.
    pub requests: usize,
    /// Bytes of the body of one HTTP response.
    pub response: usize,
    /// Time of one HTTP exchange for which the plugin names none.
    pub request_timeout: Duration,
    /// Time that a plugin may name at most for one HTTP exchange: it has one of its server's places meanwhile.
    pub longest_request_timeout: Duration,
    /// Objects that one read may find.
    pub objects: usize,
    /// Bytes of the objects that one read may find.
    pub object_bytes: usize,
    /// Time of one read.
    pub read_timeout: Duration,
    /// Bytes of a component.
    pub component: usize,
    /// Functions of a component.
    pub functions: u32,
    /// Processor time of compiling one component in a child process.
    pub compile_cpu: Duration,
    /// Time of compiling one component in a child process on the wall clock. It is longer than the processor time: on a busy
    /// machine a child waits more than it works.
    pub compile_wall: Duration,
    /// Address space of compiling one component in a child process, in bytes.
    pub compile_memory: u64,
    /// Calls of all plugins that run at the same time. A plugin gets at most half of them, and at least one.
    pub calls: usize,
    /// Traps, time-outs and exceeded limits in a row after which a plugin rests: for the subject whose calls failed, and for
    /// all where several subjects are in a row without a success of anybody.
    pub failures: u32,
    /// How long it rests at first; each further failure doubles it.
    pub rest: Duration,
    /// How long it rests at most.
    pub longest_rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            memory: 64 << 20,
            table_elements: 100_000,
            cpu: Duration::from_millis(200),
            wall: Duration::from_secs(5),
            rounds: 8,
            answer: 1 << 20,
            state: 4 << 10,
            log: 64 << 10,
            requests_to_one_server: 10,
            requests_in_flight: 100,
            requests: 64,
            response: 8 << 20,
            request_timeout: Duration::from_secs(10),
            longest_request_timeout: Duration::from_secs(300),
            objects: 500,
            object_bytes: 4 << 20,
            read_timeout: Duration::from_secs(30),
            component: 32 << 20,
            functions: 200_000,
            compile_cpu: Duration::from_secs(60),
            compile_wall: Duration::from_secs(180),
            compile_memory: 1 << 30,
            calls: (2 * cores).min(16),
            failures: 5,
            rest: Duration::from_secs(30),
            longest_rest: Duration::from_secs(600),
        }
    }
}

impl Limits {
    /// Calls of one plugin that run at the same time.
    pub fn calls_of_one(&self) -> usize {
        (self.calls / 2).max(1)
    }
}
