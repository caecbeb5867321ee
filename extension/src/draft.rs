//! Questions under a draft of the law: for the batch, which counts what would change. They come as bytes, not as
//! questions, so that whoever may ask about a draft can't answer by it.

use crate::config::{self, Ask};
use crate::error::{Error, Result};
use crate::pg;
use pgrx::JsonB;
use pgrx::prelude::*;

/// What a draft does to the packs: `{"pack", "does", "loosens": [{"path", "problem"}]}`. Raises with all faults of one
/// that is not valid.
#[pg_extern(sql = false)]
fn _draft(document: Option<JsonB>) -> Result<JsonB> {
    let draft = config::current()?.draft(&document.ok_or(Error::Null { field: "document" })?.0)?;
    Ok(JsonB(serde_json::to_value(&draft).map_err(|_| Error::Configuration("a draft in words".into()))?))
}

/// The stored form of a question under a draft; see `consent.question`.
#[pg_extern(sql = false)]
fn _draft_question(
    kind: Option<&str>,
    category: Option<&str>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
    document: Option<JsonB>,
) -> Result<Vec<u8>> {
    let config = config::current()?;
    let draft = config.draft(&document.ok_or(Error::Null { field: "document" })?.0)?;
    let ask = Ask { kind, category, channel, sender, at: at.unwrap_or_else(pg::statement_timestamp) };
    Ok(config.question_under(&ask, &draft.packs).map_err(|(_, error)| error)?.encode())
}
