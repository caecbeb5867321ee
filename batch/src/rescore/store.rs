//! Writing a version: pairs into a table that nobody knows yet, which then becomes a partition of `similarity`.
//!
//! A run that is killed leaves a table of a version that never came into use; the next run removes it, and its own version
//! has the same number.

use super::catalogue::Catalogue;
use super::pairs::Scored;
use crate::connection::retrying;
use crate::report::Report;
use anyhow::Result;
use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use serde_json::json;
use std::thread;
use std::time::Duration;

/// Tries at dropping older ones. Each keeps readers waiting for a moment, and nothing depends on it tonight.
const DROP_ATTEMPTS: u64 = 4;

/// All that a version consists of.
pub struct Edition<'a> {
    pub scored: &'a [Scored],
    pub catalogue: &'a Catalogue,
    pub threshold: f64,
    /// Two editions with one print have the same rows.
    pub print: String,
}

pub struct InUse {
    pub version: i32,
    threshold: f64,
    print: Option<String>,
    pairs: i64,
}

impl InUse {
    pub fn is(&self, edition: &Edition<'_>) -> bool {
        let pairs: usize = edition.scored.iter().map(|s| s.pairs.len()).sum();
        self.print.as_ref() == Some(&edition.print)
            && self.threshold == edition.threshold
            && self.pairs == pairs as i64
    }
}

pub fn in_use(client: &mut Client) -> Result<InUse> {
    let row = client.query_one(
        "SELECT t.similarity_version, t.similarity_threshold, v.print,
                (SELECT count(*) FROM consent_data.similarity s WHERE s.version = t.similarity_version)
           FROM consent_data.setting t LEFT JOIN consent_data.similarity_version v ON v.version = t.similarity_version",
        &[],
    )?;
    Ok(InUse { version: row.get(0), threshold: row.get(1), print: row.get(2), pairs: row.get(3) })
}

/// Writes `version` and brings it into use.
pub fn store(client: &mut Client, version: i32, edition: &Edition<'_>, report: &Report) -> Result<()> {
    retrying(|| client.execute("SELECT consent._similar_prepare($1)", &[&version]))?;
    write_pairs(client, version, edition)?;
    let publish = "SELECT consent._similar_publish($1, $2, $3)";
    retrying(|| client.execute(publish, &[&version, &edition.threshold, &edition.print]))?;
    remove_old(client, report);
    Ok(())
}

fn write_pairs(client: &mut Client, version: i32, edition: &Edition<'_>) -> Result<()> {
    let sink = client.copy_in(&format!(
        "COPY consent_data.similarity_{version} (version, sender_id, category_a, category_b, score, common_ancestor, wu_palmer,
             buyers_a, buyers_b, buyers_both, buyers_all, expected_both, npmi, llr, evidence, threshold)
         FROM STDIN (FORMAT binary)"
    ))?;
    let (int, float, bigint) = (|| Type::INT4, || Type::FLOAT8, || Type::INT8);
    #[rustfmt::skip]
    let types = [
        int(), int(), int(), int(), float(), int(), float(),
        bigint(), bigint(), bigint(), bigint(), float(), float(), float(), Type::BOOL, float(),
    ];
    let mut writer = BinaryCopyInWriter::new(sink, &types);
    for scored in edition.scored {
        for pair in &scored.pairs {
            let r = scored.reason(pair, edition.catalogue);
            let [a, b, both, all] = [r.counts.a, r.counts.b, r.counts.both, r.counts.all].map(|n| n as i64);
            let s = r.score;
            #[rustfmt::skip]
            writer.write(&[
                &version, &scored.sender_id, &r.a, &r.b, &s.score, &r.ancestor, &s.wu_palmer,
                &a, &b, &both, &all, &s.expected, &s.npmi, &s.llr, &s.evidence, &edition.threshold,
            ])?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// All but the versions kept for comparison. What somebody is reading all the time stays until the next night.
pub fn remove_old(client: &mut Client, report: &Report) {
    let dropped = (0..DROP_ATTEMPTS).any(|n| {
        thread::sleep(Duration::from_millis(200 * n));
        client.execute("SELECT consent._similar_drop_old()", &[]).is_ok()
    });
    if !dropped {
        report.line(
            "  the pairs of an older version are in use; the next run removes them",
            &json!({"step": "rescore", "event": "old_pairs_kept"}),
        );
    }
}
