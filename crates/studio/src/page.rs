//! The files of the page, which are part of the program.

/// Each file, by its name under `page/`.
macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../page/", $name)).as_slice())),+]
    };
}

/// Every file of the page; a test compares the list with the folder.
pub const FILES: &[(&str, &[u8])] = files![
    "artists.js",
    "backend.js",
    "begin.js",
    "canvas.js",
    "classes.js",
    "compare.js",
    "controls.js",
    "detail.js",
    "dom.js",
    "draw.js",
    "icon.svg",
    "index.html",
    "knobs.js",
    "main.js",
    "noise-axis.js",
    "options.js",
    "runs.js",
    "seeds.js",
    "settings.js",
    "sheet.js",
    "studio.css",
    "sweep.js",
    "take.js",
];

/// The bytes of a file and what they are; none of another name. The empty name is the page itself.
pub fn file(name: &str) -> Option<(&'static str, &'static [u8])> {
    let name = if name.is_empty() { "index.html" } else { name };
    let (_, bytes) = FILES.iter().find(|(known, _)| *known == name)?;
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    Some((kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_part_of_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, there, "list each file of page/ in src/page.rs, sorted");
    }
}
