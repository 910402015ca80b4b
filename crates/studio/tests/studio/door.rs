//! Nobody else gets in.

use crate::support::{Client, serve_with, server};
use duet_studio::{Error, Server, Settings};
use serde_json::json;

#[test]
fn other_hosts_sites_and_kinds_of_content_are_refused() {
    let ask = |method, path, headers: &[(&str, &str)]| server().ask(method, path, headers, b"{}").status;
    assert_eq!(ask("GET", "/api/models", &[("Host", "evil.example")]), 421);
    assert_eq!(ask("GET", "/api/models", &[("Origin", "http://evil.example")]), 403);
    assert_eq!(ask("GET", "/api/models", &[("Sec-Fetch-Site", "cross-site")]), 403);
    let own = format!("http://127.0.0.1:{}", server().port);
    let json = ("Content-Type", "application/json");
    assert_eq!(ask("POST", "/api/stop", &[("Origin", "null"), json]), 403);
    assert_eq!(ask("POST", "/api/stop", &[("Origin", &own), json]), 400);
    // A form of another site can send these alone.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        assert_eq!(ask("POST", "/api/stop", &[("Content-Type", kind)]), 415, "{kind}");
    }
    assert_eq!(ask("OPTIONS", "/api/stop", &[("Access-Control-Request-Method", "POST")]), 405);
}

#[test]
fn a_token_is_asked_for_and_kept_by_a_cookie() {
    let token = Some("0123456789-abcdef".to_string());
    let client = serve_with(Settings { token, ..Settings::default() });
    client.get("/").refused(401);
    client.get("/api/models").refused(401);
    client.post("/api/stop", json!({"name": "x"})).refused(401);
    client.get("/?token=0123456789-abcdeg").refused(401);
    let page = client.get("/?token=0123456789-abcdef");
    assert_eq!(page.status, 200);
    let cookie = page.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{cookie}");
    let kept = cookie.split(';').next().unwrap();
    assert_eq!(client.ask("GET", "/api/models", &[("Cookie", kept)], b"").status, 200);
    assert_eq!(client.ask("GET", "/main.js", &[("Cookie", kept)], b"").status, 200);
}

#[test]
fn more_than_this_machine_needs_a_token_and_is_told_what_it_means() {
    let bound = |listen: &str, token: Option<&str>| {
        let (listen, token) = (listen.parse().unwrap(), token.map(String::from));
        Server::bind(Settings { listen, token, ..Settings::default() })
    };
    let refused = bound("0.0.0.0", None).err().unwrap();
    assert!(matches!(refused, Error::NoToken(_)));
    let words = refused.to_string();
    assert!(
        words.contains("everybody who reaches this machine") && words.contains("not encrypted"),
        "{words}"
    );
    for token in ["short", "with spaces in the token", "x;y=z,aaaaaaaaaaaaaaaaa", ""] {
        assert!(matches!(bound("127.0.0.1", Some(token)), Err(Error::Token)), "{token}");
    }
    let server = bound("0.0.0.0", Some("0123456789abcdef")).unwrap();
    let port = server.address_here().split([':', '/']).nth(4).unwrap().to_string();
    assert_eq!(server.address(), format!("http://THIS-MACHINE:{port}/?token=0123456789abcdef"));
    assert_eq!(server.address_here(), format!("http://127.0.0.1:{port}/?token=0123456789abcdef"));
}

#[test]
fn a_model_that_is_not_there_is_named_at_the_start() {
    let refused = Server::bind(Settings { run: "no/such/run".into(), ..Settings::default() }).err().unwrap();
    assert!(refused.to_string().contains("no/such/run"), "{refused}");
    let refused =
        Server::bind(Settings { runs: "no/such/runs".into(), ..Settings::default() }).err().unwrap();
    assert_eq!(refused.to_string(), "runs no/such/runs: there is no such folder");
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let Client { port } = *server();
    let refused = Server::bind(Settings { port, ..Settings::default() }).err().unwrap();
    assert!(refused.to_string().contains(&format!("127.0.0.1:{port}")), "{refused}");
}
