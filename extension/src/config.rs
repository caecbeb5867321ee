//! Senders, message kinds, categories, decisions and switches, read once and kept until they change.
//!
//! Only configuration is cached, never anything about a contact.

mod compile;
mod freshness;
mod similar;

use self::freshness::Freshness;
pub use self::similar::SimilarPairs;
use crate::error::Error;
use crate::{key, pg};
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::{CategoryId, SenderId};
use pg_consent_policy::pack::{self, Pack, overlay};
use pg_consent_policy::question::{Form, PolicyDecision, Question, Sender};
use pg_consent_policy::similarity::{Breadth, Tree};
use pg_consent_policy::time::Instant;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// PostgreSQL counts from 2000-01-01, microseconds.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

pub fn instant(timestamptz: i64) -> Instant {
    Instant::from_unix_micros(timestamptz.saturating_add(POSTGRES_EPOCH_MICROS))
}

/// What the planner reckons with until a night has counted.
pub const USUAL_YES_RATE: f64 = 0.4;

/// The type of the contacts' keys, chosen at `setup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Int,
    Uuid,
    Text,
}

type SimilarBySenderAndCategory = HashMap<(SenderId, CategoryId), Rc<Vec<CategoryId>>>;

struct Kind {
    nature: Nature,
    channel: Channel,
    form: Form,
}

struct Category {
    id: CategoryId,
    sector: Option<Sector>,
}

pub struct Config {
    pub states: pg::StateTable,
    pub overflow: Option<pg::StateTable>,
    pub pending: pg::PendingTables,
    pub key_type: KeyType,
    senders: HashMap<String, Sender>,
    default_sender: Option<String>,
    kinds: HashMap<String, Kind>,
    categories: HashMap<String, Category>,
    sectors: HashMap<CategoryId, Sector>,
    /// As it is now; similarity is judged by it.
    tree: Tree,
    breadths: HashMap<SenderId, Breadth>,
    /// Parents now and ever.
    parents: HashMap<CategoryId, Vec<CategoryId>>,
    decisions: Vec<PolicyDecision>,
    /// The compiled-in packs with the own rules.
    packs: Rc<Vec<Pack>>,
    /// The own rules in force, by name.
    own_rules: Vec<(String, Value)>,
    policy_version: String,
    marketing_off: bool,
    /// For the planner.
    pub yes_rate: f64,
    similarity_version: u32,
    freshness: Freshness,
    /// The address keys of all generations, if they are those the data was hashed under.
    keys: Result<key::Keys, Error>,
    /// When the statement began that read all this.
    read_in_statement: i64,
    /// Categories similar to (sender, category), read when first asked for.
    similar: RefCell<SimilarBySenderAndCategory>,
    /// All similar categories of a sender, read when first asked for.
    similar_pairs: RefCell<HashMap<SenderId, Rc<SimilarPairs>>>,
    /// Compiled questions by what was asked; they serve for the day they were compiled for.
    compiled: RefCell<HashMap<Arguments, Question>>,
}

/// Kind, category, channel and sender.
pub type Arguments = [Option<String>; 4];

/// An application asks about few messages; whoever asks about more compiles anew.
const MAX_COMPILED: usize = 256;

/// What a message is about, as SQL names it.
pub struct Ask<'a> {
    pub kind: Option<&'a str>,
    pub category: Option<&'a str>,
    pub channel: Option<&'a str>,
    pub sender: Option<&'a str>,
    pub at: i64,
}

impl Ask<'_> {
    pub fn arguments(&self) -> Arguments {
        [self.kind, self.category, self.channel, self.sender].map(|a| a.map(str::to_owned))
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Config>>> = const { RefCell::new(None) };
}

/// The configuration as committed now (and changed by this transaction).
pub fn current() -> Result<Rc<Config>, Error> {
    // Without the key it is read again for each statement (not each row), so that the key's return is noticed.
    let serves = |c: &Rc<Config>| c.keys.is_ok() || c.read_in_statement == pg::statement_timestamp();
    if !pg::configuration_is_stale()
        && let Some(config) = CURRENT.with_borrow(Clone::clone).filter(serves)
    {
        return Ok(config);
    }
    let relation = pg::relation(c"setting").ok_or(Error::NotSetUp)?;
    // An error of PostgreSQL's own leaves this function without coming back: nothing old may be left to fall back on.
    CURRENT.set(None);
    pg::configuration_is_being_read(relation);
    let config = pg::as_owner_now(relation, Config::read).map(Rc::new);
    if config.is_err() {
        pg::configuration_was_not_read();
    }
    let config = config?;
    CURRENT.set(Some(Rc::clone(&config)));
    Ok(config)
}

