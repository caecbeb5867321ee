//! What a rule requires, allows or forbids, in sentences.

use super::words::{self, capitalised, count, each, joined, period};
use crate::codes::*;
use crate::pack::*;
use enumset::EnumSet;

/// The sentences that hold, of pairs of condition and sentence.
fn those<const N: usize>(sentences: [(bool, &str); N]) -> impl Iterator<Item = String> {
    sentences.into_iter().filter(|(holds, _)| *holds).map(|(_, s)| s.to_owned())
}

/// `service_messages`: the rule is about service messages.
pub(super) fn sentences(then: &Requirement, service_messages: bool) -> Vec<String> {
    match then {
        Requirement::Service(r) => service(r),
        Requirement::Consent(r) => consent(r, service_messages),
        Requirement::Relationship(r) => relationship(r),
        Requirement::Regime(r) => regime(r),
        Requirement::OngoingContract(OngoingContract { basis }) => {
            vec![format!("{}: the message concerns a running contract.", named(*basis))]
        }
        Requirement::Prohibited(Prohibited { except_ongoing_contract }) => {
            vec![if *except_ongoing_contract {
                "Prohibited, even with consent, unless the message concerns a running contract.".into()
            } else {
                "Prohibited, even with consent.".into()
            }]
        }
        Requirement::Register(r) => register(r),
        Requirement::Hours(r) => hours(r),
        Requirement::Cap(r) => cap(r),
        Requirement::Form(r) => form(r),
        Requirement::Retention(r) => retention(r),
        Requirement::OptOutReach(OptOutReach { channels, only_from_everything }) => vec![format!(
            "An opt-out {}given while this rule is in force, by whichever of {}, reaches all messages on all of these \
             channels{}.",
            if *only_from_everything { "from everything " } else { "" },
            each(*channels, words::channel, "or"),
            if *only_from_everything { "" } else { ", whatever class of messages it was about" }
        )],
        Requirement::CollectedFor(CollectedFor { purpose }) => {
            let mut all = vec![
                "A condition of every relationship, and of what is allowed unless refused, which then also takes an \
                 address that came from the person."
                    .to_owned(),
            ];
            all.extend(told(*purpose));
            all
        }
    }
}

/// The contested points inside a requirement.
pub(super) fn contested_points(then: &Requirement) -> Vec<String> {
    let Requirement::Relationship(r) = then else { return Vec::new() };
    r.contested.values().chain(&r.ended_contested).cloned().collect()
}

fn named(basis: Basis) -> String {
    capitalised(words::basis(basis))
}

fn service(service: &Service) -> Vec<String> {
    let Service { basis, after_erasure, never_refused, minutes_after_refusal } = service;
    let mut all = vec![format!(
        "Service message ({}): needs no permission, and an opt-out does not stop it.",
        words::basis(*basis)
    )];
    all.extend(those([
        (*after_erasure, "Also after a request for erasure."),
        (!*after_erasure, "Not after a request for erasure."),
        (*never_refused, "Only to people who never refused anything of this sender."),
    ]));
    all.extend(minutes_after_refusal.map(|m| format!("Only within {} of a refusal.", count(m, "minute"))));
    all
}

fn consent(consent: &Consent, service_messages: bool) -> Vec<String> {
    let Consent { max_age, lapses, unused, written, named_purpose, unlisted } = consent;
    let mut all =
        vec!["Prior consent to this sender, channel and purpose, given actively and proved.".to_owned()];
    all.extend(those([
        (service_messages, "For a service message, consent to any purpose will do."),
        (*written, "In a signed writing."),
        (*named_purpose, "It must name the purpose of the message; consent to any purpose does not do."),
    ]));
    all.extend(max_age.map(|age| {
        if *lapses {
            format!("It lapses after {} that begin on the day of the opt-in, unless it states a period of its own.", period(age))
        } else {
            format!("It ends {} after the opt-in.", period(age))
        }
    }));
    all.extend(unused.map(|idle| {
        format!("It ends after {} without a message of the sender or a click of the person.", period(idle))
    }));
    all.extend(only_unlisted(*unlisted));
    all
}

fn only_unlisted(lists: EnumSet<Register>) -> Option<String> {
    let lists = (!lists.is_empty()).then(|| each(lists, words::register, "or"))?;
    Some(format!("Only to numbers that are not listed in {lists}."))
}

