//! Groups of contacts, how many of each refused, and how those who refused had been doing against those who stayed.
//!
//! A state keeps the latest dealing of each category and the latest click, not all of them: what is counted is
//! categories, and whether something happened in the year before. For those who refused that is the year before the
//! refusal, for those who stayed the year before the report.

use super::cells::{self, LEAST};
use super::tally::DAY_MS;
use pg_consent_policy::codes::EventKind;
use pg_consent_policy::question::Question;
use pg_consent_policy::state::{Atom, Restriction, StateView};
use pg_consent_policy::status::status;
use pg_consent_policy::time::Instant;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const YEAR_MS: i64 = 365 * DAY_MS;
/// Before this nobody sold anything by e-mail: an instant that stands for "not known".
const EARLIEST: Instant = Instant(631_152_000_000);
/// Categories shown, those with the most contacts.
const CATEGORIES: usize = 12;

/// What divides the contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    Jurisdiction,
    Acquisition,
    LastCategory,
    LastPurchase,
}

impl Dimension {
    pub const ALL: [Dimension; 4] =
        [Dimension::Jurisdiction, Dimension::Acquisition, Dimension::LastCategory, Dimension::LastPurchase];

    pub const fn code(self) -> &'static str {
        match self {
            Dimension::Jurisdiction => "jurisdiction",
            Dimension::Acquisition => "acquisition",
            Dimension::LastCategory => "category_last_bought",
            Dimension::LastPurchase => "last_purchase",
        }
    }
}

/// How the contact came to be one, the strongest tie first.
const ACQUISITION: [&str; 6] =
    ["bought", "contract_or_membership", "enquired", "list_or_published_address", "opt_in_only", "not_known"];
/// Upper ends in days of the bands of the last purchase, before the refusal or the report.
const BANDS: [(i64, &str); 4] =
    [(90, "up_to_3_months"), (365, "3_to_12_months"), (730, "1_to_2_years"), (i64::MAX, "over_2_years")];
const NEVER: &str = "no_purchase_known";
/// A purchase after the refusal took the place of whatever came before it.
pub const BOUGHT_SINCE: &str = "bought_since";

#[derive(Debug, Default, Clone, Copy)]
struct Side {
    people: u64,
    /// Of whom it is known when they refused; the rest stand under a flag without a date.
    dated: u64,
    categories: u64,
    bought: u64,
    clicked: u64,
    bought_after: u64,
}

impl Side {
    fn add(&mut self, one: &Side) {
        self.people += one.people;
        self.dated += one.dated;
        self.categories += one.categories;
        self.bought += one.bought;
        self.clicked += one.clicked;
        self.bought_after += one.bought_after;
    }

