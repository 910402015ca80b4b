//! The page as one file, which holds a model and what computes with it, and asks nobody.

use crate::draw::base64;
use crate::page;
use duet_diffusion::ModelFiles;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;

const FIRST: &str = include_str!("../page-alone/first.js");
const BACKEND: &str = include_str!("../page-alone/backend.js");
const WORKER: &str = include_str!("../page-alone/worker.js");
/// Nothing comes from elsewhere, and nothing is sent.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' data: blob:; worker-src blob:; \
                      style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'";
/// How modules name each other in the file; a browser loads none from beside a file on a disk.
const SCOPE: &str = "duet/";

/// What a page that works alone holds.
pub struct Alone<'a> {
    /// The model, without its weights.
    pub files: &'a ModelFiles,
    /// The bytes of its weights' file.
    pub weights: &'a [u8],
    /// The WebAssembly module of the crate `web`.
    pub engine: &'a [u8],
    /// How commands call Duet.
    pub program: &'a str,
    /// What the page says of itself at its end.
    pub note: &'a str,
}

impl Alone<'_> {
    /// The text of the file.
    pub fn html(&self) -> String {
        let mut html = text_of("index.html");
        for (old, new) in [
            ("<meta charset=\"utf-8\">\n", first()),
            ("<link rel=\"icon\" href=\"icon.svg\" type=\"image/svg+xml\">\n", icon()),
            ("<link rel=\"stylesheet\" href=\"studio.css\">\n", style()),
            ("<script type=\"module\" src=\"main.js\"></script>\n", modules()),
            ("</body>\n", self.held()),
        ] {
            html = html.replacen(old, &new, 1);
        }
        html
    }

    /// The model and what computes, as elements that no browser reads as anything.
    fn held(&self) -> String {
        let about = json!({"files": self.files, "program": self.program, "note": self.note});
        // Nothing in a text ends the element.
        let about = about.to_string().replace('<', "\\u003c");
        let mut html = String::new();
        for (id, kind, text) in [
            ("duet-worker", "text/plain", WORKER.into()),
            ("duet-about", "application/json", about),
            ("duet-engine", "application/gzip;base64", packed(self.engine)),
            ("duet-weights", "application/gzip;base64", packed(&planes(self.weights))),
        ] {
            let _ = writeln!(html, "<script type=\"{kind}\" id=\"{id}\">{text}</script>");
        }
        html + "</body>\n"
    }
}

fn text_of(name: &str) -> String {
    let (_, bytes) = page::file(name).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// What comes before all else: the policy, and who says why the page does not begin.
fn first() -> String {
    format!(
        "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <script>\n{FIRST}</script>\n"
    )
}

fn icon() -> String {
    let icon = base64(text_of("icon.svg").as_bytes());
    format!("<link rel=\"icon\" href=\"data:image/svg+xml;base64,{icon}\">\n")
}

fn style() -> String {
    format!("<style>\n{}</style>\n", text_of("studio.css"))
}

/// Every module of the page under its name, and the first one.
fn modules() -> String {
    let named = page::FILES.iter().filter_map(|(name, _)| {
        let text = if *name == "backend.js" { BACKEND.into() } else { text_of(name) };
        let text = text.replace("from './", &format!("from '{SCOPE}"));
        let address = format!("data:text/javascript;base64,{}", base64(text.as_bytes()));
        name.ends_with(".js").then(|| (format!("{SCOPE}{name}"), address.into()))
    });
    let map = json!({"imports": named.collect::<serde_json::Map<String, serde_json::Value>>()});
    format!(
        "<script type=\"importmap\">{map}</script>\n<script type=\"module\">import '{SCOPE}main.js';</script>\n"
    )
}

/// The first bytes of all values of 4 bytes, then the second ones, and so on: rounded values have the same byte there, and
/// are compressed so.
fn planes(bytes: &[u8]) -> Vec<u8> {
    (0..4).flat_map(|plane| bytes.iter().skip(plane).step_by(4)).copied().collect()
}

/// Bytes as text, compressed as far as it goes.
fn packed(bytes: &[u8]) -> String {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    // A vector takes all that is written.
    let _ = zipped.write_all(bytes);
    base64(&zipped.finish().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_everything_and_names_nothing_beside_it() {
        let files = ModelFiles {
            folder: "runs/</script><b>".into(),
            network: "{}".into(),
            scheduler: "{}".into(),
            sample: None,
        };
        let page =
            Alone { files: &files, weights: b"weights", engine: b"engine", program: "duet", note: "A <b>" };
        let html = page.html();
        for beside in ["src=\"", "href=\"icon", "href=\"studio", "from './", "</script><b>"] {
            assert!(!html.contains(beside), "{beside}");
        }
        for part in [
            "Content-Security-Policy",
            "<style>",
            "importmap",
            "duet-worker",
            "duet-weights",
            "data:image/svg",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(html.trim_end().ends_with("</html>"));
        // Scripts end only where they are meant to: first, import map, main, worker, about, engine, weights.
        assert_eq!(html.matches("</script>").count(), 7);
    }
}
