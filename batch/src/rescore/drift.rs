//! What changed since the version in use, and which categories are similar to suspiciously many.

use super::catalogue::Catalogue;
use super::pairs::Scored;
use crate::report::Report;
use crate::states::wire;
use crate::tree::Tree;
use anyhow::{Context, Result};
use pg_consent_policy::similarity::Neighbours;
use postgres::Client;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Pairs and hubs named in a report.
const SHOWN: usize = 5;
/// Categories similar to fewer than this are no hub, however few the others are similar to.
const HUB: usize = 5;

/// (sender, category, category), the lower number first, to its score and whether it counts as similar.
type Before = HashMap<[i32; 3], (f64, bool)>;

/// The pairs of a version.
pub fn read(client: &mut Client, version: i32) -> Result<Before> {
    let query = format!(
        "COPY (SELECT s.sender_id, s.category_a, s.category_b, s.score, s.score >= s.threshold FROM consent_data.similarity s
                WHERE s.version = {version}) TO STDOUT (FORMAT binary)"
    );
    let mut before = Before::new();
    wire::read::<5>(client.copy_out(&query)?, |[sender, a, b, score, similar]| {
        let number = |bytes: Option<&[u8]>| -> Result<i32> {
            Ok(i32::from_be_bytes(bytes.context("NULL")?.try_into()?))
        };
        let score = f64::from_be_bytes(score.context("NULL")?.try_into()?);
        before.insert([number(sender)?, number(a)?, number(b)?], (score, similar == Some(&[1])));
        Ok(())
    })
    .context("reading the version in use")?;
    Ok(before)
}

pub struct Drift {
    /// Pairs that count as similar now and did not, or the other way round.
    changed_sides: usize,
    /// Spearman's, over the pairs of both versions.
    rank_correlation: Option<f64>,
    /// (pair, score before, score now), the largest change first.
    largest: Vec<([i32; 3], f64, f64)>,
}

pub fn compare(mut before: Before, now: &[Scored], threshold: f64, catalogue: &Catalogue) -> Drift {
    let mut changed_sides = 0;
    let (mut old, mut new, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for scored in now {
        for pair in &scored.pairs {
            let (a, b) = (catalogue.id(pair.low), catalogue.id(pair.high));
            let key = [scored.sender_id, a.min(b), a.max(b)];
            let was = before.remove(&key);
            changed_sides += usize::from(was.is_some_and(|w| w.1) != (pair.score >= threshold));
            if let Some((score, _)) = was {
                keys.push(key);
                old.push(score);
                new.push(pair.score);
            }
        }
    }
    // What is left is in no row any more.
    changed_sides += before.values().filter(|w| w.1).count();
    let mut largest: Vec<_> =
        keys.into_iter().zip(&old).zip(&new).map(|((key, o), n)| (key, *o, *n)).collect();
    let change = |x: &([i32; 3], f64, f64)| (x.2 - x.1).abs();
    largest.retain(|x| change(x) > 0.0);
    largest.sort_unstable_by(|x, y| change(y).total_cmp(&change(x)).then(x.0.cmp(&y.0)));
    largest.truncate(SHOWN);
    Drift { changed_sides, rank_correlation: correlation(&ranks(&old), &ranks(&new)), largest }
}

impl Drift {
    pub fn json(&self, tree: &Tree) -> Value {
        let change = |(key, before, now): &([i32; 3], f64, f64)| json!({"sender_id": key[0], "categories": [tree.name(key[1]), tree.name(key[2])], "before": before, "now": now});
        json!({"changed_sides": self.changed_sides, "rank_correlation": self.rank_correlation,
               "largest_changes": self.largest.iter().map(change).collect::<Vec<_>>()})
    }

    pub fn show(&self, tree: &Tree, report: &Report) {
        let alike = self.rank_correlation.map_or_else(String::new, |r| format!(", rank correlation {r:.3}"));
        report.line(
            &format!("  since the last version: {} pairs changed sides{alike}", self.changed_sides),
            &json!({"step": "rescore", "event": "drift", "drift": self.json(tree)}),
        );
        for (key, before, now) in &self.largest {
            let text = format!("    {} and {}: {before:.2} → {now:.2}", tree.name(key[1]), tree.name(key[2]));
            report.line(&text, &json!({"step": "rescore", "event": "changed", "before": before, "now": now}));
        }
    }
}

/// The rank of each value; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|x, y| values[*x].total_cmp(&values[*y]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|x, y| values[*x] == values[*y]) {
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|i| ranks[*i] = rank);
        before += equal.len();
    }
    ranks
}

