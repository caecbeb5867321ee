//! What a night costs on millions of contacts, step by step, beside what one would otherwise run on the same rows:
//! hand-written SQL, DuckDB, scipy and implicit. Equal results are checked; a difference ends the run.

pub mod audit;
pub mod catalogue;
mod data;
mod fill;
mod person;
mod processes;
mod report;
mod rivals;
mod steps;

pub use data::populate;

use crate::bench::machine;
use crate::cluster::{Cluster, Options};
use anyhow::{Context, Result, ensure};
use processes::Cost;
use report::Report;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const DB: &str = "night";

#[derive(Debug, Clone)]
pub struct Settings {
    pub contacts: u32,
    pub seed: u64,
    /// Contacts noted by the CRM's triggers before the night.
    pub noted: u32,
    /// The whole set in the slow self-join, not a sample of contacts.
    pub slow: bool,
    /// Also fold everything anew when nothing has changed.
    pub refold: bool,
    /// Leave out what others compute.
    pub alone: bool,
    /// `consent-batch`, built for release.
    pub batch: PathBuf,
    /// The folder with the Python packages, and where exports are written.
    pub python: Option<PathBuf>,
    pub scratch: PathBuf,
}

/// The cluster, and how the batch is called in it.
struct Night<'a> {
    settings: &'a Settings,
    cluster: Cluster,
    postmaster: u32,
}

/// What PostgreSQL is told on a machine of 24 GiB and two cores that it shares with nobody; all else as installed, fsync
/// on among it.
const SERVER: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "6GB"),
    ("effective_cache_size", "14GB"),
    ("work_mem", "128MB"),
    ("maintenance_work_mem", "1GB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("random_page_cost", "1.1"),
    ("max_parallel_workers_per_gather", "2"),
];

/// One run; answers with the warm night's wall time in seconds.
///
/// # Errors
/// A step that fails, or a result that differs from the hand-written SQL's.
pub fn run(settings: &Settings) -> Result<f64> {
    ensure!(settings.contacts >= 10_000, "at least 10000 contacts");
    processes::must_exist(&settings.batch)?;
    let began = Instant::now();
    let options = SERVER.iter().fold(Options::default(), |o, (name, value)| o.set(name, value));
    let cluster = Cluster::start(options)?;
    cluster.connect("postgres", "postgres")?.batch_execute(&format!("CREATE DATABASE {DB}"))?;
    let postmaster = processes::postmaster(cluster.data_dir())?;
    let night = Night { settings, cluster, postmaster };
    let mut report = Report::default();
    let mut client = night.cluster.connect(DB, "postgres")?;
    for (name, value) in machine::facts(&mut client)? {
        report.fact(name, value);
    }
    let told: Vec<String> = SERVER.iter().map(|(name, value)| format!("{name} {value}")).collect();
    report.fact("server settings", told.join(", "));
    data::make(&night, &mut client, &mut report)?;
    steps::first(&night, &mut client, &mut report)?;
    if !settings.alone {
        rivals::measure(&night, &mut client, &mut report)?;
    }
    let wall = steps::warm(&night, &mut client, &mut report)?;
    report.fact("took", format!("{:.0} s", began.elapsed().as_secs_f64()));
    report.fact("load at the end", machine::load());
    report.print();
    Ok(wall)
}

/// The whole for each number of contacts, and the exponent of the night's wall time over them.
pub fn growth(settings: &Settings, sizes: &[u32]) -> Result<()> {
    let mut points = Vec::new();
    for contacts in sizes {
        let one = Settings { contacts: *contacts, alone: true, ..settings.clone() };
        points.push((f64::from(*contacts), run(&one)?));
    }
    println!("\n  contacts    night s");
    for (contacts, wall) in &points {
        println!("{contacts:>10}  {wall:>9.2}");
    }
    println!("exponent {:.3} (aim: at most 1.05)", exponent(&points));
    Ok(())
}

/// The slope of the logarithms by least squares: 1 is linear.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(n, t)| (n.ln(), t.ln())).collect();
    let count = logs.len() as f64;
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / count;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let by: f64 = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    by / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

impl Night<'_> {
    fn contacts(&self) -> f64 {
        f64::from(self.settings.contacts)
    }

    /// Runs the batch as a plain role of its own.
    fn batch(&self, arguments: &[&str]) -> Result<Cost> {
        let mut command = Command::new(&self.settings.batch);
        command.args(arguments).args(["--json", "--database", &self.cluster.url(DB, "night")]);
        let cost = processes::run(&mut command, self.postmaster)?;
        ensure!(
            cost.code == 0,
            "consent-batch {} ended with {}:\n{}",
            arguments.join(" "),
            cost.code,
            cost.out
        );
        Ok(cost)
    }

    /// Whether the batch knows an option of one of its steps.
    fn knows(&self, step: &str, option: &str) -> bool {
        let out = Command::new(&self.settings.batch).args([step, "--help"]).output();
        out.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(option))
    }

    fn scratch(&self) -> Result<&Path> {
        std::fs::create_dir_all(&self.settings.scratch)
            .with_context(|| format!("making {}", self.settings.scratch.display()))?;
        Ok(&self.settings.scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_power_is_found() {
        let points = [1e6, 2e6, 5e6, 1e7].map(|n: f64| (n, 3.0 * n.powf(1.05)));
        assert!((exponent(&points) - 1.05).abs() < 1e-9);
    }
}
