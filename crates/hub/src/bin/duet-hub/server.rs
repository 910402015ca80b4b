//! Whether the server of the downloads can be reached at all: asked before they are tried, since
//! hf-hub sets no time limits and a network that swallows packets would hold it up for minutes.

use std::env;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// hf-hub's default, and the environment variable that overrides it.
const DEFAULT: &str = "https://huggingface.co";
const VARIABLE: &str = "HF_ENDPOINT";

const PATIENCE: Duration = Duration::from_secs(10);

/// What a person calls the server.
pub fn name() -> String {
    let endpoint = endpoint();
    match parse(&endpoint) {
        Some((host, _)) => host.to_string(),
        None => endpoint,
    }
}

/// Why no connection to the server can be made, or `None` if one can, or if there is no way to
/// tell: behind a proxy, or with an endpoint that is not understood here.
pub fn obstacle() -> Option<String> {
    if behind_proxy() {
        return None;
    }
    let endpoint = endpoint();
    let (host, port) = parse(&endpoint)?;
    let because = |e: std::io::Error| format!("{host}:{port}: {e}");
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(e) => return Some(because(e)),
    };
    let mut last = None;
    for address in addresses.take(2) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return None,
            Err(e) => last = Some(because(e)),
        }
    }
    Some(last.unwrap_or_else(|| format!("{host} has no address")))
}

fn endpoint() -> String {
    env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_string())
}

fn behind_proxy() -> bool {
    ["http_proxy", "https_proxy", "all_proxy"]
        .iter()
        .flat_map(|name| [name.to_string(), name.to_uppercase()])
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Host and port of a URL such as `https://user@[::1]:8080/path`.
fn parse(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (address, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_endpoint_is_split_into_host_and_port() {
        assert_eq!(parse("https://huggingface.co"), Some(("huggingface.co", 443)));
        assert_eq!(parse("http://mirror.example/hf/"), Some(("mirror.example", 80)));
        assert_eq!(parse("http://127.0.0.1:8080"), Some(("127.0.0.1", 8080)));
        assert_eq!(parse("https://user:word@host:81/x?y"), Some(("host", 81)));
        assert_eq!(parse("https://[::1]"), Some(("::1", 443)));
        assert_eq!(parse("https://[::1]:9"), Some(("::1", 9)));
        for other in ["", "huggingface.co", "ftp://host", "https://", "http://host:port"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
