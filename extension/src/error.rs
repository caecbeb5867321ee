//! Errors as PostgreSQL reports them: SQLSTATE, message, DETAIL, HINT. No personal data in any of them.

use pg_consent_policy::address::AddressError;
use pg_consent_policy::codes::UnknownCode;
use pg_consent_policy::pack::Fault;
use pg_consent_policy::profile::ProfileError;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::PgSqlErrorCode as Code;

pub type Result<T> = std::result::Result<T, ErrorReport>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("consent.setup() has not been run in this database")]
    NotSetUp,
    #[error("{what} `{name}` is not known")]
    Unknown { what: &'static str, name: String, table: &'static str },
    #[error("jurisdiction `{name}` is not known")]
    Jurisdiction { name: String, known: String, fallback: Option<String> },
    #[error("no sender is the default")]
    NoDefaultSender,
    #[error("{0}")]
    Code(#[from] UnknownCode),
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("{0}")]
    Profile(#[from] ProfileError),
    #[error("`{field}` must not be null")]
    Null { field: &'static str },
    #[error("`{field}` has a malformed value")]
    Malformed { field: String, expected: &'static str },
    #[error("not a consent {0} of this version")]
    Corrupt(&'static str),
    #[error("a consent question may be written by hand by administrators only")]
    ForgedQuestion,
    #[error("this is for pg_consent's own triggers")]
    NotByHand,
    #[error("the address key is {0}")]
    Key(&'static str),
    #[error("the address key is {fault}")]
    KeyFile { file: String, fault: &'static str },
    #[error("the draft is not valid")]
    Draft(Vec<Fault>),
    #[error("configuration could not be read: {0}")]
    Configuration(String),
}

impl Error {
    /// A fault of the keys, which every hash meets again.
    pub fn again(&self) -> Error {
        match self {
            Error::KeyFile { file, fault } => Error::KeyFile { file: file.clone(), fault },
            Error::Address(e) => Error::Address(*e),
            _ => Error::Key("missing"),
        }
    }

    fn code(&self) -> Code {
        match self {
            Error::NotSetUp => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Error::Unknown { .. } | Error::Jurisdiction { .. } | Error::NoDefaultSender => {
                Code::ERRCODE_UNDEFINED_OBJECT
            }
            Error::Code(_)
            | Error::Address(_)
            | Error::Profile(_)
            | Error::Malformed { .. }
            | Error::Draft(_) => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Error::Null { .. } => Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Error::Corrupt(_) => Code::ERRCODE_INVALID_TEXT_REPRESENTATION,
            Error::ForgedQuestion | Error::NotByHand => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Error::Key(_) | Error::KeyFile { .. } => Code::ERRCODE_CONFIG_FILE_ERROR,
            Error::Configuration(_) => Code::ERRCODE_INTERNAL_ERROR,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Error::Code(e) => Some(format!("expected one of: {}", e.expected.join(", "))),
            Error::Malformed { expected, .. } => Some(format!("expected {expected}")),
            // As consent.validate_policy words them, one a line.
            Error::Draft(faults) => {
                Some(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
            Error::ForgedQuestion => Some("a forged question could say yes to anything".into()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NotSetUp => "run: CALL consent.setup();".into(),
            Error::Unknown { table, .. } => format!("the known ones are in {table}"),
            Error::Jurisdiction { known, fallback, .. } => {
                let others = fallback.as_ref().map(|id| format!("; every other country is under {id}"));
                format!(
                    "the known ones are {known}, and the codes of their countries{}",
                    others.unwrap_or_default()
                )
            }
            Error::NoDefaultSender => {
                "name the sender, or set is_default on one row of consent_data.sender".into()
            }
            Error::Draft(_) => {
                "a draft `extends` a pack as own rules do, or is a whole pack that replaces one of its id or adds one".into()
            }
            Error::ForgedQuestion => "use consent.question(message_kind, product_category)".into(),
            Error::Corrupt("state") => {
                "states are derived: run consent.refold() or consent-batch refold".into()
            }
            Error::KeyFile { file, .. } => format!(
                "put `{file}` back where pg_consent.key_file says, from the copy kept apart from the dumps; until then \
                 all marketing is denied"
            ),
            Error::Key(_) => {
                "put the key back where pg_consent.key_file says; until then all marketing is denied".into()
            }
            _ => return None,
        })
    }
}

impl From<Error> for ErrorReport {
    #[track_caller]
    fn from(e: Error) -> ErrorReport {
        let mut report = ErrorReport::new(e.code(), e.to_string(), "pg_consent");
        if let Some(detail) = e.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = e.hint() {
            report = report.set_hint(hint);
        }
        report
    }
}
