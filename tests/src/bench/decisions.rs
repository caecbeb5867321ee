//! The cost of one decision by itself, as `cargo bench -p pg_consent_policy` measured it before.

use super::report::Report;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// Reads what the benchmark left under `target/criterion`; nothing to report where it did not run.
pub fn report(criterion: &Path, report: &mut Report) -> Result<()> {
    let Ok(flag) = nanoseconds(&criterion.join("flag/read")) else { return Ok(()) };
    for (path, title) in [("allows", "one decision, boolean"), ("decide", "one decision, explained")] {
        let mut cases: Vec<_> = std::fs::read_dir(criterion.join(path))
            .with_context(|| format!("reading {}", criterion.join(path).display()))?
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.join("new").is_dir())
            .collect();
        cases.sort();
        report.section(title);
        for case in cases {
            let name = name(&case)?;
            let ns = nanoseconds(&case)?;
            let id = format!("{path}_{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
            report.decision(&id, &name, ns, ns / flag);
        }
    }
    report.figure("flag_read_ns", flag);
    Ok(())
}

/// The mean of one benchmark.
fn nanoseconds(bench: &Path) -> Result<f64> {
    let estimates = read(&bench.join("new/estimates.json"))?;
    estimates["mean"]["point_estimate"].as_f64().context("criterion's mean")
}

fn name(bench: &Path) -> Result<String> {
    let about = read(&bench.join("new/benchmark.json"))?;
    Ok(about["function_id"].as_str().context("criterion's function id")?.to_owned())
}

fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}
