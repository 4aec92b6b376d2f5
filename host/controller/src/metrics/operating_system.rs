//! What the operating system says of this process, under the names that every client library of Prometheus gives it
//! (MET-013). The crates that know how would bring a second Prometheus client, or only read these files as well.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Figures that cannot be read, as where there is no `/proc`, are left out.
pub(super) fn register(registry: &mut Registry) {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = Counter::<f64, AtomicU64>::default();
    cpu.inc_by(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9);
    registry.register(
        "process_cpu_seconds",
        "Seconds of processor time, of the user and of the system",
        cpu,
    );
    let mut gauge = |name: &'static str, help: &'static str, value: Option<f64>| {
        if let Some(value) = value {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    gauge(
        "process_virtual_memory_bytes",
        "Virtual memory in bytes",
        kilobytes(&status, "VmSize:"),
    );
    gauge(
        "process_resident_memory_bytes",
        "Resident memory in bytes",
        kilobytes(&status, "VmRSS:"),
    );
    gauge(
        "process_open_fds",
        "File descriptors that are open",
        fs::read_dir("/proc/self/fd")
            .ok()
            .map(|found| found.count() as f64),
    );
    gauge(
        "process_max_fds",
        "File descriptors that may be open",
        getrlimit(Resource::Nofile).current.map(|most| most as f64),
    );
    gauge(
        "process_start_time_seconds",
        "When the process began, in seconds since the Unix epoch",
        start_time(
            &fs::read_to_string("/proc/self/stat").unwrap_or_default(),
            &fs::read_to_string("/proc/stat").unwrap_or_default(),
        ),
    );
}

/// A line of `/proc/self/status` about memory, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let amount: f64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(amount * 1024.0)
}

/// What Linux counts time in for programs, on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds since the Unix epoch: the machine's start and, in ticks, the time from there.
fn start_time(process: &str, machine: &str) -> Option<f64> {
    // The name may contain anything, so fields are counted after it; it is the second.
    let (_, fields) = process.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let machine = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let booted: f64 = machine.trim().parse().ok()?;
    Some(booted + ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::{kilobytes, start_time};

    #[test]
    fn the_start_is_counted_from_that_of_the_machine() {
        let process = "42 (a ) name) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 250 20 21";
        let machine = "cpu 1 2 3\nbtime 1700000000\nprocesses 7\n";
        assert_eq!(start_time(process, machine), Some(1_700_000_002.5));
        assert_eq!(start_time(process, "cpu 1"), None);
        assert_eq!(start_time("42", machine), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tsluice\nVmSize:\t  2048 kB\nVmRSS:\t     3 kB\n";
        assert_eq!(kilobytes(status, "VmSize:"), Some(2_097_152.0));
        assert_eq!(kilobytes(status, "VmRSS:"), Some(3072.0));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }
}
