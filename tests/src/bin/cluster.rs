//! Runs a command against a private PostgreSQL cluster that ends with it. The scripts use it for psql and for
//! PostgreSQL's own regression drivers.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use pg_consent_tests::cluster::{Cluster, Options};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DATABASE: &str = "consent_test";

#[derive(Parser)]
#[command(about = "A private PostgreSQL cluster for tests")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts a cluster, creates the database consent_test, runs CMD with PGHOST, PGPORT, PGUSER, PGDATABASE and
    /// the cluster's tools first in PATH, stops the cluster, and exits as CMD did.
    Run {
        /// A line of postgresql.conf; may be given several times.
        #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
        setting: Vec<(String, String)>,
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().into(), value.trim().into()))
}

fn main() -> ExitCode {
    let Action::Run { setting, command } = Arguments::parse().action;
    match run(setting, &command) {
        Ok(status) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Vec<(String, String)>, command: &[String]) -> Result<ExitStatus> {
    let cluster = Cluster::start(Options { settings, ..Options::default() })?;
    cluster.connect("postgres", "postgres")?.batch_execute(&format!("CREATE DATABASE {DATABASE}"))?;
    let (program, arguments) = command.split_first().context("no command")?;
    let mut tools = vec![cluster.bin("")];
    tools.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));

    // From a terminal an interrupt reaches the command too (psql cancels a query with it), which then decides.
    let (stop, interrupted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(SIGTERM, stop.clone())?;
    signal_hook::flag::register(SIGHUP, stop.clone())?;
    let on_interrupt = if std::io::stdin().is_terminal() { interrupted } else { stop.clone() };
    signal_hook::flag::register(SIGINT, on_interrupt)?;

    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("PGHOSTADDR")
        .env_remove("PGSERVICE")
        .env_remove("PGOPTIONS")
        .envs(cluster.env())
        .env("PGDATABASE", DATABASE)
        .env("PATH", std::env::join_paths(tools)?)
        .spawn()
        .with_context(|| format!("running `{program}`"))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::Relaxed) {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
