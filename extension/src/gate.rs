//! The gate: `state @@ question`, `can_send`, and the answer with its grounds.

use crate::config::{self, Arguments, Ask, Config, KeyType};
use crate::error::{Error, Result};
use crate::pg::{self, Key};
use pg_consent_policy::decide::{self, ContactLog};
use pg_consent_policy::explain::{Explanation, explain};
use pg_consent_policy::question::Question;
use pg_consent_policy::state::StateView;
use pgrx::prelude::*;
use pgrx::{Array, Internal, JsonB, pg_sys};
use std::rc::Rc;

/// The question of a statement, decoded once.
struct Decoded {
    digest: [u8; 16],
    question: Question,
}

/// `state @@ question`. A pure function of its operands: it reads no table. NULL or broken operands deny.
#[pg_extern(sql = false)]
fn _allows(state: Option<&[u8]>, question: Option<&[u8]>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    let (Some(state), Some(bytes)) = (state, question) else { return false };
    let Some(digest) = Question::digest_of(bytes) else { return false };
    let Some(kept) = pg::kept::<Decoded>(fcinfo) else {
        return Question::decode(bytes).is_ok_and(|q| decide::allows(state, &q));
    };
    if kept.as_ref().is_none_or(|k| k.digest != digest) {
        let Ok(question) = Question::decode(bytes) else { return false };
        *kept = Some(Decoded { digest, question });
    }
    kept.as_ref().is_some_and(|k| decide::allows(state, &k.question))
}

/// The planner's estimate of how many rows `@@` lets through.
#[pg_extern(sql = false)]
fn _allows_selectivity(
    _planner: Internal,
    _operator: pg_sys::Oid,
    _operands: Internal,
    _relation: i32,
) -> f64 {
    config::current().map_or(config::USUAL_YES_RATE, |c| c.yes_rate)
}

fn ask<'a>(
    kind: Option<&'a str>,
    category: Option<&'a str>,
    channel: Option<&'a str>,
    sender: Option<&'a str>,
    at: Option<i64>,
) -> Ask<'a> {
    Ask { kind, category, channel, sender, at: at.unwrap_or_else(pg::statement_timestamp) }
}

/// Everything a decision needs besides the contact. Raises for an unknown kind, category, channel or sender: a
/// silently empty audience would hide a typing error for weeks.
#[pg_extern(sql = false)]
fn question(
    kind: Option<&str>,
    category: Option<&str>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
) -> Result<Vec<u8>> {
    let config = config::current()?;
    let question = config.question(&ask(kind, category, channel, sender, at)).map_err(|(_, error)| error)?;
    Ok(question.encode())
}

/// A question compiled for the arguments it was asked with.
struct Asked {
    config: Rc<Config>,
    arguments: Arguments,
    at: i64,
    question: Option<Question>,
}

impl Asked {
    /// Whether this answers the same question under the same configuration. In PL/pgSQL one call site lives as long
    /// as the transaction, and the configuration may change in between.
    fn is(&self, a: &Ask<'_>, config: &Rc<Config>) -> bool {
        Rc::ptr_eq(&self.config, config)
            && self.at == a.at
            && [a.kind, a.category, a.channel, a.sender]
                .iter()
                .zip(&self.arguments)
                .all(|(x, y)| *x == y.as_deref())
    }

    fn new(a: &Ask<'_>, config: &Rc<Config>) -> Asked {
        Asked {
            config: Rc::clone(config),
            arguments: a.arguments(),
            at: a.at,
            question: config.question(a).ok(),
        }
    }
}

fn can_send(key: Option<Key<'_>>, a: &Ask<'_>, fcinfo: pg_sys::FunctionCallInfo) -> Result<bool> {
    let config = config::current()?;
    let Some(key) = key else { return Ok(false) };
    let mut own = None;
    let kept = pg::kept::<Asked>(fcinfo).unwrap_or(&mut own);
    if kept.as_ref().is_none_or(|k| !k.is(a, &config)) {
        *kept = Some(Asked::new(a, &config));
    }
    let Some(question) = kept.as_ref().and_then(|k| k.question.as_ref()) else { return Ok(false) };
    if config.pending.may_note(key) {
        if !pg::in_parallel_mode() {
            return allows_folded(&config, key, question);
        }
        // A parallel scan does as audiences do: who is restricted is left out until folded.
        if is_restricted(&config, key)? {
            return Ok(false);
        }
    }
    let answer = config.states.look_up(key, |state| {
        let overflows = StateView::new(state).is_ok_and(|v| v.overflow);
        if overflows { None } else { Some(decide::allows(state, question)) }
    });
    Ok(match answer {
        None => false,
        Some(Some(allowed)) => allowed,
        Some(None) => config
            .overflow
            .and_then(|table| table.look_up(key, |state| decide::allows(state, question)))
            .unwrap_or(false),
    })
}

