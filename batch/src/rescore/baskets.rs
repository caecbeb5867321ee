//! Who bought from which categories.

use super::catalogue::Catalogue;
use crate::connection::Database;
use crate::report::Report;
use crate::states::{self, Key, KeyType, Keys, Snapshot, Stored};
use anyhow::Result;
use pg_consent_policy::state::{Atom, RestrictionKind, StateView};
use pg_consent_policy::time::Instant;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Contacts handed to a thread at a time.
const CHUNK: usize = 4096;

/// The buyers of one sender that one thread has read: each a contact and the positions of what was bought, ascending.
pub struct Part {
    keys: Keys,
    bought: Vec<u32>,
    ends: Vec<usize>,
}

impl Part {
    const fn new(key_type: KeyType) -> Part {
        Part { keys: Keys::new(key_type), bought: Vec::new(), ends: Vec::new() }
    }

    /// `bought` ascends.
    pub fn push(&mut self, contact: &[u8], bought: impl Iterator<Item = u32>) {
        self.keys.push(contact);
        self.bought.extend(bought);
        self.ends.push(self.bought.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn basket(&self, i: usize) -> &[u32] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bought[start..self.ends[i]]
    }

    pub fn contact(&self, i: usize) -> Key<'_> {
        self.keys.get(i)
    }
}

/// The buyers of one sender.
#[derive(Default)]
pub struct Baskets {
    pub parts: Vec<Part>,
}

impl Baskets {
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// (contact, category) pairs.
    pub fn pairs(&self) -> usize {
        self.parts.iter().map(|p| p.bought.len()).sum()
    }

    pub fn chunks(&self) -> Vec<(&Part, Range<usize>)> {
        let of_part = |part| chunks_of(part).map(move |range| (part, range));
        self.parts.iter().flat_map(of_part).collect()
    }

    /// About every `n`-th basket, chosen by the contact, so that it is the same ones in whatever order they were read.
    pub fn sample(&self, n: usize) -> Vec<&[u32]> {
        let n = n.max(1) as u64;
        let chosen = |part: &Part, i: usize| {
            let mut hasher = DefaultHasher::new();
            part.contact(i).bytes.hash(&mut hasher);
            hasher.finish().is_multiple_of(n)
        };
        let of_part =
            |part| (0..Part::len(part)).filter(move |i| chosen(part, *i)).map(move |i| part.basket(i));
        self.parts.iter().flat_map(of_part).collect()
    }
}

fn chunks_of(part: &Part) -> impl Iterator<Item = Range<usize>> {
    (0..part.len()).step_by(CHUNK).map(|start| start..part.len().min(start + CHUNK))
}

