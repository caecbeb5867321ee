//! Would this buyer reasonably expect marketing of that category?
//!
//! Popularity is not similarity, significance is not strength, and a co-purchase is not yet a likeness: a gate in
//! the category tree, a blend of tree distance and shrunk co-purchase association, and a minimum of evidence.

mod bought;
mod ranking;
mod tree;

pub use bought::{Bought, HEAVY, distinct, purchases};
pub use ranking::{Neighbours, Ranking, Similar};
pub use tree::Tree;

/// The weight of the tree term; the rest is behaviour.
pub const TREE_WEIGHT: f64 = 0.3;
/// Co-purchases after which half of the association counts.
pub const SHRINKAGE: f64 = 10.0;
/// Contacts who bought both, below which behaviour counts for nothing.
pub const MIN_SUPPORT: u64 = 10;
/// Log-likelihood ratio below which behaviour counts for nothing: chi-squared with one degree of freedom,
/// p = 0.001 (Dunning 1993).
pub const MIN_LLR: f64 = 10.8;

/// How far a sender's offer reaches, and so what its customers expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// Only the same category.
    Specialist,
    /// The same department (a child of the root).
    General,
    /// Anything in the tree.
    Supermarket,
}

impl std::str::FromStr for Breadth {
    type Err = crate::codes::UnknownCode;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "specialist" => Ok(Breadth::Specialist),
            "general" => Ok(Breadth::General),
            "supermarket" => Ok(Breadth::Supermarket),
            _ => Err(crate::codes::UnknownCode {
                what: "breadth",
                got: s.to_owned(),
                expected: &["specialist", "general", "supermarket"],
            }),
        }
    }
}

/// Two different categories in the tree. Depths count from the (unnamed) root, whose own depth is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreePair {
    pub depth_a: u32,
    pub depth_b: u32,
    /// Depth of the deepest common ancestor (either category included).
    pub common: u32,
    /// Either is marked sensitive.
    pub sensitive: bool,
}

impl TreePair {
    /// Of two categories by their paths, from the department down; and their deepest common ancestor.
    pub fn between(down_a: &[i32], down_b: &[i32], sensitive: bool) -> (TreePair, Option<i32>) {
        let common = down_a.iter().zip(down_b).take_while(|(x, y)| x == y).count();
        let pair = TreePair {
            depth_a: down_a.len() as u32,
            depth_b: down_b.len() as u32,
            common: common as u32,
            sensitive,
        };
        (pair, common.checked_sub(1).map(|last| down_a[last]))
    }

    /// Wu & Palmer (1994): 1 for the same node, 0 where only the root is common.
    pub fn wu_palmer(self) -> f64 {
        let depths = f64::from(self.depth_a + self.depth_b);
        if depths == 0.0 { 0.0 } else { 2.0 * f64::from(self.common) / depths }
    }

    /// Whether the pair may count as similar at all for a sender of this breadth.
    pub fn passes(self, breadth: Breadth) -> bool {
        !self.sensitive
            && match breadth {
                Breadth::Specialist => false,
                Breadth::General => self.common >= 1,
                Breadth::Supermarket => true,
            }
    }
}

/// Contacts of one sender: how many bought either category, both, and anything at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub a: u64,
    pub b: u64,
    pub both: u64,
    pub all: u64,
}

impl Counts {
    /// Contacts who would have bought both if the purchases were independent.
    pub fn expected(self) -> f64 {
        if self.all == 0 { 0.0 } else { self.a as f64 * self.b as f64 / self.all as f64 }
    }

    /// Normalised pointwise mutual information, -1..=1 (Bouma 2009); 0 without joint purchases.
    pub fn npmi(self) -> f64 {
        if self.both == 0 || self.all == 0 {
            return 0.0;
        }
        if self.both == self.all {
            return 1.0;
        }
        let p = self.both as f64 / self.all as f64;
        (self.both as f64 / self.expected()).ln() / -p.ln()
    }

