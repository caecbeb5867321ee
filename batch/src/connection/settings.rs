//! Where a session goes and how: the connection string, then the service, then the PG* variables, then defaults, in
//! libpq's order of precedence. Everything is resolved and checked before the first attempt.

use super::text::Pairs;
use super::tls::Tls;
use super::{keywords, passfile, service, text};
use crate::failure::hinted;
use anyhow::{Context, Result, bail, ensure};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Debian's, and libpq's there.
const SOCKETS: &str = "/var/run/postgresql";
/// Where libpq looks for the system's service file on Debian.
const SYSTEM_CONFIGURATION: &str = "/etc/postgresql-common";

/// What the settings depend on besides the connection string.
pub struct Surroundings<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub home: Option<PathBuf>,
    /// The operating system's name of the user.
    pub login: String,
}

/// `sslmode`, with libpq's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    /// Without TLS first, with it if that is refused.
    Allow,
    /// With TLS first, without it if that fails.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// One server of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name, an address or a socket's folder.
    pub host: String,
    /// Where the packets go, if not to what `host` resolves to.
    pub address: Option<IpAddr>,
    pub port: u16,
    pub password: Option<Password>,
}

impl Target {
    pub fn is_socket(&self) -> bool {
        self.address.is_none() && self.host.starts_with(['/', '@'])
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    pub value: String,
    /// Where it is from, for messages.
    pub source: String,
}

/// Never the password itself: settings may end up in a message.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "from {}", self.source)
    }
}

#[derive(Debug)]
pub struct Settings {
    pub targets: Vec<Target>,
    pub user: String,
    pub dbname: String,
    pub options: Option<String>,
    pub application_name: Option<String>,
    pub sslmode: SslMode,
    pub tls: Tls,
    pub attributes: Attributes,
    pub channel_binding: postgres::config::ChannelBinding,
    pub connect_timeout: Option<Duration>,
    /// Idle time, interval and count; none at all without keepalives.
    pub keepalives: Option<(Duration, Duration, u32)>,
    pub tcp_user_timeout: Option<Duration>,
    /// What libpq would warn of.
    pub warnings: Vec<String>,
}

impl Settings {
    pub fn resolve(database: Option<&str>, around: &Surroundings<'_>) -> Result<Settings> {
        let given = database.map(text::parse).transpose()?.unwrap_or_default();
        let pairs = with_defaults(given, around)?;
        for (keyword, value) in &pairs {
            ensure!(
                keywords::honoured(keyword, value),
                "{keyword} = `{value}` is not supported by this program"
            );
        }
        let get = |keyword: &str| pairs.get(keyword).map(String::as_str).filter(|v| !v.is_empty());
        let user = get("user").unwrap_or(&around.login).to_owned();
        let dbname = get("dbname").unwrap_or(&user).to_owned();
        let mut targets = targets(get("host"), get("hostaddr"), get("port"))?;
        let mut warnings = Vec::new();
        let passfile = match get("passfile") {
            Some(file) => Some(PathBuf::from(file)),
            None => around.home.as_ref().map(|h| h.join(".pgpass")),
        };
        let credentials = (around.variable)("CREDENTIALS_DIRECTORY").filter(|d| !d.is_empty());
        let guarded =
            credentials.is_some_and(|dir| passfile.as_ref().is_some_and(|file| file.starts_with(dir)));
        for target in &mut targets {
            target.password = match get("password") {
                Some(value) => Some(Password { value: value.into(), source: "the settings".into() }),
                None => from_file(passfile.as_deref(), guarded, target, &dbname, &user, &mut warnings),
            };
        }
        warnings.dedup();
        let sslmode = sslmode(get("sslmode"))?;
        Ok(Settings {
            targets,
            sslmode,
            tls: Tls::new(&get, around.home.as_deref()),
            attributes: attributes(get("target_session_attrs"))?,
            channel_binding: channel_binding(get("channel_binding"))?,
            connect_timeout: connect_timeout(get("connect_timeout"))?,
            keepalives: keepalives(&get)?,
            tcp_user_timeout: number(&get, "tcp_user_timeout")?
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            options: get("options").map(str::to_owned),
            application_name: get("application_name").map(str::to_owned),
            user,
            dbname,
            warnings,
        })
    }
}

