//! Who gets in: only pages of this server, on this machine or with the token.

use crate::refusal::Refusal;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use std::net::SocketAddr;

/// Checks every request before anything of it is looked at.
pub struct Door {
    address: SocketAddr,
    token: Option<String>,
}

/// What a request has shown.
#[derive(Debug, PartialEq)]
pub enum Shown {
    /// Nothing more is needed.
    Enough,
    /// The token in its address: a cookie is to keep it.
    Token,
}

impl Door {
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Lets a request in, or says why not.
    pub fn check(&self, asked: &Parts) -> Result<Shown, Refusal> {
        let host = self.host(asked)?;
        check_site(asked, host)?;
        let Some(token) = &self.token else { return Ok(Shown::Enough) };
        if token_of_cookie(&asked.headers, &self.cookie_name()).is_some_and(|shown| same(shown, token))
            || bearer(&asked.headers).is_some_and(|shown| same(shown, token))
        {
            return Ok(Shown::Enough);
        }
        match token_of_address(asked) {
            Some(shown) if same(shown, token) => Ok(Shown::Token),
            _ => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "a token is needed: open the address that the program printed, which ends in ?token=…",
            )),
        }
    }

    /// The cookie that keeps the token for this server's page alone.
    pub fn cookie(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        Some(format!("{}={token}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name()))
    }

    /// Cookies do not know ports, so the name does.
    fn cookie_name(&self) -> String {
        format!("duet-studio-{}", self.address.port())
    }

    /// The one name that the client calls this server. A page elsewhere whose name leads to this machine has another.
    fn host<'a>(&self, asked: &'a Parts) -> Result<&'a str, Refusal> {
        let refuse = |error: &str| Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, error));
        let mut hosts = asked.headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
            return refuse("one header Host is needed");
        };
        if asked.uri.authority().is_some() {
            return refuse("this is no proxy");
        }
        if !self.address.ip().is_loopback() {
            return Ok(host);
        }
        let port = self.address.port();
        let with_port = self.address.to_string();
        let listened = with_port.strip_suffix(&format!(":{port}")).unwrap_or(&with_port);
        let own = ["127.0.0.1", "localhost", "[::1]", listened].iter().any(|name| {
            let rest = host.strip_prefix(name);
            rest.is_some_and(|rest| rest == format!(":{port}") || rest.is_empty() && port == 80)
        });
        match own {
            true => Ok(host),
            false => refuse("this server answers to its own address and localhost, with its port, alone"),
        }
    }
}

/// Refuses what another site's page asks for. Only the page itself may be opened from a link elsewhere.
fn check_site(asked: &Parts, host: &str) -> Result<(), Refusal> {
    let refuse = || Err(Refusal::new(StatusCode::FORBIDDEN, "another site's page may not ask this server"));
    let text = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("origin").is_some_and(|origin| origin != format!("http://{host}")) {
        return refuse();
    }
    let opens_page = asked.method == Method::GET
        && asked.uri.path() == "/"
        && text("sec-fetch-mode") == Some("navigate")
        && text("sec-fetch-dest") == Some("document");
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if opens_page => Ok(()),
        Some(_) => refuse(),
    }
}

/// Of `GET /?token=…`.
fn token_of_address(asked: &Parts) -> Option<&str> {
    let is_page = asked.method == Method::GET && asked.uri.path() == "/";
    asked.uri.query().filter(|_| is_page)?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

fn token_of_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Takes the same time whatever differs.
fn same(shown: &str, token: &str) -> bool {
    let differences = shown.bytes().zip(token.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b));
    shown.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn door(address: &str, token: Option<&str>) -> Door {
        Door::new(address.parse().unwrap(), token.map(String::from))
    }

    fn status(door: &Door, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        door.check(&parts(method, path, headers)).map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
    }

    #[test]
    fn only_the_names_of_this_machine_with_the_port_get_in() {
        let door = door("127.0.0.1:8420", None);
        for host in ["127.0.0.1:8420", "localhost:8420", "[::1]:8420"] {
            assert_eq!(status(&door, "GET", "/", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.0.0.1:80",
            "evil.example:8420",
            "localhost.evil.example:8420",
            "localhost:84200",
            "",
        ] {
            assert_eq!(status(&door, "GET", "/", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&door, "GET", "/", &[]), 421);
        assert_eq!(status(&door, "GET", "/", &[("host", "localhost:8420"), ("host", "localhost:8420")]), 421);
        assert_eq!(status(&door, "GET", "http://localhost:8420/", &[("host", "localhost:8420")]), 421);
    }

    #[test]
    fn the_address_that_is_listened_at_gets_in() {
        let host = |host| [("host", host)];
        assert_eq!(status(&door("127.0.0.2:8420", None), "GET", "/", &host("127.0.0.2:8420")), 200);
        assert_eq!(status(&door("127.0.0.2:80", None), "GET", "/", &host("127.0.0.2")), 200);
        assert_eq!(status(&door("127.0.0.1:8420", None), "GET", "/", &host("127.0.0.2:8420")), 421);
    }

    #[test]
    fn nothing_is_asked_across_sites_and_the_page_alone_is_opened_from_elsewhere() {
        let door = door("127.0.0.1:8420", None);
        let asked = |method: &str, path: &str, headers: &[(&str, &str)]| {
            status(&door, method, path, &[&[("host", "localhost:8420")], headers].concat())
        };
        assert_eq!(asked("POST", "/api/draw", &[("origin", "http://localhost:8420")]), 200);
        for origin in [
            "null",
            "http://evil.example",
            "https://localhost:8420",
            "http://127.0.0.1:8420",
            "http://localhost",
        ] {
            assert_eq!(asked("POST", "/api/draw", &[("origin", origin)]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site", "?"] {
            assert_eq!(asked("GET", "/api/models", &[("sec-fetch-site", site)]), 403, "{site}");
            let frame =
                [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert_eq!(asked("GET", "/", &frame), 403, "{site}");
            let link =
                [("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            assert_eq!(asked("GET", "/", &link), 200, "{site}");
            assert_eq!(asked("GET", "/api/models", &link), 403, "{site}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(asked("GET", "/api/models", &[("sec-fetch-site", site)]), 200, "{site}");
        }
    }

    #[test]
    fn a_token_is_shown_by_the_address_of_the_page_a_cookie_or_a_header() {
        let door = door("0.0.0.0:8420", Some("0123456789abcdef"));
        let host = ("host", "machine.example:8420");
        let of = |path: &str, header: (&str, &str)| door.check(&parts("GET", path, &[host, header]));
        let nothing = ("accept", "*/*");
        assert_eq!(of("/", nothing).unwrap_err().status.as_u16(), 401);
        assert_eq!(of("/?token=0123456789abcdef", nothing), Ok(Shown::Token));
        for wrong in [
            "/?token=0123456789abcdeg",
            "/?token=",
            "/?token=0123456789abcdefg",
            "/api/models?token=0123456789abcdef",
        ] {
            assert_eq!(of(wrong, nothing).unwrap_err().status.as_u16(), 401, "{wrong}");
        }
        let cookie = door.cookie().unwrap();
        let kept = cookie.split(';').next().unwrap();
        assert_eq!(of("/api/models", ("cookie", &format!("a=b; {kept}"))), Ok(Shown::Enough));
        assert_eq!(of("/api/models", ("cookie", "duet-studio-8420=x")).unwrap_err().status.as_u16(), 401);
        assert_eq!(of("/api/models", ("authorization", "Bearer 0123456789abcdef")), Ok(Shown::Enough));
    }
}
