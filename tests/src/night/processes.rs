//! What a program and the server cost while it ran, as Linux accounts for it under /proc.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks a second in /proc: 100 on every Linux that Debian builds (USER_HZ).
const TICKS: f64 = 100.0;
const POLL: Duration = Duration::from_millis(5);

/// What one run of a program took.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Seconds.
    pub wall: f64,
    /// Seconds of processor time of the program, user and system.
    pub cpu: f64,
    /// Seconds of processor time of all the server's processes meanwhile.
    pub server_cpu: f64,
    /// Peak resident memory of the program, in MiB.
    pub memory: f64,
    pub code: i32,
    pub out: String,
}

/// Runs a program to its end.
///
/// # Errors
/// The program can't be started, or /proc is not Linux's.
pub fn run(command: &mut Command, postmaster: u32) -> Result<Cost> {
    let server = server_seconds(postmaster)?;
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting a program")?;
    let mut pipe = child.stdout.take().context("the program's output")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut pipe));
    let (mut cost, id) = (Cost::default(), child.id());
    // Until it is a zombie, whose times are complete and whose memory is gone.
    loop {
        let (state, seconds) = stat(id)?;
        cost.cpu = seconds;
        if state == 'Z' {
            break;
        }
        cost.memory = cost.memory.max(peak(id).unwrap_or(0.0));
        std::thread::sleep(POLL);
    }
    cost.wall = started.elapsed().as_secs_f64();
    cost.code = child.wait()?.code().unwrap_or(-1);
    cost.server_cpu = server_seconds(postmaster)? - server;
    cost.out = reader.join().ok().context("reading the program's output")??;
    Ok(cost)
}

/// Times a piece of work in the server, by wall and by the processor time of all its processes.
pub fn in_server<T>(postmaster: u32, work: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
    let server = server_seconds(postmaster)?;
    let started = Instant::now();
    let value = work()?;
    let wall = started.elapsed().as_secs_f64();
    Ok((Cost { wall, server_cpu: server_seconds(postmaster)? - server, ..Cost::default() }, value))
}

/// State and seconds of processor time of one process, its own.
fn stat(id: u32) -> Result<(char, f64)> {
    let fields = fields(id)?;
    let state = fields.first().and_then(|f| f.chars().next()).context("/proc/*/stat")?;
    Ok((state, ticks(&fields, 11) + ticks(&fields, 12)))
}

/// The fields of /proc/ID/stat after the name, which may hold spaces.
fn fields(id: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("/proc/*/stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], n: usize) -> f64 {
    fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) / TICKS
}

/// MiB.
fn peak(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

/// Processor time of the postmaster, of its children that have ended, and of those that live.
fn server_seconds(postmaster: u32) -> Result<f64> {
    let own = fields(postmaster).context("the server has gone")?;
    let mut sum: f64 = (11..=14).map(|n| ticks(&own, n)).sum();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        if let Ok(f) = fields(id)
            && f.get(1).is_some_and(|parent| *parent == postmaster.to_string())
        {
            sum += ticks(&f, 11) + ticks(&f, 12);
        }
    }
    Ok(sum)
}

/// The server's first process, from the lock file in its data directory.
pub fn postmaster(data: &Path) -> Result<u32> {
    let lock = fs::read_to_string(data.join("postmaster.pid"))?;
    lock.lines().next().context("postmaster.pid")?.trim().parse().context("postmaster.pid")
}

/// The program, or why it can't be measured.
pub fn must_exist(program: &Path) -> Result<()> {
    ensure!(program.exists(), "no {}; `cargo build --release -p consent-batch` makes it", program.display());
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_computes_shows_its_time_and_memory() {
        // Our own process stands for the server.
        let mut busy = Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; exit 3"]);
        let cost = run(&mut busy, std::process::id()).unwrap();
        assert_eq!((cost.code, cost.out.trim()), (3, "done"));
        assert!(cost.cpu > 0.0 && cost.cpu < 2.0 * cost.wall + 0.1, "{cost:?}");
        assert!(cost.memory > 0.1, "{cost:?}");
    }
}
