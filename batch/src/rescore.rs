//! Re-scoring: which categories are similar, from who bought what. Per sender, never pooled across legal entities.
//!
//! All is read under one snapshot. A new version stands beside the old until it is complete, and comes into use as a whole;
//! one row a pair says why (see [`pg_consent_policy::similarity`]). Where nothing has changed none is made.

mod baskets;
mod catalogue;
mod curve;
mod drift;
mod overrides;
mod pairs;
mod store;
mod together;

use crate::arguments::{Arguments, Rescore};
use crate::connection::Database;
use crate::report::Report;
use crate::run::Finding;
use crate::states::Snapshot;
use crate::tree::Tree;
use anyhow::{Context, Result};
use baskets::Baskets;
use catalogue::Catalogue;
use overrides::Overrides;
use pairs::Scored;
use pg_consent_policy::similarity::Breadth;
use postgres::Client;
use serde_json::json;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;
use store::Edition;

/// Changes when the same facts would give other rows than an earlier release's.
const FORMAT: u32 = 2;

struct Sender {
    id: i32,
    name: String,
    breadth: Breadth,
    overrides: Overrides,
}

pub fn rescore(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    options: &Rescore,
    report: &Report,
) -> Result<Finding> {
    let began = Instant::now();
    let mut snapshot = Snapshot::take(database)?;
    let tree = Tree::read(snapshot.client())?;
    let catalogue = Catalogue::new(&tree);
    let senders = read_senders(snapshot.client(), &catalogue)?;
    let bought = baskets::read(database, &snapshot, &catalogue, options.heavy as usize, report)?;
    // Before the long work: while it lives, VACUUM removes nothing.
    drop(snapshot);
    let reading = began.elapsed();

    let scored = score_all(&senders, &bought, &catalogue);
    let scoring = began.elapsed() - reading;
    let curves: Vec<Vec<curve::Point>> =
        scored.iter().map(|(s, scored)| curve::draw(scored, &bought[&s.id], &catalogue)).collect();
    // The curve to choose by is that of the sender with the most buyers; the threshold holds for all.
    let main = (0..scored.len()).max_by_key(|i| (scored[*i].1.all, std::cmp::Reverse(*i)));
    let points = main.map(|i| curves[i].as_slice()).unwrap_or_default();
    let threshold = choose_threshold(client, options, points)?;
    for ((sender, _), points) in scored.iter().zip(&curves) {
        curve::show(&sender.name, points, threshold, report);
    }

    let mut hubs = Vec::new();
    for (sender, scored) in &scored {
        let neighbours = overrides::neighbours(scored, threshold, &sender.overrides);
        hubs.extend(drift::show_hubs(&sender.name, &drift::hubs(&neighbours), &catalogue, &tree, report));
    }
    let names: Vec<&str> = scored.iter().map(|(s, _)| s.name.as_str()).collect();
    let scored: Vec<Scored> = scored.into_iter().map(|(_, scored)| scored).collect();
    let edition =
        Edition { print: print(&catalogue, &scored), scored: &scored, catalogue: &catalogue, threshold };
    let in_use = store::in_use(client)?;
    let unchanged = in_use.is(&edition);
    let drift = drift::compare(drift::read(client, in_use.version)?, &scored, threshold, &catalogue);
    drift.show(&tree, report);
    let drift = drift.json(&tree);
    let storing = Instant::now();
    let stored = !unchanged && !arguments.dry_run;
    if stored {
        store::store(client, in_use.version + 1, &edition, report)?;
    }
    if unchanged {
        if !arguments.dry_run {
            store::remove_old(client, report);
        }
        report.line(
            &format!("  nothing has changed: version {} stays", in_use.version),
            &json!({"step": "rescore", "event": "unchanged", "version": in_use.version}),
        );
    }
    let pairs = scored.iter().map(|s| s.pairs.len()).sum::<usize>();
    let similar = scored.iter().flat_map(|s| &s.pairs).filter(|p| p.score >= threshold).count();
    let by_sender: serde_json::Map<_, _> = names
        .iter()
        .zip(&curves)
        .map(|(name, points)| ((*name).to_owned(), points.iter().map(|p| p.json()).collect()))
        .collect();
    Ok(Finding::done(json!({
        "version": in_use.version + i32::from(stored), "unchanged": unchanged,
        "categories": catalogue.len(), "contacts": bought.values().map(Baskets::len).sum::<usize>(),
        "bought": bought.values().map(Baskets::pairs).sum::<usize>(),
        "pairs": pairs, "similar_pairs": similar, "threshold": threshold,
        "changed_sides": drift["changed_sides"], "drift": drift, "hubs": hubs,
        "curve": points.iter().map(|p| p.json()).collect::<Vec<_>>(), "curves": by_sender,
        "seconds": {"reading": reading.as_secs_f64(), "scoring": scoring.as_secs_f64(),
                    "counting": scored.iter().map(|s| s.counting.as_secs_f64()).sum::<f64>(),
                    "storing": storing.elapsed().as_secs_f64()},
    })))
}

fn read_senders(client: &mut Client, catalogue: &Catalogue) -> Result<Vec<Sender>> {
    let rows =
        client.query("SELECT sender_id, name, breadth FROM consent_data.sender ORDER BY sender_id", &[])?;
    let mut senders = Vec::new();
    for row in rows {
        let id = row.get(0);
        let overrides = overrides::read(client, id, catalogue)?;
        senders.push(Sender { id, name: row.get(1), breadth: row.get::<_, String>(2).parse()?, overrides });
    }
    Ok(senders)
}

fn score_all<'a>(
    senders: &'a [Sender],
    bought: &BTreeMap<i32, Baskets>,
    catalogue: &Catalogue,
) -> Vec<(&'a Sender, Scored)> {
    let score = |sender: &'a Sender| {
        let baskets = bought.get(&sender.id)?;
        Some((sender, Scored::new(sender.id, sender.breadth, baskets, catalogue, together::LIMIT)))
    };
    senders.iter().filter_map(score).collect()
}

fn choose_threshold(client: &mut Client, options: &Rescore, points: &[curve::Point]) -> Result<f64> {
    match (options.threshold, options.eligible) {
        (Some(chosen), _) => Ok(chosen),
        (None, Some(share)) => {
            curve::threshold_for(points, share).context("no purchases to draw the threshold curve from")
        }
        (None, None) => {
            Ok(client.query_one("SELECT similarity_threshold FROM consent_data.setting", &[])?.get(0))
        }
    }
}

/// Of everything that the pairs of a version are made from: equal prints, equal rows. The standard library may change its
/// hash between releases; the first night after that writes a version that it need not have.
fn print(catalogue: &Catalogue, scored: &[Scored]) -> String {
    let mut hasher = DefaultHasher::new();
    FORMAT.hash(&mut hasher);
    // All else is positions in it.
    catalogue.hash(&mut hasher);
    for scored in scored {
        (scored.sender_id, scored.all, &scored.alone).hash(&mut hasher);
        for pair in &scored.pairs {
            (pair.low, pair.high, pair.both, pair.score.to_bits()).hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
}