/// A service fills in what the string leaves open, a variable what both do.
fn with_defaults(given: Pairs, around: &Surroundings<'_>) -> Result<Pairs> {
    let variable = |name: &str| (around.variable)(name).filter(|v| !v.is_empty());
    let mut pairs = given;
    if let Some(name) = pairs.remove("service").or_else(|| variable("PGSERVICE")).filter(|n| !n.is_empty()) {
        let own = variable("PGSERVICEFILE").map(PathBuf::from);
        let own = own.or_else(|| around.home.as_ref().map(|h| h.join(".pg_service.conf")));
        let system = PathBuf::from(variable("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_CONFIGURATION.into()));
        let files: Vec<PathBuf> = own.into_iter().chain([system.join("pg_service.conf")]).collect();
        for (keyword, value) in service::find(&name, &files)? {
            pairs.entry(keyword).or_insert(value);
        }
    }
    for (keyword, name) in keywords::variables().filter(|(k, _)| *k != "service") {
        if let Some(value) = variable(name) {
            pairs.entry(keyword.into()).or_insert(value);
        }
    }
    Ok(pairs)
}

/// The servers to try, in order: as many as there are addresses, else hosts; one port for all, or one for each.
fn targets(host: Option<&str>, hostaddr: Option<&str>, port: Option<&str>) -> Result<Vec<Target>> {
    let list = |text: Option<&str>| -> Vec<String> {
        text.map(|t| t.split(',').map(|s| s.trim().to_owned()).collect()).unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list(host), list(hostaddr), list(port));
    let count = if addresses.is_empty() { hosts.len().max(1) } else { addresses.len() };
    ensure!(hosts.is_empty() || hosts.len() == count, "{} hosts for {count} addresses", hosts.len());
    ensure!(ports.len() <= 1 || ports.len() == count, "{} ports for {count} hosts", ports.len());
    (0..count)
        .map(|i| {
            let text = |list: &[String]| list.get(i).filter(|s| !s.is_empty()).cloned();
            let address = text(&addresses).map(|a| {
                a.parse::<IpAddr>().with_context(|| format!("hostaddr number {} is no address", i + 1))
            });
            let address = address.transpose()?;
            let host = text(&hosts).or(address.map(|a| a.to_string())).unwrap_or_else(|| SOCKETS.into());
            let port = if ports.len() == 1 {
                ports.first().filter(|p| !p.is_empty()).cloned()
            } else {
                text(&ports)
            };
            let port = port.as_deref().unwrap_or("5432").parse().ok().filter(|p| *p > 0);
            let Some(port) = port else {
                bail!("the port of host number {} is no number from 1 to 65535", i + 1);
            };
            Ok(Target { host, address, port, password: None })
        })
        .collect()
}

fn from_file(
    file: Option<&Path>,
    guarded: bool,
    target: &Target,
    dbname: &str,
    user: &str,
    warnings: &mut Vec<String>,
) -> Option<Password> {
    let file = file?;
    let host = if target.host == SOCKETS { "localhost" } else { &target.host };
    match passfile::find(file, guarded, &passfile::Wanted { host, port: target.port, dbname, user }) {
        passfile::Answer::Password(value) => Some(Password { value, source: file.display().to_string() }),
        passfile::Answer::Nothing => None,
        passfile::Answer::Ignored(why) => {
            warnings.push(why);
            None
        }
    }
}

fn sslmode(text: Option<&str>) -> Result<SslMode> {
    Ok(match text {
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        None | Some("prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(other) => {
            return Err(hinted(
                format!("unknown sslmode `{other}`"),
                "It is disable, allow, prefer, require, verify-ca or verify-full.",
            ));
        }
    })
}

fn attributes(text: Option<&str>) -> Result<Attributes> {
    Ok(match text {
        None | Some("any") => Attributes::Any,
        Some("read-write") => Attributes::ReadWrite,
        Some("read-only") => Attributes::ReadOnly,
        Some("primary") => Attributes::Primary,
        Some("standby") => Attributes::Standby,
        Some("prefer-standby") => Attributes::PreferStandby,
        Some(other) => bail!("unknown target_session_attrs `{other}`"),
    })
}

fn channel_binding(text: Option<&str>) -> Result<postgres::config::ChannelBinding> {
    use postgres::config::ChannelBinding;
    Ok(match text {
        Some("disable") => ChannelBinding::Disable,
        None | Some("prefer") => ChannelBinding::Prefer,
        Some("require") => ChannelBinding::Require,
        Some(other) => bail!("unknown channel_binding `{other}`"),
    })
}

fn number<'a>(get: &impl Fn(&str) -> Option<&'a str>, keyword: &str) -> Result<Option<u64>> {
    get(keyword).map(|v| v.parse().with_context(|| format!("{keyword} = `{v}` is no number"))).transpose()
}

/// In seconds; none, 0 or less waits for ever, and 2 is the least.
fn connect_timeout(text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    let seconds: i32 = text.parse().with_context(|| format!("connect_timeout = `{text}` is no number"))?;
    Ok(u64::try_from(seconds).ok().filter(|s| *s > 0).map(|s| Duration::from_secs(s.max(2))))
}

/// On even where nothing asks for it: a fold may keep a session silent for minutes, and firewalls forget such.
fn keepalives<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<(Duration, Duration, u32)>> {
    if number(get, "keepalives")? == Some(0) {
        return Ok(None);
    }
    let seconds = |keyword: &str, otherwise: u64| -> Result<Duration> {
        Ok(Duration::from_secs(number(get, keyword)?.filter(|s| *s > 0).unwrap_or(otherwise)))
    };
    let count = number(get, "keepalives_count")?.filter(|n| *n > 0).unwrap_or(6);
    Ok(Some((seconds("keepalives_idle", 60)?, seconds("keepalives_interval", 10)?, u32::try_from(count)?)))
}
