//! The threshold curve: what a lower threshold opens, against how much of it lies where the contact bought already.

use super::Pair;
use super::baskets::Baskets;
use crate::tree::Tree;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Contacts the curve is averaged over; more would not move it.
const SAMPLE: usize = 2_000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub threshold: f64,
    /// Share of the categories sold that is similar to something the contact bought, the bought ones aside.
    pub eligible: f64,
    /// Share of those that lies in a department the contact bought from.
    pub inside: f64,
}

impl Point {
    pub fn json(self) -> Value {
        json!({"threshold": self.threshold, "eligible": self.eligible, "inside": self.inside})
    }
}

pub fn draw(pairs: &[Pair], baskets: &Baskets, tree: &Tree) -> Vec<Point> {
    let n = baskets.categories().len();
    if n == 0 || baskets.len() == 0 {
        return Vec::new();
    }
    let departments: Vec<i32> = baskets.categories().iter().map(|c| tree.department(*c)).collect();
    let mut neighbours: Vec<Vec<(f64, u32)>> = vec![Vec::new(); n];
    for pair in pairs {
        if let (Some(a), Some(b)) = (baskets.position(pair.a), baskets.position(pair.b)) {
            neighbours[a as usize].push((pair.score.score, b));
            neighbours[b as usize].push((pair.score.score, a));
        }
    }
    let every = baskets.len().div_ceil(SAMPLE);
    let sample: Vec<_> = baskets.baskets.iter().step_by(every).collect();
    let steps: Vec<f64> = (2..=18).map(|i| f64::from(i) / 20.0).collect();
    steps
        .into_iter()
        .map(|threshold| {
            let (eligible, inside) = sample
                .par_iter()
                .map(|basket| {
                    let bought: HashSet<u32> = basket.bought.iter().copied().collect();
                    let known: HashSet<i32> = bought.iter().map(|c| departments[*c as usize]).collect();
                    let similar: HashSet<u32> = bought
                        .iter()
                        .flat_map(|c| &neighbours[*c as usize])
                        .filter(|(score, other)| *score >= threshold && !bought.contains(other))
                        .map(|(_, other)| *other)
                        .collect();
                    let inside =
                        similar.iter().filter(|c| known.contains(&departments[**c as usize])).count();
                    (similar.len(), inside)
                })
                .reduce(|| (0, 0), |x, y| (x.0 + y.0, x.1 + y.1));
            Point {
                threshold,
                eligible: eligible as f64 / (sample.len() * n) as f64,
                inside: if eligible == 0 { 1.0 } else { inside as f64 / eligible as f64 },
            }
        })
        .collect()
}

/// The lowest threshold that opens no more than `share` of the catalogue.
pub fn threshold_for(points: &[Point], share: f64) -> Option<f64> {
    points.iter().find(|p| p.eligible <= share).or(points.last()).map(|p| p.threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_never_opens_more_than_asked_for() {
        let point = |threshold, eligible| Point { threshold, eligible, inside: 1.0 };
        let points = [point(0.1, 0.9), point(0.2, 0.3), point(0.3, 0.08), point(0.4, 0.0)];
        assert_eq!(threshold_for(&points, 0.1), Some(0.3));
        assert_eq!(threshold_for(&points, 0.0), Some(0.4));
        assert_eq!(threshold_for(&[], 0.1), None);
    }
}
