//! How good the similarity of categories is on real purchases (the Complete Journey), reckoned with
//! [`pg_consent_policy::similarity`] itself.
//!
//! **Types** are the tree's third level, told apart by their whole branch (department > category > type); a
//! *household's types* are those it ever bought, each counted once, in the order of the first purchase (within one
//! instant by branch). **Support** of a type is the number of households with it.
//!
//! **Behaviour alone**: every pair of types that both have [`SUPPORT`] or more, scored by NPMI × n/(n+10), n the
//! households with both, without gate, tree or test of significance.
//! - *AUC*: the probability that a pair within one category scores above a pair from two; ties count half.
//! - *P@1000*: of the 1,000 highest pairs, the share within one category.
//! - *rank correlation with popularity*: Spearman's, over all those pairs, of the score and the product of both supports.
//!
//! **The blend**: `similarity::score` as it is, tree and evidence included, for a sender whose breadth is the whole tree.
//! Of each household with more than [`FIRST`] types those first ones are known; every other type of the catalogue is ranked by
//! its best score with a known one, and the highest are eligible: as many as a tenth of the catalogue, those with a score
//! of nothing aside.
//! - *recall*: the share of the household's later types that is eligible, averaged over households (and, beside it, over
//!   all later types at once).
//! - *inside*: of all eligible, the share that lies in a department of a known type.

use crate::demo_data::journey::Journey;
use anyhow::{Context, Result, ensure};
use pg_consent_policy::similarity::{Breadth, Counts, SHRINKAGE, TreePair, score};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Households below which a type is too rare to measure.
const SUPPORT: u32 = 50;
/// Pairs at the top that are looked at.
const TOP: usize = 1_000;
/// Types after which the rest is foretold.
const FIRST: usize = 8;
/// Share of the catalogue that is eligible.
const ELIGIBLE: f64 = 0.1;

/// One way of scoring a pair by behaviour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behaviour {
    pub name: &'static str,
    pub auc: f64,
    pub precision: f64,
    pub popularity: f64,
}

/// One way of ranking the catalogue for a household.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Foretold {
    pub name: &'static str,
    /// Mean over households.
    pub recall: f64,
    /// Over all later types at once.
    pub recall_of_all: f64,
    pub inside: f64,
    /// Of the catalogue, on average.
    pub eligible: f64,
}

#[derive(Debug, Clone)]
pub struct Quality {
    pub households: usize,
    pub types: usize,
    pub measured: usize,
    pub behaviour: Vec<Behaviour>,
    pub foretold: Vec<Foretold>,
}

/// Reads the wheel's parquet files in `data` and measures.
///
/// # Errors
/// A file that is missing or can't be read.
pub fn measure(data: &Path) -> Result<Quality> {
    let set = Set::read(data)?;
    let measured: Vec<usize> = (0..set.types()).filter(|t| set.support(*t) >= SUPPORT).collect();
    let shrunk = |c: Counts| c.npmi() * c.both as f64 / (c.both as f64 + SHRINKAGE);
    let cosine = |c: Counts| c.both as f64 / (c.a as f64 * c.b as f64).sqrt();
    let behaviour = vec![
        set.behaviour("cosine", &measured, cosine),
        set.behaviour("log-likelihood ratio", &measured, Counts::signed_llr),
        set.behaviour("NPMI, shrunk", &measured, shrunk),
    ];
    let popular = |_: usize, other: usize| f64::from(set.support(other));
    let tree = |a: usize, b: usize| set.place(a, b).wu_palmer();
    let foretold = vec![
        set.foretell("popularity", popular),
        set.foretell("the tree alone", tree),
        set.foretell("the blend, whole tree", |a, b| set.blend(a, b, Breadth::Supermarket)),
        set.foretell("the blend, same department", |a, b| set.blend(a, b, Breadth::General)),
    ];
    Ok(Quality {
        households: set.households.len(),
        types: set.types(),
        measured: measured.len(),
        behaviour,
        foretold,
    })
}

struct Place {
    department: i32,
    category: i32,
}

struct Set {
    places: Vec<Place>,
    /// Each household's types, the first bought first.
    households: Vec<Vec<usize>>,
    /// Households with both, a square; alone on the diagonal.
    both: Vec<u32>,
}

