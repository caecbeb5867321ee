//! Re-scoring: which categories are similar, from who bought what. Per sender, never pooled across legal entities.
//!
//! A new version stands beside the old until it is complete; one row a pair says why (see
//! [`pg_consent_policy::similarity`]).

mod baskets;
mod curve;
mod store;

use crate::arguments::Rescore;
use crate::connection::Database;
use crate::report::Report;
use crate::run::Finding;
use crate::tree::Tree;
use anyhow::{Context, Result};
use baskets::Baskets;
use pg_consent_policy::similarity::{Breadth, Counts, Score, TreePair, score};
use postgres::Client;
use rayon::prelude::*;
use serde_json::json;

/// One pair of categories with everything its score was computed from.
pub struct Pair {
    pub a: i32,
    pub b: i32,
    pub ancestor: Option<i32>,
    pub counts: Counts,
    pub score: Score,
}

/// The pairs of one sender.
pub struct Scored {
    pub sender_id: i32,
    pub pairs: Vec<Pair>,
}

pub fn rescore(
    client: &mut Client,
    _database: &Database,
    options: &Rescore,
    report: &Report,
) -> Result<Finding> {
    let tree = Tree::read(client)?;
    let all_baskets = baskets::read(client, options.heavy as usize, report)?;
    let senders =
        client.query("SELECT sender_id, breadth FROM consent_data.sender ORDER BY sender_id", &[])?;
    let mut scored = Vec::new();
    for sender in &senders {
        let sender_id: i32 = sender.get(0);
        let breadth: Breadth = sender.get::<_, String>(1).parse()?;
        if let Some(baskets) = all_baskets.get(&sender_id) {
            scored.push(Scored { sender_id, pairs: score_pairs(baskets, &tree, breadth) });
        }
    }
    let catalogue = tree.len();
    // The curve is drawn for the sender with the most buyers; the threshold holds for all.
    let main = scored.iter().max_by_key(|s| all_baskets.get(&s.sender_id).map_or(0, Baskets::len));
    let points = main
        .and_then(|s| all_baskets.get(&s.sender_id).map(|b| curve::draw(&s.pairs, b, &tree)))
        .unwrap_or_default();
    let threshold = match (options.threshold, options.eligible) {
        (Some(chosen), _) => chosen,
        (None, Some(share)) => {
            curve::threshold_for(&points, share).context("no purchases to draw the threshold curve from")?
        }
        (None, None) => {
            client.query_one("SELECT similarity_threshold FROM consent_data.setting", &[])?.get(0)
        }
    };
    show_curve(&points, threshold, report);
    let version = store::store(client, &scored, threshold, report)?;
    let per_contact =
        store::contact_similar(client, &scored, &all_baskets, threshold, version, options.per_contact)?;
    let pairs = scored.iter().map(|s| s.pairs.len()).sum::<usize>();
    let similar = scored.iter().flat_map(|s| &s.pairs).filter(|p| p.score.score >= threshold).count();
    Ok(Finding::done(json!({
        "version": version, "categories": catalogue, "pairs": pairs, "similar_pairs": similar,
        "threshold": threshold, "contact_rows": per_contact,
        "changed_sides": store::changed_sides(client, version)?, "curve": points.iter().map(|p| p.json()).collect::<Vec<_>>(),
    })))
}

fn score_pairs(baskets: &Baskets, tree: &Tree, breadth: Breadth) -> Vec<Pair> {
    let together = baskets.together();
    let categories = baskets.categories();
    let n = categories.len();
    (0..n)
        .into_par_iter()
        .flat_map_iter(|i| (i + 1..n).map(move |j| (i, j)))
        .filter_map(|(i, j)| {
            let (a, b) = (categories[i].min(categories[j]), categories[i].max(categories[j]));
            let (place, ancestor): (TreePair, _) = tree.pair(a, b);
            if !place.passes(breadth) {
                return None;
            }
            let (buyers_i, buyers_j) = (together.alone(i), together.alone(j));
            let (of_a, of_b) = if categories[i] == a { (buyers_i, buyers_j) } else { (buyers_j, buyers_i) };
            let counts = Counts { a: of_a, b: of_b, both: together.both(i, j), all: baskets.len() as u64 };
            Some(Pair { a, b, ancestor, counts, score: score(place, counts) })
        })
        .collect()
}

fn show_curve(points: &[curve::Point], threshold: f64, report: &Report) {
    if points.is_empty() {
        return;
    }
    report.line(
        "  threshold  catalogue similar to what a contact bought  of that, in a department bought from",
        &json!({"step": "rescore", "event": "curve"}),
    );
    // Past the first threshold that opens nothing there is nothing to choose.
    let useful = points.iter().position(|p| p.eligible == 0.0).map_or(points.len(), |i| i + 1);
    for p in &points[..useful] {
        report.line(
            &format!("  {:9.2}  {:41.1} %  {:31.1} %", p.threshold, p.eligible * 100.0, p.inside * 100.0),
            &p.json(),
        );
    }
    report.line(&format!("  in use: {threshold:.2}"), &json!({"step": "rescore", "threshold": threshold}));
}
