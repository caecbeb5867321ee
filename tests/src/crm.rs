//! CRMs for tests: the tables of real ones filled with random rows, and for each contact what a person reading those
//! rows would say of it. The reading knows nothing of the bindings' views: it is what they are compared with.

pub mod dolibarr;
pub mod load;
pub mod odoo;
pub mod reading;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The schemas of real CRMs, which are test input and not part of this project: `SCHEMAS`, else beside it.
pub fn schema(name: &str) -> Result<PathBuf> {
    let dir = std::env::var_os("SCHEMAS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas"), PathBuf::from);
    let file = dir.join(format!("{name}.sql"));
    if !file.exists() {
        bail!("no schema at {} (set SCHEMAS to their folder)", file.display());
    }
    Ok(file)
}
