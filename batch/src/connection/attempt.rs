//! Trying the servers of the list in turn, with and without TLS as `sslmode` says.

use super::settings::{Attributes, Settings, SslMode, Target};
use crate::failure::hinted;
use anyhow::{Context, Result, anyhow};
use postgres::error::SqlState;
use postgres::{CancelToken, Client, Config, NoTls};
use postgres_openssl::MakeTlsConnector;

/// A session, and what ends the statement it is at.
pub struct Session {
    pub client: Client,
    pub canceller: Canceller,
}

/// Asks the server to give up what a session is doing; nothing happens if it is doing nothing.
pub struct Canceller {
    token: CancelToken,
    tls: Option<MakeTlsConnector>,
}

impl Canceller {
    pub fn cancel(&self) -> Result<(), postgres::Error> {
        match &self.tls {
            Some(tls) => self.token.cancel_query(tls.clone()),
            None => self.token.cancel_query(NoTls),
        }
    }
}

impl Session {
    fn new(client: Client, tls: Option<MakeTlsConnector>) -> Session {
        let canceller = Canceller { token: client.cancel_token(), tls };
        Session { client, canceller }
    }
}

/// The first server that will have us and is of the kind that `target_session_attrs` asks for.
pub fn connect(settings: &Settings, application_name: &str) -> Result<Session> {
    let passes: &[Attributes] = match settings.attributes {
        Attributes::PreferStandby => &[Attributes::Standby, Attributes::Any],
        ref one => std::slice::from_ref(one),
    };
    let mut last = None;
    for wanted in passes {
        for target in &settings.targets {
            let result = to(settings, target, application_name).and_then(|session| fitting(session, *wanted));
            match result.with_context(|| destination(settings, target)) {
                Ok(session) => return Ok(session),
                // A server that is there and refuses ends the search, as in libpq: another would only hide it.
                Err(e) if refused(&e) => return Err(advised(e, settings, target)),
                Err(e) => last = Some(advised(e, settings, target)),
            }
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("there is no server to connect to")))
}

fn destination(settings: &Settings, target: &Target) -> String {
    let (user, dbname) = (&settings.user, &settings.dbname);
    format!("cannot connect to {} port {} as `{user}` to database `{dbname}`", target.host, target.port)
}

/// One server, with TLS, without, or one after the other.
fn to(settings: &Settings, target: &Target, application_name: &str) -> Result<Session> {
    let config = config(settings, target, application_name);
    // As in libpq there is no TLS on a socket, whatever the mode: nobody can listen there.
    if target.is_socket() {
        return Ok(plain(&config)?);
    }
    let encrypted = || -> Result<Session> {
        if settings.sslmode == SslMode::VerifyFull
            && target.address.is_some_and(|a| a.to_string() == target.host)
        {
            return Err(hinted(
                "sslmode verify-full needs the server's name, not its address alone",
                "Give the host as well as hostaddr.",
            ));
        }
        let mut config = config.clone();
        config.ssl_mode(postgres::config::SslMode::Require);
        let tls = settings.tls.connector(settings.sslmode)?;
        Ok(Session::new(config.connect(tls.clone())?, Some(tls)))
    };
    match settings.sslmode {
        SslMode::Disable => Ok(plain(&config)?),
        SslMode::Allow => match plain(&config) {
            Err(e) if e.as_db_error().is_some() => encrypted().map_err(|_| e.into()),
            other => Ok(other?),
        },
        SslMode::Prefer => match encrypted() {
            Err(e) if may_do_without(&e) => plain(&config).map_err(|again| {
                // What the server says counts; that it would not even talk says less than the first failure.
                if again.as_db_error().is_some() { again.into() } else { e }
            }),
            other => other,
        },
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => encrypted(),
    }
}

fn plain(config: &Config) -> Result<Session, postgres::Error> {
    let mut config = config.clone();
    Ok(Session::new(config.ssl_mode(postgres::config::SslMode::Disable).connect(NoTls)?, None))
}