impl Config {
    fn read() -> Result<Config, Error> {
        let mut config = Config {
            states: pg::StateTable::find(c"contact_state", c"contact_state_pkey").ok_or(Error::NotSetUp)?,
            overflow: pg::StateTable::find(c"contact_overflow", c"contact_overflow_pkey"),
            pending: pg::PendingTables::find().ok_or(Error::NotSetUp)?,
            key_type: KeyType::Text,
            senders: HashMap::new(),
            default_sender: None,
            kinds: HashMap::new(),
            categories: HashMap::new(),
            sectors: HashMap::new(),
            tree: Tree::default(),
            breadths: HashMap::new(),
            parents: HashMap::new(),
            decisions: Vec::new(),
            packs: Rc::default(),
            own_rules: Vec::new(),
            policy_version: pack::POLICY_VERSION.to_owned(),
            marketing_off: true,
            yes_rate: USUAL_YES_RATE,
            similarity_version: 0,
            freshness: Freshness::default(),
            keys: Err(Error::NotSetUp),
            read_in_statement: pg::statement_timestamp(),
            similar: RefCell::new(HashMap::new()),
            similar_pairs: RefCell::new(HashMap::new()),
            compiled: RefCell::new(HashMap::new()),
        };
        pg::rows(
            // An opt-out that could not be read yet may be anybody's.
            "SELECT key_type::text, marketing_off OR consent._opt_outs_wait(), similarity_version::int4, yes_rate \
             FROM consent_data.setting",
            |r| {
                config.key_type = match r.get::<String>(1).as_deref() {
                    Some("bigint") => KeyType::Int,
                    Some("uuid") => KeyType::Uuid,
                    _ => KeyType::Text,
                };
                config.marketing_off = r.get(2).unwrap_or(true);
                config.similarity_version = r.get::<i32>(3).unwrap_or(0) as u32;
                config.yes_rate = r.get(4).unwrap_or(USUAL_YES_RATE);
            },
        )?;
        pg::rows(
            "SELECT sender_id::int4, name::text, charity, political_party, pension_authorised, is_default, \
                    breadth::text FROM consent_data.sender",
            |r| {
                let (Some(id), Some(name)) = (r.get::<i32>(1), r.get::<String>(2)) else { return };
                let flag = |n| r.get::<bool>(n).unwrap_or(false);
                if flag(6) {
                    config.default_sender = Some(name.clone());
                }
                let sender = Sender {
                    id: id as u32,
                    name: name.clone(),
                    charity: flag(3),
                    political_party: flag(4),
                    pension_authorised: flag(5),
                };
                let breadth = r.get::<String>(7).and_then(|b| b.parse().ok());
                config.breadths.extend(breadth.map(|b| (sender.id, b)));
                config.senders.insert(name, sender);
            },
        )?;
        pg::rows(
            "SELECT name::text, nature::text, channel::text, form::text FROM consent_data.message_kind",
            // A malformed one is unknown, which denies; it must not take the others with it.
            |r| config.kinds.extend(read_kind(r)),
        )?;
        let categories = "SELECT category_id::int4, name::text, sector::text, parent_id::int4, sensitive \
                          FROM consent_data.category";
        pg::rows(categories, |r| {
            let (Some(id), Some(name)) = (r.get::<i32>(1), r.get::<String>(2)) else { return };
            config.tree.insert(id, r.get(4), r.get(5).unwrap_or(true));
            let sector = r.get::<String>(3).and_then(|s| s.parse().ok());
            config.sectors.extend(sector.map(|s| (id as u32, s)));
            config.categories.insert(name, Category { id: id as u32, sector });
        })?;
        pg::rows("SELECT category_id::int4, parent_id::int4 FROM consent_data.category_parent", |r| {
            if let (Some(child), Some(parent)) = (r.get::<i32>(1), r.get::<i32>(2)) {
                config.parents.entry(child as u32).or_default().push(parent as u32);
            }
        })?;
        pg::rows(
            "SELECT switch::text, permissive, decided_by::text, decided_on::text, reason::text, document::text \
             FROM consent_data.policy_decision WHERE revoked_at IS NULL",
            |r| {
                let text = |n| r.get::<String>(n).unwrap_or_default();
                config.decisions.push(PolicyDecision {
                    switch: text(1),
                    permissive: r.get(2).unwrap_or(false),
                    decided_by: text(3),
                    decided_on: text(4),
                    reason: text(5),
                    document: text(6),
                });
            },
        )?;
        pg::configuration_may_rest_on_any();
        let mut broken = Vec::new();
        pg::rows("SELECT kind::text, sender_id::int4, fresh_until FROM consent._freshness()", |r| {
            let (kind, until) = (r.get::<String>(1).unwrap_or_default(), r.get::<i64>(3).unwrap_or(i64::MIN));
            config.freshness.take_in(&kind, r.get::<i32>(2).map(|id| id as u32), until);
            broken.extend((until == i64::MIN).then_some(kind));
        })?;
        pg::rows("SELECT consent._freshness_in_words()", |r| {
            config.freshness.words = r.get(1).unwrap_or_default();
        })?;
        if !broken.is_empty() {
            log!(
                "bound views are broken, marketing that rests on them is denied: see consent.check_bindings()"
            );
        }
        let mut watched = Vec::new();
        pg::rows(
            "SELECT x::oid FROM consent_data.watch w, LATERAL consent._watched_relations(w.relation) x
             UNION ALL SELECT to_regclass(b.view)::oid FROM consent_data.binding b",
            |r| watched.extend(r.get::<pg_sys::Oid>(1)),
        )?;
        pg::configuration_rests_on(&watched);
        let mut own_rules = Vec::new();
        pg::rows(
            "SELECT name::text, document::text FROM consent_data.policy_override WHERE enabled ORDER BY name",
            |r| own_rules.extend(read_override(r)),
        )?;
        config.apply(own_rules);
        let mut generations = Vec::new();
        pg::rows("SELECT generation::int4, fingerprint FROM consent_data.key_generation", |r| {
            // One that can't be read must not be passed over.
            generations.push(key::Generation {
                number: r.get(1).unwrap_or_default(),
                fingerprint: r.get(2).unwrap_or_default(),
            });
        })?;
        config.keys = key::read_all(&generations);
        key::log_fault(config.keys.as_ref().err());
        Ok(config)
    }

