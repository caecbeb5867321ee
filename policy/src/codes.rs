//! The vocabulary: every code that a fact, a pack, a question or an answer may use.
//!
//! A code's position in its list is stored in states and questions, so lists only ever grow at the end.

use enumset::EnumSetType;
use serde::{Deserialize, Serialize};

/// A code that is not in its list. Carries what was expected, never what the caller wrote elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{got}`")]
pub struct UnknownCode {
    pub what: &'static str,
    pub got: String,
    pub expected: &'static [&'static str],
}

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Hash, PartialOrd, Ord, Serialize, Deserialize, EnumSetType)]
        #[enumset(serialize_repr = "list")]
        pub enum $name { $(#[serde(rename = $code)] $variant),+ }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            pub const CODES: &'static [&'static str] = &[$($code),+];

            pub const fn code(self) -> &'static str {
                Self::CODES[self as usize]
            }

            /// The code at a stored position; `None` where a newer version wrote it.
            pub fn at(position: u8) -> Option<$name> {
                Self::ALL.get(position as usize).copied()
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownCode;
            fn from_str(code: &str) -> Result<Self, UnknownCode> {
                Self::CODES.iter().position(|c| *c == code).map(|i| Self::ALL[i]).ok_or_else(|| UnknownCode {
                    what: $what,
                    got: code.to_owned(),
                    expected: Self::CODES,
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.code())
            }
        }
    };
}

codes!(Channel, "channel" {
    Email = "email", Sms = "sms", PhoneLive = "phone_live", PhoneAuto = "phone_auto", Post = "post",
});

codes!(
    /// What a message is by its content. A registered message kind has one of these.
    Nature, "message nature" {
    Transactional = "transactional", Account = "account", LegalNotice = "legal_notice",
    SecurityAlert = "security_alert", Quote = "quote", SolicitedReply = "solicited_reply",
    OptInConfirmation = "opt_in_confirmation", OptOutConfirmation = "opt_out_confirmation",
    Marketing = "marketing", Newsletter = "newsletter", AbandonedCart = "abandoned_cart",
    ReviewRequest = "review_request", Survey = "survey", WinBack = "win_back",
    EventInvitation = "event_invitation", ConsentRequest = "consent_request",
    OptInInvitation = "opt_in_invitation", Mixed = "mixed", CharityFundraising = "charity_fundraising",
    Political = "political",
});

impl Nature {
    /// Service messages are written for the person's sake and pass an opt-out, unless they carry advertising.
    pub const fn is_service(self) -> bool {
        (self as u8) < (Nature::Marketing as u8)
    }

    /// How much advertising a message of this nature carries when its registration does not say.
    pub const fn usual_promotion(self) -> Promotional {
        match self {
            _ if self.is_service() => Promotional::None,
            Nature::ReviewRequest | Nature::Survey => Promotional::None,
            Nature::OptInInvitation => Promotional::Incidental,
            _ => Promotional::Substantial,
        }
    }
}

codes!(
    /// Whom the address belongs to. `Unknown` is treated as an individual.
    Subscriber, "subscriber" {
    Individual = "individual", SoleTrader = "sole_trader", Partnership = "partnership",
    Corporate = "corporate", Unknown = "unknown",
});

codes!(AddressKind, "address kind" {
    Personal = "personal", NamedWork = "named_work", Role = "role", Unknown = "unknown",
});

codes!(
    /// Of a phone number. `Unknown` is treated as mobile, the stricter of the two.
    Line, "line" { Mobile = "mobile", Landline = "landline", Unknown = "unknown" });

codes!(Sector, "sector" {
    ClaimsManagement = "claims_management", Pensions = "pensions", EnergyRenovation = "energy_renovation",
    EnergySupply = "energy_supply", CpfTraining = "cpf_training", Press = "press", Gambling = "gambling",
});