    fn share(&self, of: u64) -> Option<f64> {
        (self.dated >= LEAST).then(|| of as f64 / self.dated as f64)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'q> {
    Named(&'q str),
    Category(u32),
}

/// (stayed, refused) of every segment.
pub struct Segments<'q> {
    question: Option<&'q Question>,
    counts: BTreeMap<(Dimension, Segment<'q>), [Side; 2]>,
}

/// One row of the page. Shares are from 0 to 1; `None` is fewer than ten people, or as many more as hide
/// those.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub dimension: &'static str,
    pub segment: String,
    pub stayed: Option<u64>,
    pub refused: Option<u64>,
    pub stayed_categories: Option<f64>,
    pub refused_categories: Option<f64>,
    pub stayed_bought: Option<f64>,
    pub refused_bought: Option<f64>,
    pub stayed_clicked: Option<f64>,
    pub refused_clicked: Option<f64>,
    pub refused_bought_after: Option<f64>,
    /// Of the last row alone: people in groups too small to be shown, stayed or refused.
    pub pooled: Option<u64>,
}

impl Row {
    /// Who refused among all; only where both sides are shown.
    pub fn refused_share(&self) -> Option<f64> {
        let (stayed, refused) = (self.stayed? as f64, self.refused? as f64);
        Some(refused / (stayed + refused))
    }
}

/// The pool of groups too small to be shown.
pub const POOLED: &str = "small_groups_together";

/// What a state says about one contact's dealings with the sender.
#[derive(Default)]
struct Dealings {
    categories: BTreeSet<u32>,
    /// (when, category) of the latest purchase, and of the latest before the refusal.
    last: Option<(Instant, u32)>,
    last_before: Option<(Instant, u32)>,
    clicked: Option<Instant>,
    /// Position in [`ACQUISITION`].
    acquired: usize,
}

impl Dealings {
    fn of(view: &StateView<'_>, sender: u32, reference: Instant) -> Dealings {
        let mut d = Dealings { acquired: ACQUISITION.len() - 1, ..Dealings::default() };
        for r in view.relations().flatten() {
            if r.sender != sender {
                continue;
            }
            d.acquired = d.acquired.min(match r.kind {
                EventKind::Purchase => 0,
                kind if kind.begins_contract() => 1,
                kind if kind.is_delivered_by_others() => 3,
                _ => 2,
            });
            if r.kind.is_purchase() {
                d.categories.insert(r.category);
                d.last = d.last.max(Some((r.at, r.category)));
                if r.at <= reference {
                    d.last_before = d.last_before.max(Some((r.at, r.category)));
                }
            }
        }
        if d.acquired > 4 && view.opt_ins().any(|a| matches!(a, Ok(Atom::OptIn(o)) if o.sender == sender)) {
            d.acquired = 4;
        }
        for atom in view.activity() {
            if let Ok(Atom::Action(a)) = atom
                && a.sender == sender
                && a.at <= reference
            {
                d.clicked = d.clicked.max(Some(a.at));
            }
        }
        d
    }
}

impl<'q> Segments<'q> {
    pub fn new(question: Option<&'q Question>) -> Segments<'q> {
        Segments { question, counts: BTreeMap::new() }
    }

    /// Contacts of whom nothing can be told until they are folded are left out.
    pub fn add(&mut self, state: &[u8], view: &StateView<'_>) {
        let Some(question) = self.question.filter(|_| !view.dirty && !view.overflow) else { return };
        let Some(profile) = view.profile else { return };
        let refusal = refusal(state, view, question);
        let since = refusal.map(|r| r.from).filter(|t| (EARLIEST..=question.at).contains(t));
        let reference = since.unwrap_or(question.at);
        let d = Dealings::of(view, question.sender.id, reference);
        let in_year = |t: Instant| t.0 > reference.0 - YEAR_MS;
        let one = Side {
            people: 1,
            dated: u64::from(refusal.is_none() || since.is_some()),
            categories: d.categories.len() as u64,
            bought: u64::from(d.last_before.is_some_and(|(t, _)| in_year(t))),
            clicked: u64::from(d.clicked.is_some_and(in_year)),
            bought_after: u64::from(since.is_some() && d.last.is_some_and(|(t, _)| t > reference)),
        };
        let band = match (d.last_before, d.last) {
            (Some((t, _)), _) => {
                let days = (reference.0 - t.0) / DAY_MS;
                BANDS.iter().find(|(end, _)| days < *end).map_or(NEVER, |(_, name)| name)
            }
            (None, Some(_)) => BOUGHT_SINCE,
            (None, None) => NEVER,
        };
        let jurisdiction = question.jurisdiction(profile.country).map_or("none", |(j, _)| j.id.as_str());
        let category = d.last_before.or(d.last).map_or(Segment::Named(NEVER), |(_, c)| Segment::Category(c));
        for (dimension, segment) in [
            (Dimension::Jurisdiction, Segment::Named(jurisdiction)),
            (Dimension::Acquisition, Segment::Named(ACQUISITION[d.acquired])),
            (Dimension::LastCategory, category),
            (Dimension::LastPurchase, Segment::Named(band)),
        ] {
            self.counts.entry((dimension, segment)).or_default()[usize::from(refusal.is_some())].add(&one);
        }
    }

    pub fn merge(&mut self, other: Segments<'q>) {
        for (key, sides) in other.counts {
            let own = self.counts.entry(key).or_default();
            own[0].add(&sides[0]);
            own[1].add(&sides[1]);
        }
    }

    /// The rows that may be shown; `name` is what a category is called.
    pub fn rows(&self, name: impl Fn(u32) -> String) -> Vec<Row> {
        Dimension::ALL.iter().flat_map(|d| self.rows_of(*d, &name)).collect()
    }

    fn rows_of(&self, dimension: Dimension, name: impl Fn(u32) -> String) -> Vec<Row> {
        let mut found: Vec<(String, [Side; 2])> = Vec::new();
        let mut categories: Vec<(u32, [Side; 2])> = Vec::new();
        let mut other = [Side::default(); 2];
        for ((d, segment), sides) in &self.counts {
            match segment {
                _ if *d != dimension => {}
                Segment::Named(code) => found.push(((*code).to_owned(), *sides)),
                Segment::Category(c) => categories.push((*c, *sides)),
            }
        }
        let place = |code: &str| {
            let bands = BANDS.iter().position(|(_, name)| *name == code);
            bands.or(ACQUISITION.iter().position(|name| *name == code)).unwrap_or(usize::MAX)
        };
        found.sort_by_key(|(code, _)| place(code));
        categories.sort_by_key(|(c, s)| (std::cmp::Reverse(s[0].people + s[1].people), *c));
        for (i, (c, sides)) in categories.into_iter().enumerate() {
            if i < CATEGORIES {
                found.push((if c == 0 { "no_category_named".into() } else { name(c) }, sides));
            } else {
                other[0].add(&sides[0]);
                other[1].add(&sides[1]);
            }
        }
        if other[0].people + other[1].people > 0 {
            found.push(("other_categories".to_owned(), other));
        }
        // Each side of each group is a cell of its own: none may follow from the others by subtraction.
        let cells =
            found.iter().enumerate().flat_map(|(i, (_, s))| [((i, 0), s[0].people), ((i, 1), s[1].people)]);
        let (published, pooled) = cells::publish(cells.collect());
        let is_shown = |i, side| published.iter().any(|(key, _)| *key == (i, side));
        let mut rows: Vec<Row> = found
            .into_iter()
            .enumerate()
            .filter(|(i, _)| is_shown(*i, 0) || is_shown(*i, 1))
            .map(|(i, (segment, sides))| {
                // Nobody is nobody: a nought points at no one.
                let side = |k: usize| (sides[k].people == 0 || is_shown(i, k)).then_some(sides[k]);
                row(dimension, segment, side(0), side(1))
            })
            .collect();
        if let Some(n) = cells::shown(pooled) {
            // Who they are is not told, nor whether they refused.
            rows.push(Row { pooled: Some(n), ..row(dimension, POOLED.to_owned(), None, None) });
        }
        rows
    }
}

fn row(dimension: Dimension, segment: String, stayed: Option<Side>, refused: Option<Side>) -> Row {
    let share = |side: Option<Side>, of: fn(&Side) -> u64| side.and_then(|s| s.share(of(&s)));
    let each =
        |side: Option<Side>| side.filter(|s| s.people > 0).map(|s| s.categories as f64 / s.people as f64);
    Row {
        dimension: dimension.code(),
        segment,
        stayed: stayed.map(|s| s.people),
        refused: refused.map(|s| s.people),
        stayed_categories: each(stayed),
        refused_categories: each(refused),
        stayed_bought: share(stayed, |s| s.bought),
        refused_bought: share(refused, |s| s.bought),
        stayed_clicked: share(stayed, |s| s.clicked),
        refused_clicked: share(refused, |s| s.clicked),
        refused_bought_after: share(refused, |s| s.bought_after),
        pooled: None,
    }
}

/// The refusal that stands, by the policy's own word. Most contacts have nothing to ask about.
fn refusal(state: &[u8], view: &StateView<'_>, question: &Question) -> Option<Restriction> {
    view.restrictions().any(|a| matches!(a, Ok(Atom::Restriction(_))) || a.is_err()).then_some(())?;
    match status(state, std::slice::from_ref(question), None).support {
        Some(Atom::Restriction(r)) => Some(r),
        _ => None,
    }
}
