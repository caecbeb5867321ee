//! Writing a version: pairs into rows of `similarity` that nobody uses yet, lists into a table of their own; then both
//! come into use in one transaction.
//!
//! A run that is killed leaves rows and a table of a version that never came into use; the next run removes both, and its
//! own version has the same number.

use super::catalogue::Catalogue;
use super::lists::{Lists, Ranking, Similar};
use super::pairs::Scored;
use crate::connection::{Database, retrying};
use crate::report::Report;
use anyhow::{Result, anyhow};
use indicatif::ProgressBar;
use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use serde_json::json;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Versions of the pairs kept for comparison, the one in use included.
const KEPT_VERSIONS: i32 = 3;
/// Tries at dropping old lists. Each keeps readers waiting for a moment, and nothing depends on it tonight.
const DROP_ATTEMPTS: u64 = 4;
/// Bytes of rows sent at a time.
const BUFFER: usize = 1 << 18;

/// All that a version consists of.
pub struct Edition<'a> {
    pub scored: &'a [Scored],
    pub lists: &'a [Lists<'a>],
    pub catalogue: &'a Catalogue,
    pub threshold: f64,
    /// Similar categories kept for each contact.
    pub per_contact: usize,
    /// Two editions with one print have the same rows.
    pub print: String,
    /// The oldest transaction that the snapshot does not see; who was erased since then is in the lists still.
    pub oldest: String,
}

pub struct InUse {
    pub version: i32,
    threshold: f64,
    print: Option<String>,
    pairs: i64,
    /// Whether its lists are there.
    has_lists: bool,
}

impl InUse {
    pub fn is(&self, edition: &Edition<'_>) -> bool {
        let pairs: usize = edition.scored.iter().map(|s| s.pairs.len()).sum();
        self.print.as_ref() == Some(&edition.print)
            && self.threshold == edition.threshold
            && self.pairs == pairs as i64
            && self.has_lists
    }
}

pub fn in_use(client: &mut Client) -> Result<InUse> {
    let row = client.query_one(
        "SELECT t.similarity_version, t.similarity_threshold, v.print,
                (SELECT count(*) FROM consent_data.similarity s WHERE s.version = t.similarity_version),
                EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('consent_data.contact_similar_' || t.similarity_version)
                           AND c.relispartition)
           FROM consent_data.setting t LEFT JOIN consent_data.similarity_version v ON v.version = t.similarity_version",
        &[],
    )?;
    Ok(InUse {
        version: row.get(0),
        threshold: row.get(1),
        print: row.get(2),
        pairs: row.get(3),
        has_lists: row.get(4),
    })
}

/// Writes `version` and brings it into use; answers with how many lists it has.
pub fn store(
    client: &mut Client,
    database: &Database,
    version: i32,
    edition: &Edition<'_>,
    report: &Report,
) -> Result<u64> {
    let unused = version - 1;
    retrying(|| client.execute("DELETE FROM consent_data.similarity WHERE version > $1", &[&unused]))?;
    retrying(|| client.execute("SELECT consent._similar_prepare($1)", &[&version]))?;
    let total: usize = edition.lists.iter().map(|l| l.baskets.len()).sum();
    let bar = report.progress("similar", total as u64);
    let lists = thread::scope(|scope| {
        let pairs = scope.spawn(|| write_pairs(client, version, edition));
        let lists = write_lists(database, version, edition, &bar);
        pairs.join().unwrap_or_else(|_| Err(anyhow!("the thread that writes pairs panicked")))?;
        lists
    })?;
    bar.finish_and_clear();
    let query = "SELECT consent._similar_index($1, $2::text::xid)::text";
    let oldest: String = client.query_one(query, &[&version, &edition.oldest])?.get(0);
    retrying(|| {
        client.execute(
            "SELECT consent._similar_publish($1, $2, $3, $4::text::xid)",
            &[&version, &edition.threshold, &edition.print, &oldest],
        )
    })?;
    remove_old(client, version, report)?;
    Ok(lists)
}