codes!(
    /// How an opt-in was given.
    Method, "opt-in method" {
    Active = "active", Oral = "oral", PreTicked = "pre_ticked", Bundled = "bundled", Implied = "implied",
    ConditionOfSale = "condition_of_sale", ThirdParty = "third_party", WrittenSigned = "written_signed",
});

codes!(Purpose, "purpose" {
    Marketing = "marketing", Newsletter = "newsletter", Charity = "charity", Political = "political",
    Survey = "survey", Profiling = "profiling",
});

codes!(Tri, "answer" { Unknown = "unknown", Yes = "yes", No = "no" });

codes!(
    /// How far an opt-out reaches. An unclear one is read as `All`.
    Scope, "opt-out scope" { Category = "category", Marketing = "marketing", All = "all" });

codes!(
    /// The way an opt-out came in; `system` is the operator's own doing (passive), all others the person's.
    Via, "opt-out route" {
    OneClick = "one_click", Link = "link", Reply = "reply", Phone = "phone", Letter = "letter",
    InPerson = "in_person", SpamComplaint = "spam_complaint", System = "system",
});

codes!(Register, "register" {
    Tps = "TPS", Ctps = "CTPS", Fps = "FPS", Mps = "MPS", Bloctel = "BLOCTEL", Dncm = "DNCM", Rpo = "RPO",
    Robinson = "ROBINSON", Ndd = "NDD", Dncl = "DNCL", UsDnc = "US_DNC", AuDncr = "AU_DNCR",
    SgDnc = "SG_DNC", InDnd = "IN_DND", Betstop = "BETSTOP",
});

codes!(
    /// What can be recorded about a contact.
    EventKind, "event kind" {
    Purchase = "purchase", ContractStart = "contract_start", ContractEnd = "contract_end",
    SubscriptionStart = "subscription_start", SubscriptionEnd = "subscription_end",
    QuoteRequest = "quote_request", Enquiry = "enquiry", Basket = "basket", TrialStart = "trial_start",
    FreeAccount = "free_account", AccountCreated = "account_created", Donation = "donation",
    Volunteering = "volunteering", SupportExpressed = "support_expressed",
    MembershipStart = "membership_start", MembershipEnd = "membership_end",
    BusinessTransferred = "business_transferred", GeneralQuestion = "general_question", Browse = "browse",
    CompetitionEntry = "competition_entry", Referral = "referral", AddressPublished = "address_published",
    AddressDisclosed = "address_disclosed", ImportedList = "imported_list", BoughtList = "bought_list",
    Scraped = "scraped", OptIn = "opt_in", OptInConfirmed = "opt_in_confirmed",
    OptInRefused = "opt_in_refused", OptInUnanswered = "opt_in_unanswered", SystemOptIn = "system_opt_in",
    OptOut = "opt_out", Objection = "objection", ErasureRequest = "erasure_request",
    RegisterListed = "register_listed", RegisterDelisted = "register_delisted", Click = "click",
    Open = "open", Login = "login", InboundContact = "inbound_contact", Bounce = "bounce", Sent = "sent",
    CallAttempt = "call_attempt", LegalHold = "legal_hold", LegalHoldReleased = "legal_hold_released",
    Preference = "preference",
});

impl EventKind {
    /// The address came from somebody else than the person, or was found.
    pub const fn is_delivered_by_others(self) -> bool {
        matches!(
            self,
            EventKind::ImportedList
                | EventKind::BoughtList
                | EventKind::Scraped
                | EventKind::AddressPublished
        )
    }

    /// Opens something that runs until it is ended.
    pub const fn begins_contract(self) -> bool {
        matches!(self, EventKind::ContractStart | EventKind::SubscriptionStart | EventKind::MembershipStart)
    }

    /// Paid dealings: an enquiry shows no taste that others share.
    pub const fn is_purchase(self) -> bool {
        matches!(self, EventKind::Purchase | EventKind::ContractStart | EventKind::SubscriptionStart)
    }

