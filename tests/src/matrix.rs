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
use anyhow::Result;
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
    crate::pages::stale(dir, pages, |path| path.extension().is_some_and(|x| x == "txt"))
}

/// Writes the pages that differ and removes those of packs that are no more; their names.
pub fn write(dir: &Path, pages: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let stale = stale(dir, pages)?;
    crate::pages::write(dir, pages, &stale)?;
    Ok(stale)
}
