//! The scores of all pairs of categories that can matter to a sender.

use super::baskets::Baskets;
use super::catalogue::Catalogue;
use super::together::{self, Block, Layout};
use pg_consent_policy::similarity::{Breadth, Counts, MIN_SUPPORT, Score, score};
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Two categories by position, the lower first. What its score was computed from can be had again ([`Scored::reason`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    pub low: u32,
    pub high: u32,
    /// Contacts who bought from both.
    pub both: u32,
    pub score: f64,
}

/// The pairs of one sender, in order of position.
pub struct Scored {
    pub sender_id: i32,
    pub pairs: Vec<Pair>,
    /// Contacts who bought from each category, by position.
    pub alone: Vec<u32>,
    /// Contacts who bought anything.
    pub all: u64,
    /// What counting took.
    pub counting: Duration,
}

/// Everything a person needs to recompute one score; the lower category number first.
pub struct Reason {
    pub a: i32,
    pub b: i32,
    pub ancestor: Option<i32>,
    pub counts: Counts,
    pub score: Score,
}

impl Scored {
    pub fn new(
        sender_id: i32,
        breadth: Breadth,
        baskets: &Baskets,
        catalogue: &Catalogue,
        limit: usize,
    ) -> Scored {
        let layout = Layout::new(catalogue, breadth);
        let alone = together::alone(baskets, catalogue.len());
        let mut scored = Scored {
            sender_id,
            pairs: Vec::new(),
            alone,
            all: baskets.len() as u64,
            counting: Duration::ZERO,
        };
        let mut since = Instant::now();
        together::count(baskets, &layout, limit, |block| {
            scored.counting += since.elapsed();
            let pairs = scored.of_block(&block, breadth, catalogue);
            scored.pairs.extend(pairs);
            since = Instant::now();
        });
        scored
    }

    fn of_block(&self, block: &Block<'_>, breadth: Breadth, catalogue: &Catalogue) -> Vec<Pair> {
        let pair = |high: u32, low: u32, both: u32| {
            let (place, _) = catalogue.pair(low, high);
            // A purchase of one is what likeness to the other could rest on: without any there is nothing to say.
            let bought = self.alone[low as usize] > 0 || self.alone[high as usize] > 0;
            // Where only the root is common the tree says nothing, and with so few neither does behaviour: the score
            // is 0, and of a large catalogue these would be nearly all rows.
            let silent = place.common == 0 && u64::from(both) < MIN_SUPPORT;
            (bought && !silent && place.passes(breadth)).then(|| {
                let mut pair = Pair { low, high, both, score: 0.0 };
                pair.score = self.reason(&pair, catalogue).score.score;
                pair
            })
        };
        let rows = block.rows.clone().into_par_iter();
        rows.flat_map_iter(|high| block.row(high).filter_map(move |(low, both)| pair(high, low, both)))
            .collect()
    }

    pub fn reason(&self, pair: &Pair, catalogue: &Catalogue) -> Reason {
        let (low, high) = (catalogue.id(pair.low), catalogue.id(pair.high));
        let (place, ancestor) = catalogue.pair(pair.low, pair.high);
        let buyers = |position: u32| u64::from(self.alone[position as usize]);
        let (a, b) = if low < high { (pair.low, pair.high) } else { (pair.high, pair.low) };
        let counts = Counts { a: buyers(a), b: buyers(b), both: pair.both.into(), all: self.all };
        Reason { a: low.min(high), b: low.max(high), ancestor, counts, score: score(place, counts) }
    }

    /// Categories that anybody bought from.
    pub fn sold(&self) -> usize {
        self.alone.iter().filter(|n| **n > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    /// Departments 1 (3, 4, and 5 within 4) and 2 (6, and 7, which is sensitive); 8 stands alone.
    fn catalogue() -> Catalogue {
        Catalogue::new(&Tree::of(&[
            (1, None, false),
            (2, None, false),
            (3, Some(1), false),
            (4, Some(1), false),
            (5, Some(4), false),
            (6, Some(2), false),
            (7, Some(2), true),
            (8, None, false),
        ]))
    }

    fn scored(breadth: Breadth, baskets: &[(usize, &[i32])], limit: usize) -> (Scored, Catalogue) {
        let catalogue = catalogue();
        let mut raw = Vec::new();
        for (times, basket) in baskets {
            let mut basket: Vec<u32> = basket.iter().filter_map(|c| catalogue.position(*c)).collect();
            basket.sort_unstable();
            raw.extend(std::iter::repeat_n(basket, *times));
        }
        (Scored::new(1, breadth, &Baskets::of(&raw, 2), &catalogue, limit), catalogue)
    }

    const BOUGHT: &[(usize, &[i32])] =
        &[(40, &[3, 5]), (30, &[3]), (20, &[6, 3]), (9, &[6, 5]), (15, &[7, 3]), (100, &[6])];

    fn names(scored: &Scored, catalogue: &Catalogue) -> Vec<(i32, i32)> {
        let mut all: Vec<_> =
            scored.pairs.iter().map(|p| scored.reason(p, catalogue)).map(|r| (r.a, r.b)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_gate_is_the_breadth_and_sensitive_categories_match_only_themselves() {
        let (specialist, catalogue) = scored(Breadth::Specialist, BOUGHT, usize::MAX);
        assert_eq!(names(&specialist, &catalogue), []);
        let (general, _) = scored(Breadth::General, BOUGHT, usize::MAX);
        // 1 with 4 could rest on no purchase; new categories are scored by the tree alone.
        assert_eq!(names(&general, &catalogue), [(1, 3), (1, 5), (2, 6), (3, 4), (3, 5), (4, 5)]);
        let (supermarket, _) = scored(Breadth::Supermarket, BOUGHT, usize::MAX);
        // Of the pairs that meet at the root, those with enough common buyers for a say.
        assert_eq!(names(&supermarket, &catalogue), [(1, 3), (1, 5), (2, 6), (3, 4), (3, 5), (3, 6), (4, 5)]);
    }

    #[test]
    fn a_pair_has_the_counts_and_the_score_that_the_policy_gives_it() {
        for limit in [usize::MAX, 0] {
            let (general, catalogue) = scored(Breadth::General, BOUGHT, limit);
            let pair = general.pairs.iter().find(|p| general.reason(p, &catalogue).a == 3 && p.both > 0);
            let reason = pair.map(|p| (general.reason(p, &catalogue), p.score));
            let Some((reason, stored)) = reason else { unreachable!("shoes and boots") };
            let counts = Counts { a: 105, b: 49, both: 40, all: 214 };
            let place =
                catalogue.pair(catalogue.position(3).unwrap_or(0), catalogue.position(5).unwrap_or(0)).0;
            assert_eq!((reason.b, reason.ancestor, reason.counts), (5, Some(1), counts));
            assert_eq!((reason.score, stored), (score(place, counts), reason.score.score));
            assert!(reason.score.evidence);
        }
    }
}
