//! The law as SQL shows it: the rules in force in words, and how long an opt-out may take.

use crate::config;
use crate::error::{Error, Result};
use crate::pg;
use chrono::Datelike;
use pgrx::JsonB;
use pgrx::prelude::*;

/// The rules in force as a JSON array of objects; `jurisdiction` NULL is all of them.
#[pg_extern(sql = false)]
fn _policy(jurisdiction: Option<&str>, at: Option<i64>) -> Result<JsonB> {
    let config = config::current()?;
    let jurisdiction = jurisdiction.map(str::trim);
    let at = config::instant(at.unwrap_or_else(pg::statement_timestamp));
    let packs = config.packs();
    let wanted = packs.iter().filter(|p| jurisdiction.is_none_or(|j| p.is_of(j))).collect::<Vec<_>>();
    if let (true, Some(name)) = (wanted.is_empty(), jurisdiction) {
        let mut known: Vec<&str> = packs.iter().map(|p| p.id.as_str()).collect();
        known.sort_unstable();
        let fallback = packs.iter().find(|p| p.fallback).map(|p| p.id.clone());
        return Err(Error::Jurisdiction { name: name.to_owned(), known: known.join(", "), fallback }.into());
    }
    let rules: Vec<_> =
        wanted.iter().flat_map(|p| p.in_force(jurisdiction, at, config.decisions())).collect();
    Ok(JsonB(serde_json::to_value(rules).map_err(|_| Error::Configuration("rules in words".into()))?))
}

/// Of the law of a country: the jurisdiction, the last day for an opt-out of this instant to take effect, by what law, the
/// last day for its answer, and by what law. Days are ISO 8601, and NULL where the law names none.
#[pg_extern(sql = false)]
fn _opt_out_law(country: Option<&str>, requested_at: Option<i64>) -> Result<Option<Vec<Option<String>>>> {
    let (Some(country), Some(requested_at)) = (country.map(str::trim), requested_at) else { return Ok(None) };
    let config = config::current()?;
    let at = config::instant(requested_at);
    let own =
        config.packs().iter().find(|p| p.countries.iter().any(|c| c.code.eq_ignore_ascii_case(country)));
    Ok(own.map(|p| {
        vec![
            Some(p.id.clone()),
            p.last_day_to_act(country, at).map(|d| d.to_string()),
            p.opt_out_deadline.as_ref().map(|d| d.citation.clone()),
            p.last_day_to_answer(country, at).map(|d| d.to_string()),
            p.answer_deadline.as_ref().map(|d| d.citation.clone()),
        ]
    }))
}

/// The last day on which an opt-out may still be without effect; NULL where the law names no number of days. No pack
/// distinguishes regions in this.
#[pg_extern(sql = false)]
fn opt_out_deadline(
    country: Option<&str>,
    requested_at: Option<i64>,
    _region: Option<&str>,
) -> Result<Option<Date>> {
    let (Some(country), Some(requested_at)) = (country.map(str::trim), requested_at) else { return Ok(None) };
    let config = config::current()?;
    let own =
        config.packs().iter().find(|p| p.countries.iter().any(|c| c.code.eq_ignore_ascii_case(country)));
    let day = own.and_then(|p| p.last_day_to_act(country, config::instant(requested_at)));
    Ok(day.and_then(|d| Date::new(d.year(), d.month() as u8, d.day() as u8).ok()))
}
