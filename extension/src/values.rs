//! The types `consent.state` and `consent.question`, and what builds states: facts, profiles, merging.

use crate::config;
use crate::error::{Error, Result};
use crate::pg;
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::explain;
use pg_consent_policy::fact::{Expiry, Fact};
use pg_consent_policy::profile::{AddressInUse, Profile};
use pg_consent_policy::question::Question;
use pg_consent_policy::state::{State, StateView};
use pg_consent_policy::time::Instant;
use pgrx::prelude::*;
use pgrx::{Array, JsonB};
use serde_json::Value;
use std::ffi::CStr;

/// Those who may see what a state holds; others see its version and size.
const READERS: [&str; 3] = ["consent_audit", "consent_batch", "consent_admin"];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok()).collect()
}

/// The payload of `kind:hex`.
fn read_text(input: &CStr, kind: &'static str) -> Result<Vec<u8>> {
    let text =
        input.to_str().ok().and_then(|t| t.trim().strip_prefix(kind)).and_then(|t| t.strip_prefix(':'));
    Ok(text.and_then(unhex).ok_or(Error::Corrupt(kind))?)
}

#[pg_extern(sql = false)]
fn state_in(input: &CStr) -> Result<Vec<u8>> {
    let bytes = read_text(input, "state")?;
    State::decode(&bytes).map_err(|_| Error::Corrupt("state"))?;
    Ok(bytes)
}

#[pg_extern(sql = false)]
fn state_out(state: &[u8]) -> &CStr {
    if READERS.iter().any(|role| pg::has_role(role)) {
        pg::c_string(&format!("state:{}", hex(state)))
    } else {
        let version = state.first().copied().unwrap_or(0);
        pg::c_string(&format!("version {version}, {} bytes", state.len()))
    }
}

#[pg_extern(sql = false)]
fn question_in(input: &CStr) -> Result<Vec<u8>> {
    if !pg::has_role("consent_admin") {
        return Err(Error::ForgedQuestion.into());
    }
    let bytes = read_text(input, "question")?;
    Question::decode(&bytes).map_err(|_| Error::Corrupt("question"))?;
    Ok(bytes)
}

#[pg_extern(sql = false)]
fn question_out(question: &[u8]) -> &CStr {
    pg::c_string(&format!("question:{}", hex(question)))
}

fn decode(state: &[u8]) -> Result<State> {
    Ok(State::decode(state).map_err(|_| Error::Corrupt("state"))?)
}

#[pg_extern(sql = false)]
fn _merge(a: &[u8], b: &[u8]) -> Result<Vec<u8>> {
    let mut merged = decode(a)?;
    merged.merge(&decode(b)?);
    Ok(merged.encode())
}

#[pg_extern(sql = false)]
fn _overflows(state: &[u8]) -> bool {
    StateView::new(state).is_ok_and(|v| v.overflow)
}

#[pg_extern(sql = false)]
fn _dirty() -> Vec<u8> {
    let mut state = State::default();
    state.dirty = true;
    state.encode()
}

#[pg_extern(sql = false)]
fn state_json(state: &[u8]) -> Result<JsonB> {
    Ok(JsonB(explain::state_json(state).map_err(|_| Error::Corrupt("state"))?))
}

#[pg_extern(sql = false)]
fn _state_bytes(state: &[u8]) -> Vec<u8> {
    state.to_vec()
}

#[pg_extern(sql = false)]
fn _question_bytes(question: &[u8]) -> Vec<u8> {
    question.to_vec()
}

fn parse_set<T>(codes: Option<Array<'_, &str>>, whenever_unnamed: EnumSet<T>) -> Result<EnumSet<T>>
where
    T: enumset::EnumSetType + std::str::FromStr<Err = UnknownCode>,
{
    let Some(codes) = codes else { return Ok(whenever_unnamed) };
    let mut set = EnumSet::empty();
    for code in codes.iter() {
        let code = code.ok_or(Error::Null { field: "a channel or purpose" })?;
        if code == "any" {
            return Ok(EnumSet::all());
        }
        set |= EnumSet::only(code.parse::<T>().map_err(Error::from)?);
    }
    Ok(set)
}

/// The channels a fact is about when it names none: an objection is about the person, a register about its own
/// channels, everything else about e-mail.
fn usual_channels(kind: EventKind) -> EnumSet<Channel> {
    match kind {
        EventKind::Objection | EventKind::ErasureRequest => EnumSet::all(),
        EventKind::RegisterListed | EventKind::RegisterDelisted => EnumSet::empty(),
        _ => Channel::Email.into(),
    }
}

struct Detail(serde_json::Map<String, Value>);

impl Detail {
    fn text(&self, field: &str) -> Result<Option<&str>> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::Malformed { field: field.to_owned(), expected: "a JSON string" }.into()),
        }
    }

    fn code<T: std::str::FromStr<Err = UnknownCode>>(&self, field: &str) -> Result<Option<T>> {
        Ok(self.text(field)?.map(str::parse).transpose().map_err(Error::from)?)
    }

    fn flag(&self, field: &str) -> Result<bool> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Error::Malformed { field: field.to_owned(), expected: "true or false" }.into()),
        }
    }

    /// The number of a sender; 0 where none is named.
    fn sender(&self, field: &str) -> Result<u32> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(0),
            Some(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| {
                Error::Malformed { field: field.to_owned(), expected: "the number of a sender" }.into()
            }),
        }
    }

    fn expiry(&self) -> Result<Expiry> {
        Ok(match self.text("expires")? {
            None => Expiry::Unstated,
            Some("never") => Expiry::Never,
            Some(t) => {
                let t: chrono::DateTime<chrono::FixedOffset> = t.parse().map_err(|_| Error::Malformed {
                    field: "expires".into(),
                    expected: "a time with its zone, as RFC 3339 has it, or `never`",
                })?;
                Expiry::At(Instant::from_utc(t.to_utc()))
            }
        })
    }
}

