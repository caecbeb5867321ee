//! The soft opt-in and its relatives: marketing of similar products to people who gave their details in a sale
//! (or as the pack says) and could refuse. Directive 2002/58/EC art. 13(2); PECR reg. 22(3).

use super::Check;
use super::case::{Case, ContractStanding};
use super::consent::purpose_of;
use super::permission::{Miss, Outcome};
use crate::codes::*;
use crate::pack::{PurposeTold, Relationship, Rule};
use crate::state::{Atom, Relation};
use crate::time::{Instant, start_of_day};
use enumset::EnumSet;

pub(crate) fn evaluate<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    wanted: &'q Relationship,
) -> Check<'q, Outcome<'q>> {
    let mut nearest = Miss::NOTHING;
    let mut best: Option<(Instant, Relation, Option<&'q str>)> = None;
    for relation in case.view.relations() {
        let relation = relation?;
        // Most purchases fall here; only an explanation wants to know which other limb they lack.
        if !case.exact && wanted.similar && !case.is_similar(&relation) {
            continue;
        }
        match judge(case, rule, wanted, &relation)? {
            Ok(_) if case.question.stale_sales.contains(&relation.sender) => {
                nearest = nearest.nearer(Miss::new(Reason::StaleSource, u8::MAX, Atom::Relation(relation)));
            }
            Ok((until, switch)) if best.is_none_or(|(b, ..)| until > b) => {
                best = Some((until, relation, switch))
            }
            Ok(_) => {}
            Err(miss) => nearest = nearest.nearer(miss),
        }
        if !case.exact && best.is_some() {
            break;
        }
    }
    Ok(match best {
        Some((until, r, switch)) => Outcome::Holds { until, support: Some(Atom::Relation(r)), switch },
        None => Outcome::Misses(nearest),
    })
}

/// An occasion that would do for a rule that is not yet law.
pub(super) fn comes_into_force_later<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    wanted: &'q Relationship,
) -> Check<'q, Option<Atom>> {
    for relation in case.view.relations() {
        let relation = relation?;
        let would_do = match collected(case, rule, wanted, &relation)? {
            Ok(_) => true,
            Err(miss) => miss.reason == Reason::NotYetInForce,
        };
        if would_do {
            return Ok(Some(Atom::Relation(relation)));
        }
    }
    Ok(None)
}

/// Occasions on which something was agreed, asked for or at least tried out; that they don't suffice here is
/// worth saying. The others (a published address, a scraped one) come near no relationship.
fn is_dealing(kind: EventKind) -> bool {
    use EventKind::*;
    matches!(
        kind,
        Purchase
            | ContractStart
            | SubscriptionStart
            | QuoteRequest
            | Enquiry
            | Basket
            | TrialStart
            | FreeAccount
            | AccountCreated
            | GeneralQuestion
            | Browse
    )
}

fn is_support(kind: EventKind) -> bool {
    use EventKind::*;
    matches!(kind, Donation | Volunteering | SupportExpressed | MembershipStart)
}

/// Until when an occasion carries, with the contested point it rests on; or which limb it lacks and how near it came.
type Judgement<'q> = Result<(Instant, Option<&'q str>), Miss<'q>>;

fn judge<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    wanted: &'q Relationship,
    r: &Relation,
) -> Check<'q, Judgement<'q>> {
    let switch = match collected(case, rule, wanted, r)? {
        Ok(switch) => switch,
        Err(miss) => return Ok(Err(miss)),
    };
    let lacks = |reason, progress| Ok(Err(Miss::new(reason, progress, Atom::Relation(*r))));
    if wanted.similar && !case.is_similar(r) {
        return lacks(Reason::RelationshipNotSimilar, 100);
    }
    if wanted.same_category && r.category != case.question.target.category {
        return lacks(Reason::RelationshipNotSimilar, 101);
    }
    if wanted.first_message && written_to_since(case, r.at)? {
        return lacks(Reason::RelationshipExpired, 110);
    }
    if wanted.running && r.kind.begins_contract() {
        return contract(case, wanted, r, switch);
    }
    let until = match wanted.window {
        None => Instant::MAX,
        Some(window) if !case.exact && case.surely_within(r.at, window) => Instant::MAX,
        Some(window) if wanted.renewed_by_sends => {
            let lawful = |atom: &Atom| case.sends_of(atom).filter(|s| s.compliant).map(|s| (s.first, s.last));
            case.end_renewed(r.at, window, lawful)?
        }
        Some(window) => case.end_of(r.at, window, wanted.counting),
    };
    if case.is_before(until) { Ok(Ok((until, switch))) } else { lacks(Reason::RelationshipExpired, 110) }
}