/// Pearson's; `None` where one side has no variance.
fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        xy += (a - mx) * (b - my);
        xx += (a - mx) * (a - mx);
        yy += (b - my) * (b - my);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Categories similar to far more others than is usual (three standard deviations above the mean), the worst first: a
/// category that everything resembles tells nothing.
pub fn hubs(neighbours: &Neighbours) -> Vec<(u32, usize)> {
    let degrees: Vec<(u32, usize)> = neighbours.degrees().collect();
    let n = degrees.len().max(1) as f64;
    let mean = degrees.iter().map(|d| d.1 as f64).sum::<f64>() / n;
    let variance = degrees.iter().map(|d| (d.1 as f64 - mean).powi(2)).sum::<f64>() / n;
    let unusual = mean + 3.0 * variance.sqrt();
    let mut hubs: Vec<_> = degrees.into_iter().filter(|d| d.1 >= HUB && d.1 as f64 > unusual).collect();
    hubs.sort_unstable_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(&y.0)));
    hubs
}

/// Names the first of them, for people; answers with the same for the figures.
pub fn show_hubs(
    sender: &str,
    hubs: &[(u32, usize)],
    catalogue: &Catalogue,
    tree: &Tree,
    report: &Report,
) -> Vec<Value> {
    let named = hubs.iter().take(SHOWN).map(|(c, n)| (tree.name(catalogue.id(*c)), *n));
    named
        .map(|(category, similar_to)| {
            let hub = json!({"sender": sender, "category": category, "similar_to": similar_to});
            report.line(
                &format!("  {sender}: {category} is similar to {similar_to} others, unusually many"),
                &json!({"step": "rescore", "event": "hub", "hub": hub}),
            );
            hub
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rescore::overrides::{Overrides, neighbours};
    use crate::rescore::pairs::Pair;
    use std::time::Duration;

    fn scored(pairs: &[(u32, u32, f64)], categories: usize) -> Scored {
        let pair = |&(low, high, score)| Pair { low, high, both: 0, score };
        Scored {
            sender_id: 1,
            pairs: pairs.iter().map(pair).collect(),
            alone: vec![1; categories],
            all: 1,
            counting: Duration::ZERO,
        }
    }

    #[test]
    fn drift_counts_sides_both_ways_and_names_the_largest_change() {
        let tree = Tree::of(&[(1, None, false), (2, None, false), (3, None, false), (4, None, false)]);
        let catalogue = Catalogue::new(&tree);
        let before = Before::from([
            ([1, 1, 2], (0.6, true)),
            ([1, 1, 3], (0.4, false)),
            ([1, 2, 3], (0.7, true)),
            ([1, 1, 4], (0.9, true)),
        ]);
        let now = scored(&[(0, 1, 0.1), (0, 2, 0.5), (1, 2, 0.7), (2, 3, 0.8)], 4);
        let drift = compare(before, &[now], 0.5, &catalogue);
        // 1-2 no more, 1-3 now, 1-4 has no row any more, 3-4 is new.
        assert_eq!(drift.changed_sides, 4);
        assert_eq!(drift.largest[0], ([1, 1, 2], 0.6, 0.1));
        assert_eq!(drift.largest.len(), 2);
        let rank = drift.rank_correlation.unwrap_or(9.0);
        assert!((rank - 0.5).abs() < 1e-12, "{rank}");
    }

    #[test]
    fn ties_share_their_rank_and_no_variance_has_no_correlation() {
        assert_eq!(ranks(&[0.2, 0.1, 0.2, 0.3]), [2.5, 1.0, 2.5, 4.0]);
        assert_eq!(correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(correlation(&[], &[]), None);
    }

    #[test]
    fn a_category_similar_to_everything_is_a_hub() {
        let mut pairs: Vec<_> = (1..40).map(|c| (0, c, 0.9)).collect();
        assert_eq!(hubs(&neighbours(&scored(&pairs, 40), 0.5, &Overrides::new())), [(0, 39)]);
        pairs.truncate(4);
        assert_eq!(hubs(&neighbours(&scored(&pairs, 40), 0.5, &Overrides::new())), []);
    }
}