/// Whether TLS, or being refused under it, was the trouble, rather than that nobody answered or the password.
fn may_do_without(e: &anyhow::Error) -> bool {
    let Some(e) = driver(e) else { return false };
    match e.code() {
        Some(code) => *code != SqlState::INVALID_PASSWORD,
        // The driver tells its kinds of error apart in their text only.
        None => e.to_string().starts_with("error performing TLS handshake"),
    }
}

fn config(settings: &Settings, target: &Target, application_name: &str) -> Config {
    let mut config = Config::new();
    config.user(&settings.user).dbname(&settings.dbname).host(&target.host).port(target.port);
    config.application_name(application_name).channel_binding(settings.channel_binding);
    if let Some(address) = target.address {
        config.hostaddr(address);
    }
    if let Some(password) = &target.password {
        config.password(&password.value);
    }
    if let Some(options) = &settings.options {
        config.options(options);
    }
    if let Some(limit) = settings.connect_timeout {
        config.connect_timeout(limit);
    }
    if let Some(limit) = settings.tcp_user_timeout {
        config.tcp_user_timeout(limit);
    }
    match settings.keepalives {
        Some((idle, interval, count)) => config
            .keepalives(true)
            .keepalives_idle(idle)
            .keepalives_interval(interval)
            .keepalives_retries(count),
        None => config.keepalives(false),
    };
    config
}

/// The session, if its server is of the kind asked for.
fn fitting(mut session: Session, wanted: Attributes) -> Result<Session> {
    if wanted == Attributes::Any {
        return Ok(session);
    }
    let row = session.client.query_one(
        "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')::boolean",
        &[],
    )?;
    let (standby, read_only): (bool, bool) = (row.get(0), row.get(1));
    let (fits, why) = match wanted {
        Attributes::Any | Attributes::PreferStandby => (true, ""),
        Attributes::ReadWrite => (!read_only, "the session is read-only"),
        Attributes::ReadOnly => (read_only, "the session is not read-only"),
        Attributes::Primary => (!standby, "the server is a standby"),
        Attributes::Standby => (standby, "the server is no standby"),
    };
    if fits { Ok(session) } else { Err(anyhow!("{why}, and target_session_attrs asks for another")) }
}

fn driver(e: &anyhow::Error) -> Option<&postgres::Error> {
    e.chain().find_map(|c| c.downcast_ref())
}

/// Whether the server answered and said no for good; one that is starting up may have a neighbour that is not.
fn refused(e: &anyhow::Error) -> bool {
    driver(e).and_then(postgres::Error::code).is_some_and(|c| *c != SqlState::CANNOT_CONNECT_NOW)
}

/// What to do about it, where the cause tells.
fn advised(e: anyhow::Error, settings: &Settings, target: &Target) -> anyhow::Error {
    let password = match &target.password {
        Some(p) => format!("The password is from {}.", p.source),
        None => format!(
            "No password was found for it: give PGPASSWORD, or a line in ~/.pgpass. {}",
            settings.warnings.join("; ")
        ),
    };
    let text = format!("{e:#}");
    let code = driver(&e).and_then(postgres::Error::code).map(|c| c.code().to_owned());
    let io = e.chain().find_map(|c| c.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    let hint = match code.as_deref() {
        Some("28P01") => password,
        Some("28000") => {
            "pg_hba.conf on the server decides who may connect, from where, and whether TLS is needed.".into()
        }
        Some("3D000") => "Name the database in --database or PGDATABASE.".into(),
        Some(_) => return e,
        None if text.contains("password missing") => password,
        None if text.contains("TLS") || text.contains("certificate") => {
            "sslmode, sslrootcert and the server's certificate must fit together: verify-ca needs the authority that \
             signed it, verify-full also the host's name in it."
                .into()
        }
        None if target.is_socket() && io.is_some() => {
            "Is the server running here, with its socket in that folder? PGHOST or --database names another.".into()
        }
        None if io.is_some() => "Is the server running there, and does it listen on that address and port?".into(),
        None => return e,
    };
    crate::failure::with_hint(e, hint)
}
