//! The messages that `verify` and `simulate` ask about.

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use postgres::Client;
use serde_json::{Value, json};

#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// The message kind to ask about; without it, the messages in consent_data.audit_question.
    #[arg(long)]
    pub kind: Option<String>,
    /// The product category of that message.
    #[arg(long, requires = "kind")]
    pub category: Option<String>,
    /// The channel of that message, where it is not the kind's own.
    #[arg(long, requires = "kind")]
    pub channel: Option<String>,
    /// The sender of that message, where it is not the default one.
    #[arg(long, requires = "kind")]
    pub sender: Option<String>,
    /// Ask as of this instant (RFC 3339); default now. A state answers only for instants since its latest fact.
    #[arg(long)]
    pub as_of: Option<DateTime<Utc>>,
}

/// One message: kind, category, channel and sender, as `consent.question` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub kind: String,
    pub category: Option<String>,
    pub channel: Option<String>,
    pub sender: Option<String>,
}

impl Asked {
    pub fn in_words(&self) -> String {
        let more = [&self.category, &self.channel, &self.sender];
        let more = more.into_iter().flatten().map(|m| format!(", {m}"));
        more.fold(self.kind.clone(), |words, m| words + &m)
    }

    pub fn to_json(&self) -> Value {
        json!({"message_kind": self.kind, "product_category": self.category, "channel": self.channel, "sender": self.sender})
    }

    /// The question's stored form.
    pub fn question(&self, client: &mut Client, at: DateTime<Utc>) -> Result<Vec<u8>> {
        let row = client.query_one(
            "SELECT consent._question_bytes(consent.question($1, $2, $3, $4, $5))",
            &[&self.kind, &self.category, &self.channel, &self.sender, &at],
        )?;
        Ok(row.get(0))
    }
}

impl Selection {
    /// The instant to ask for: one for all, since the server's clock goes on between two statements.
    pub fn at(&self, client: &mut Client) -> Result<DateTime<Utc>> {
        let now = client.query_one("SELECT clock_timestamp()", &[])?.get(0);
        Ok(self.as_of.unwrap_or(now))
    }

    /// The message named, else those in `audit_question`, else every kind on every channel for every sender.
    pub fn messages(&self, client: &mut Client) -> Result<Vec<Asked>> {
        if let Some(kind) = &self.kind {
            let named = self.clone();
            return Ok(vec![Asked {
                kind: kind.clone(),
                category: named.category,
                channel: named.channel,
                sender: named.sender,
            }]);
        }
        let mut rows = client.query(
            "SELECT message_kind, product_category, NULL::text, NULL::text FROM consent_data.audit_question ORDER BY 1, 2",
            &[],
        )?;
        if rows.is_empty() {
            rows = client.query(
                "SELECT k.name, NULL::text, c, s.name
                   FROM consent_data.message_kind k, unnest(consent._codes('channel')) c, consent_data.sender s
                  ORDER BY 4, 1, 3",
                &[],
            )?;
        }
        ensure!(!rows.is_empty(), "there is nothing to ask about: consent_data.sender is empty");
        Ok(rows
            .iter()
            .map(|r| Asked { kind: r.get(0), category: r.get(1), channel: r.get(2), sender: r.get(3) })
            .collect())
    }
}
