//! What a decision costs, measured in one run against a scan of a boolean column and against hand-written SQL.

mod calls;
mod data;
mod decisions;
pub mod machine;
mod report;
mod scans;
mod watching;

use crate::cluster::{Cluster, Options};
use anyhow::{Result, ensure};
use postgres::Client;
use report::Report;
use std::path::PathBuf;
use std::time::Instant;

/// The question of all rows, as SQL arguments: category 42 of `crm.sql`.
const ASKED: &str = "'newsletter', 'category 42'";

#[derive(Debug, Clone)]
pub struct Settings {
    pub contacts: u32,
    /// Of each query, after one to warm up; the median counts.
    pub runs: usize,
    /// Also print the plans with what they read.
    pub explain: bool,
    /// Keep the cluster until a line is read from the terminal.
    pub wait: bool,
    /// Where the benchmark of single decisions left its figures.
    pub criterion: PathBuf,
}

pub fn run(settings: &Settings) -> Result<()> {
    ensure!(settings.contacts >= 1000, "at least 1000 contacts");
    ensure!(settings.runs >= 1, "at least one run");
    let started = Instant::now();
    // Everything fits into memory, and nothing runs beside the queries.
    let options = Options::default()
        .set("shared_buffers", "1500MB")
        .set("work_mem", "64MB")
        .set("maintenance_work_mem", "256MB")
        .set("max_wal_size", "8GB")
        .set("checkpoint_timeout", "1h")
        .set("autovacuum", "off")
        .set("max_parallel_workers_per_gather", "0");
    let cluster = Cluster::start(options)?;
    cluster.connect("postgres", "postgres")?.batch_execute("CREATE DATABASE bench")?;
    let mut client = cluster.connect("bench", "postgres")?;

    let mut report = Report::default();
    machine::describe(&mut client, &mut report)?;
    data::build(&mut client, settings, &mut report)?;
    scans::measure(&mut client, settings, &mut report)?;
    calls::measure(&mut client, &mut report)?;
    // Last, because they leave other states behind.
    calls::measure_writes(&mut client, &mut report)?;
    watching::measure(&mut client, &mut report)?;
    decisions::report(&settings.criterion, &mut report)?;
    report.fact("took", format!("{:.0} s", started.elapsed().as_secs_f64()));
    report.print();
    if settings.wait {
        println!("\nThe cluster stays until Enter: {}", cluster.url("bench", "postgres"));
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}

fn say(what: &str) {
    eprintln!("== {what}");
}

/// The time a batch takes, in seconds.
fn seconds(client: &mut Client, sql: &str) -> Result<f64> {
    let started = Instant::now();
    client.batch_execute(sql)?;
    Ok(started.elapsed().as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
