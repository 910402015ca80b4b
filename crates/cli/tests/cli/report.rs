//! Pages about runs, and runs side by side: where they go, and what is refused.
use crate::support::{files, run, train};
use std::path::Path;

#[test]
fn a_report_goes_where_it_is_told_or_into_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    let text = run(dir, &["report", "run", "--out", "pages/page.html"], 0);
    assert!(text.contains("pages/page.html: 60 steps, 1 pictures"), "{text}");
    run(dir, &["report", "run"], 0);
    let page = |path: &str| std::fs::read_to_string(dir.join(path)).unwrap();
    assert_eq!(page("pages/page.html"), page("run/report.html"));
    assert_eq!(files(&dir.join("pages")).len(), 1, "nothing is left behind");
    std::fs::write(dir.join("run/eval.json"), "{\"accuracy\": ").unwrap();
    let text = run(dir, &["report", "run"], 0);
    assert!(text.contains("warning: run/eval.json"), "{text}");
    wrong_arguments_are_refused(dir);
}

fn wrong_arguments_are_refused(dir: &Path) {
    let text = run(dir, &["report", "nowhere"], 5);
    assert!(text.contains("nowhere") && text.contains("neither a run's folder"), "{text}");
    run(dir, &["report", "latest"], 5);
    let text = run(dir, &["report", "run", "--out", "page.pdf"], 2);
    assert!(text.contains("--out page.pdf: use x.html"), "{text}");
    std::fs::write(dir.join("file"), "").unwrap();
    run(dir, &["report", "run", "--out", "file/page.html"], 6);
    std::fs::write(dir.join("run/config.toml"), "[train").unwrap();
    let text = run(dir, &["report", "run"], 2);
    assert!(text.contains("config.toml"), "{text}");
}

#[test]
fn a_comparison_is_printed_or_goes_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let config = "[data]\nsource = \"digits\"\n[train]\nsteps = 3\nbatch = 8\n";
    std::fs::create_dir(dir.join("one")).unwrap();
    std::fs::write(dir.join("one/config.toml"), config).unwrap();
    assert!(run(dir, &["compare", "one", "one"], 0).contains("the configurations are the same"));
    run(dir, &["compare", "one", "one", "--out", "new/x.csv"], 0);
    assert!(std::fs::read_to_string(dir.join("new/x.csv")).unwrap().starts_with(",one,one,best\n"));
    run(dir, &["compare", "one", "one", "--out", "x.md"], 0);
    assert!(std::fs::read_to_string(dir.join("x.md")).unwrap().starts_with("| | one | one |"));
    run(dir, &["compare"], 2);
    run(dir, &["compare", "one"], 2);
    run(dir, &["compare", "one", "one", "--out", "x.html"], 2);
    let text = run(dir, &["compare", "one", "nowhere"], 5);
    assert!(text.contains("nowhere: neither a run's folder"), "{text}");
}
