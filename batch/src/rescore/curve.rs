//! The threshold curve: what a lower threshold opens, against how much of it lies where the contact bought already.

use super::baskets::Baskets;
use super::catalogue::Catalogue;
use super::overrides::{self, Overrides};
use super::pairs::Scored;
use crate::report::Report;
use rayon::prelude::*;
use serde_json::{Value, json};

/// Contacts the curve is averaged over; more would not move it.
const SAMPLE: usize = 2_000;
/// 0.10, 0.15 … 0.90.
const STEPS: usize = 17;

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

fn threshold(step: usize) -> f64 {
    (step + 2) as f64 / 20.0
}

/// How many thresholds a score reaches.
fn reached(score: f64) -> usize {
    (0..STEPS).take_while(|step| score >= threshold(*step)).count()
}

pub fn draw(scored: &Scored, baskets: &Baskets, catalogue: &Catalogue) -> Vec<Point> {
    let sold = scored.sold();
    if baskets.len() == 0 || sold == 0 {
        return Vec::new();
    }
    let neighbours = overrides::neighbours(scored, threshold(0), &Overrides::new());
    let sample = baskets.sample(baskets.len().div_ceil(SAMPLE));
    if sample.is_empty() {
        return Vec::new();
    }
    // By how many thresholds reached: (similar categories, those of them inside).
    let of_contact = |bought: &&[u32]| {
        let mut best = vec![0.0f64; catalogue.len()];
        let departments: Vec<u32> = bought.iter().map(|c| catalogue.department(*c)).collect();
        for (score, other) in bought.iter().flat_map(|c| neighbours.of_category(*c)) {
            best[*other as usize] = best[*other as usize].max(*score);
        }
        bought.iter().for_each(|c| best[*c as usize] = 0.0);
        let mut opened = [(0u64, 0u64); STEPS + 1];
        for (category, score) in (0u32..).zip(best) {
            if score > 0.0 && scored.alone[category as usize] > 0 {
                let at = &mut opened[reached(score)];
                at.0 += 1;
                at.1 += u64::from(departments.contains(&catalogue.department(category)));
            }
        }
        opened
    };
    let mut opened = sample.par_iter().map(of_contact).reduce(
        || [(0, 0); STEPS + 1],
        |mut x, y| {
            x.iter_mut().zip(y).for_each(|(x, y)| *x = (x.0 + y.0, x.1 + y.1));
            x
        },
    );
    // Whoever reaches a threshold has reached all below it.
    for i in (0..STEPS).rev() {
        opened[i] = (opened[i].0 + opened[i + 1].0, opened[i].1 + opened[i + 1].1);
    }
    let point = |step: usize| {
        let (eligible, inside) = opened[step + 1];
        Point {
            threshold: threshold(step),
            eligible: eligible as f64 / (sample.len() * sold) as f64,
            inside: if eligible == 0 { 1.0 } else { inside as f64 / eligible as f64 },
        }
    };
    (0..STEPS).map(point).collect()
}

/// The lowest threshold that opens no more than `share` of the catalogue.
pub fn threshold_for(points: &[Point], share: f64) -> Option<f64> {
    points.iter().find(|p| p.eligible <= share).or(points.last()).map(|p| p.threshold)
}

pub fn show(sender: &str, points: &[Point], in_use: f64, report: &Report) {
    if points.is_empty() {
        return;
    }
    report.line(
        &format!("  {sender}\n  threshold  catalogue similar to what a contact bought  of that, in a department bought from"),
        &json!({"step": "rescore", "event": "curve", "sender": sender}),
    );
    // Past the first threshold that opens nothing there is nothing to choose.
    let useful = points.iter().position(|p| p.eligible == 0.0).map_or(points.len(), |i| i + 1);
    for p in &points[..useful] {
        report.line(
            &format!("  {:9.2}  {:41.1} %  {:31.1} %", p.threshold, p.eligible * 100.0, p.inside * 100.0),
            &p.json(),
        );
    }
    report.line(&format!("  in use: {in_use:.2}"), &json!({"step": "rescore", "threshold": in_use}));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use pg_consent_policy::similarity::Breadth;

    #[test]
    fn the_threshold_never_opens_more_than_asked_for() {
        let point = |threshold, eligible| Point { threshold, eligible, inside: 1.0 };
        let points = [point(0.1, 0.9), point(0.2, 0.3), point(0.3, 0.08), point(0.4, 0.0)];
        assert_eq!(threshold_for(&points, 0.1), Some(0.3));
        assert_eq!(threshold_for(&points, 0.0), Some(0.4));
        assert_eq!(threshold_for(&[], 0.1), None);
    }

    #[test]
    fn the_curve_counts_what_each_threshold_opens() {
        // 2 and 3 are cousins within 1, 4 is another department.
        let tree = Tree::of(&[(1, None, false), (2, Some(1), false), (3, Some(1), false), (4, None, false)]);
        let catalogue = Catalogue::new(&tree);
        let at = |c| catalogue.position(c).unwrap_or(0);
        let mut raw = vec![vec![at(2), at(4)]; 30];
        raw.extend(vec![vec![at(3)]; 30]);
        let baskets = Baskets::of(&raw, 1);
        let scored = Scored::new(1, Breadth::Supermarket, &baskets, &catalogue, usize::MAX);
        let points = draw(&scored, &baskets, &catalogue);
        // The tree alone: 2 and 3 score 0.15. Each 2-and-4 buyer is opened 3, each 3 buyer 2, of three sold; NPMI of 2 and 4
        // is 1 (0.7 · 30/40), but whoever bought one bought the other.
        assert_eq!((points[0].threshold, points[1].threshold), (0.1, 0.15));
        assert!((points[0].eligible - 1.0 / 3.0).abs() < 1e-12 && points[0].inside == 1.0);
        assert_eq!((points[1].eligible, points[2].eligible), (points[0].eligible, 0.0));
    }

    #[test]
    fn a_score_reaches_the_thresholds_up_to_it() {
        assert_eq!([0.09, 0.1, 0.149, 0.15, 1.0].map(reached), [0, 1, 1, 2, STEPS]);
    }
}
