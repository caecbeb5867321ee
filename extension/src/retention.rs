//! Retention in the server: the same judgement as the batch's, under the contact's lock, and the action.

use crate::error::{Error, Result};
use crate::pg;
use pg_consent_policy::question::Question;
use pg_consent_policy::retention::{Unassessable, assess_all};
use pg_consent_policy::time::Instant;
use pgrx::prelude::*;
use pgrx::{Array, JsonB, pg_sys};
use serde_json::{Value, json};

/// The questions of a statement, decoded once.
struct Decoded {
    digests: Vec<[u8; 16]>,
    questions: Vec<Question>,
}

impl Decoded {
    fn new(encoded: &[&[u8]]) -> Result<Decoded> {
        let corrupt = |_| Error::Corrupt("question");
        let questions = encoded.iter().map(|q| Question::decode(q).map_err(corrupt));
        Ok(Decoded {
            digests: digests(encoded),
            questions: questions.collect::<std::result::Result<_, _>>()?,
        })
    }
}

fn digests(encoded: &[&[u8]]) -> Vec<[u8; 16]> {
    encoded.iter().filter_map(|q| Question::digest_of(q)).collect()
}

fn text(at: Instant) -> Value {
    at.to_utc().to_rfc3339().into()
}

/// Where a contact stands with every sender, one question each, and whether it may be retired (see
/// `sql/27_retention.sql`). What can't be assessed may not.
#[pg_extern(sql = false)]
fn _retention(
    state: Option<&[u8]>,
    questions: Option<Array<'_, &[u8]>>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<JsonB> {
    let questions = questions.ok_or(Error::Null { field: "questions" })?;
    let encoded: Vec<&[u8]> = questions.iter().flatten().collect();
    let mut own = None;
    let kept = pg::kept::<Decoded>(fcinfo).unwrap_or(&mut own);
    if kept.as_ref().is_none_or(|k| k.digests != digests(&encoded)) {
        *kept = Some(Decoded::new(&encoded)?);
    }
    let questions = kept.as_ref().map_or(&[][..], |k| &k.questions);
    Ok(JsonB(match assess_all(state.unwrap_or_default(), questions) {
        Err(Unassessable(reason)) => json!({"retire": false, "kept": reason.code(), "assessed": false}),
        Ok(outlook) => {
            let senders: Vec<Value> = outlook
                .senders
                .iter()
                .map(|(sender, a)| {
                    json!({
                        "sender_id": sender, "stage": a.stage.code(), "rule": a.rule.id, "since": text(a.since),
                        "ends_at": text(a.ends_at), "next": a.next.map(text),
                    })
                })
                .collect();
            json!({
                "retire": outlook.kept.is_none(), "kept": outlook.kept.map(|k| k.code()), "assessed": true,
                "until": outlook.kept.and_then(|k| k.until()).map(text), "senders": senders,
            })
        }
    }))
}

/// See `sql/27_retention.sql`, which calls it with the CRM's own statement and its table's owner.
#[pg_extern(sql = false)]
fn _execute_as(role: pg_sys::Oid, path: &str, statement: &str, argument: &str) -> Result<i64> {
    Ok(pg::execute_as(role, path, statement, argument)? as i64)
}