    /// Dunning's log-likelihood ratio, negative where both are bought together less often than by chance.
    pub fn signed_llr(self) -> f64 {
        let [both, a, b, all] = [self.both, self.a, self.b, self.all].map(|n| n as f64);
        let cells = [
            (both, a * b),
            (a - both, a * (all - b)),
            (b - both, (all - a) * b),
            (all - a - b + both, (all - a) * (all - b)),
        ];
        let g: f64 = cells
            .iter()
            .filter(|(seen, _)| *seen > 0.0)
            .map(|(seen, by)| seen * (seen * all / by).ln())
            .sum();
        let llr = (2.0 * g).max(0.0);
        if both < self.expected() { -llr } else { llr }
    }
}

/// Everything a person needs to recompute one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    pub wu_palmer: f64,
    pub expected: f64,
    pub npmi: f64,
    pub llr: f64,
    /// Enough behaviour to count.
    pub evidence: bool,
    pub score: f64,
}

pub fn score(tree: TreePair, counts: Counts) -> Score {
    let (wu_palmer, npmi, llr) = (tree.wu_palmer(), counts.npmi(), counts.signed_llr());
    let evidence = counts.both >= MIN_SUPPORT && llr >= MIN_LLR;
    let n = counts.both as f64;
    let behaviour = if evidence { (1.0 - TREE_WEIGHT) * npmi.max(0.0) * n / (n + SHRINKAGE) } else { 0.0 };
    Score {
        wu_palmer,
        expected: counts.expected(),
        npmi,
        llr,
        evidence,
        score: TREE_WEIGHT * wu_palmer + behaviour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIBLINGS: TreePair = TreePair { depth_a: 3, depth_b: 3, common: 2, sensitive: false };

    #[test]
    fn a_popular_pair_is_not_similar_for_that() {
        // Both bought by nearly everybody: together as often as chance has it.
        let milk_and_bread = score(SIBLINGS, Counts { a: 950, b: 940, both: 893, all: 1000 });
        let tea_and_biscuits = score(SIBLINGS, Counts { a: 60, b: 50, both: 30, all: 1000 });
        assert!(tea_and_biscuits.score > milk_and_bread.score + 0.2);
    }

    #[test]
    fn few_joint_buyers_count_for_nothing() {
        let rare = score(SIBLINGS, Counts { a: 9, b: 9, both: 9, all: 100_000 });
        assert!(!rare.evidence);
        assert!((rare.score - TREE_WEIGHT * 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_score_is_what_a_pocket_calculator_says() {
        let s = score(SIBLINGS, Counts { a: 100, b: 80, both: 40, all: 1000 });
        assert!((s.expected - 8.0).abs() < 1e-12);
        assert!((s.npmi - 0.5).abs() < 1e-12); // ln 5 / ln 25
        assert!((s.score - (0.3 * 4.0 / 6.0 + 0.7 * 0.5 * 40.0 / 50.0)).abs() < 1e-12);
        assert!((s.llr - 95.7).abs() < 0.1);
    }

    #[test]
    fn avoiding_each_other_is_never_a_likeness() {
        let s = score(SIBLINGS, Counts { a: 500, b: 500, both: 100, all: 1000 });
        assert!(s.llr < -MIN_LLR && !s.evidence);
    }

    #[test]
    fn sensitive_categories_and_other_departments_stay_apart() {
        let apart = TreePair { depth_a: 3, depth_b: 3, common: 0, sensitive: false };
        assert!(!apart.passes(Breadth::General) && apart.passes(Breadth::Supermarket));
        assert!(!SIBLINGS.passes(Breadth::Specialist) && SIBLINGS.passes(Breadth::General));
        assert!(!TreePair { sensitive: true, ..SIBLINGS }.passes(Breadth::Supermarket));
    }

    #[test]
    fn scores_stay_between_nothing_and_one() {
        for (a, b, both, all) in
            [(0, 0, 0, 0), (1, 1, 0, 2), (50, 50, 50, 50), (50, 10, 10, 50), (9, 9, 1, 17)]
        {
            let s = score(SIBLINGS, Counts { a, b, both, all });
            assert!((0.0..=1.0).contains(&s.score) && s.npmi.is_finite() && s.llr.is_finite(), "{s:?}");
        }
    }
}
