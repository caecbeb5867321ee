//! How a person stands with a sender on a channel, for screens.

use crate::config::{self, Ask};
use crate::error::{Error, Result};
use crate::pg;
use pg_consent_policy::codes::{Channel, Nature};
use pg_consent_policy::status;
use pgrx::JsonB;
use pgrx::prelude::*;

/// Each covers another purpose of an opt-in. `setup` makes a message kind of each name.
const NATURES: [Nature; 5] =
    [Nature::Marketing, Nature::Newsletter, Nature::Survey, Nature::CharityFundraising, Nature::Political];

/// The status as a JSON object; `set_by_system`: when a system set an opt-in that nobody gave.
#[pg_extern(sql = false)]
fn _status(
    state: Option<&[u8]>,
    channel: Option<&str>,
    sender: Option<&str>,
    at: Option<i64>,
    set_by_system: Option<i64>,
) -> Result<JsonB> {
    let config = config::current()?;
    let channel = channel.ok_or(Error::Null { field: "channel" })?;
    channel.parse::<Channel>().map_err(Error::from)?;
    let mut questions = Vec::new();
    let mut fault = None;
    for nature in NATURES {
        let ask = Ask {
            kind: Some(nature.code()),
            category: None,
            channel: Some(channel),
            sender,
            at: at.unwrap_or_else(pg::statement_timestamp),
        };
        match config.question(&ask) {
            Ok(question) if question.message.nature == nature => questions.push(question),
            Ok(_) => {}
            Err((_, error)) => fault = Some(error),
        }
    }
    if questions.is_empty() {
        return Err(fault
            .unwrap_or(Error::Unknown {
                what: "message kind",
                name: Nature::Marketing.code().into(),
                table: "consent_data.message_kind",
            })
            .into());
    }
    let empty = pg_consent_policy::state::State::default().encode();
    let status = status::status(state.unwrap_or(&empty), &questions, set_by_system.map(config::instant));
    Ok(JsonB(status.to_json()))
}
