//! Compiling questions: what a message is about, under the configuration as read.

use super::{Ask, Config, MAX_COMPILED, instant};
use crate::error::Error;
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::CategoryId;
use pg_consent_policy::pack::Pack;
use pg_consent_policy::question::{Message, Question, Target};

impl Config {
    /// The question, compiled or as it was compiled for an earlier statement of the day. `Err` carries the reason with
    /// which a gate denies and the error that `question()` raises.
    pub fn question(&self, ask: &Ask<'_>) -> Result<Question, (Reason, Error)> {
        let arguments = ask.arguments();
        if let Some(question) = self.compiled.borrow().get(&arguments).and_then(|q| q.at(instant(ask.at))) {
            return Ok(self.freshness.apply(question));
        }
        let question = self.compile(ask, self.packs())?;
        let mut compiled = self.compiled.borrow_mut();
        if compiled.len() >= MAX_COMPILED {
            compiled.clear();
        }
        compiled.insert(arguments, question.clone());
        Ok(self.freshness.apply(question))
    }

    /// The question under other packs than those in force; its version says so.
    pub fn question_under(&self, ask: &Ask<'_>, packs: &[Pack]) -> Result<Question, (Reason, Error)> {
        let mut question = self.freshness.apply(self.compile(ask, packs)?);
        question.policy_version.push_str("+draft");
        Ok(question)
    }

    fn compile(&self, ask: &Ask<'_>, packs: &[Pack]) -> Result<Question, (Reason, Error)> {
        let unknown = |reason, what, name: Option<&str>, table| {
            let error = match name {
                Some(name) => Error::Unknown { what, name: name.to_owned(), table },
                None => Error::Null { field: what },
            };
            (reason, error)
        };
        let no_kind = || unknown(Reason::UnknownKind, "message kind", ask.kind, "consent_data.message_kind");
        let kind = ask.kind.and_then(|k| self.kinds.get(k)).ok_or_else(no_kind)?;
        let channel = match ask.channel {
            None => kind.channel,
            Some(c) => c.parse::<Channel>().map_err(|e| (Reason::UnknownKind, e.into()))?,
        };
        let sender_name = match ask.sender {
            Some(name) => name,
            None => self.default_sender.as_deref().ok_or((Reason::UnknownKind, Error::NoDefaultSender))?,
        };
        let sender = self.senders.get(sender_name).ok_or_else(|| {
            unknown(Reason::UnknownKind, "sender", Some(sender_name), "consent_data.sender")
        })?;
        let target = match ask.category {
            None => Target::default(),
            Some(name) => {
                let category = self.categories.get(name).ok_or_else(|| {
                    unknown(Reason::UnknownCategory, "product category", Some(name), "consent_data.category")
                })?;
                let ancestors = self.ancestors(category.id);
                // What holds for a sector holds for what lies within; the press's privilege is not inherited.
                let inherited = ancestors.iter().find_map(|id| self.sectors.get(id).copied());
                let sector = category.sector.or(inherited.filter(|s| *s != Sector::Press));
                Target {
                    category: category.id,
                    ancestors,
                    similar: self
                        .similar(sender.id, category.id)
                        .map_err(|e| (Reason::UnknownCategory, e))?
                        .to_vec(),
                    sector,
                }
            }
        };
        let message = Message {
            kind: ask.kind.unwrap_or_default().to_owned(),
            nature: kind.nature,
            channel,
            form: kind.form.clone(),
        };
        let mut question =
            Question::new(instant(ask.at), sender.clone(), message, target, packs, self.decisions.clone());
        question.policy_version.clone_from(&self.policy_version);
        question.similarity_version = self.similarity_version;
        question.marketing_blocked = if self.marketing_off {
            Some(Reason::SwitchedOff)
        } else if self.keys.is_err() {
            Some(Reason::KeyMissing)
        } else {
            None
        };
        Ok(question)
    }

    /// The category and everything that is or ever was above it.
    fn ancestors(&self, category: CategoryId) -> Vec<CategoryId> {
        let mut found = vec![category];
        let mut next = 0;
        while let Some(id) = found.get(next).copied() {
            for parent in self.parents.get(&id).into_iter().flatten() {
                if !found.contains(parent) {
                    found.push(*parent);
                }
            }
            next += 1;
        }
        found
    }
}