/// Evidence of an opt-in or a collection: an object with something in it, such as the form and its version, the script
/// that was read, the recording, the signed paper.
fn grade(evidence: Option<&JsonB>) -> Grade {
    match evidence.and_then(|e| e.0.as_object()) {
        None => Grade::None,
        Some(held) if held.values().all(Value::is_null) => Grade::StateOnly,
        Some(_) => Grade::Proof,
    }
}

/// The state that one fact leaves.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn fact(
    kind: Option<&str>,
    at: Option<i64>,
    recorded_at: Option<i64>,
    sender_id: Option<i32>,
    channels: Option<Array<'_, &str>>,
    category_id: Option<i32>,
    opt_out_offered: Option<&str>,
    refused: Option<bool>,
    from_person: Option<bool>,
    purposes: Option<Array<'_, &str>>,
    detail: Option<JsonB>,
    evidence: Option<JsonB>,
    address_tag: Option<i64>,
    other_contact_tag: Option<i64>,
) -> Result<Vec<u8>> {
    let common = common(kind, at, sender_id, channels, category_id, opt_out_offered, refused, from_person)?;
    let detail = Detail(match detail {
        Some(JsonB(Value::Object(fields))) => fields,
        _ => serde_json::Map::new(),
    });
    let fact = Fact {
        recorded_at: recorded_at.map_or(common.at, config::instant),
        address: address_tag.unwrap_or(0) as u32,
        other_contact: other_contact_tag.unwrap_or(0) as u32,
        grade: grade(evidence.as_ref()),
        purposes: parse_set(purposes, EnumSet::all())?,
        method: detail.code("method")?,
        names_sender: detail.flag("names_sender")?,
        pending: detail.flag("double_opt_in")?,
        expires: detail.expiry()?,
        scope: detail.code("scope")?.unwrap_or(Scope::All),
        via: detail.code("via")?,
        register: detail.code("register")?,
        funded_by_paid: detail.flag("funded_by_paid")?,
        refusal_notice: detail.code("refusal_notice")?.unwrap_or(Tri::Unknown),
        relevant_to_role: detail.code("relevant_to_role")?.unwrap_or(Tri::Unknown),
        machine: detail.flag("machine")?,
        nature: detail.code("nature")?,
        compliant: detail.flag("compliant")?,
        referred: detail.flag("referrer_named")? && detail.flag("referrer_related")?,
        to: detail.sender("to_sender_id")?,
        ..common
    };
    let is_register = matches!(fact.kind, EventKind::RegisterListed | EventKind::RegisterDelisted);
    // A fact that reaches nothing would be recorded and lost.
    if is_register && fact.register.is_none() {
        return Err(Error::Null { field: "detail.register" }.into());
    }
    if fact.kind == EventKind::BusinessTransferred && fact.to == 0 {
        return Err(Error::Null { field: "detail.to" }.into());
    }
    if !is_register && fact.channels.is_empty() || fact.purposes.is_empty() {
        return Err(
            Error::Malformed { field: "channels or purposes".into(), expected: "at least one" }.into()
        );
    }
    Ok(State::of_fact(&fact).encode())
}

/// What facts of the ledger and rows of the CRM have in common.
#[allow(clippy::too_many_arguments)]
fn common(
    kind: Option<&str>,
    at: Option<i64>,
    sender_id: Option<i32>,
    channels: Option<Array<'_, &str>>,
    category_id: Option<i32>,
    opt_out_offered: Option<&str>,
    refused: Option<bool>,
    from_person: Option<bool>,
) -> Result<Fact> {
    let kind: EventKind = kind.ok_or(Error::Null { field: "kind" })?.parse().map_err(Error::from)?;
    let at = config::instant(at.ok_or(Error::Null { field: "at" })?);
    let sender = sender_id.ok_or(Error::Null { field: "sender_id" })? as u32;
    Ok(Fact {
        channels: parse_set(channels, usual_channels(kind))?,
        category: category_id.unwrap_or(0) as u32,
        opt_out_offered: opt_out_offered.map_or(Ok(Tri::Unknown), str::parse).map_err(Error::from)?,
        refused: refused.unwrap_or(false),
        from_person: from_person.unwrap_or(true),
        ..Fact::new(kind, at, sender)
    })
}

