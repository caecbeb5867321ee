//! Who bought from which categories.

use super::catalogue::Catalogue;
use crate::connection::Database;
use crate::report::Report;
use crate::states::{self, Snapshot, Stored};
use anyhow::Result;
use pg_consent_policy::similarity::{Bought, distinct, purchases};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Contacts handed to a thread at a time.
const CHUNK: usize = 4096;

/// The buyers of one sender that one thread has read: the positions of what each bought, ascending.
#[derive(Default)]
pub struct Part {
    /// By which a sample is drawn: the contact's key, hashed.
    marks: Vec<u32>,
    bought: Vec<u32>,
    ends: Vec<usize>,
}

impl Part {
    /// `bought` ascends.
    pub fn push(&mut self, contact: &[u8], bought: impl Iterator<Item = u32>) {
        let mut hasher = DefaultHasher::new();
        contact.hash(&mut hasher);
        self.marks.push(hasher.finish() as u32);
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
        let n = n.max(1) as u32;
        let chosen = |part: &Part, i: &usize| part.marks[*i].is_multiple_of(n);
        let of_part =
            |part| (0..Part::len(part)).filter(move |i| chosen(part, i)).map(move |i| part.basket(i));
        self.parts.iter().flat_map(of_part).collect()
    }
}

fn chunks_of(part: &Part) -> impl Iterator<Item = Range<usize>> {
    (0..part.len()).step_by(CHUNK).map(|start| start..part.len().min(start + CHUNK))
}

struct Reading {
    scratch: Vec<Bought>,
    by_sender: Vec<(u32, Part)>,
}

fn take(reading: &mut Reading, stored: &Stored<'_>, catalogue: &Catalogue, heavy: usize) {
    let Reading { scratch, by_sender } = reading;
    let position = |category| i32::try_from(category).ok().and_then(|c| catalogue.position(c));
    purchases(stored.state, position, scratch);
    distinct(scratch, heavy);
    for of_sender in scratch.chunk_by(|x, y| x.sender == y.sender) {
        let sender = of_sender[0].sender;
        let at = by_sender.iter().position(|(s, _)| *s == sender).unwrap_or_else(|| {
            by_sender.push((sender, Part::default()));
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
    let bar = report.progress("rescore", snapshot.contacts());
    let readings = states::scan(
        database,
        snapshot,
        &bar,
        || Reading { scratch: Vec::new(), by_sender: Vec::new() },
        |reading, stored| take(reading, stored, catalogue, heavy),
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
        let mut all: Vec<Part> = (0..parts).map(|_| Part::default()).collect();
        for (i, basket) in baskets.iter().enumerate() {
            all[i % parts].push(&(i as i64).to_be_bytes(), basket.iter().copied());
        }
        Baskets { parts: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