/// See `sql/11_watch.sql`, which calls it where the abort of a subtransaction is certain.
#[pg_extern(sql = false)]
fn _become(role: pg_sys::Oid) -> Result<()> {
    Ok(pg::become_role(role)?)
}

/// The answer for a contact whose stored state is behind, from all facts.
fn allows_folded(config: &Config, key: Key<'_>, question: &Question) -> Result<bool> {
    let mut allowed = false;
    pg::as_owner(config.states.table, || {
        pg::rows_of("SELECT consent._state_bytes(consent._state_now($1))", Some(&key.to_string()), |r| {
            allowed = r.get::<Vec<u8>>(1).is_some_and(|state| decide::allows(&state, question))
        })
    })?;
    Ok(allowed)
}

fn is_restricted(config: &Config, key: Key<'_>) -> Result<bool> {
    let mut restricted = true;
    pg::as_owner(config.states.table, || {
        pg::rows_of(
            "SELECT EXISTS (SELECT FROM consent_data.restricted r WHERE r.contact_id = consent_data.key($1))",
            Some(&key.to_string()),
            |r| restricted = r.get(1).unwrap_or(true),
        )
    })?;
    Ok(restricted)
}

/// The key in the type of the tables; `None` (an unknown contact) where it can't be one of them.
fn typed<'a>(text: &'a str, key_type: KeyType) -> Option<Key<'a>> {
    match key_type {
        KeyType::Int => text.trim().parse().ok().map(Key::Int),
        KeyType::Uuid => uuid(text).map(Key::Uuid),
        KeyType::Text => Some(Key::Text(text)),
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let value = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(value.to_be_bytes())
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn can_send_bigint(
    contact: Option<i64>,
    kind: Option<&str>,
    category: Option<&str>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<bool> {
    let key_type = config::current()?.key_type;
    let text;
    let key = match (contact, key_type) {
        (None, _) | (Some(_), KeyType::Uuid) => None,
        (Some(n), KeyType::Int) => Some(Key::Int(n)),
        (Some(n), KeyType::Text) => {
            text = n.to_string();
            Some(Key::Text(&text))
        }
    };
    can_send(key, &ask(kind, category, channel, sender, at), fcinfo)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn can_send_text(
    contact: Option<&str>,
    kind: Option<&str>,
    category: Option<&str>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<bool> {
    let key_type = config::current()?.key_type;
    can_send(contact.and_then(|c| typed(c, key_type)), &ask(kind, category, channel, sender, at), fcinfo)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn can_send_uuid(
    contact: Option<pgrx::Uuid>,
    kind: Option<&str>,
    category: Option<&str>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<bool> {
    let key_type = config::current()?.key_type;
    let text;
    let key = match (contact, key_type) {
        (None, _) | (Some(_), KeyType::Int) => None,
        (Some(u), KeyType::Uuid) => Some(Key::Uuid(*u.as_bytes())),
        (Some(u), KeyType::Text) => {
            text = u.to_string();
            Some(Key::Text(&text))
        }
    };
    can_send(key, &ask(kind, category, channel, sender, at), fcinfo)
}

/// The answer with its grounds, as a JSON object. `state` NULL is an unknown contact; `attempts` are the calls that
/// frequency limits count, `texts` those that count where a limit speaks of texts.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn _explain(
    state: Option<&[u8]>,
    kind: Option<&str>,
    category: Option<&str>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
    attempts: Option<Array<'_, i64>>,
    texts: Option<Array<'_, i64>>,
) -> Result<JsonB> {
    let config = config::current()?;
    let mut answer = match config.question(&ask(kind, category, channel, sender, at)) {
        Ok(question) => {
            let instants = |list: &Option<Array<'_, i64>>| {
                list.iter().flat_map(|a| a.iter()).flatten().map(config::instant).collect()
            };
            let log = ContactLog { call_attempts: instants(&attempts), texts: instants(&texts) };
            explain(state, &question, Some(&log)).to_json()
        }
        Err((reason, _)) => Explanation::of_reason(reason).to_json(),
    };
    answer["freshness"] = config.freshness().into();
    Ok(JsonB(answer))
}

/// The same for a question already made; frequency limits are not judged.
#[pg_extern(sql = false)]
fn _decide(state: Option<&[u8]>, question: Option<&[u8]>) -> Result<JsonB> {
    let question = question.ok_or(Error::Null { field: "question" })?;
    let question = Question::decode(question).map_err(|_| Error::Corrupt("question"))?;
    Ok(JsonB(explain(state, &question, None).to_json()))
}