impl Set {
    fn read(data: &Path) -> Result<Set> {
        let journey = Journey::read(data)?;
        let parents: HashMap<i32, Option<i32>> =
            journey.tree.categories().map(|c| (c.id, c.parent)).collect();
        let mut types: BTreeMap<i32, usize> = BTreeMap::new();
        let mut places = Vec::new();
        for c in journey.tree.categories().filter(|c| c.level == 3) {
            let category = c.parent.context("a type hangs on a category")?;
            let department =
                parents.get(&category).copied().flatten().context("a category on a department")?;
            types.insert(c.id, places.len());
            places.push(Place { department, category });
        }
        let of_product: HashMap<i64, usize> =
            journey.products.iter().filter_map(|p| Some((p.id, *types.get(&p.category?)?))).collect();
        let orders: HashMap<i64, (i64, i64)> =
            journey.orders.iter().map(|o| (o.id, (o.customer, o.at))).collect();
        let mut first: BTreeMap<(i64, usize), i64> = BTreeMap::new();
        for line in &journey.lines {
            let (Some(bought), Some((customer, at))) =
                (of_product.get(&line.product), orders.get(&line.order))
            else {
                continue;
            };
            let known = first.entry((*customer, *bought)).or_insert(*at);
            *known = (*at).min(*known);
        }
        let mut by_household: BTreeMap<i64, Vec<(i64, usize)>> = BTreeMap::new();
        for ((customer, bought), at) in first {
            by_household.entry(customer).or_default().push((at, bought));
        }
        let households: Vec<Vec<usize>> = by_household
            .into_values()
            .map(|mut all| {
                all.sort_unstable();
                all.into_iter().map(|(_, bought)| bought).collect()
            })
            .collect();
        ensure!(!households.is_empty(), "no purchases in `{}`", data.display());
        let n = places.len();
        let mut both = vec![0u32; n * n];
        for bought in &households {
            for a in bought {
                for b in bought {
                    both[a * n + b] += 1;
                }
            }
        }
        Ok(Set { places, households, both })
    }

    fn types(&self) -> usize {
        self.places.len()
    }

    fn support(&self, a: usize) -> u32 {
        self.both[a * self.types() + a]
    }

    fn counts(&self, a: usize, b: usize) -> Counts {
        Counts {
            a: u64::from(self.support(a)),
            b: u64::from(self.support(b)),
            both: u64::from(self.both[a * self.types() + b]),
            all: self.households.len() as u64,
        }
    }

    fn place(&self, a: usize, b: usize) -> TreePair {
        let (x, y) = (&self.places[a], &self.places[b]);
        let common = if x.category == y.category { 2 } else { u32::from(x.department == y.department) };
        TreePair { depth_a: 3, depth_b: 3, common, sensitive: false }
    }

    fn blend(&self, a: usize, b: usize, breadth: Breadth) -> f64 {
        let place = self.place(a, b);
        if place.passes(breadth) { score(place, self.counts(a, b)).score } else { 0.0 }
    }

