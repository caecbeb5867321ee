//! An answer for people: what `explain_send` returns, as plain values.

mod missing;

use crate::codes::*;
use crate::decide::{self, ContactLog, Decision, Support};
use crate::fact::Expiry;
use crate::question::{PolicyDecision, Question};
use crate::state::{Atom, Corrupt, State, StateView};
use crate::time::Instant;
use enumset::EnumSet;
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub allowed: bool,
    pub reason: Option<Reason>,
    pub basis: Option<Basis>,
    pub rule: Option<String>,
    pub citation: Option<String>,
    /// See [`decide::last_instant`]. `None` on a yes: no end in sight.
    pub valid_until: Option<Instant>,
    /// On a no that time alone will lift: the next lawful instant.
    pub not_before: Option<Instant>,
    /// On a no: what would have to change for a yes.
    pub missing: Option<String>,
    /// The fact the answer rests on.
    pub evidence: Option<Value>,
    pub obligations: Vec<String>,
    pub jurisdiction: Option<String>,
    /// The operator's decision on the contested point the answer rests on.
    pub policy_decision: Option<PolicyDecision>,
    /// The contested point itself.
    pub contested_point: Option<String>,
    pub policy_version: String,
}

/// The answer with its grounds; `None` is an unknown contact.
pub fn explain(state: Option<&[u8]>, question: &Question, log: Option<&ContactLog>) -> Explanation {
    let Some(state) = state else {
        return Explanation::of_reason(Reason::UnknownContact);
    };
    let decision = decide::decide(state, question, log);
    let mut answer = Explanation::of(&decision, question);
    if answer.allowed {
        answer.valid_until = decide::last_instant(state, question);
    }
    let country = StateView::new(state).ok().and_then(|v| v.profile).map(|p| p.country);
    answer.jurisdiction = country.and_then(|c| question.jurisdiction(c)).map(|(j, _)| j.id.clone());
    answer
}

impl Explanation {
    /// A no before any rule was looked at.
    pub fn of_reason(reason: Reason) -> Explanation {
        Explanation {
            allowed: false,
            reason: Some(reason),
            basis: None,
            rule: None,
            citation: None,
            valid_until: None,
            not_before: None,
            missing: missing::general(reason).map(str::to_owned),
            evidence: None,
            obligations: Vec::new(),
            jurisdiction: None,
            policy_decision: None,
            contested_point: None,
            policy_version: crate::pack::POLICY_VERSION.to_owned(),
        }
    }

    /// As `explain_send` unpacks it: codes, RFC 3339 times, `infinity` for a yes without an end in sight.
    pub fn to_json(&self) -> Value {
        let decision = self.policy_decision.as_ref().map(|d| json!(d));
        let contested =
            self.contested_point.as_ref().map(|switch| json!({"switch": switch, "decided_by": "default"}));
        json!({
            "allowed": self.allowed,
            "reason": self.reason.map(|r| r.code()),
            "basis": self.basis.map(|b| b.code()),
            "rule": self.rule,
            "citation": self.citation,
            "valid_until": self.allowed.then(|| self.valid_until.map_or(json!("infinity"), time)),
            "not_before": self.not_before.map(time),
            "missing": self.missing,
            "evidence": self.evidence,
            "obligations": self.obligations,
            "jurisdiction": self.jurisdiction,
            "policy_decision": decision.or(contested),
            "policy_version": self.policy_version,
        })
    }

    fn of(decision: &Decision<'_>, question: &Question) -> Explanation {
        let (rule, support, switch) = match decision {
            Ok(a) => (Some(a.rule), a.support, a.switch),
            Err(d) => (d.rule, d.support, d.switch),
        };
        let decided = switch.and_then(|s| question.decisions.iter().find(|d| d.switch == s));
        Explanation {
            allowed: decision.is_ok(),
            reason: decision.err().map(|d| d.reason),
            basis: decision.ok().map(|a| a.basis),
            rule: rule.map(|r| r.id.clone()),
            citation: rule.map(|r| r.citation.clone()),
            valid_until: None,
            not_before: decision.err().and_then(|d| d.not_before),
            missing: decision.err().map(|d| missing::missing(&d, question)),
            evidence: evidence(support),
            obligations: decision.ok().map(|a| a.rule.obligations.clone()).unwrap_or_default(),
            jurisdiction: None,
            policy_decision: decided.cloned(),
            contested_point: switch.map(str::to_owned),
            policy_version: question.policy_version.clone(),
        }
    }
}

