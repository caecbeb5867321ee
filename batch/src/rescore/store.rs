//! Writing scores: COPY into rows of a new version, which comes into use as a whole.

use super::baskets::Baskets;
use super::{Pair, Scored};
use crate::report::Report;
use anyhow::Result;
use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Versions kept for comparison, the one in use included.
const KEPT_VERSIONS: i32 = 3;

pub fn store(client: &mut Client, scored: &[Scored], threshold: f64, report: &Report) -> Result<i32> {
    let total: usize = scored.iter().map(|s| s.pairs.len()).sum();
    let bar = report.progress("pairs", total as u64);
    let mut transaction = client.transaction()?;
    let version: i32 = transaction
        .query_one(
            "SELECT greatest(coalesce(max(version), 0), (SELECT similarity_version FROM consent_data.setting)) + 1
               FROM consent_data.similarity",
            &[],
        )?
        .get(0);
    let sink = transaction.copy_in(
        "COPY consent_data.similarity (version, sender_id, category_a, category_b, score, common_ancestor, wu_palmer,
             buyers_a, buyers_b, buyers_both, buyers_all, expected_both, npmi, llr, evidence, threshold)
         FROM STDIN (FORMAT binary)",
    )?;
    let (int, float, bigint) = (Type::INT4, Type::FLOAT8, Type::INT8);
    let types = [
        int.clone(),
        int.clone(),
        int.clone(),
        int.clone(),
        float.clone(),
        int,
        float.clone(),
        bigint.clone(),
        bigint.clone(),
        bigint.clone(),
        bigint,
        float.clone(),
        float.clone(),
        float.clone(),
        Type::BOOL,
        float,
    ];
    let mut writer = BinaryCopyInWriter::new(sink, &types);
    for sender in scored {
        for p in &sender.pairs {
            let (c, s) = (p.counts, p.score);
            let [a, b, both, all] = [c.a, c.b, c.both, c.all].map(|n| n as i64);
            writer.write(&[
                &version,
                &sender.sender_id,
                &p.a,
                &p.b,
                &s.score,
                &p.ancestor,
                &s.wu_palmer,
                &a,
                &b,
                &both,
                &all,
                &s.expected,
                &s.npmi,
                &s.llr,
                &s.evidence,
                &threshold,
            ])?;
            bar.inc(1);
        }
    }
    writer.finish()?;
    transaction.execute(
        "UPDATE consent_data.setting SET similarity_version = $1, similarity_threshold = $2",
        &[&version, &threshold],
    )?;
    transaction
        .execute("DELETE FROM consent_data.similarity WHERE version <= $1", &[&(version - KEPT_VERSIONS)])?;
    transaction.commit()?;
    bar.finish_and_clear();
    Ok(version)
}

/// Per contact the categories most similar to what was bought and not bought yet, and the purchase each rests on.
/// For ranking and for people: the decision uses the pairs.
pub fn contact_similar(
    client: &mut Client,
    scored: &[Scored],
    baskets: &BTreeMap<i32, Baskets>,
    threshold: f64,
    version: i32,
    per_contact: usize,
) -> Result<u64> {
    let key_type: String = client.query_one("SELECT key_type FROM consent_data.setting", &[])?.get(0);
    let mut transaction = client.transaction()?;
    transaction.batch_execute(
        "CREATE TEMPORARY TABLE similar_load (sender_id integer, contact text, category_id integer, score float8,
             rests_on integer) ON COMMIT DROP",
    )?;
    let sink = transaction.copy_in("COPY pg_temp.similar_load FROM STDIN (FORMAT binary)")?;
    let mut writer =
        BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT, Type::INT4, Type::FLOAT8, Type::INT4]);
    for sender in scored {
        let Some(buyers) = baskets.get(&sender.sender_id) else { continue };
        let neighbours = similar_to(&sender.pairs, buyers, threshold);
        let best: Vec<_> = buyers
            .baskets
            .par_iter()
            .map(|basket| (&basket.contact, best_of(&basket.bought, &neighbours, per_contact)))
            .collect();
        for (contact, rows) in best {
            for (score, category, on) in rows {
                let (category, on) =
                    (buyers.categories()[category as usize], buyers.categories()[on as usize]);
                writer.write(&[&sender.sender_id, contact, &category, &score, &on])?;
            }
        }
    }
    writer.finish()?;
    let written = transaction.execute(
        &format!(
            "INSERT INTO consent_data.contact_similar (version, sender_id, contact_id, category_id, score, rests_on)
             SELECT $1, sender_id, contact::{key_type}, category_id, score, rests_on FROM pg_temp.similar_load"
        ),
        &[&version],
    )?;
    transaction.execute("DELETE FROM consent_data.contact_similar WHERE version < $1", &[&version])?;
    transaction.commit()?;
    Ok(written)
}

type Neighbours = HashMap<u32, Vec<(f64, u32)>>;

fn similar_to(pairs: &[Pair], buyers: &Baskets, threshold: f64) -> Neighbours {
    let mut neighbours = Neighbours::new();
    for pair in pairs.iter().filter(|p| p.score.score >= threshold) {
        if let (Some(a), Some(b)) = (buyers.position(pair.a), buyers.position(pair.b)) {
            neighbours.entry(a).or_default().push((pair.score.score, b));
            neighbours.entry(b).or_default().push((pair.score.score, a));
        }
    }
    neighbours
}

/// (score, category, the purchase it rests on), the best first.
fn best_of(bought: &[u32], neighbours: &Neighbours, most: usize) -> Vec<(f64, u32, u32)> {
    let own: HashSet<u32> = bought.iter().copied().collect();
    let mut best: HashMap<u32, (f64, u32)> = HashMap::new();
    for &on in bought {
        for &(score, category) in neighbours.get(&on).into_iter().flatten() {
            if !own.contains(&category) {
                let entry = best.entry(category).or_insert((score, on));
                if (score, on) > *entry {
                    *entry = (score, on);
                }
            }
        }
    }
    let mut rows: Vec<_> = best.into_iter().map(|(category, (score, on))| (score, category, on)).collect();
    rows.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    rows.truncate(most);
    rows
}

/// Pairs that count as similar now and did not in the version before, or the other way round.
pub fn changed_sides(client: &mut Client, version: i32) -> Result<i64> {
    let similar = "SELECT sender_id, category_a, category_b FROM consent_data.similarity WHERE score >= threshold AND version";
    let row = client.query_one(
        &format!(
            "SELECT count(*) FROM (({similar} = $1 EXCEPT {similar} = $1 - 1)
                        UNION ALL ({similar} = $1 - 1 EXCEPT {similar} = $1)) d"
        ),
        &[&version],
    )?;
    Ok(row.get(0))
}
