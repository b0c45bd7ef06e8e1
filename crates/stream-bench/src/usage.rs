//! What a process has used, as the kernel counts it.

use std::time::{SystemTime, UNIX_EPOCH};

/// CPU time and peak memory of this process since it began.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system seconds of all threads.
    pub cpu_seconds: f64,
    /// Peak resident memory in megabytes.
    pub peak_mb: u64,
}

/// Reads `/proc`; zeros where there is none.
pub fn usage() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The process name may hold blanks; the numbers begin behind its closing bracket.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks: f64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<f64>().ok()).sum();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Usage { cpu_seconds: ticks / 100.0, peak_mb: peak.unwrap_or(0) / 1024 }
}

/// Wall-clock milliseconds since the epoch.
pub fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis())
}

/// How much memory the process has now; 0 where nobody can say.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    resident.and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
