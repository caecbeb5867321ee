//! Plain English for each code. A new code does not compile until it has its words.

use crate::codes::*;
use crate::pack::SenderTrait;
use crate::time::Period;

/// `a, b and c`, with the word that joins the last two.
pub(super) fn joined<S: AsRef<str>>(parts: &[S], last: &str) -> String {
    match parts {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., end] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} {last} {}", first.join(", "), end.as_ref())
        }
    }
}

/// The words of a set's members, in the order of their list.
pub(super) fn each<T>(set: enumset::EnumSet<T>, word: impl Fn(T) -> &'static str, last: &str) -> String
where
    T: enumset::EnumSetType,
{
    joined(&set.iter().map(word).collect::<Vec<_>>(), last)
}

/// With a capital letter.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

pub(super) fn count(n: u32, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

pub(super) fn period(p: Period) -> String {
    let Period { years, months, days } = p;
    let parts = [(years, "year"), (months, "month"), (days, "day")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| count(*n, unit)).collect();
    if parts.is_empty() { "no time".into() } else { joined(&parts, "and") }
}

pub(super) const fn nature(nature: Nature) -> &'static str {
    match nature {
        Nature::Transactional => "transactional messages",
        Nature::Account => "account messages",
        Nature::LegalNotice => "legal notices",
        Nature::SecurityAlert => "security alerts",
        Nature::Quote => "quotes asked for",
        Nature::SolicitedReply => "replies to a request",
        Nature::OptInConfirmation => "opt-in confirmations",
        Nature::OptOutConfirmation => "opt-out confirmations",
        Nature::Marketing => "marketing",
        Nature::Newsletter => "newsletters",
        Nature::AbandonedCart => "reminders of an abandoned basket",
        Nature::ReviewRequest => "review requests",
        Nature::Survey => "surveys",
        Nature::WinBack => "win-back messages",
        Nature::EventInvitation => "invitations to events",
        Nature::ConsentRequest => "requests for consent",
        Nature::OptInInvitation => "invitations to opt in",
        Nature::Mixed => "service messages that advertise",
        Nature::CharityFundraising => "charity fundraising",
        Nature::Political => "political messages",
    }
}

pub(super) const fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "e-mail",
        Channel::Sms => "text message",
        Channel::PhoneLive => "live call",
        Channel::PhoneAuto => "automated call",
        Channel::Post => "post",
    }
}

pub(super) const fn subscriber(subscriber: Subscriber) -> &'static str {
    match subscriber {
        Subscriber::Individual => "individuals",
        Subscriber::SoleTrader => "sole traders",
        Subscriber::Partnership => "partnerships",
        Subscriber::Corporate => "companies",
        Subscriber::Unknown => "contacts of unknown kind",
    }
}

pub(super) const fn address_kind(kind: AddressKind) -> &'static str {
    match kind {
        AddressKind::Personal => "personal addresses",
        AddressKind::NamedWork => "work addresses of a named person",
        AddressKind::Role => "role addresses such as info@",
        AddressKind::Unknown => "addresses of unknown kind",
    }
}

pub(super) const fn line(line: Line) -> &'static str {
    match line {
        Line::Mobile => "mobile numbers",
        Line::Landline => "landlines",
        Line::Unknown => "numbers of unknown kind",
    }
}

pub(super) const fn sector(sector: Sector) -> &'static str {
    match sector {
        Sector::ClaimsManagement => "claims management",
        Sector::Pensions => "pensions",
        Sector::EnergyRenovation => "energy renovation",
        Sector::EnergySupply => "energy supply",
        Sector::CpfTraining => "training paid from a CPF account",
        Sector::Press => "newspapers and magazines",
        Sector::Gambling => "gambling",
    }
}

pub(super) const fn promotional(promotional: Promotional) -> &'static str {
    match promotional {
        Promotional::None => "no",
        Promotional::Incidental => "incidental",
        Promotional::Substantial => "substantial",
    }
}

/// Of one sender.
pub(super) const fn sender(sender: SenderTrait) -> &'static str {
    match sender {
        SenderTrait::Charity => "a charity",
        SenderTrait::PoliticalParty => "a political party",
        SenderTrait::PensionAuthorised => "authorised for pension calls",
    }
}

