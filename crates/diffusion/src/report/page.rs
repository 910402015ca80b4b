//! The page that `report` writes.

use super::eval;
use super::html::{escape, grouped, pairs, significant};
use super::picture::Shown;
use super::training::training_curves;
use crate::record::{LAST_STEPS, RunRecord};
use crate::words::duration;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");
/// Nothing is loaded and nothing runs, whatever a name may hold.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
/// The last picture is enlarged by a whole number up to so many pixels.
const LARGE: u32 = 960;
/// Rows of a picture have at most so many names.
const ROW_NAMES: usize = 10;

/// What was drawn after a step of the training.
pub struct Preview {
    pub step: u64,
    pub picture: Shown,
}

impl Preview {
    fn html(&self, largest: u32) -> String {
        self.picture.html(&format!("Images drawn after step {}", self.step), largest)
    }
}

/// The whole page: only what it holds itself is needed to show it.
pub fn html(run: &RunRecord, previews: &[Preview], sheets: &[(&str, Shown)]) -> String {
    let name = escape(&run.name);
    // Browsers ask for an icon unless the page has one: this one is empty.
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    page += &header(run);
    page += &pictures(run, previews);
    page += &curves(run);
    if let Some(eval) = &run.eval {
        page += &eval::section(eval, sheets);
    }
    page += &checkpoints(run);
    page += &settings(run);
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(page, "<footer>Written by <code>duet report</code>, Duet {version}.</footer>");
    page + "</body>\n</html>\n"
}

/// What was trained, on what, how far, and how well.
fn header(run: &RunRecord) -> String {
    let data = run.course.data.clone().or(run.setting("data.source")).unwrap_or("unknown data".into());
    let network = match &run.network {
        Some(network) => format!("A network of {} parameters", grouped(network.parameters as u64)),
        None => "A network".into(),
    };
    let channels = run.setting("model.block_out_channels");
    let channels = channels.map_or(String::new(), |channels| format!(" (channels {channels})"));
    let text = escape(&format!("{network}{channels}, trained on {data}."));
    let mut html = format!("<header>\n<h1>{}</h1>\n<p>{text}</p>\n</header>\n", escape(&run.name));

    let planned = run.planned();
    let state = match planned {
        Some(planned) if run.steps() >= planned => "all of the run".into(),
        Some(planned) => format!("of {}, not finished", grouped(planned)),
        None => String::new(),
    };
    let mut tiles = vec![("steps", grouped(run.steps()), state)];
    if let Some(images) = run.images() {
        tiles.push(("images seen", grouped(images), String::new()));
    }
    if let Some(loss) = run.last_loss() {
        let over = LAST_STEPS.min(run.metrics.len());
        tiles.push(("training loss", significant(loss), format!("mean of {over} steps")));
    }
    if let Some((loss, step)) = run.best_held_out() {
        tiles.push(("best held-out loss", significant(loss), format!("step {}", grouped(step))));
    }
    if let Some(rate) = run.course.rate {
        let time = run.course.time.map_or(String::new(), |time| format!("{} in all", duration(time)));
        tiles.push(("images a second", significant(rate), time));
    }
    if let Some(accuracy) = run.eval.as_ref().and_then(|eval| eval.judged.accuracy) {
        tiles.push(("class accuracy", format!("{:.1} %", 100.0 * accuracy), "of drawn images".into()));
    }
    html += "<dl class=\"tiles\">\n";
    for (name, value, more) in tiles {
        let more = if more.is_empty() { more } else { format!("<small>{}</small>", escape(&more)) };
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{}{more}</dd></div>", escape(&value));
    }
    html + "</dl>\n"
}

fn pictures(run: &RunRecord, previews: &[Preview]) -> String {
    let Some((last, earlier)) = previews.split_last() else { return String::new() };
    let settings = [
        run.setting("sample.guidance").map(|w| format!("guidance {w}")),
        run.setting("sample.steps").map(|steps| format!("{steps} sampling steps")),
        run.network.as_ref().filter(|network| !network.classes.is_empty()).map(|network| {
            let shown = network.classes.len().min(ROW_NAMES);
            format!("a row for each class: {}", network.classes[..shown].join(", "))
        }),
    ];
    let settings: Vec<String> = settings.into_iter().flatten().collect();
    let mut html = format!(
        "<section>\n<h2>Images</h2>\n<div class=\"images\">\n<figure>{}<figcaption>After step {}; {}</figcaption></figure>\n",
        last.html(LARGE),
        grouped(last.step),
        escape(&settings.join("; "))
    );
    if !earlier.is_empty() {
        let _ = writeln!(html, "<details open>\n<summary>Earlier</summary>\n<div class=\"pictures\">");
        for preview in earlier {
            let (picture, step) = (preview.html(0), grouped(preview.step));
            let _ = writeln!(html, "<figure>{picture}<figcaption>step {step}</figcaption></figure>");
        }
        html += "</div>\n</details>\n";
    }
    html + "</div>\n</section>\n"
}

fn curves(run: &RunRecord) -> String {
    let curves = training_curves(&run.metrics);
    match curves.is_empty() {
        true => "<section>\n<h2>Curves</h2>\n<p>There are less than two steps yet.</p>\n</section>\n".into(),
        false => {
            format!("<section>\n<h2>Curves</h2>\n<div class=\"charts\">\n{curves}</div>\n</section>\n")
        }
    }
}

fn checkpoints(run: &RunRecord) -> String {
    let mut html = String::from("<section>\n<h2>Checkpoints</h2>\n");
    if run.checkpoints.is_empty() {
        return html + "<p>None yet.</p>\n</section>\n";
    }
    html += "<div class=\"wide\"><table>\n<thead><tr><th>folder</th><th class=\"number\">step</th>\
             <th class=\"number\">files</th><th class=\"number\">MB</th></tr></thead>\n<tbody>\n";
    for checkpoint in &run.checkpoints {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{:.1}</td></tr>",
            escape(&checkpoint.name),
            grouped(checkpoint.step),
            checkpoint.files,
            checkpoint.bytes as f64 / 1e6
        );
    }
    html + "</tbody>\n</table></div>\n</section>\n"
}

/// The configuration, a table for each section of the file.
fn settings(run: &RunRecord) -> String {
    let mut html = String::from("<section>\n<h2>Settings</h2>\n<div class=\"tables\">\n");
    let section = |key: &str| key.split_once('.').map_or("", |(section, _)| section).to_string();
    let mut sections: Vec<String> = run.settings.keys().map(|key| section(key)).collect();
    sections.dedup();
    for name in sections {
        let keys = run.settings.keys().filter(|key| section(key) == name);
        let rows = keys.map(|key| {
            let short = key.strip_prefix(&format!("{name}.")).unwrap_or(key);
            (short.replace('_', " "), run.setting(key).unwrap_or_default())
        });
        let _ = writeln!(html, "<div><h3>{}</h3>{}</div>", escape(&name), pairs(rows));
    }
    html + "</div>\n</section>\n"
}
