//! Rules in words, for people who read law and not TOML.
//!
//! Every struct of a rule is taken apart field by field here, so that a new field does not compile until somebody has
//! said what it means.

mod requirement;
mod standing;
#[cfg(test)]
mod tests;
mod words;

pub use standing::{InForce, Standing};

use super::{Audience, REGION_UNKNOWN, Requirement, Rule, When};
use crate::codes::*;
use enumset::EnumSet;
use serde::Serialize;
use words::{each, joined};

/// A rule as the columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    pub messages: String,
    pub channels: String,
    pub recipients: String,
    /// What the rule requires, allows or forbids.
    pub requirement: String,
    /// The contested points it rests on, by their ids.
    pub contested: Vec<String>,
    /// In words; the codes are in the rule.
    pub obligations: Vec<String>,
}

impl Rule {
    pub fn describe(&self) -> Description {
        let Rule {
            when,
            then,
            contested,
            obligations,
            // Read as they are.
            id: _,
            from: _,
            until: _,
            citation: _,
            source: _,
            confidence: _,
            note: _,
        } = self;
        let (messages, channels, recipients, while_permissive) = scope(when);
        let service_messages = when.natures.is_some_and(|n| n.iter().all(Nature::is_service));
        let mut sentences = requirement::sentences(then, service_messages);
        let mut points = Vec::new();
        if let Some(point) = while_permissive {
            sentences.push(format!("The rule exists only under the permissive reading of `{point}`."));
            points.push(point.clone());
        }
        if let Some(point) = contested {
            sentences.push(match then {
                Requirement::Prohibited(_) => {
                    format!("Contested: the prohibition falls under the permissive reading of `{point}`.")
                }
                _ => format!("Contested: counts only under the permissive reading of `{point}`."),
            });
            points.push(point.clone());
        }
        points.extend(requirement::contested_points(then));
        points.sort();
        points.dedup();
        Description {
            messages,
            channels,
            recipients,
            requirement: sentences.join(" "),
            contested: points,
            obligations: obligations.iter().map(|o| words::obligation(o)).collect(),
        }
    }

    /// The rule in one line.
    pub fn sentence(&self) -> String {
        let Description { messages, channels, recipients, requirement, contested: _, obligations } =
            self.describe();
        let line = format!("{messages}; {channels}; to {recipients}: {requirement}");
        let duties = if obligations.is_empty() {
            String::new()
        } else {
            format!(" Obligations: {}.", obligations.join(", "))
        };
        words::capitalised(&line) + &duties
    }

    /// The id without its version: `gb.soft_opt_in` of `gb.soft_opt_in/1`.
    pub fn name(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(name, _)| name)
    }
}

/// Messages, channels and recipients of a rule, and the contested point without which it does not exist.
fn scope(when: &When) -> (String, String, String, Option<&String>) {
    let When {
        natures,
        except_natures,
        registered_as,
        channels,
        to,
        lines,
        countries,
        except_countries,
        regions,
        except_regions,
        sectors,
        except_sectors,
        promotional,
        promotional_first,
        automated,
        sender,
        sender_lacks,
        switch,
    } = when;

    let mut messages = vec![match natures {
        None => "all messages that are no service messages".to_owned(),
        Some(natures) => each(*natures, words::nature, "and"),
    }];
    if !except_natures.is_empty() {
        messages.push(format!("except {}", each(*except_natures, words::nature, "and")));
    }
    if let Some(natures) = registered_as {
        messages.push(format!("registered as {}", each(*natures, words::nature, "or")));
    }
    if let Some(sectors) = sectors {
        messages.push(format!("about {}", each(*sectors, words::sector, "or")));
    }
    if !except_sectors.is_empty() {
        messages.push(format!("not about {}", each(*except_sectors, words::sector, "or")));
    }
    if let Some(amount) = promotional {
        messages.push(format!("with {} advertising", each(*amount, words::promotional, "or")));
    }
    match promotional_first {
        Some(true) => messages.push("with the advertising in the subject line or above the rest".into()),
        Some(false) => messages.push("with no advertising in the subject line or above the rest".into()),
        None => {}
    }
    if let Some(what) = sender {
        messages.push(format!("of a sender that is {}", words::sender(*what)));
    }
    if !sender_lacks.is_empty() {
        messages.push(format!("of a sender that is not {}", each(*sender_lacks, words::sender, "or")));
    }

    let mut ways = vec![channels.map_or("every channel".to_owned(), |c| each(c, words::channel, "or"))];
    match automated {
        Some(true) => ways.push("with an automatic dialler or a generated voice".into()),
        Some(false) => ways.push("without automatic dialler or generated voice".into()),
        None => {}
    }

    let mut recipients = vec![audience(*to)];
    if let Some(lines) = lines {
        recipients.push(format!("on {}", each(*lines, words::line, "or")));
    }
    if !countries.is_empty() {
        recipients.push(format!("in {}", joined(countries, "or")));
    }
    if !except_countries.is_empty() {
        recipients.push(format!("not in {}", joined(except_countries, "or")));
    }
    if !regions.is_empty() {
        recipients.push(places(regions, ""));
    }
    if !except_regions.is_empty() {
        recipients.push(places(except_regions, "not "));
    }
    // What follows several groups is about each of them.
    let several = recipients[0].contains(';') && recipients.len() > 1;
    if several {
        recipients[1].insert_str(0, "all of them ");
    }
    (messages.join(", "), ways.join(", "), recipients.join(", "), switch.as_ref())
}

/// `in region NL or QC`, `in region NL or where no region is known`.
fn places(regions: &[String], not: &str) -> String {
    let named: Vec<&str> = regions.iter().map(String::as_str).filter(|r| *r != REGION_UNKNOWN).collect();
    let mut parts = Vec::new();
    if !named.is_empty() {
        parts.push(format!("{not}in region {}", joined(&named, "or")));
    }
    if named.len() < regions.len() {
        parts.push(format!("{not}where no region is known"));
    }
    joined(&parts, "or")
}

/// Subscribers with the same kinds of address are named together.
fn audience(to: Audience) -> String {
    if to == Audience::default() {
        return "everybody".into();
    }
    let mut groups: Vec<(EnumSet<AddressKind>, Vec<&str>)> = Vec::new();
    for subscriber in Subscriber::ALL {
        let kinds: EnumSet<AddressKind> =
            AddressKind::ALL.iter().copied().filter(|k| to.contains(*subscriber, *k)).collect();
        let word = words::subscriber(*subscriber);
        match groups.iter_mut().find(|(k, _)| *k == kinds) {
            _ if kinds.is_empty() => {}
            Some((_, subscribers)) => subscribers.push(word),
            None => groups.push((kinds, vec![word])),
        }
    }
    let groups = groups.iter().map(|(kinds, subscribers)| {
        let subscribers = joined(subscribers, "and");
        if *kinds == EnumSet::all() {
            subscribers
        } else {
            format!("{subscribers} at {}", each(*kinds, words::address_kind, "or"))
        }
    });
    let groups: Vec<String> = groups.collect();
    if groups.is_empty() { "nobody".into() } else { groups.join("; ") }
}