/// The conditions about how the address was collected, in the order in which their lack is reported; the contested
/// point, where the occasion rests on one.
fn collected<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    wanted: &'q Relationship,
    r: &Relation,
) -> Check<'q, Result<Option<&'q str>, Miss<'q>>> {
    let lacks = |reason, progress| Ok(Err(Miss::new(reason, progress, Atom::Relation(*r))));
    let soft = matches!(wanted.basis, Basis::SoftOptIn | Basis::CharitySoftOptIn);
    let counts = wanted.kinds.contains(r.kind) && !(soft && is_unpaid_account(r));
    let contested = wanted.contested.get(&r.kind).filter(|_| !(soft && is_unpaid_account(r)));
    let switch = contested.map(String::as_str);
    let counts_at_all = counts || switch.is_some();
    if r.kind == EventKind::BoughtList && soft {
        return lacks(Reason::RelationshipThirdPartyData, 10);
    }
    if !counts_at_all && !(soft && (is_dealing(r.kind) || is_support(r.kind))) {
        return Ok(Err(Miss::NOTHING));
    }
    if r.sender != case.sender() && !(wanted.inherited && case.inherits(r.sender, r.at)?) {
        return lacks(Reason::RelationshipOtherSender, 24);
    }
    if !case.concerns_current_address(r.address, r.at) {
        return lacks(Reason::NoBasis, 5);
    }
    if wanted.from_person && !r.from_person {
        return lacks(Reason::RelationshipThirdPartyData, 26);
    }
    if !counts_at_all {
        let wants_support = wanted.kinds.iter().any(is_support);
        let reason = if wants_support || is_support(r.kind) {
            Reason::RelationshipKindExcluded
        } else {
            Reason::RelationshipNoSale
        };
        return lacks(reason, 35);
    }
    if !r.channels.contains(case.channel()) {
        return lacks(Reason::RelationshipChannelExcluded, 45);
    }
    if wanted.role_related
        && !(r.relevant_to_role == Tri::Yes && case.question.message.form.profession_related)
    {
        return lacks(Reason::RelevanceUnproven, 50);
    }
    if wanted.no_refusal_notice && r.refusal_notice != Tri::No {
        let reason = if r.refusal_notice == Tri::Yes { Reason::NoBasis } else { Reason::ConsentUnproven };
        return lacks(reason, 51);
    }
    if wanted.referred && !r.referred {
        return lacks(Reason::NoBasis, 51);
    }
    let asked = case.purpose_asked().filter(|(purpose, _)| *purpose > wanted.purpose);
    let purpose = asked.map_or(wanted.purpose, |(purpose, _)| purpose);
    if !told(case, purpose, r.purposes) {
        let unnamed = purpose == PurposeTold::Named;
        let reason = if unnamed { Reason::RelevanceUnproven } else { Reason::ConsentOtherPurpose };
        let rule = asked.map(|(_, rule)| rule);
        return Ok(Err(Miss { rule, ..Miss::new(reason, 54, Atom::Relation(*r)) }));
    }
    if wanted.before.is_some_and(|day| r.at >= start_of_day(day, case.zone())) {
        return Ok(Err(Miss::NOTHING));
    }
    if let Some(day) = wanted.mailed_before
        && !written_to_before(case, start_of_day(day, case.zone()))?
    {
        return Ok(Err(Miss::NOTHING));
    }
    if wanted.collected_in_force && r.at < start_of_day(rule.from, case.zone()) {
        return lacks(Reason::NotYetInForce, 61);
    }
    if switch.is_some_and(|s| !case.switch(s)) {
        return Ok(Err(Miss { switch, ..Miss::new(Reason::Contested, 62, Atom::Relation(*r)) }));
    }
    if r.grade == Grade::None {
        return lacks(Reason::ConsentUnproven, 70);
    }
    if wanted.refusal_offered && r.opt_out_offered != Tri::Yes {
        return lacks(Reason::RelationshipNoOptOutOffered, 80);
    }
    Ok(Ok(switch))
}

/// A free account that no paid tier bears is no sale, not even an indirect one (CJEU C-654/23).
fn is_unpaid_account(r: &Relation) -> bool {
    r.kind == EventKind::FreeAccount && !r.funded_by_paid
}

/// Whether the purposes told at collection satisfy the rule.
pub(super) fn told(case: &Case<'_, '_>, wanted: PurposeTold, purposes: EnumSet<Purpose>) -> bool {
    let names = purposes.contains(Purpose::Marketing) || purposes.contains(purpose_of(case.nature()));
    match wanted {
        PurposeTold::Any => true,
        PurposeTold::Disclosed => names,
        PurposeTold::Named => purposes != EnumSet::all() && purposes.contains(Purpose::Marketing),
    }
}

/// While the contract runs, and as long after its end as the rule says.
fn contract<'q>(
    case: &Case<'_, 'q>,
    wanted: &'q Relationship,
    r: &Relation,
    switch: Option<&'q str>,
) -> Check<'q, Judgement<'q>> {
    let atom = Atom::Relation(*r);
    let after = |end: Instant| match wanted.after_end {
        _ if end >= Instant::MAX => end,
        Some(window) => case.end_of(end, window, wanted.counting),
        None => end,
    };
    Ok(match case.contract_begun_by(r)? {
        None => Err(Miss::NOTHING),
        Some(ContractStanding::RunsUntil(end)) => Ok((after(end), switch)),
        Some(ContractStanding::EndedAt(end)) => match wanted.ended_contested.as_deref() {
            Some(ended) if case.switch(ended) => Ok((Instant::MAX, Some(ended))),
            Some(ended) => Err(Miss { switch: Some(ended), ..Miss::new(Reason::Contested, 109, atom) }),
            None if case.is_before(after(end)) => Ok((after(end), switch)),
            None => Err(Miss::new(Reason::RelationshipExpired, 110, atom)),
        },
    })
}

/// Whether the sender has written to the contact since, lawfully or not, on whatever channel.
fn written_to_since<'q>(case: &Case<'_, 'q>, since: Instant) -> Check<'q, bool> {
    for atom in case.view.activity() {
        if matches!(atom?, Atom::Sends(s) if s.sender == case.sender() && s.last >= since) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn written_to_before<'q>(case: &Case<'_, 'q>, day: Instant) -> Check<'q, bool> {
    for atom in case.view.activity() {
        if case.sends_of(&atom?).is_some_and(|s| s.first < day) {
            return Ok(true);
        }
    }
    Ok(false)
}
