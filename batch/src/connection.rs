//! Connecting, and trying again where the CRM was in the way.

use crate::arguments::Arguments;
use anyhow::{Context, Result};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use std::time::Duration;

/// Attempts at one short transaction before giving up.
const ATTEMPTS: u32 = 10;

/// Where the database is, for as many sessions as a step needs.
pub struct Database {
    config: Config,
    lock_timeout: u32,
    threads: usize,
}

impl Database {
    pub fn new(arguments: &Arguments) -> Result<Database> {
        let config = match &arguments.database {
            Some(text) => text.parse().context("--database is no connection string")?,
            None => from_environment()?,
        };
        Ok(Database { config, lock_timeout: arguments.lock_timeout, threads: arguments.threads })
    }

    /// A session with all settings made.
    pub fn connect(&self) -> Result<Client> {
        let mut client = self.config.connect(NoTls).context("cannot connect")?;
        client.batch_execute(&format!(
            "SET application_name = 'consent-batch'; SET lock_timeout = {}; SET statement_timeout = 0;
             SET TIME ZONE 'UTC'; SET search_path = pg_catalog, pg_temp",
            self.lock_timeout
        ))?;
        Ok(client)
    }

    /// Sessions that read or write at once: as many as threads.
    pub fn sessions(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

/// As libpq reads them.
fn from_environment() -> Result<Config> {
    let mut config = Config::new();
    let value = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    config.host(&value("PGHOST").unwrap_or_else(|| "/var/run/postgresql".into()));
    if let Some(port) = value("PGPORT") {
        config.port(port.parse().context("PGPORT is no port")?);
    }
    let user = value("PGUSER").or_else(|| value("USER")).unwrap_or_else(|| "postgres".into());
    config.dbname(&value("PGDATABASE").unwrap_or_else(|| user.clone()));
    config.user(&user);
    if let Some(password) = value("PGPASSWORD") {
        config.password(password);
    }
    Ok(config)
}

/// Runs a short transaction, again if it met a deadlock, a serialisation failure or a lock that was not to be had.
pub fn retrying<T>(mut attempt: impl FnMut() -> Result<T, postgres::Error>) -> Result<T> {
    let mut n = 0;
    loop {
        n += 1;
        match attempt() {
            Err(e) if n < ATTEMPTS && passes(&e) => std::thread::sleep(Duration::from_millis(50 << n.min(6))),
            other => return Ok(other?),
        }
    }
}

fn passes(e: &postgres::Error) -> bool {
    let in_the_way =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
    e.code().is_some_and(|c| in_the_way.contains(c))
}
