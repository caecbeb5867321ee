//! What would have to change for a yes: the nearest missing condition, in words.

use crate::codes::*;
use crate::decide::Denied;
use crate::fact::Expiry;
use crate::pack::Requirement;
use crate::question::Question;
use crate::state::Atom;
use crate::time::Instant;

/// One line without personal data. Times are UTC days; the evidence column has them exactly.
pub(super) fn missing(denied: &Denied<'_>, question: &Question) -> String {
    let message = &question.message;
    let channel = message.channel;
    let fact = denied.support.as_ref().map(named).unwrap_or_else(|| "what is known".to_owned());
    let opt_in = format!("an opt-in to {} that covers {} by {channel}", question.sender.name, message.nature);
    use Reason::*;
    match denied.reason {
        OptedOut | Objected | RelationshipRefused | Erased => {
            format!("{opt_in}, given by the person after the {fact}; nothing else lifts it")
        }
        SuppressedAddress => {
            format!("{opt_in}, given after the {fact} by whoever gave that, or another address of this person")
        }
        Registered => format!("{opt_in}, or the number's removal from the register ({fact})"),
        NoBasis => format!("{opt_in}, or another ground of {}", of_rule(denied)),
        ConsentInvalid => format!("{opt_in} by an act of the person's own, unlike the {fact}"),
        ConsentUnproven => format!("evidence for the {fact}: the sender bears the burden of proof"),
        ConsentExpired => format!("a new opt-in: the {fact} has ended"),
        ConsentOtherChannel => format!("{opt_in}; the {fact} is for other channels"),
        ConsentOtherPurpose => format!("{opt_in}; the {fact} was given for other purposes or categories"),
        ConsentOtherSender => format!("{opt_in}; the {fact} was given to another sender"),
        RelationshipNoSale => format!("a sale: the {fact} is none"),
        RelationshipNoOptOutOffered => format!(
            "a refusal offered when the address was collected, which the {fact} doesn't show; offering it later \
             does not repair that"
        ),
        RelationshipNotSimilar => format!("a purchase of this or a similar category: the {fact} is of another"),
        RelationshipOtherSender => format!("a relationship with {} itself, unlike the {fact}", question.sender.name),
        RelationshipThirdPartyData => format!("an address that the person gave, unlike that of the {fact}"),
        RelationshipExpired => format!("a new one: the time after the {fact} is over"),
        RelationshipKindExcluded => format!("{opt_in}: the {fact} allows no message of this kind"),
        RelationshipChannelExcluded => format!("{opt_in}: the {fact} does not count on this channel"),
        RelevanceUnproven => format!(
            "a message about the person's role (profession_related in the message kind's form) and proof that the \
             address was given or published in that role ({fact})"
        ),
        WrittenConsentRequired => format!("a signed opt-in (method written_signed), unlike the {fact}"),
        Contested => format!(
            "a decision of yours on the contested point {}, recorded in consent_data.policy_decision",
            denied.switch.unwrap_or("named in policy_decision")
        ),
        Prohibited => match denied.rule.map(|r| &r.then) {
            Some(Requirement::Prohibited(p)) if p.except_ongoing_contract => {
                "a running contract that the message concerns (ongoing_contract_related); consent does not suffice".into()
            }
            _ => "nothing: the law forbids it whatever the person agreed to".into(),
        },
        NotYetInForce => format!("details collected since the rule is law, unlike the {fact}"),
        RetentionExpired => format!("something the person does: the last was the {fact}"),
        MixedIsMarketing => format!("the same message without advertising, or {opt_in}"),
        QuietHours | FrequencyCap => match denied.not_before {
            Some(t) => format!("to wait until {}", t.to_utc().format("%Y-%m-%d %H:%M UTC")),
            None => "no lawful hour is in sight".into(),
        },
        reason => general(reason).unwrap_or_default().to_owned(),
    }
}

/// What a no lacks whatever the message and the facts; `None` where that depends on them.
pub(super) fn general(reason: Reason) -> Option<&'static str> {
    use Reason::*;
    Some(match reason {
        ConsentRequestIsMarketing => {
            "to ask elsewhere (a form, a counter, a call the person made): asking by message is marketing"
        }
        FormUnsubscribe => "a way out that works at once, without log-in, fee or questions",
        FormIdentity => {
            "the sender's name and contact details in the message, with the postal address where the law \
                         wants it"
        }
        FormMisleading => "a subject line that does not mislead",
        UnknownContact => "a row of this contact in the bound CRM, or a recorded fact",
        UnknownKind => "a message kind, channel and sender that are registered",
        UnknownCategory => "a category that is in consent_data.category",
        UnknownJurisdiction => {
            "the contact's country in the CRM, or a policy for that country in \
                                consent_data.policy_override"
        }
        HistoryNeeded => "to ask explain_send_as_of: the stored state begins later",
        StateOverflow => "to ask by key or through consent.decidable: the full state is in the side table",
        Dirty => "consent.refold() for this contact, once the cause in the server's log is mended",
        StaleSource => "a fresh copy of the source",
        KeyMissing => "the address key that the data was hashed under",
        SwitchedOff => "consent_data.setting.marketing_off to be false",
        _ => return None,
    })
}

fn of_rule(denied: &Denied<'_>) -> String {
    denied.rule.map_or_else(|| "the law".to_owned(), |r| format!("the law ({} comes nearest)", r.id))
}

fn day(t: Instant) -> String {
    t.to_utc().format("%Y-%m-%d").to_string()
}

/// A fact by its kind and day, as a person would name it.
fn named(atom: &Atom) -> String {
    let of = |kind: &str, at: Instant| format!("{} of {}", kind.replace('_', " "), day(at));
    match atom {
        Atom::Restriction(r) => of(r.kind.code(), r.lifted_after),
        Atom::Listing(l) => match l.last_listed {
            Some(at) => of(&format!("{} entry", l.register), at),
            None => format!("{} entry", l.register),
        },
        Atom::OptIn(o) => match o.expires {
            Expiry::At(end) => {
                format!("{} that ends on {}", of(&format!("{} opt-in", o.method), o.at), day(end))
            }
            _ => of(&format!("{} opt-in", o.method), o.at),
        },
        Atom::Confirmation(c) => of("confirmation", c.at),
        Atom::Relation(r) => of(r.kind.code(), r.at),
        Atom::Contract(c) => match c.ended.or(c.started) {
            Some(at) => of(c.kind.code(), at),
            None => c.kind.code().replace('_', " "),
        },
        Atom::Action(a) => of(a.kind.code(), a.at),
        Atom::Sends(s) => of("message", s.last),
        Atom::Transfer(t) => of("transfer", t.at),
        Atom::Hold(_) => "legal hold".into(),
    }
}
