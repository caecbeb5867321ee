//! The pace of a run: how many rows a second it may write, and whether it has been asked to stop.
//!
//! The first SIGTERM or SIGINT lets the chunk that is being written finish; the second ends the program at once, which
//! is as safe, since every chunk is a transaction.

use anyhow::{Context, Result};
use postgres::error::SqlState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sleeps no longer than this without looking whether somebody has asked to stop.
const NAP: Duration = Duration::from_millis(50);

/// The run has been asked to stop by this signal, and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {}", if self.0 == SIGINT { "SIGINT" } else { "SIGTERM" })
    }
}

impl std::error::Error for Interrupted {}

/// The signal that came, or 0. Signals are the whole process's, so this is too.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Fails with [`Interrupted`] once the run has been asked to stop; for loops that write nothing.
pub fn go_on() -> Result<()> {
    refuse(&SIGNAL)
}

/// Why a step failed: a statement that was cancelled for it has been asked to stop.
pub fn reason(error: anyhow::Error) -> anyhow::Error {
    let driver = error.chain().find_map(|c| c.downcast_ref::<postgres::Error>());
    let cancelled = driver.and_then(postgres::Error::code) == Some(&SqlState::QUERY_CANCELED);
    match go_on() {
        Err(asked) if cancelled => asked,
        _ => error,
    }
}

fn refuse(signal: &AtomicUsize) -> Result<()> {
    match signal.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Interrupted(signal as i32).into()),
    }
}

#[derive(Debug)]
pub struct Pace {
    signal: Arc<AtomicUsize>,
    rate: Option<Rate>,
}

/// A bucket of rows that fills at `per_second` and holds what one second brings.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    /// Rows in the bucket, below zero if written ahead, and when that was so.
    level: Mutex<(f64, Instant)>,
}

impl Pace {
    /// At most `rate` rows a second.
    pub fn new(rate: Option<u32>) -> Pace {
        let rate = rate.map(f64::from);
        let rate = rate.map(|r| Rate { per_second: r, level: Mutex::new((r, Instant::now())) });
        Pace { signal: Arc::clone(&SIGNAL), rate }
    }

    /// From now on SIGTERM and SIGINT ask this run to stop.
    pub fn listen(&self) -> Result<()> {
        let second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first finds the flag down and raises it, the second finds it up.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&second))
                .and_then(|_| flag::register(signal, Arc::clone(&second)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&self.signal), signal as usize))
                .context("listening to signals")?;
        }
        Ok(())
    }

    /// Between two chunks, after `rows` were written and committed: waits as `--rate` asks, and fails with
    /// [`Interrupted`] once the run has been asked to stop.
    pub fn between_chunks(&self, rows: u64) -> Result<()> {
        let wait = self.rate.as_ref().map_or(Duration::ZERO, |r| r.take(rows, Instant::now()));
        self.sleep(wait)
    }

    /// Sleeps, unless asked to stop.
    pub fn sleep(&self, how_long: Duration) -> Result<()> {
        let until = Instant::now() + how_long;
        loop {
            refuse(&self.signal)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

impl Rate {
    /// Takes `rows` out of the bucket; answers how long to wait until it is no longer below zero.
    fn take(&self, rows: u64, now: Instant) -> Duration {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = level.0 + now.saturating_duration_since(level.1).as_secs_f64() * self.per_second;
        let left = filled.min(self.per_second) - rows as f64;
        *level = (left, now);
        Duration::try_from_secs_f64(-left / self.per_second).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_any_chunks_and_a_rest_saves_up_one_second_at_most() {
        let start = Instant::now();
        let rate = Rate { per_second: 100.0, level: Mutex::new((100.0, start)) };
        let mut now = start;
        for rows in [500, 1, 0, 250, 249] {
            now += rate.take(rows, now);
        }
        // The first hundred were in the bucket.
        assert!(((now - start).as_secs_f64() - 9.0).abs() < 1e-6);
        now += Duration::from_secs(3600);
        assert_eq!(rate.take(100, now), Duration::ZERO);
        assert_eq!(rate.take(100, now), Duration::from_secs(1));
    }

    #[test]
    fn who_is_asked_to_stop_does_not_sleep_on() {
        let pace = Pace { signal: Arc::default(), ..Pace::new(Some(1)) };
        pace.signal.store(SIGTERM as usize, Ordering::SeqCst);
        let begun = Instant::now();
        let Err(error) = pace.between_chunks(1_000_000) else { panic!("went on") };
        assert_eq!(error.downcast_ref(), Some(&Interrupted(SIGTERM)));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(Pace::new(None).between_chunks(1_000_000).is_ok());
    }
}
