//! The machine a run was on: ratios can be compared between machines, times can't.

use super::report::Report;
use anyhow::Result;
use postgres::Client;
use std::fs;
use std::process::Command;

pub fn describe(client: &mut Client, report: &mut Report) -> Result<()> {
    for (name, value) in facts(client)? {
        report.fact(name, value);
    }
    Ok(())
}

/// Names and values.
pub fn facts(client: &mut Client) -> Result<Vec<(&'static str, String)>> {
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|m| m.split_whitespace().next()?.parse::<u64>().ok())
        .map_or_else(String::new, |kb| format!(", {} GiB", (kb + (1 << 19)) >> 20));
    let version: String = client.query_one("SHOW server_version", &[])?.get(0);
    Ok(vec![
        ("machine", format!("{model}, {cores} cores{memory}")),
        ("PostgreSQL", version),
        ("rustc", rustc().unwrap_or_else(|| "not found".into())),
        // Other work on the machine spoils a run; the reader should see it.
        ("load at the start", load()),
    ])
}

/// The load average of the last minute.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().filter(|l| !l.is_empty()).unwrap_or("unknown").into()
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|l| l.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn rustc() -> Option<String> {
    let out = Command::new("rustc").arg("--version").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    Some(text.trim().trim_start_matches("rustc ").to_owned())
}