/// A sum over all contacts, so that the order in which they were read does not matter.
pub fn print(baskets: &Baskets) -> u64 {
    use rayon::prelude::*;
    let one = |part: &Part, i: usize| {
        let mut hasher = DefaultHasher::new();
        part.contact(i).bytes.hash(&mut hasher);
        part.basket(i).hash(&mut hasher);
        hasher.finish()
    };
    let of_chunk = |(part, range): (&Part, Range<usize>)| {
        range.map(|i| one(part, i)).fold(0u64, |sum, n| sum.wrapping_add(n))
    };
    baskets.chunks().into_par_iter().map(of_chunk).reduce(|| 0, u64::wrapping_add)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bought {
    sender: u32,
    position: u32,
    at: Instant,
}

/// Takes the purchases out of a state, unsorted. Whoever asked to be erased is counted nowhere and ranked for nothing.
fn purchases(state: &[u8], catalogue: &Catalogue, into: &mut Vec<Bought>) {
    into.clear();
    // What can't be read counts for nothing, and a state that ends in the middle for what could be read: this is
    // statistics, not a decision.
    let Ok(view) = StateView::new(state) else { return };
    let erased = |atom: &Atom| matches!(atom, Atom::Restriction(r) if r.kind == RestrictionKind::Erasure && r.other_contact == 0);
    if view.restrictions().flatten().any(|atom| erased(&atom)) {
        return;
    }
    for atom in view.relations() {
        let Ok(Atom::Relation(r)) = atom else { continue };
        if r.kind.is_purchase()
            && let Some(position) = i32::try_from(r.category).ok().and_then(|c| catalogue.position(c))
        {
            into.push(Bought { sender: r.sender, position, at: r.at });
        }
    }
}

/// Each category once, with its latest purchase; of more than `heavy` the latest. Ascending by sender and category.
fn distinct(bought: &mut Vec<Bought>, heavy: usize) {
    bought.sort_unstable_by(|x, y| (x.sender, x.position, y.at).cmp(&(y.sender, y.position, x.at)));
    bought.dedup_by(|later, kept| (later.sender, later.position) == (kept.sender, kept.position));
    if bought.len() <= heavy {
        return;
    }
    let mut kept = Vec::with_capacity(bought.len());
    for of_sender in bought.chunk_by_mut(|x, y| x.sender == y.sender) {
        of_sender.sort_unstable_by(|x, y| y.at.cmp(&x.at).then(x.position.cmp(&y.position)));
        let most = heavy.min(of_sender.len());
        let latest = &mut of_sender[..most];
        latest.sort_unstable_by_key(|b| b.position);
        kept.extend_from_slice(latest);
    }
    *bought = kept;
}

struct Reading {
    scratch: Vec<Bought>,
    by_sender: Vec<(u32, Part)>,
}

fn take(reading: &mut Reading, stored: &Stored<'_>, catalogue: &Catalogue, heavy: usize, key_type: KeyType) {
    let Reading { scratch, by_sender } = reading;
    purchases(stored.state, catalogue, scratch);
    distinct(scratch, heavy);
    for of_sender in scratch.chunk_by(|x, y| x.sender == y.sender) {
        let sender = of_sender[0].sender;
        let at = by_sender.iter().position(|(s, _)| *s == sender).unwrap_or_else(|| {
            by_sender.push((sender, Part::new(key_type)));
            by_sender.len() - 1
        });
        by_sender[at].1.push(stored.contact, of_sender.iter().map(|b| b.position));
    }
}

/// Reads all purchases out of the states, by sender; `heavy` is how many categories of one contact count at most.
pub fn read(
    database: &Database,
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    heavy: usize,
    report: &Report,
) -> Result<BTreeMap<i32, Baskets>> {
    let key_type = snapshot.key_type();
    let bar = report.progress("rescore", snapshot.contacts());
    let readings = states::scan(
        database,
        snapshot,
        &bar,
        || Reading { scratch: Vec::new(), by_sender: Vec::new() },
        |reading, stored| take(reading, stored, catalogue, heavy, key_type),
    )?;
    bar.finish_and_clear();
    let mut baskets: BTreeMap<i32, Baskets> = BTreeMap::new();
    for (sender, part) in readings.into_iter().flat_map(|r| r.by_sender) {
        baskets.entry(sender as i32).or_default().parts.push(part);
    }
    Ok(baskets)
}

#[cfg(test)]
impl Baskets {
    /// Contacts 0, 1, …, spread over `parts`.
    pub fn of(baskets: &[Vec<u32>], parts: usize) -> Baskets {
        let mut all: Vec<Part> = (0..parts).map(|_| Part::new(KeyType::Bigint)).collect();
        for (i, basket) in baskets.iter().enumerate() {
            all[i % parts].push(&(i as i64).to_be_bytes(), basket.iter().copied());
        }
        Baskets { parts: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(sender: u32, position: u32, at: i64) -> Bought {
        Bought { sender, position, at: Instant(at) }
    }

    #[test]
    fn a_category_counts_once_however_often_it_was_bought() {
        let mut all = vec![bought(1, 7, 5), bought(2, 7, 1), bought(1, 3, 2), bought(1, 7, 9)];
        distinct(&mut all, 200);
        assert_eq!(all, [bought(1, 3, 2), bought(1, 7, 9), bought(2, 7, 1)]);
    }

    #[test]
    fn of_a_heavy_buyer_the_latest_count_for_each_sender_apart() {
        let mut all: Vec<_> = (0..9).map(|i| bought(1, i, i64::from(i))).collect();
        all.push(bought(2, 4, 0));
        distinct(&mut all, 3);
        assert_eq!(
            all.iter().map(|b| (b.sender, b.position)).collect::<Vec<_>>(),
            [(1, 6), (1, 7), (1, 8), (2, 4)]
        );
    }

    #[test]
    fn a_sample_is_the_same_whoever_read_it() {
        let baskets: Vec<Vec<u32>> = (0..1000).map(|i| vec![i]).collect();
        let sorted = |parts| {
            let all = Baskets::of(&baskets, parts);
            let mut sample: Vec<u32> = all.sample(10).iter().map(|b| b[0]).collect();
            sample.sort_unstable();
            sample
        };
        assert_eq!(sorted(1), sorted(3));
        assert!((50..200).contains(&sorted(1).len()));
        assert_eq!(Baskets::of(&baskets, 2).sample(1).len(), 1000);
    }

    #[test]
    fn the_print_depends_on_the_baskets_and_not_on_who_read_them() {
        let baskets = vec![vec![1, 2], vec![3], vec![], vec![2, 5]];
        let whole = print(&Baskets::of(&baskets, 1));
        let mut other = Baskets::of(&baskets, 2);
        other.parts.reverse();
        assert_eq!(print(&other), whole);
        assert_ne!(print(&Baskets::of(&[vec![1, 2], vec![3], vec![], vec![2, 4]], 1)), whole);
        assert_ne!(print(&Baskets::of(&[vec![1], vec![2, 3], vec![], vec![2, 5]], 1)), whole);
    }
}