fn write_pairs(client: &mut Client, version: i32, edition: &Edition<'_>) -> Result<()> {
    let sink = client.copy_in(
        "COPY consent_data.similarity (version, sender_id, category_a, category_b, score, common_ancestor, wu_palmer,
             buyers_a, buyers_b, buyers_both, buyers_all, expected_both, npmi, llr, evidence, threshold)
         FROM STDIN (FORMAT binary)",
    )?;
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

/// Lists are made while they are written, over several sessions, so that none of them is held.
fn write_lists(database: &Database, version: i32, edition: &Edition<'_>, bar: &ProgressBar) -> Result<u64> {
    let lists = edition.lists.iter();
    let chunks: Vec<_> = lists
        .flat_map(|l| l.baskets.chunks().into_iter().map(move |(part, contacts)| (l, part, contacts)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<u64> {
        let mut client = database.connect()?;
        let mut sink = client.copy_in(&format!(
            "COPY consent_data.contact_similar_{version} (version, sender_id, contact_id, list)
             FROM STDIN (FORMAT binary)"
        ))?;
        let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let mut written = 0;
        let mut ranking: Option<(i32, Ranking<'_>)> = None;
        while let Some((lists, part, contacts)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let contacts: Range<usize> = contacts.clone();
            bar.inc(contacts.len() as u64);
            if ranking.as_ref().is_none_or(|r| r.0 != lists.sender_id) {
                ranking = Some((lists.sender_id, Ranking::new(&lists.neighbours, edition.per_contact)));
            }
            let Some((sender_id, ranking)) = &mut ranking else { continue };
            for i in contacts {
                let similar = ranking.of(part.basket(i));
                if !similar.is_empty() {
                    row(&mut out, [version, *sender_id], part.contact(i).bytes, similar, edition.catalogue);
                    written += 1;
                }
                if out.len() > BUFFER {
                    sink.write_all(&out)?;
                    out.clear();
                }
            }
        }
        out.extend((-1i16).to_be_bytes());
        sink.write_all(&out)?;
        sink.finish()?;
        Ok(written)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..database.sessions()).map(|_| scope.spawn(work)).collect();
        let join = |t: thread::ScopedJoinHandle<'_, Result<u64>>| {
            t.join().unwrap_or_else(|_| Err(anyhow!("a writing thread panicked")))
        };
        threads.into_iter().map(join).sum()
    })
}

/// One row of binary COPY: version, sender, contact, and the list, of twelve bytes an entry (`sql/23_similar.sql`). By hand,
/// since it is done for every contact.
fn row(out: &mut Vec<u8>, head: [i32; 2], contact: &[u8], similar: &[Similar], catalogue: &Catalogue) {
    out.extend(4i16.to_be_bytes());
    for number in head {
        out.extend(4i32.to_be_bytes());
        out.extend(number.to_be_bytes());
    }
    out.extend((contact.len() as i32).to_be_bytes());
    out.extend_from_slice(contact);
    out.extend((similar.len() as i32 * 12).to_be_bytes());
    for s in similar {
        let millionths = (s.score * 1e6).round() as i32;
        for number in [catalogue.id(s.category), millionths, catalogue.id(s.rests_on)] {
            out.extend(number.to_be_bytes());
        }
    }
}

/// Older lists and the oldest pairs. Lists that somebody is reading all the time stay until the next night.
pub fn remove_old(client: &mut Client, version: i32, report: &Report) -> Result<()> {
    let kept_from = version - KEPT_VERSIONS;
    retrying(|| {
        client.execute("DELETE FROM consent_data.similarity WHERE version <= $1", &[&kept_from])?;
        client.execute("DELETE FROM consent_data.similarity_version WHERE version <= $1", &[&kept_from])
    })?;
    let dropped = (0..DROP_ATTEMPTS).any(|n| {
        thread::sleep(Duration::from_millis(200 * n));
        client.execute("SELECT consent._similar_drop_old()", &[]).is_ok()
    });
    if !dropped {
        report.line(
            "  the lists of the version before are in use; the next run removes them",
            &json!({"step": "rescore", "event": "old_lists_kept"}),
        );
    }
    Ok(())
}
