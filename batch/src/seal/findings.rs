//! What a verification finds, each named: which row of which log, or which seal. No personal data: ids and hashes only.

use crate::report::Report;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Findings that the record of the run has.
const RECORDED: usize = 20;
/// Rows remembered so that none is named twice.
const REMEMBERED: usize = 1_000_000;

/// What is wrong with it: the codes that `docs/seals.md` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct What(pub &'static str);

pub const ALTERED: What = What("altered");
pub const REMOVED: What = What("removed");
pub const INSERTED: What = What("inserted");
pub const BACKDATED: What = What("backdated");
pub const PRUNED_YOUNG: What = What("pruned_young");
pub const LEAF_ALTERED: What = What("leaf_altered");
pub const LEAF_REMOVED: What = What("leaf_removed");
pub const LEAF_INSERTED: What = What("leaf_inserted");
pub const LEAVES_DIFFER: What = What("leaves_differ");
pub const SEAL_ALTERED: What = What("seal_altered");
pub const SEAL_MISSING: What = What("seal_missing");
pub const CHAIN_BROKEN: What = What("chain_broken");
pub const HEAD_MISSING: What = What("head_missing");
pub const HEAD_DIFFERS: What = What("head_differs");

/// Those that the server finds.
const BY_SERVER: [What; 4] = [ALTERED, What("erased_unrecorded"), What("unerased"), What("erasure_differs")];

impl What {
    pub fn by_server(code: &str) -> What {
        BY_SERVER.into_iter().find(|w| w.0 == code).unwrap_or(What("unknown"))
    }
}

pub struct Findings<'a> {
    report: &'a Report,
    /// So many are shown.
    list: u64,
    seals: HashSet<(What, i64)>,
    counts: BTreeMap<What, u64>,
    first: Vec<Value>,
    rows: HashSet<(String, i64)>,
}

impl<'a> Findings<'a> {
    pub fn new(report: &'a Report, list: usize) -> Findings<'a> {
        let list = list as u64;
        Findings {
            report,
            list,
            counts: BTreeMap::new(),
            first: Vec::new(),
            rows: HashSet::new(),
            seals: HashSet::new(),
        }
    }

    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// A row of a log, in a seal or not sealed yet. The first that is found of it names it.
    pub fn row(&mut self, what: What, log: &str, id: i64, seal: Option<i64>, detail: &str) {
        if self.rows.len() < REMEMBERED && !self.rows.insert((log.to_owned(), id)) {
            return;
        }
        let place = seal.map_or(String::new(), |s| format!(" (seal {s})"));
        let value = json!({"event": "finding", "what": what.0, "log": log, "row_id": id, "seal": seal, "detail": detail});
        self.add(what, &format!("{log} {id}{place}"), detail, value);
    }

    /// The first of a kind that is found of it names it.
    pub fn seal(&mut self, what: What, seal: i64, detail: &str) {
        if !self.seals.insert((what, seal)) {
            return;
        }
        let value = json!({"event": "finding", "what": what.0, "seal": seal, "detail": detail});
        self.add(what, &format!("seal {seal}"), detail, value);
    }

    fn add(&mut self, what: What, name: &str, detail: &str, value: Value) {
        if self.count() < self.list {
            self.report.line(&format!("  {name}: {}: {detail}", what.0), &value);
        }
        if self.first.len() < RECORDED {
            self.first.push(value);
        }
        *self.counts.entry(what).or_default() += 1;
    }

    /// How many of what, and the first of them.
    pub fn figures(&self) -> (Value, Value) {
        if self.count() > self.list {
            let more = self.count() - self.list;
            self.report.line(&format!("  and {more} more"), &json!({"event": "finding", "more": more}));
        }
        let counts: serde_json::Map<_, _> =
            self.counts.iter().map(|(what, n)| (what.0.to_owned(), json!(n))).collect();
        (counts.into(), json!(self.first))
    }
}
