//! Connecting as libpq does, what every session is set to, and trying again where the CRM was in the way.

mod attempt;
mod keywords;
mod passfile;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use crate::arguments::Arguments;
use crate::pace;
use anyhow::Result;
use attempt::{Canceller, Session};
use postgres::Client;
use postgres::error::SqlState;
use settings::{Settings, Surroundings};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Attempts at one short transaction before giving up.
const ATTEMPTS: u32 = 10;

/// Enough for a chunk to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// The database, and how a session with it is set. Any number of sessions can be had.
pub struct Database {
    settings: Settings,
    /// Of every session there was; the server ignores those of sessions that are gone.
    cancellers: Mutex<Vec<Canceller>>,
    application_name: String,
    lock_timeout: u32,
    threads: usize,
    read_only: bool,
}

impl Database {
    pub fn new(arguments: &Arguments) -> Result<Database> {
        let around = Surroundings {
            variable: &|name| std::env::var(name).ok(),
            home: std::env::home_dir().filter(|h| !h.as_os_str().is_empty()),
            login: whoami::username()?,
        };
        let settings = Settings::resolve(arguments.database.as_deref(), &around)?;
        let step = format!("consent-batch {}", arguments.step.name());
        Ok(Database {
            application_name: settings.application_name.clone().unwrap_or(step),
            settings,
            cancellers: Mutex::default(),
            lock_timeout: arguments.lock_timeout,
            threads: arguments.threads,
            read_only: arguments.dry_run,
        })
    }

    pub fn connect(&self) -> Result<Client> {
        let Session { mut client, canceller } = attempt::connect(&self.settings, &self.application_name)?;
        self.cancellers.lock().unwrap_or_else(PoisonError::into_inner).push(canceller);
        client.batch_execute(&self.session())?;
        // Only servers on Linux and a few others know when a client has gone in the middle of a statement.
        client.batch_execute("SET client_connection_check_interval = '5s'").ok();
        Ok(client)
    }

    /// From now on a run that has been asked to stop, and is still at the same statement after [`GRACE`], has it
    /// cancelled: a fold may take minutes, and whoever stops a service waits.
    pub fn cancel_when_stopped(self: &Arc<Database>) {
        let watched = Arc::downgrade(self);
        std::thread::spawn(move || {
            while pace::go_on().is_ok() {
                if watched.strong_count() == 0 {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            std::thread::sleep(GRACE);
            // Once: what follows is the record of the run.
            let Some(database) = watched.upgrade() else { return };
            for canceller in database.cancellers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                canceller.cancel().ok();
            }
        });
    }

    /// Sessions that read or write at once: as many as threads.
    pub fn sessions(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }

    /// What each session is set to, whatever the role's own settings are.
    fn session(&self) -> String {
        // A transaction left idle would keep the CRM's vacuum from its work. Under --dry-run the server refuses writes.
        format!(
            "SET default_transaction_isolation = 'read committed'; SET lock_timeout = {}; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '1h';
             SET TIME ZONE 'UTC'; SET datestyle = 'ISO';
             SET search_path = pg_catalog, pg_temp; SET default_transaction_read_only = {}",
            self.lock_timeout,
            if self.read_only { "on" } else { "off" }
        )
    }

    /// What was passed over while resolving the settings, and should be put right.
    pub fn warnings(&self) -> &[String] {
        &self.settings.warnings
    }
}

/// From here on each statement of the session is a short one: `--statement-timeout` holds.
pub fn short_statements(client: &mut Client, arguments: &Arguments) -> Result<()> {
    Ok(client.batch_execute(&format!("SET statement_timeout = {}", arguments.statement_timeout))?)
}

/// From here on statements may take as long as they need, as in a new session.
pub fn long_statements(client: &mut Client) -> Result<()> {
    Ok(client.batch_execute("SET statement_timeout = 0")?)
}

/// Runs a short transaction, again if it met a deadlock, a serialisation failure or a lock that was not to be had.
pub fn retrying<T>(mut attempt: impl FnMut() -> Result<T, postgres::Error>) -> Result<T> {
    let mut n = 0;
    loop {
        n += 1;
        match attempt() {
            Err(e) if n < ATTEMPTS && passes(&e) => {
                pace::go_on()?;
                std::thread::sleep(backoff(n));
            }
            other => return Ok(other?),
        }
    }
}

fn passes(e: &postgres::Error) -> bool {
    let in_the_way =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
    e.code().is_some_and(|c| in_the_way.contains(c))
}

/// From half of 100 ms to all of 3.2 s, doubling: two that met must not meet again.
fn backoff(attempt: u32) -> Duration {
    let most = 50u64 << attempt.min(6);
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(most / 2 + random % (most / 2 + 1))
}
