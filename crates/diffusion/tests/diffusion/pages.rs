//! Pages about runs, and runs side by side.
use crate::support::{files, heard, own_run, trained};
use duet_diffusion::{RunRecord, compare};
use std::path::Path;

/// What anybody may call a class, or a folder.
const HOSTILE: &str = "<script>alert(\"1\")</script>'&";

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let (dir, _) = own_run();
    let dir = dir.path();
    a_report_shows_curves_pictures_and_settings(dir);
    a_report_escapes_what_it_is_given(dir);
    a_report_shows_an_evaluation(dir);
    a_report_takes_a_run_as_it_is(dir);
}

fn report(dir: &Path) -> String {
    let out = dir.join("pages/page.html");
    let record = RunRecord::read(dir.join("run").to_str().unwrap()).unwrap();
    duet_diffusion::report(&record, &out).unwrap();
    let page = std::fs::read_to_string(out).unwrap();
    check_form(&page);
    check_self_contained(&page);
    page
}

/// Every tag is closed by the right one, every attribute is quoted.
fn check_form(page: &str) {
    const VOID: [&str; 4] = ["meta", "link", "img", "br"];
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let page = page.replace(&page[style], "<style>");
    let body = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("<{part} has no end"));
        assert!(!text.contains('>'), "a bare > after <{tag}>: {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
        assert_eq!(attributes.matches('"').count() % 2, 0, "<{tag}>");
        let unquoted: String = attributes.split('"').step_by(2).collect();
        assert!(unquoted.chars().all(|c| c.is_ascii_alphanumeric() || " =-/".contains(c)), "<{tag}>");
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "still open: {open:?}");
}

fn check_self_contained(page: &str) {
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "{page}");
    assert!(!page.contains("url(") && !page.contains("@import"));
    for attribute in [" src=\"", " href=\""] {
        for (at, _) in page.match_indices(attribute) {
            let value = &page[at + attribute.len()..];
            assert!(value.starts_with("data:"), "{}", &value[..40]);
        }
    }
}

fn a_report_shows_curves_pictures_and_settings(dir: &Path) {
    let page = report(dir);
    for part in [
        "<title>run</title>",
        "trained on data: 67 training and 13 test images",
        "aria-label=\"Loss\"",
        ">held-out: ",
        "aria-label=\"Learning rate\"",
        "alt=\"Images drawn after step 60\"",
        "data:image/png;base64,iVBOR",
        "a row for each class: left, right",
        "<td>step-000025</td>",
        "<th scope=\"row\">learning rate</th><td>0.003</td>",
    ] {
        assert!(page.contains(part), "{part} not in:\n{page}");
    }
    assert_eq!(page, report(dir), "a page says nothing of when it was written");
    for here in [dir, trained().parent().unwrap()] {
        assert!(!page.contains(here.to_str().unwrap()), "a path of this machine in:\n{page}");
    }
    assert_eq!(files(&dir.join("pages")).len(), 1, "nothing is left behind");
}

fn a_report_escapes_what_it_is_given(dir: &Path) {
    let config = dir.join("run/checkpoints/step-000060/unet/config.json");
    let whole = std::fs::read_to_string(&config).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&whole).unwrap();
    changed["_duet_classes"][0] = HOSTILE.into();
    std::fs::write(&config, changed.to_string()).unwrap();
    let settings = dir.join("run/config.toml");
    let sane = std::fs::read_to_string(&settings).unwrap();
    let source = sane.lines().find(|line| line.starts_with("source")).unwrap();
    std::fs::write(&settings, sane.replace(source, &format!("source = '''{HOSTILE}'''"))).unwrap();
    let page = report(dir);
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;, right"), "{page}");
    std::fs::write(&config, whole).unwrap();
    std::fs::write(&settings, sane).unwrap();
}

