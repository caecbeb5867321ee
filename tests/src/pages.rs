//! Folders of generated pages: which are not what they should be, and writing them.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The files of a folder that are not these pages: other, missing, or (where `ours` says that they were generated) of
/// nothing any more.
pub fn stale(
    dir: &Path,
    pages: &BTreeMap<String, String>,
    ours: impl Fn(&Path) -> bool,
) -> Result<Vec<String>> {
    let is_current = |name: &String, page: &String| {
        std::fs::read_to_string(dir.join(name)).is_ok_and(|written| written == *page)
    };
    let mut stale: Vec<String> =
        pages.iter().filter(|(n, p)| !is_current(n, p)).map(|(n, _)| n.clone()).collect();
    if dir.exists() {
        for entry in std::fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !pages.contains_key(&name) && ours(&entry.path()) {
                stale.push(name);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// Writes the stale pages and removes those of nothing any more.
pub fn write(dir: &Path, pages: &BTreeMap<String, String>, stale: &[String]) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    for name in stale {
        let path = dir.join(name);
        let done = match pages.get(name) {
            Some(page) => std::fs::write(&path, page),
            None => std::fs::remove_file(&path),
        };
        done.with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}
