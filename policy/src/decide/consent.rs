//! Consent: a prior opt-in in its context. GDPR art. 4(11) and 7; the sender bears the proof (art. 7(1)).

use super::Check;
use super::case::Case;
use super::permission::{Miss, Outcome};
use crate::codes::*;
use crate::fact::Expiry;
use crate::pack::{Consent, Counting, Requirement};
use crate::question::Phase;
use crate::state::{Atom, Confirmation, OptIn, Restriction};
use crate::time::{Instant, first_day_after, start_of_day};
use enumset::EnumSet;

/// What a message of this nature must be covered by.
pub(super) const fn purpose_of(nature: Nature) -> Purpose {
    match nature {
        Nature::Newsletter => Purpose::Newsletter,
        Nature::CharityFundraising => Purpose::Charity,
        Nature::Political => Purpose::Political,
        Nature::Survey => Purpose::Survey,
        _ => Purpose::Marketing,
    }
}

/// An opt-in to marketing covers the sender's newsletter and surveys; neither covers marketing. Where even a service
/// message needs an opt-in (US texts), any purpose will do.
fn covers_purpose(opt_in: &OptIn, nature: Nature, rule: &Consent) -> bool {
    if nature.is_service() {
        return !opt_in.purposes.is_empty();
    }
    let wanted = purpose_of(nature);
    if rule.named_purpose {
        return opt_in.purposes == EnumSet::only(wanted);
    }
    let within_marketing = matches!(wanted, Purpose::Newsletter | Purpose::Survey);
    opt_in.purposes.contains(wanted) || within_marketing && opt_in.purposes.contains(Purpose::Marketing)
}

/// Pre-ticked, bundled, implied and forced opt-ins are none (Planet49, C-673/17); one collected by somebody else
/// counts only if it named this sender.
fn valid_method(opt_in: &OptIn) -> bool {
    match opt_in.method {
        Method::Active | Method::Oral | Method::WrittenSigned => opt_in.from_person,
        Method::ThirdParty => opt_in.names_sender,
        Method::PreTicked | Method::Bundled | Method::Implied | Method::ConditionOfSale => false,
    }
}

pub(super) fn evaluate<'q>(case: &Case<'_, 'q>, rule: &Consent) -> Check<'q, Outcome<'q>> {
    let mut nearest = Miss::NOTHING;
    let mut best: Option<(Instant, OptIn)> = None;
    for atom in case.view.opt_ins() {
        let Atom::OptIn(opt_in) = atom? else { continue };
        if opt_in.other_contact != 0 {
            continue;
        }
        match judge(case, rule, &opt_in)? {
            Ok(until) if best.is_none_or(|(b, _)| until > b) => best = Some((until, opt_in)),
            Ok(_) => {}
            Err((reason, progress)) => {
                nearest = nearest.nearer(Miss::new(reason, progress, Atom::OptIn(opt_in)))
            }
        }
    }
    Ok(match best {
        Some((until, o)) => Outcome::Holds { until, support: Some(Atom::OptIn(o)), switch: None },
        None => Outcome::Misses(nearest),
    })
}

/// One opt-in against the message: until when it holds, or what it lacks and how near it came.
pub(crate) fn judge<'q>(
    case: &Case<'_, 'q>,
    rule: &Consent,
    opt_in: &OptIn,
) -> Check<'q, Result<Instant, (Reason, u8)>> {
    let target = &case.question.target;
    let lacks = |reason, progress| Ok(Err((reason, progress)));
    if opt_in.sender != case.sender() {
        return lacks(Reason::ConsentOtherSender, 25);
    }
    if !covers_purpose(opt_in, case.nature(), rule)
        || opt_in.category != 0 && !target.ancestors.contains(&opt_in.category)
    {
        return lacks(Reason::ConsentOtherPurpose, 54);
    }
    if !opt_in.channels.contains(case.channel()) {
        return lacks(Reason::ConsentOtherChannel, 55);
    }
    if !case.concerns_current_address(opt_in.address, opt_in.at) {
        return lacks(Reason::NoBasis, 5);
    }
    // Political advertising needs data from the person (Regulation (EU) 2024/900 art 18).
    let secondhand = rule.named_purpose && opt_in.method == Method::ThirdParty;
    if secondhand || !valid_method(opt_in) {
        return lacks(Reason::ConsentInvalid, 60);
    }
    if rule.written && opt_in.method != Method::WrittenSigned {
        return lacks(Reason::WrittenConsentRequired, 64);
    }
    let Some(given_at) = given_at(case, opt_in)? else {
        return lacks(Reason::ConsentUnproven, 65);
    };
    if opt_in.grade != Grade::Proof {
        return lacks(Reason::ConsentUnproven, 75);
    }
    let own_end = match opt_in.expires {
        Expiry::At(end) => end,
        Expiry::Unstated | Expiry::Never => Instant::MAX,
    };
    let until = lawful_end(case, rule, opt_in, given_at)?.min(own_end);
    if case.is_before(until) { Ok(Ok(until)) } else { lacks(Reason::ConsentExpired, 115) }
}