fn told(purpose: PurposeTold) -> Option<String> {
    match purpose {
        PurposeTold::Any => None,
        PurposeTold::Disclosed => Some("Marketing was among the purposes told at collection.".into()),
        PurposeTold::Named => Some("Marketing was named expressly as a purpose at collection.".into()),
    }
}

fn relationship(relationship: &Relationship) -> Vec<String> {
    let Relationship {
        basis,
        kinds,
        contested,
        refusal_offered,
        from_person,
        similar,
        same_category,
        running,
        after_end,
        ended_contested,
        window,
        counting,
        renewed_by_sends,
        first_message,
        before,
        mailed_before,
        collected_in_force,
        role_related,
        no_refusal_notice,
        purpose,
        referred,
        inherited,
    } = relationship;
    let mut all = Vec::new();
    if !kinds.is_empty() {
        all.push(format!("{} after {}.", named(*basis), each(*kinds, words::event, "or")));
    } else {
        all.push(format!("{}.", named(*basis)));
    }
    if !contested.is_empty() {
        let occasions = contested.iter().map(|(kind, point)| format!("{} (`{point}`)", words::event(*kind)));
        let occasions = joined(&occasions.collect::<Vec<_>>(), "and");
        all.push(format!("Contested, and counted only under the permissive reading: {occasions}."));
    }
    let soft = matches!(basis, Basis::SoftOptIn | Basis::CharitySoftOptIn);
    let free_account =
        kinds.contains(EventKind::FreeAccount) || contested.contains_key(&EventKind::FreeAccount);
    all.extend(those([
        (soft && free_account, "A free account counts only where the paid ones bear its cost."),
        (*from_person, "The address came from the person."),
        (!*from_person, "The address may have come from somebody else."),
        (*refusal_offered, "The person was offered a refusal at collection and did not use it."),
        (!*refusal_offered, "A refusal need not have been offered at collection."),
        (*similar, "The message is about the same products or similar ones."),
        (*same_category, "The occasion was about the very category of the message."),
        (!*similar, "The message may be about any product."),
    ]));
    all.extend(told(*purpose));
    all.extend(those([
        (
            *role_related,
            "The message concerns the person's role, and the address was given or published in it.",
        ),
        (*no_refusal_notice, "The address was published without a notice that refuses advertising."),
        (*referred, "The referrer is named and has a relationship with both sides."),
        (*inherited, "Whoever takes over the business takes over the relationship."),
        (*first_message, "Only the first message after the occasion."),
        (*collected_in_force, "Only addresses collected from the first day of this rule on."),
    ]));
    all.extend(before.map(|day| format!("Only occasions before {day}.")));
    all.extend(mailed_before.map(|day| format!("Only people who were written to before {day}.")));
    let counted = match counting {
        Counting::Forward => "counted from its instant",
        Counting::BackFromSendDay => "counted back in whole days from the day of sending",
    };
    if *running {
        let after = after_end.map(|p| format!(" and for {} after its end, {counted}", period(p)));
        let ended = ended_contested
            .as_ref()
            .map(|point| format!(", once ended only under the permissive reading of `{point}`"));
        all.push(format!(
            "A contract, subscription or membership counts while it runs{}{}.",
            after.unwrap_or_default(),
            ended.unwrap_or_default()
        ));
    }
    if let Some(window) = window {
        let what = if *running { "Any other occasion" } else { "The latest occasion" };
        let anew =
            if *renewed_by_sends { ", and each lawful message in that time begins it anew" } else { "" };
        all.push(format!("{what} counts for {}, {counted}{anew}.", period(*window)));
    } else if *running {
        let begins_a_contract =
            EventKind::ContractStart | EventKind::SubscriptionStart | EventKind::MembershipStart;
        let mut occasions = kinds.iter().chain(contested.keys().copied());
        let others = occasions.any(|kind| !begins_a_contract.contains(kind));
        all.extend(those([(others, "Any other occasion counts without limit of time.")]));
    } else {
        all.extend(those([(!*first_message, "No limit of time.")]));
    }
    all
}

