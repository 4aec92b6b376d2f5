//! What a process costs, as Linux tells.

use anyhow::{Context as _, Result};

/// Resident memory in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    field(pid, "VmRSS:")
}

/// The most resident memory in MiB since [`forget_peak`], or since the start.
pub fn peak_mib(pid: u32) -> Result<f64> {
    field(pid, "VmHWM:")
}

/// The peak is what is resident now.
pub fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
        .context("failed to have the kernel forget the peak of memory")
}

fn field(pid: u32, name: &str) -> Result<f64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("no {name}"))?;
    Ok(kib / 1024.0)
}

/// Processor time so far, in milliseconds.
pub fn cpu_ms(pid: u32) -> Result<f64> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // The name in brackets may hold spaces; utime and stime are the 12th and 13th field after it.
    let (_, rest) = stat.rsplit_once(')').context("no stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    let total = ticks(11)
        .zip(ticks(12))
        .map(|(user, system)| user + system)
        .context("no times")?;
    // USER_HZ is 100 on every Linux that this runs on.
    Ok(total * 10.0)
}

/// The value at this share of the list.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = ((last as f64) * share).round() as usize;
    values.get(index.min(last)).copied().unwrap_or(0.0)
}