fn a_report_shows_an_evaluation(dir: &Path) {
    assert!(!report(dir).contains("Evaluation"));
    let eval = serde_json::json!({
        "version": 1, "images": 100, "accuracy": 0.985, "new": {"key": [1]},
        "settings": {"guidance": 2.0, "spacing": HOSTILE},
        "classes": ["left", HOSTILE], "accuracy_by_class": {"left": 0.97, HOSTILE: 1.0},
        "confusion": [[97, 3], [0, 100]], "frechet": {"value": 3.25, "low": 3.0, "high": 3.5, "floor": 0.5},
        "frechet_by_class": {"left": 4.5}, "recall": null,
        "denoising_loss": [{"t": 20, "loss": 0.5}, {"t": 520, "loss": 0.05}],
    });
    // Its own evaluation comes before its checkpoint's.
    std::fs::write(dir.join("run/checkpoints/step-000060/eval.json"), r#"{"accuracy":0.125}"#).unwrap();
    assert!(report(dir).contains("12.5 %"));
    std::fs::write(dir.join("run/eval.json"), eval.to_string()).unwrap();
    let page = report(dir);
    for part in [
        "98.5 %",
        "<th scope=\"row\">Fréchet distance</th><td>3.25</td>",
        "<i style=\"width:97.0%\">",
        "<td class=\"full\" style=\"--share:97.0%\">97</td>",
        "aria-label=\"Held-out loss by timestep\"",
        "<th scope=\"row\">guidance</th><td>2.0</td>",
    ] {
        assert!(page.contains(part), "{part} not in:\n{page}");
    }
    assert!(!page.contains("recall"), "what is not known is not shown");
    std::fs::write(dir.join("run/eval.json"), "{\"accuracy\": ").unwrap();
    let (_, text) = heard(|| report(dir));
    assert!(text.contains("run/eval.json"), "{text}");
    std::fs::remove_file(dir.join("run/eval.json")).unwrap();
    std::fs::remove_file(dir.join("run/checkpoints/step-000060/eval.json")).unwrap();
}

/// Cut short, with half a picture, before the first checkpoint, before the first step.
fn a_report_takes_a_run_as_it_is(dir: &Path) {
    let metrics = dir.join("run/metrics.jsonl");
    let bytes = std::fs::read(&metrics).unwrap();
    std::fs::write(&metrics, &bytes[..bytes.len() - 20]).unwrap();
    let picture = std::fs::read(dir.join("run/samples/step-000060.png")).unwrap();
    std::fs::write(dir.join("run/samples/step-000030.png"), &picture[..picture.len() - 9]).unwrap();
    std::fs::write(dir.join("run/samples/step-000009.png"), &picture).unwrap();
    let page = report(dir);
    assert!(page.contains("<dd>59<small>of 60, not finished</small>"), "{page}");
    assert!(page.contains("after step 9\"") && !page.contains("after step 30\""));
    for name in ["samples", "checkpoints"] {
        std::fs::remove_dir_all(dir.join("run").join(name)).unwrap();
    }
    std::fs::remove_file(dir.join("run/log.txt")).unwrap();
    let page = report(dir);
    assert!(page.contains("<p>None yet.</p>") && !page.contains("<img"), "{page}");
    std::fs::remove_file(metrics).unwrap();
    assert!(report(dir).contains("less than two steps"));
}

/// A run's folder as far as `compare` reads it.
fn pretend(dir: &Path, name: &str, config: &str, held_out: &[f64]) {
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), config).unwrap();
    let line = |(i, loss): (usize, &f64)| {
        let step = i + 1;
        format!(r#"{{"step":{step},"loss":0.5,"grad_norm":1.0,"learning_rate":0.1,"held_out_loss":{loss}}}"#)
    };
    let lines: Vec<String> = held_out.iter().enumerate().map(line).collect();
    std::fs::write(folder.join("metrics.jsonl"), lines.join("\n")).unwrap();
}

/// The runs of these names side by side.
fn table(dir: &Path, names: &[&str]) -> duet_diffusion::Table {
    let names: Vec<String> = names.iter().map(|name| dir.join(name).display().to_string()).collect();
    let runs: Vec<RunRecord> = names.iter().map(|name| RunRecord::read(name).unwrap()).collect();
    compare(&names, &runs)
}

const CONFIG: &str = "[data]\nsource = \"digits\"\n[diffusion]\nprediction = \"v\"\n\
                      [train]\nsteps = 3\nbatch = 8\nlearning_rate = 0.1\n";

#[test]
fn compare_marks_the_better_run_and_lists_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    pretend(dir, "one", CONFIG, &[0.5, 0.2, 0.25]);
    pretend(dir, "two", &CONFIG.replace("learning_rate = 0.1", "learning_rate = 0.2"), &[0.5, 0.4, 0.3]);
    std::fs::write(dir.join("two/eval.json"), r#"{"accuracy":0.75,"settings":{"steps":25}}"#).unwrap();
    std::fs::write(dir.join("one/eval.json"), r#"{"accuracy":0.5,"settings":{"steps":10}}"#).unwrap();
    let row = |text: &str, name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} not in:\n{text}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(String::from).collect()
    };
    let text = table(dir, &["one", "two"]).text();
    assert_eq!(row(&text, "best held-out loss"), ["best held-out loss", "0.2 *", "0.3"]);
    assert_eq!(row(&text, "after step"), ["after step", "2", "3"]);
    assert_eq!(row(&text, "images seen"), ["images seen", "24", "24"]);
    assert_eq!(row(&text, "accuracy"), ["accuracy", "0.5", "0.75 *"]);
    assert_eq!(row(&text, "train.learning_rate"), ["train.learning_rate", "0.1", "0.2"]);
    assert!(
        !text.contains("train.batch") && text.contains("note: the evaluations differ in steps"),
        "{text}"
    );

    let csv = table(dir, &["one", "two"]).csv();
    assert!(csv.starts_with(",one,two,best\n") && csv.contains("best held-out loss,0.2,0.3,one\n"), "{csv}");
    let markdown = table(dir, &["one", "two"]).markdown();
    assert!(markdown.contains("| best held-out loss | **0.2** | 0.3 |"), "{markdown}");

    // The losses of different predictions measure different things.
    pretend(dir, "other/one", &CONFIG.replace("\"v\"", "\"epsilon\""), &[0.1]);
    let text = table(dir, &["one", "other/one"]).text();
    assert_eq!(row(&text, "best held-out loss"), ["best held-out loss", "0.2", "0.1"]);
    assert!(text.contains("none is marked: diffusion.prediction differ"), "{text}");
    assert!(text.lines().next().unwrap().ends_with("other/one"), "two names that are the same:\n{text}");
    let text = table(dir, &["one", "one"]).text();
    assert!(text.contains("the configurations are the same") && !text.contains('*'), "{text}");
}

#[test]
fn a_run_without_a_step_is_a_run() {
    let dir = tempfile::tempdir().unwrap();
    pretend(dir.path(), "one", CONFIG, &[]);
    assert!(!table(dir.path(), &["one", "one"]).text().is_empty());
}