fn regime(regime: &Regime) -> Vec<String> {
    let Regime {
        basis,
        informed,
        profession_related,
        not_bought,
        bought_with_proof,
        from_person,
        purpose,
        whatever_purpose,
        unlisted,
    } = regime;
    let mut all = vec![format!("{}: allowed unless the person refused.", named(*basis))];
    all.extend(those([
        (*informed, "The person was told at collection and could refuse."),
        (*profession_related, "The message concerns the person's profession."),
        (*not_bought && !*bought_with_proof, "Not to addresses that were bought or harvested."),
        (
            *not_bought && *bought_with_proof,
            "Not to addresses that were harvested, or bought without proof of their origin.",
        ),
        (!*not_bought && *bought_with_proof, "A bought list will do where proof of its origin is held."),
        (*from_person, "Only to addresses that came from the person."),
    ]));
    all.extend(told(*purpose));
    all.extend(those([(*whatever_purpose, "Whatever the address was collected for.")]));
    all.extend(only_unlisted(*unlisted));
    all
}

fn register(check: &RegisterCheck) -> Vec<String> {
    let RegisterCheck { registers, grace_days, names_sender, unless_consent } = check;
    let entry = if *names_sender { " by an entry that names this sender" } else { "" };
    let consent = if *unless_consent {
        "unless the person consented to this very sender"
    } else {
        "whatever the person consented to"
    };
    let registers = each(*registers, words::register, "or");
    let mut all = vec![format!("Not to those listed in {registers}{entry}, {consent}.")];
    if *grace_days > 0 {
        all.push(format!("A listing binds from the {} day after it on.", ordinal(*grace_days)));
    }
    all
}

fn ordinal(n: u32) -> String {
    let ending = match (n % 10, n % 100) {
        (1, r) if r != 11 => "st",
        (2, r) if r != 12 => "nd",
        (3, r) if r != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

fn hours(hours: &Hours) -> Vec<String> {
    let Hours { weekdays, saturday, sunday, on_holidays } = hours;
    let day = |name: &str, spans: &[Span]| {
        let span = |s: &Span| {
            let Span { from, to } = s;
            format!("{} to {}", from.format("%H:%M"), to.format("%H:%M"))
        };
        let spans: Vec<String> = spans.iter().map(span).collect();
        if spans.is_empty() {
            format!("{name}: not at all")
        } else {
            format!("{name}: {}", joined(&spans, "and"))
        }
    };
    let holidays = if *on_holidays { "as on other days" } else { "not at all" };
    vec![format!(
        "Only at these hours of the contact's zone. {}; {}; {}; public holidays: {holidays}.",
        day("Monday to Friday", weekdays),
        day("Saturday", saturday),
        day("Sunday", sunday),
    )]
}

fn cap(cap: &Cap) -> Vec<String> {
    let Cap { attempts, days, hours } = cap;
    let mut within = Vec::new();
    if *days > 0 {
        within.push(format!("in {}, today included", count(*days, "calendar day")));
    }
    if *hours > 0 {
        within.push(format!("in any {}", count(*hours, "hour")));
    }
    let within = joined(&within, "and");
    vec![format!("At most {} {within}, answered or not.", count(*attempts, "attempt"))]
}

fn form(duties: &FormDuties) -> Vec<String> {
    let FormDuties { unsubscribe, identity, postal_address, subject } = duties;
    let parts: Vec<String> = those([
        (*unsubscribe, "a working way to unsubscribe"),
        (*identity, "the sender's identity"),
        (*postal_address, "the sender's postal address"),
        (*subject, "a subject that does not mislead"),
    ])
    .collect();
    if parts.is_empty() {
        return vec!["Nothing is required of the message's form.".into()];
    }
    vec![format!("Every message carries {}.", joined(&parts, "and"))]
}

fn retention(retention: &Retention) -> Vec<String> {
    let Retention { after, actions, warn_days, renewal_days } = retention;
    let actions: EnumSet<EventKind> = *actions;
    vec![
        format!(
            "No marketing later than {} after the person's last action; a running contract holds the clock.",
            period(*after)
        ),
        format!(
            "A warning is due {} before the end, and one renewal message may go out in the last {}.",
            count(*warn_days, "day"),
            count(*renewal_days, "day")
        ),
        format!("What counts as an action: {}.", each(actions, words::event, "or")),
    ]
}
