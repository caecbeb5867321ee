//! The approved answers: for each pack, what every typical contact is answered, as a page that shows in a diff which
//! answers a change of the pack moves.

mod aged;
mod answers;
mod contacts;
mod hours;
mod page;
mod situations;
mod world;

use crate::parallel::in_parallel;
use answers::{Asking, Changed};
use anyhow::{Context, Result};
use pg_consent_policy::pack::Pack;
use std::collections::BTreeMap;
use std::path::Path;

/// All pages by file name.
pub fn pages(packs: &[Pack]) -> BTreeMap<String, String> {
    packs.iter().map(|p| (format!("{}.txt", p.id), page(p))).collect()
}

/// The page of one pack.
pub fn page(pack: &Pack) -> String {
    let situations = situations::all(pack);
    let answers = in_parallel(&situations, |s| answers::ask_all(s, pack));
    page::of(pack, &situations, &answers)
}

/// Of changed versions of a pack, those that answer somebody otherwise: by position.
pub fn noticed(pack: &Pack, changed: &[&Pack]) -> Vec<bool> {
    let mut noticed = vec![false; changed.len()];
    let changed: Vec<Changed<'_>> = changed.iter().map(|c| Changed::new(pack, c)).collect();
    for situation in situations::all(pack) {
        let asking = Asking::new(&situation, pack);
        let answers = answers::ask_all(&situation, pack);
        let left: Vec<usize> = (0..changed.len()).filter(|i| !noticed[*i]).collect();
        let seen = in_parallel(&left, |i| asking.differs(&answers, &changed[*i]));
        for (i, seen) in left.into_iter().zip(seen) {
            noticed[i] |= seen;
        }
    }
    noticed
}

/// The files of a folder that are not these pages: other, missing, or of no pack.
pub fn stale(dir: &Path, pages: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let is_current = |name: &String, page: &String| {
        std::fs::read_to_string(dir.join(name)).is_ok_and(|written| written == *page)
    };
    let mut stale: Vec<String> =
        pages.iter().filter(|(n, p)| !is_current(n, p)).map(|(n, _)| n.clone()).collect();
    if dir.exists() {
        for entry in std::fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".txt") && !pages.contains_key(&name) {
                stale.push(name);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// Writes the pages that differ and removes those of packs that are no more; their names.
pub fn write(dir: &Path, pages: &BTreeMap<String, String>) -> Result<Vec<String>> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    let stale = stale(dir, pages)?;
    for name in &stale {
        let path = dir.join(name);
        let done = match pages.get(name) {
            Some(page) => std::fs::write(&path, page),
            None => std::fs::remove_file(&path),
        };
        done.with_context(|| format!("{}", path.display()))?;
    }
    Ok(stale)
}