    /// Own rules that are not valid under this version are named in the server's log, and close their pack.
    fn apply(&mut self, own_rules: Vec<(String, Value)>) {
        let applied = overlay::apply(pack::builtin(), &own_rules);
        for refused in &applied.refused {
            let faults: Vec<String> = refused.faults.iter().map(ToString::to_string).collect();
            log!(
                "own rules `{}` are not valid, marketing is denied where they apply: {}",
                refused.name,
                faults.join("; ")
            );
        }
        if !own_rules.is_empty() {
            self.policy_version.push_str("+own");
        }
        self.packs = Rc::new(applied.packs);
        self.own_rules = own_rules;
    }

    /// The packs as they would be with a draft beside the own rules in force.
    pub fn draft(&self, document: &Value) -> Result<overlay::Draft, Error> {
        overlay::draft(pack::builtin(), &self.own_rules, document).map_err(Error::Draft)
    }

    /// The keys under which the data's addresses were hashed, the newest first; never none.
    pub fn keys(&self) -> Result<&[Vec<u8>], Error> {
        self.keys.as_deref().map_err(Error::again)
    }

    /// How fresh what the folds have seen of the CRM is, view by view.
    pub fn freshness(&self) -> &str {
        &self.freshness.words
    }

    /// The rules that decide.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// The operator's decisions on contested points, as they stand.
    pub fn decisions(&self) -> &[PolicyDecision] {
        &self.decisions
    }
}

fn read_kind(r: &pg::Row) -> Option<(String, Kind)> {
    let text = |n| r.get::<String>(n);
    let kind = Kind {
        nature: text(2)?.parse().ok()?,
        channel: text(3)?.parse().ok()?,
        form: serde_json::from_str(&text(4)?).ok()?,
    };
    Some((text(1)?, kind))
}

fn read_override(r: &pg::Row) -> Option<(String, Value)> {
    // PostgreSQL takes numbers that are none here; what can't be read is no document, which denies.
    let document = serde_json::from_str(&r.get::<String>(2)?).unwrap_or_default();
    Some((r.get::<String>(1)?, document))
}

/// The faults of a document beside others, as an array of objects with `path` and `problem`.
#[pg_extern(sql = false)]
fn _override_faults(document: Option<JsonB>, others: Option<JsonB>) -> JsonB {
    let document = document.map(|d| d.0).unwrap_or_default();
    let others = others.and_then(|o| o.0.as_array().cloned()).unwrap_or_default();
    let mut faults = overlay::validate(&document, pack::builtin());
    faults.extend(overlay::clashes(&document, &others));
    JsonB(serde_json::json!(faults))
}

/// The contested points that a decision can be recorded on.
#[pg_extern(sql = false)]
fn _switches() -> crate::error::Result<Vec<String>> {
    let config = current()?;
    Ok(config.packs.iter().flat_map(|p| p.switches.iter().map(|s| s.id.clone())).collect())
}

/// Statement trigger on every configuration table.
#[pg_extern(sql = false)]
fn _invalidate_configuration() {
    if let Some(relation) = pg::relation(c"setting") {
        pg::invalidate_configuration(relation);
    }
}