pub(super) const fn register(register: Register) -> &'static str {
    match register {
        Register::Tps => "the Telephone Preference Service (TPS)",
        Register::Ctps => "the Corporate Telephone Preference Service (CTPS)",
        Register::Fps => "the Fundraising Preference Service (FPS)",
        Register::Mps => "the Mailing Preference Service (MPS)",
        Register::Bloctel => "Bloctel",
        Register::Dncm => "Do Not Call Me (DNCM)",
        Register::Rpo => "the Registro pubblico delle opposizioni (RPO)",
        Register::Robinson => "the Robinson list",
        Register::Ndd => "the National Directory Database (NDD)",
        Register::Dncl => "the National Do Not Call List (DNCL)",
        Register::UsDnc => "the National Do Not Call Registry (US_DNC)",
        Register::AuDncr => "the Do Not Call Register (AU_DNCR)",
        Register::SgDnc => "the Do Not Call Registry (SG_DNC)",
        Register::InDnd => "the preference register (IN_DND)",
        Register::Betstop => "BetStop",
    }
}

pub(super) const fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Contract => "contract",
        Basis::LegalObligation => "legal obligation",
        Basis::LegitimateInterest => "legitimate interest",
        Basis::Consent => "consent",
        Basis::SoftOptIn => "soft opt-in",
        Basis::CharitySoftOptIn => "charity soft opt-in",
        Basis::ImpliedPurchase => "consent implied by a purchase",
        Basis::ImpliedContract => "consent implied by a contract",
        Basis::ImpliedInquiry => "consent implied by an inquiry",
        Basis::ImpliedNonbusiness => "consent implied by a non-business relationship",
        Basis::ImpliedPublished => "consent implied by publication of the address",
        Basis::ImpliedDisclosed => "consent implied by disclosure of the address",
        Basis::ImpliedReferral => "referral",
        Basis::ImpliedTransitional => "consent implied by the transitional provision",
        Basis::Inferred => "inferred consent",
        Basis::BusinessRelationship => "business relationship",
        Basis::OptOutRegime => "opt-out regime",
        Basis::Exempt => "exempt from the law on marketing",
        Basis::Solicited => "solicited",
        Basis::NotRegulated => "not regulated",
    }
}

pub(super) const fn event(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Purchase => "a purchase",
        EventKind::ContractStart => "the start of a contract",
        EventKind::ContractEnd => "the end of a contract",
        EventKind::SubscriptionStart => "the start of a subscription",
        EventKind::SubscriptionEnd => "the end of a subscription",
        EventKind::QuoteRequest => "a request for a quote",
        EventKind::Enquiry => "an enquiry about an offer",
        EventKind::Basket => "a filled basket",
        EventKind::TrialStart => "the start of a trial",
        EventKind::FreeAccount => "a free account",
        EventKind::AccountCreated => "an account without an order",
        EventKind::Donation => "a donation",
        EventKind::Volunteering => "voluntary work",
        EventKind::SupportExpressed => "an expression of support",
        EventKind::MembershipStart => "the start of a membership",
        EventKind::MembershipEnd => "the end of a membership",
        EventKind::BusinessTransferred => "the transfer of the business",
        EventKind::GeneralQuestion => "a general question",
        EventKind::Browse => "a visit to the site",
        EventKind::CompetitionEntry => "an entry to a competition",
        EventKind::Referral => "a referral",
        EventKind::AddressPublished => "publication of the address",
        EventKind::AddressDisclosed => "disclosure of the address to the sender",
        EventKind::ImportedList => "an imported list",
        EventKind::BoughtList => "a bought list",
        EventKind::Scraped => "harvesting of the address",
        EventKind::OptIn => "an opt-in",
        EventKind::OptInConfirmed => "the confirmation of an opt-in",
        EventKind::OptInRefused => "a refusal when asked to opt in",
        EventKind::OptInUnanswered => "an unanswered request to opt in",
        EventKind::SystemOptIn => "an opt-in set by a system",
        EventKind::OptOut => "an opt-out",
        EventKind::Objection => "an objection",
        EventKind::ErasureRequest => "a request for erasure",
        EventKind::RegisterListed => "an entry in a register",
        EventKind::RegisterDelisted => "removal from a register",
        EventKind::Click => "a click",
        EventKind::Open => "the opening of a message",
        EventKind::Login => "a log-in",
        EventKind::InboundContact => "a call or message from the person",
        EventKind::Bounce => "a bounce",
        EventKind::Sent => "a message sent",
        EventKind::CallAttempt => "a call attempt",
        EventKind::LegalHold => "a legal hold",
        EventKind::LegalHoldReleased => "the release of a legal hold",
        EventKind::Preference => "a preference",
    }
}

/// An obligation's code, `screen_register:TPS`, as it reads: `screen register: TPS`.
pub(super) fn obligation(code: &str) -> String {
    let (duty, value) = code.split_once(':').unwrap_or((code, ""));
    let duty = duty.replace('_', " ");
    if value.is_empty() { duty } else { format!("{duty}: {value}") }
}