/// As PostgreSQL reads it; it does not read years before 1.
pub(crate) fn time(t: Instant) -> Value {
    const YEAR_1: Instant = Instant(-62_135_596_800_000);
    let t = t.max(YEAR_1);
    json!(t.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn evidence(support: Support) -> Option<Value> {
    support.map(|atom| atom_json(&atom))
}

fn codes<T: enumset::EnumSetType + std::fmt::Display>(set: EnumSet<T>) -> Vec<String> {
    set.iter().map(|c| c.to_string()).collect()
}

/// One atom in the words of the facts. Categories and senders are numbers; SQL puts the names in.
pub(crate) fn atom_json(atom: &Atom) -> Value {
    match atom {
        Atom::Restriction(r) => {
            json!({"kind": r.kind.code(), "sender_id": r.sender, "channels": codes(r.channels),
                   "category_id": (r.category != 0).then_some(r.category), "at": time(r.from),
                   "lifted_only_after": time(r.lifted_after), "by_another_contact": r.other_contact != 0})
        }
        Atom::Listing(l) => json!({"kind": "register", "register": l.register.code(),
            "first_listed": l.first_listed.map(time), "delisted": l.delisted.map(time)}),
        Atom::OptIn(o) => json!({"kind": "opt_in", "method": o.method.code(), "sender_id": o.sender,
            "channels": codes(o.channels), "purposes": codes(o.purposes), "evidence": o.grade.code(),
            "category_id": (o.category != 0).then_some(o.category), "pending": o.pending, "at": time(o.at),
            "expires": match o.expires { Expiry::At(t) => time(t), Expiry::Never => json!("never"), Expiry::Unstated => Value::Null }}),
        Atom::Confirmation(c) => json!({"kind": "opt_in_confirmed", "sender_id": c.sender, "at": time(c.at)}),
        Atom::Relation(r) => json!({"kind": r.kind.code(), "sender_id": r.sender,
            "category_id": (r.category != 0).then_some(r.category), "channels": codes(r.channels),
            "opt_out_offered": r.opt_out_offered.code(), "from_person": r.from_person,
            "purposes": (!r.purposes.is_superset(EnumSet::all())).then(|| codes(r.purposes)),
            "evidence": r.grade.code(), "at": time(r.at)}),
        Atom::Contract(c) => json!({"kind": c.kind.code(), "sender_id": c.sender,
            "category_id": (c.category != 0).then_some(c.category), "started": c.started.map(time),
            "ended": c.ended.map(time)}),
        Atom::Action(a) => json!({"kind": a.kind.code(), "sender_id": a.sender, "at": time(a.at)}),
        Atom::Sends(s) => json!({"kind": "sent", "sender_id": s.sender, "channels": codes(s.channels),
            "compliant": s.compliant, "first": time(s.first), "last": time(s.last)}),
        Atom::Transfer(t) => {
            json!({"kind": "business_transferred", "sender_id": t.from, "to_sender_id": t.to,
            "at": time(t.at)})
        }
        Atom::Hold(h) => {
            json!({"kind": "legal_hold", "held": h.held.map(time), "released": h.released.map(time)})
        }
    }
}

/// The whole state, for auditors.
pub fn state_json(bytes: &[u8]) -> Result<Value, Corrupt> {
    let state = State::decode(bytes)?;
    let profile = state.profile.as_ref().map(|p| {
        json!({"as_of": time(p.as_of), "country": String::from_utf8_lossy(&p.country),
               "region": p.region, "zone": p.zone, "subscriber": p.subscriber.code(),
               "address_kind": p.address_kind.code(), "line": p.line.code(),
               "address_tags": p.addresses.iter().map(|a| a.tag).collect::<Vec<_>>()})
    });
    Ok(json!({"version": crate::state::VERSION, "bytes": bytes.len(), "horizon": time(state.horizon),
              "dirty": state.dirty, "overflow": state.overflow, "profile": profile,
              "facts": state.atoms().iter().map(atom_json).collect::<Vec<_>>()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Denied;
    use crate::question::{Form, Message, Sender, Target};

    #[test]
    fn no_denial_leaves_the_reader_without_a_way_out() {
        let message = Message {
            kind: "newsletter".into(),
            nature: Nature::Newsletter,
            channel: Channel::Email,
            form: Form::default(),
        };
        let sender = Sender { name: "the shop".into(), ..Sender::default() };
        let question = Question::new(Instant(0), sender, message, Target::default(), &[], Vec::new());
        for reason in Reason::ALL {
            assert!(!missing::missing(&Denied::new(*reason), &question).is_empty(), "{reason}");
        }
    }
}