    fn behaviour(&self, name: &'static str, measured: &[usize], by: impl Fn(Counts) -> f64) -> Behaviour {
        let (mut scores, mut products, mut alike) = (Vec::new(), Vec::new(), Vec::new());
        for (k, &a) in measured.iter().enumerate() {
            for &b in &measured[k + 1..] {
                let counts = self.counts(a, b);
                scores.push(by(counts));
                products.push((counts.a * counts.b) as f64);
                alike.push(self.places[a].category == self.places[b].category);
            }
        }
        let by_rank = ranks(&scores);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|x, y| scores[*y].total_cmp(&scores[*x]));
        let top = &order[..TOP.min(order.len())];
        Behaviour {
            name,
            auc: auc(&by_rank, &alike),
            precision: top.iter().filter(|p| alike[**p]).count() as f64 / top.len() as f64,
            popularity: correlation(&by_rank, &ranks(&products)),
        }
    }

    fn foretell(&self, name: &'static str, by: impl Fn(usize, usize) -> f64) -> Foretold {
        let n = self.types();
        let wanted = (n as f64 * ELIGIBLE).round() as usize;
        // Households begin with the same few types: each is scored against all once.
        let mut rows: HashMap<usize, Vec<f64>> = HashMap::new();
        let (mut shares, mut found, mut later_all, mut eligible_all, mut inside) = (0.0, 0, 0, 0, 0);
        let mut households = 0;
        for bought in self.households.iter().filter(|b| b.len() > FIRST) {
            let (known, later) = bought.split_at(FIRST);
            let mut best = vec![0.0f64; n];
            for &k in known {
                let row = rows.entry(k).or_insert_with(|| (0..n).map(|other| by(k, other)).collect());
                best.iter_mut().zip(row).for_each(|(b, s)| *b = b.max(*s));
            }
            let mut order: Vec<usize> = (0..n).filter(|t| best[*t] > 0.0 && !known.contains(t)).collect();
            order.sort_by(|x, y| best[*y].total_cmp(&best[*x]).then(x.cmp(y)));
            order.truncate(wanted);
            let mut eligible = vec![false; n];
            order.iter().for_each(|t| eligible[*t] = true);
            let hits = later.iter().filter(|t| eligible[**t]).count();
            shares += hits as f64 / later.len() as f64;
            found += hits;
            later_all += later.len();
            eligible_all += order.len();
            let department = |t: &usize| self.places[*t].department;
            inside += order.iter().filter(|t| known.iter().any(|k| department(k) == department(t))).count();
            households += 1;
        }
        Foretold {
            name,
            recall: shares / f64::from(households),
            recall_of_all: found as f64 / later_all as f64,
            inside: inside as f64 / eligible_all as f64,
            eligible: eligible_all as f64 / (f64::from(households) * n as f64),
        }
    }
}

/// The rank of each value from 1; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|x, y| values[*x].total_cmp(&values[*y]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for same in order.chunk_by(|x, y| values[*x] == values[*y]) {
        let mean = first as f64 + (same.len() + 1) as f64 / 2.0;
        same.iter().for_each(|i| ranks[*i] = mean);
        first += same.len();
    }
    ranks
}

/// Mann and Whitney's statistic as a share: that one of `yes` ranks above one that isn't.
fn auc(ranks: &[f64], yes: &[bool]) -> f64 {
    let n = yes.iter().filter(|y| **y).count() as f64;
    let sum: f64 = ranks.iter().zip(yes).filter(|(_, y)| **y).map(|(r, _)| r).sum();
    (sum - n * (n + 1.0) / 2.0) / (n * (yes.len() as f64 - n))
}

/// Pearson's; of ranks, Spearman's.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        xy += (a - mx) * (b - my);
        xx += (a - mx).powi(2);
        yy += (b - my).powi(2);
    }
    xy / (xx * yy).sqrt()
}

impl Quality {
    pub fn print(&self) {
        println!(
            "Complete Journey: {} households, {} types, {} of them with support of {SUPPORT} or more\n",
            self.households, self.types, self.measured
        );
        println!("{:28}  {:>8}  {:>8}  {:>16}", "behaviour alone", "AUC", "P@1000", "with popularity");
        for b in &self.behaviour {
            println!("{:28}  {:>8.3}  {:>8.3}  {:>+16.2}", b.name, b.auc, b.precision, b.popularity);
        }
        println!(
            "\n{:28}  {:>8}  {:>8}  {:>8}  {:>8}",
            "a tenth eligible", "recall", "of all", "inside", "eligible"
        );
        for f in &self.foretold {
            println!(
                "{:28}  {:>8.3}  {:>8.3}  {:>8.3}  {:>8.3}",
                f.name, f.recall, f.recall_of_all, f.inside, f.eligible
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_equal_values_are_shared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn the_statistics_are_those_of_small_examples() {
        assert_eq!(auc(&ranks(&[0.1, 0.4, 0.35, 0.8]), &[false, false, true, true]), 0.75);
        assert_eq!(auc(&ranks(&[1.0, 1.0]), &[false, true]), 0.5);
        assert!((correlation(&[1.0, 2.0, 3.0], &[6.0, 4.0, 2.0]) + 1.0).abs() < 1e-12);
    }
}