/// Where the law itself ends a consent given then.
fn lawful_end<'q>(
    case: &Case<'_, 'q>,
    rule: &Consent,
    opt_in: &OptIn,
    given_at: Instant,
) -> Check<'q, Instant> {
    let zone = case.zone();
    let mut end = match rule.max_age {
        Some(_) if rule.lapses && opt_in.expires != Expiry::Unstated => Instant::MAX,
        Some(age) if rule.lapses => start_of_day(first_day_after(given_at.local_date(zone), age), zone),
        Some(age) => case.end_of(given_at, age, Counting::Forward),
        None => Instant::MAX,
    };
    if let Some(idle) = rule.unused {
        // A message of the sender, a click or a log-in of the person.
        let use_of = |atom: &Atom| match atom {
            Atom::Action(a) if a.sender == case.sender() => Some((a.at, a.at)),
            _ => case.sends_of(atom).map(|s| (s.first, s.last)),
        };
        end = end.min(case.end_renewed(given_at, idle, use_of)?);
    }
    Ok(end)
}

/// When the person said yes: a double opt-in counts from its confirmation, which must come from the same address.
pub(crate) fn given_at<'q>(case: &Case<'_, 'q>, opt_in: &OptIn) -> Check<'q, Option<Instant>> {
    if !opt_in.pending {
        return Ok(Some(opt_in.at));
    }
    let mut confirmed = None;
    for atom in case.view.opt_ins() {
        if let Atom::Confirmation(Confirmation { sender, channels, purposes, address, at }) = atom? {
            let same = sender == opt_in.sender
                && purposes.is_superset(opt_in.purposes)
                && channels.contains(case.channel())
                && (address == 0 || opt_in.address == 0 || address == opt_in.address);
            if same && at >= opt_in.at {
                confirmed = confirmed.max(Some(at));
            }
        }
    }
    Ok(confirmed)
}

/// What the law asks of an opt-in to this message, where it says.
pub(crate) fn rule_of<'q>(case: &Case<'_, 'q>) -> Option<&'q Consent> {
    case.rules(Phase::Permission).find_map(|r| match &r.then {
        Requirement::Consent(c) => Some(c),
        _ => None,
    })
}

/// Until when a later affirmative opt-in lifts this restriction for this message; `None` where none does. Only an
/// opt-in that is itself a valid consent now does; nothing else ever lifts a refusal.
pub(super) fn lifted_until<'q>(case: &Case<'_, 'q>, restriction: &Restriction) -> Check<'q, Option<Instant>> {
    let mut lifted = None;
    let usual = Consent::default();
    let rule = rule_of(case);
    for atom in case.view.opt_ins() {
        let Atom::OptIn(opt_in) = atom? else { continue };
        let by_the_same_person = opt_in.other_contact == restriction.other_contact;
        if by_the_same_person
            && given_at(case, &opt_in)?.is_some_and(|at| at > restriction.lifted_after)
            && let Ok(until) = judge(case, rule.unwrap_or(&usual), &opt_in)?
        {
            lifted = lifted.max(Some(until));
        }
    }
    Ok(lifted)
}

/// Until when the person has validly opted in to this very sender for this message.
pub(super) fn given_until<'q>(case: &Case<'_, 'q>) -> Check<'q, Option<Instant>> {
    Ok(match evaluate(case, &Consent::default())? {
        Outcome::Holds { until, .. } => Some(until),
        Outcome::Misses(_) => None,
    })
}
