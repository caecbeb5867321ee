//! Whether one `when` lies within another: each of its conditions is compared as the set of cases it selects.

use crate::codes::*;
use crate::pack::{Pack, REGION_UNKNOWN, SenderTrait, When};
use enumset::EnumSet;

/// The fields in which `inner` selects what `outer` does not.
pub(super) fn beyond(inner: &When, outer: &When, pack: &Pack) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut beyond = |wrong: bool, field: &'static str| {
        if wrong {
            fields.push(field);
        }
    };
    let other = |same: bool, field, otherwise| if same { otherwise } else { field };
    let natures = other(inner.natures == outer.natures, "natures", "except_natures");
    beyond(!natures_of(inner).is_subset(natures_of(outer)), natures);
    beyond(!within(inner.registered_as, outer.registered_as), "registered_as");
    beyond(!within(inner.channels, outer.channels), "channels");
    beyond(!inner.to.is_subset(outer.to), "to");
    beyond(!within(inner.lines, outer.lines), "lines");
    let codes = pack.countries.iter().map(|c| c.code.as_str()).chain([NOWHERE]);
    let countries = other(inner.countries == outer.countries, "countries", "except_countries");
    let of = |w: &When, code| selects(code, &w.countries, &w.except_countries);
    beyond({ codes }.any(|code| of(inner, code) && !of(outer, code)), countries);
    let named = [&inner.regions, &inner.except_regions, &outer.regions, &outer.except_regions];
    let all = named.into_iter().flatten().map(String::as_str).chain([REGION_UNKNOWN, NOWHERE]);
    let regions = other(inner.regions == outer.regions, "regions", "except_regions");
    let of = |w: &When, region| selects(region, &w.regions, &w.except_regions);
    beyond({ all }.any(|region| of(inner, region) && !of(outer, region)), regions);
    let sectors = other(inner.sectors == outer.sectors, "sectors", "except_sectors");
    let any = Sector::ALL.iter().copied().map(Some).chain([None]);
    beyond({ any }.any(|s| concerns(inner, s) && !concerns(outer, s)), sectors);
    beyond(!within(inner.promotional, outer.promotional), "promotional");
    let one_of = |inner: Option<bool>, outer: Option<bool>| outer.is_none() || inner == outer;
    beyond(!one_of(inner.promotional_first, outer.promotional_first), "promotional_first");
    beyond(!one_of(inner.automated, outer.automated), "automated");
    let sender = other(inner.sender == outer.sender, "sender", "sender_lacks");
    beyond((0..8).any(|traits| sent_by(inner, traits) && !sent_by(outer, traits)), sender);
    beyond(outer.switch.is_some() && inner.switch != outer.switch, "switch");
    fields
}

/// No country's or region's code: stands for all that are not named.
const NOWHERE: &str = "";

/// The natures a rule names.
pub(super) fn natures_of(w: &When) -> EnumSet<Nature> {
    let advertising = || Nature::ALL.iter().copied().filter(|n| !n.is_service()).collect();
    w.natures.unwrap_or_else(advertising) - w.except_natures
}

fn within<T: enumset::EnumSetType>(inner: Option<EnumSet<T>>, outer: Option<EnumSet<T>>) -> bool {
    inner.unwrap_or(EnumSet::all()).is_subset(outer.unwrap_or(EnumSet::all()))
}

fn selects(code: &str, named: &[String], except: &[String]) -> bool {
    (named.is_empty() || named.iter().any(|n| n == code)) && !except.iter().any(|e| e == code)
}

fn concerns(w: &When, sector: Option<Sector>) -> bool {
    w.sectors.is_none_or(|s| sector.is_some_and(|x| s.contains(x)))
        && !sector.is_some_and(|x| w.except_sectors.contains(x))
}

/// Whether a rule is about senders with just these traits, one bit each.
fn sent_by(w: &When, traits: u8) -> bool {
    let has = |t: SenderTrait| traits & (1 << t as u8) != 0;
    w.sender.is_none_or(has) && !w.sender_lacks.iter().any(has)
}
