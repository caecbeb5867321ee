//! Who bought from which categories, and how often two were bought by the same contact.

use crate::report::Report;
use crate::states;
use anyhow::Result;
use pg_consent_policy::codes::EventKind;
use pg_consent_policy::state::{Atom, StateView};
use pg_consent_policy::time::Instant;
use postgres::Client;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// One contact's categories, as positions in [`Baskets::categories`], the latest purchase first.
pub struct Basket {
    pub contact: String,
    pub bought: Vec<u32>,
}

/// The buyers of one sender.
#[derive(Default)]
pub struct Baskets {
    categories: Vec<i32>,
    positions: HashMap<i32, u32>,
    pub baskets: Vec<Basket>,
}

impl Baskets {
    pub fn len(&self) -> usize {
        self.baskets.len()
    }

    pub fn categories(&self) -> &[i32] {
        &self.categories
    }

    pub fn position(&self, category: i32) -> Option<u32> {
        self.positions.get(&category).copied()
    }

    fn intern(&mut self, category: i32) -> u32 {
        *self.positions.entry(category).or_insert_with(|| {
            self.categories.push(category);
            self.categories.len() as u32 - 1
        })
    }

    /// Counts every pair of every basket: each thread a dense triangle of its own, summed at the end.
    pub fn together(&self) -> Together {
        let n = self.categories.len();
        let empty = || vec![0u32; n * (n + 1) / 2];
        let counts = self
            .baskets
            .par_chunks(4096)
            .fold(empty, |mut counts, chunk| {
                for basket in chunk {
                    for (k, &i) in basket.bought.iter().enumerate() {
                        for &j in &basket.bought[k..] {
                            counts[triangle(i, j)] += 1;
                        }
                    }
                }
                counts
            })
            .reduce(empty, |mut a, b| {
                a.iter_mut().zip(b).for_each(|(x, y)| *x += y);
                a
            });
        Together { counts }
    }
}

/// How many contacts bought from one category, or from both of two.
pub struct Together {
    counts: Vec<u32>,
}

fn triangle(i: u32, j: u32) -> usize {
    let (low, high) = (i.min(j) as usize, i.max(j) as usize);
    high * (high + 1) / 2 + low
}

impl Together {
    pub fn alone(&self, i: usize) -> u64 {
        self.both(i, i)
    }

    pub fn both(&self, i: usize, j: usize) -> u64 {
        u64::from(self.counts[triangle(i as u32, j as u32)])
    }
}

/// Paid dealings only: an enquiry shows no taste that others share.
fn is_purchase(kind: EventKind) -> bool {
    matches!(kind, EventKind::Purchase | EventKind::ContractStart | EventKind::SubscriptionStart)
}

/// (sender, category) to the latest purchase of one contact.
fn purchases(state: &[u8]) -> BTreeMap<(i32, i32), Instant> {
    let mut latest = BTreeMap::new();
    let Ok(view) = StateView::new(state) else { return latest };
    for atom in view.relations() {
        // A state that ends in the middle counts for what could be read: this is statistics, not a decision.
        let Ok(Atom::Relation(r)) = atom else { continue };
        if is_purchase(r.kind) && r.category != 0 {
            let at = latest.entry((r.sender as i32, r.category as i32)).or_insert(r.at);
            *at = r.at.max(*at);
        }
    }
    latest
}

/// Reads all purchases out of the states; `heavy` is how many categories of one contact count at most.
pub fn read(client: &mut Client, heavy: usize, report: &Report) -> Result<BTreeMap<i32, Baskets>> {
    let bar = report.progress("rescore", states::count(client)?);
    let mut by_sender: BTreeMap<i32, Baskets> = BTreeMap::new();
    states::for_each(
        client,
        |(contact, state)| (contact.clone(), purchases(state)),
        |batch| {
            bar.inc(batch.len() as u64);
            for (contact, bought) in batch {
                let mut per_sender: BTreeMap<i32, Vec<(Instant, i32)>> = BTreeMap::new();
                for ((sender, category), at) in bought {
                    per_sender.entry(sender).or_default().push((at, category));
                }
                for (sender, mut bought) in per_sender {
                    bought.sort_unstable_by(|x, y| y.cmp(x));
                    bought.truncate(heavy);
                    let baskets = by_sender.entry(sender).or_default();
                    let bought = bought.into_iter().map(|(_, category)| baskets.intern(category)).collect();
                    baskets.baskets.push(Basket { contact: contact.clone(), bought });
                }
            }
        },
    )?;
    bar.finish_and_clear();
    Ok(by_sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_counted_once_a_contact_whatever_the_order() {
        let mut baskets = Baskets::default();
        for (contact, categories) in [("x", vec![7, 9]), ("y", vec![9, 7, 3]), ("z", vec![3])] {
            let bought = categories.into_iter().map(|c| baskets.intern(c)).collect();
            baskets.baskets.push(Basket { contact: contact.into(), bought });
        }
        let together = baskets.together();
        let at = |c: i32| baskets.categories().iter().position(|x| *x == c).unwrap_or(usize::MAX);
        assert_eq!(together.both(at(7), at(9)), 2);
        assert_eq!(together.both(at(9), at(3)), 1);
        assert_eq!([7, 9, 3].map(|c| together.alone(at(c))), [2, 2, 2]);
    }
}
