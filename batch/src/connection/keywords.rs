//! The keywords of a connection, the variables that give them a default, and what is done with each.

/// How a keyword that libpq knows is treated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    Used,
    /// Makes no difference to this program.
    Idle,
    /// Allowed only with these values, which ask for nothing that is not there: whoever asks for more protection than
    /// there is must be told.
    Only(&'static [&'static str]),
}
use Treatment::{Idle, Only, Used};

/// Keyword, environment variable, treatment: libpq's list, in its order (`PQconninfoOptions` in fe-connect.c).
const KEYWORDS: &[(&str, Option<&str>, Treatment)] = &[
    ("service", Some("PGSERVICE"), Used),
    ("user", Some("PGUSER"), Used),
    ("password", Some("PGPASSWORD"), Used),
    ("passfile", Some("PGPASSFILE"), Used),
    ("channel_binding", Some("PGCHANNELBINDING"), Used),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT"), Used),
    ("dbname", Some("PGDATABASE"), Used),
    ("host", Some("PGHOST"), Used),
    ("hostaddr", Some("PGHOSTADDR"), Used),
    ("port", Some("PGPORT"), Used),
    ("client_encoding", Some("PGCLIENTENCODING"), Idle),
    ("options", Some("PGOPTIONS"), Used),
    ("application_name", Some("PGAPPNAME"), Used),
    ("fallback_application_name", None, Idle),
    ("keepalives", None, Used),
    ("keepalives_idle", None, Used),
    ("keepalives_interval", None, Used),
    ("keepalives_count", None, Used),
    ("tcp_user_timeout", None, Used),
    ("sslmode", Some("PGSSLMODE"), Used),
    ("sslcompression", Some("PGSSLCOMPRESSION"), Idle),
    ("sslcert", Some("PGSSLCERT"), Used),
    ("sslkey", Some("PGSSLKEY"), Used),
    ("sslpassword", None, Used),
    ("sslrootcert", Some("PGSSLROOTCERT"), Used),
    ("sslcrl", Some("PGSSLCRL"), Used),
    ("sslcrldir", Some("PGSSLCRLDIR"), Only(&[""])),
    ("sslsni", Some("PGSSLSNI"), Used),
    ("requirepeer", Some("PGREQUIREPEER"), Only(&[""])),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), Used),
    ("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION"), Used),
    ("gssencmode", Some("PGGSSENCMODE"), Only(&["", "disable", "prefer"])),
    ("krbsrvname", Some("PGKRBSRVNAME"), Idle),
    ("gsslib", Some("PGGSSLIB"), Idle),
    ("replication", None, Only(&["", "false", "off", "no", "0"])),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS"), Used),
];

pub fn known(keyword: &str) -> bool {
    KEYWORDS.iter().any(|(k, _, _)| *k == keyword)
}

/// Every keyword with the variable that gives its default.
pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYWORDS.iter().filter_map(|(k, variable, _)| variable.map(|v| (*k, v)))
}

/// Whether this program can do what the pair asks for.
pub fn honoured(keyword: &str, value: &str) -> bool {
    KEYWORDS.iter().any(|(k, _, treatment)| {
        *k == keyword && !matches!(treatment, Only(values) if !values.contains(&value))
    })
}