    /// Takes permission away: must be in the state when its transaction commits.
    pub const fn is_restriction(self) -> bool {
        matches!(
            self,
            EventKind::OptOut
                | EventKind::Objection
                | EventKind::ErasureRequest
                | EventKind::OptInRefused
                | EventKind::RegisterListed
        )
    }
}

codes!(Unsubscribe, "unsubscribe mechanism" {
    OneClick = "one_click", Link = "link", Reply = "reply", Obstructed = "obstructed",
    LoginRequired = "login_required", Broken = "broken", None = "none",
});

codes!(Promotional, "promotional content" {
    None = "none", Incidental = "incidental", Substantial = "substantial",
});

codes!(
    /// What is held to show that a fact is true.
    Grade, "evidence grade" { None = "none", StateOnly = "state_only", Proof = "proof" });

codes!(
    /// The legal ground that allows.
    Basis, "basis" {
    Contract = "contract", LegalObligation = "legal_obligation", LegitimateInterest = "legitimate_interest",
    Consent = "consent", SoftOptIn = "soft_opt_in", CharitySoftOptIn = "charity_soft_opt_in",
    ImpliedPurchase = "implied_purchase", ImpliedContract = "implied_contract",
    ImpliedInquiry = "implied_inquiry", ImpliedNonbusiness = "implied_nonbusiness",
    ImpliedPublished = "implied_published", ImpliedDisclosed = "implied_disclosed",
    ImpliedReferral = "implied_referral", ImpliedTransitional = "implied_transitional",
    Inferred = "inferred", BusinessRelationship = "business_relationship",
    OptOutRegime = "opt_out_regime", Exempt = "exempt", Solicited = "solicited",
    NotRegulated = "not_regulated",
});

codes!(
    /// The code that denies.
    Reason, "reason" {
    OptedOut = "opted_out", Objected = "objected", SuppressedAddress = "suppressed_address",
    Erased = "erased", Registered = "registered", NoBasis = "no_basis", ConsentInvalid = "consent_invalid",
    ConsentUnproven = "consent_unproven", ConsentExpired = "consent_expired",
    ConsentOtherChannel = "consent_other_channel", ConsentOtherPurpose = "consent_other_purpose",
    ConsentOtherSender = "consent_other_sender", RelationshipNoSale = "relationship_no_sale",
    RelationshipNoOptOutOffered = "relationship_no_opt_out_offered",
    RelationshipRefused = "relationship_refused_at_collection",
    RelationshipNotSimilar = "relationship_not_similar",
    RelationshipOtherSender = "relationship_other_sender",
    RelationshipThirdPartyData = "relationship_third_party_data",
    RelationshipExpired = "relationship_expired",
    RelationshipKindExcluded = "relationship_kind_excluded",
    RelationshipChannelExcluded = "relationship_channel_excluded",
    RelevanceUnproven = "relevance_unproven", WrittenConsentRequired = "written_consent_required",
    Contested = "contested", Prohibited = "prohibited", NotYetInForce = "not_yet_in_force",
    RetentionExpired = "retention_expired", MixedIsMarketing = "mixed_is_marketing",
    ConsentRequestIsMarketing = "consent_request_is_marketing", FormUnsubscribe = "form_unsubscribe",
    FormIdentity = "form_identity", FormMisleading = "form_misleading", QuietHours = "quiet_hours",
    FrequencyCap = "frequency_cap", UnknownContact = "unknown_contact", UnknownKind = "unknown_kind",
    UnknownCategory = "unknown_category", UnknownJurisdiction = "unknown_jurisdiction",
    HistoryNeeded = "history_needed", StateOverflow = "state_overflow", Dirty = "dirty",
    StaleSource = "stale_source", KeyMissing = "key_missing", SwitchedOff = "switched_off",
});

codes!(
    /// How sure the law's reading is.
    Confidence, "confidence" { High = "high", Medium = "medium", Low = "low" });