/// The state that a row of the CRM leaves; a dirty one if it can't be read.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn _crm_fact(
    kind: Option<&str>,
    at: Option<i64>,
    sender_id: Option<i32>,
    channels: Option<Array<'_, &str>>,
    category_id: Option<i32>,
    opt_out_offered: Option<&str>,
    refused: Option<bool>,
    from_person: Option<bool>,
) -> Vec<u8> {
    let fact = common(kind, at, sender_id, channels, category_id, opt_out_offered, refused, from_person);
    fact.map_or_else(|_| _dirty(), |f| State::of_fact(&f).encode())
}

/// The state that a row of a consents view leaves; a dirty one if it can't be read.
///
/// A refusal without a date stands as long as its row does: it began before everything, and nothing is later than it.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn _crm_consent(
    kind: Option<&str>,
    at: Option<i64>,
    recorded_at: Option<i64>,
    sender_id: Option<i32>,
    channels: Option<Array<'_, &str>>,
    category_id: Option<i32>,
    purposes: Option<Array<'_, &str>>,
    method: Option<&str>,
    evidence: Option<JsonB>,
    double_opt_in: Option<bool>,
    via: Option<&str>,
) -> Vec<u8> {
    let read = || -> Result<Fact> {
        let common = common(kind, at.or(Some(i64::MIN)), sender_id, channels, category_id, None, None, None)?;
        let known = recorded_at.map_or(common.at, config::instant);
        Ok(Fact {
            recorded_at: if at.is_none() { Instant::MAX } else { known },
            grade: grade(evidence.as_ref()),
            // What an opt-in does not name it does not cover.
            purposes: parse_set(purposes, Purpose::Marketing.into())?,
            method: method.map(str::parse).transpose().map_err(Error::from)?,
            pending: double_opt_in.unwrap_or(false),
            scope: if category_id.is_some() { Scope::Category } else { Scope::All },
            via: via.map(str::parse).transpose().map_err(Error::from)?,
            ..common
        })
    };
    read().map_or_else(|_| _dirty(), |fact| State::of_fact(&fact).encode())
}

/// What a state knows of the person's activity: for bindings that only the night reads.
#[pg_extern(sql = false)]
fn _activity(state: &[u8]) -> Vec<u8> {
    State::decode(state).map_or_else(|_| _dirty(), |s| s.activity().encode())
}

#[pg_extern(sql = false)]
fn _has_profile(state: &[u8]) -> bool {
    StateView::new(state).is_ok_and(|v| v.profile.is_some())
}

/// The country of the master data; `NULL` where it is not known.
#[pg_extern(sql = false)]
fn _state_country(state: &[u8]) -> Option<String> {
    let country = StateView::new(state).ok()?.profile?.country;
    Some(String::from_utf8_lossy(&country).into_owned())
}

/// The state that a contact's master data leaves. A malformed country, region or zone counts as unknown, which
/// denies: one bad row must not stop a fold of millions.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn profile(
    as_of: Option<i64>,
    country: Option<&str>,
    region: Option<&str>,
    timezone: Option<&str>,
    subscriber: Option<&str>,
    address_kind: Option<&str>,
    line: Option<&str>,
    address_tags: Option<Array<'_, i64>>,
    address_since: Option<Array<'_, i64>>,
) -> Result<Vec<u8>> {
    let as_of = as_of.map_or(Instant::MIN, config::instant);
    let unknown = || Profile::new(as_of, None, None, None);
    let mut profile =
        Profile::new(as_of, country, region, timezone).or_else(|_| unknown()).map_err(Error::from)?;
    profile.subscriber = subscriber.and_then(|s| s.parse().ok()).unwrap_or(Subscriber::Unknown);
    profile.address_kind = address_kind.and_then(|s| s.parse().ok()).unwrap_or(AddressKind::Unknown);
    profile.line = line.and_then(|s| s.parse().ok()).unwrap_or(Line::Unknown);
    let tags = address_tags.iter().flat_map(|a| a.iter()).map(|t| t.unwrap_or(0) as u32);
    let since = address_since.iter().flat_map(|a| a.iter()).map(|s| s.map(config::instant));
    for (slot, tag) in profile.addresses.iter_mut().zip(tags) {
        slot.tag = tag;
    }
    for (slot, since) in profile.addresses.iter_mut().zip(since) {
        *slot = AddressInUse { since, ..*slot };
    }
    Ok(State::of_profile(profile).encode())
}

/// The codes of a list, for constraints and documentation.
#[pg_extern(sql = false)]
fn _codes(list: &str) -> Vec<String> {
    let codes = match list {
        "nature" => Nature::CODES,
        "channel" => Channel::CODES,
        "sector" => Sector::CODES,
        "event_kind" => EventKind::CODES,
        "purpose" => Purpose::CODES,
        "method" => Method::CODES,
        "scope" => Scope::CODES,
        "via" => Via::CODES,
        "register" => Register::CODES,
        "basis" => Basis::CODES,
        "reason" => Reason::CODES,
        _ => &[],
    };
    codes.iter().map(|c| (*c).to_owned()).collect()
}
