//! The program under test.

use pg_consent_tests::cluster::Cluster;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// consent-batch as it is built beside these tests, on a database of the cluster.
pub fn command(cluster: &Cluster, database: &str, arguments: &[&str]) -> Command {
    let here = std::env::current_exe().unwrap();
    let program: PathBuf = here.ancestors().nth(2).unwrap().join("consent-batch");
    let mut command = Command::new(program);
    command.args(arguments).args(["--text", "--database", &cluster.url(database, "postgres")]);
    command.stdin(Stdio::null());
    command
}

/// Exit code, and all that was said.
pub fn run(cluster: &Cluster, database: &str, arguments: &[&str]) -> (i32, String) {
    let run = command(cluster, database, arguments)
        .output()
        .expect("target/release/consent-batch: cargo build --release -p consent-batch");
    let said = [run.stdout, run.stderr].concat();
    (run.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}
