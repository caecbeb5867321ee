//! Which new scenario would kill a survivor: the known ones, asked or set a little otherwise.

use super::values::{self, Spoken};
use crate::scenario::{CategorySpec, Scenario};
use chrono::{Datelike, Days, NaiveDate};
use pg_consent_policy::codes::*;
use serde_json::{Value, json};

/// Copies of a scenario that differ in one respect, each with what is other.
pub fn of(scenario: &Scenario, pack: &Value, spoken: &Spoken) -> Vec<(String, Scenario)> {
    let mut all = Vec::new();
    let mut vary = |what: String, change: &dyn Fn(&mut Scenario)| {
        let mut variant = scenario.clone();
        change(&mut variant);
        all.push((what, variant));
    };
    for channel in Channel::ALL {
        for nature in Nature::ALL {
            vary(format!("{nature} on {channel}"), &|s| (s.ask.kind, s.ask.channel) = (*nature, *channel));
        }
    }
    for subscriber in Subscriber::ALL {
        for kind in AddressKind::ALL {
            let who =
                |s: &mut Scenario| (s.contact.subscriber, s.contact.address_kind) = (*subscriber, *kind);
            vary(format!("{subscriber}:{kind}"), &who);
            for event in [EventKind::Objection, EventKind::ErasureRequest] {
                vary(format!("{subscriber}:{kind} after {event}"), &|s| {
                    who(s);
                    s.events.extend(just_before(s, event));
                });
            }
        }
    }
    for line in Line::ALL {
        vary(format!("line {line}"), &|s| s.contact.line = Some(*line));
    }
    for region in &spoken.regions {
        let country = &scenario.contact.country;
        vary(format!("region {region}"), &|s| s.contact.region = Some(format!("{country}-{region}")));
    }
    for country in &spoken.countries {
        vary(format!("country {country}"), &|s| s.contact.country.clone_from(country));
    }
    for sector in Sector::ALL.iter().filter(|s| spoken.sectors.contains(s.code())) {
        vary(format!("sector {sector}"), &|s| {
            s.ask.category = Some("of the sector".to_owned());
            let spec = CategorySpec { name: "of the sector".into(), parent: None, sector: Some(*sector) };
            s.categories.push(spec);
        });
    }
    for promotional in Promotional::CODES {
        vary(format!("promotional {promotional}"), &|s| form(s, "promotional", json!(promotional)));
    }
    for field in ["promotional_first", "automated", "misleading_subject"] {
        vary(field.to_owned(), &|s| form(s, field, json!(true)));
    }
    for field in ["identity", "postal_address"] {
        vary(format!("no {field}"), &|s| form(s, field, json!(false)));
    }
    vary("no unsubscribe".to_owned(), &|s| form(s, "unsubscribe", json!("none")));
    vary("charity".to_owned(), &|s| s.sender.charity ^= true);
    vary("political party".to_owned(), &|s| s.sender.political_party ^= true);
    vary("pension authorised".to_owned(), &|s| s.sender.pension_authorised ^= true);
    vary("profession related".to_owned(), &|s| s.ask.profession_related ^= true);
    vary("ongoing contract".to_owned(), &|s| s.ask.ongoing_contract_related ^= true);
    for kind in values::occasions() {
        let Ok(kind) = kind.parse() else { continue };
        vary(format!("{kind} as the occasion"), &|s| {
            for event in s.events.iter_mut().filter(|e| values::occasions().contains(&e.kind.code())) {
                event.kind = kind;
            }
        });
    }
    for day in edges(pack) {
        vary(format!("on {day}"), &|s| s.ask.at = day.to_string());
    }
    all
}

fn form(scenario: &mut Scenario, field: &str, value: Value) {
    scenario.ask.form.insert(field.to_owned(), value);
}

/// An event on every channel at the time of asking.
fn just_before(scenario: &Scenario, kind: EventKind) -> Option<crate::scenario::Event> {
    serde_json::from_value(json!({"kind": kind.code(), "at": scenario.ask.at})).ok()
}

/// The first days of the pack's rules, and the days before.
fn edges(pack: &Value) -> Vec<NaiveDate> {
    let rules = pack["rules"].as_array().into_iter().flatten();
    let days = rules.flat_map(|r| [&r["from"], &r["until"]]).filter_map(|d| d.as_str()?.parse().ok());
    let mut edges: Vec<NaiveDate> = days.flat_map(|d: NaiveDate| [d, d - Days::new(1)]).collect();
    edges.sort_unstable();
    edges.dedup();
    // Earlier ones say "always".
    edges.retain(|d| d.year() > 1950);
    edges
}
