//! No two files of a crate use each other in a circle.

use super::modules::Modules;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// Which files each file uses.
type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The shortest circle of files in `folder`, the `src` of a crate, by their names: `a.rs → b.rs → a.rs`.
///
/// Each of `lib.rs`, `main.rs` and the programs in `bin` is a root with files of its own.
pub fn circle(folder: &Path) -> Result<Option<String>> {
    let mut shortest: Option<Vec<PathBuf>> = None;
    for root in roots(folder)? {
        if let Some(found) = shortest_circle(&graph(&Modules::read(&root)?))
            && shortest.as_ref().is_none_or(|shortest| found.len() < shortest.len())
        {
            shortest = Some(found);
        }
    }
    let name = |file: &PathBuf| file.strip_prefix(folder).unwrap_or(file).display().to_string();
    Ok(shortest.map(|files| files.iter().map(name).collect::<Vec<_>>().join(" → ")))
}

fn roots(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut roots: Vec<PathBuf> = ["lib.rs", "main.rs"].map(|name| folder.join(name)).into();
    if let Ok(programs) = folder.join("bin").read_dir() {
        for program in programs {
            let program = program?.path();
            roots.push(if program.is_dir() { program.join("main.rs") } else { program });
        }
    }
    roots.retain(|root| root.is_file() && root.extension().is_some_and(|ending| ending == "rs"));
    roots.sort();
    Ok(roots)
}

/// A file uses another where it imports what that one defines, or names it by a path. What it hands on
/// by `pub use`, and does not name otherwise, it does not use.
fn graph(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    for (i, module) in modules.0.iter().enumerate() {
        let used =
            module.imports.iter().filter(|import| !import.public || module.words.contains(&import.name));
        let paths = used.map(|import| &import.path).chain(&module.paths);
        let files = paths.filter_map(|path| modules.definer(i, path)).map(|definer| &modules.0[definer].file);
        let others = files.filter(|file| **file != module.file).cloned();
        graph.entry(module.file.clone()).or_default().extend(others);
    }
    graph
}

/// From a file over others back to it.
fn shortest_circle(graph: &Graph) -> Option<Vec<PathBuf>> {
    graph.keys().filter_map(|start| shortest_way_back(graph, start)).min_by_key(Vec::len)
}

/// Breadth first, so that the way that is found first is a shortest one.
fn shortest_way_back(graph: &Graph, start: &Path) -> Option<Vec<PathBuf>> {
    let mut came_from: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(file) = next.pop_front() {
        for used in graph.get(file).into_iter().flatten() {
            if used == start {
                let mut way = vec![used.clone(), file.to_path_buf()];
                while let Some(before) = came_from.get(way[way.len() - 1].as_path()) {
                    way.push(before.to_path_buf());
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(used.as_path()) {
                came_from.insert(used, file);
                next.push_back(used);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circle of a crate of these files.
    fn of(files: &[(&str, &str)]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, source) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, source).unwrap();
        }
        circle(folder.path()).unwrap()
    }

    const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; mod c; pub use b::{B, other}; pub use c::*;");

    #[test]
    fn files_that_use_each_other_are_a_circle() {
        let b = ("b.rs", "use crate::a::A; pub struct B; pub fn other() {}");
        let files = [ROOT, ("a.rs", "use crate::b::B; pub struct A(B);"), b, ("c.rs", "")];
        assert_eq!(of(&files).unwrap(), "a.rs → b.rs → a.rs");
    }

    #[test]
    fn the_shortest_circle_is_told() {
        let a = ("a.rs", "use crate::{b, c};");
        let files =
            [ROOT, a, ("b.rs", "use crate::c::C;"), ("c.rs", "pub struct C; fn f() { crate::a::g(); }")];
        assert_eq!(of(&files).unwrap(), "a.rs → c.rs → a.rs");
        let files = [ROOT, ("a.rs", "use crate::b;"), files[2], files[3]];
        assert_eq!(of(&files).unwrap(), "a.rs → b.rs → c.rs → a.rs");
    }

    #[test]
    fn what_the_root_hands_on_is_the_files_that_defines_it() {
        let b = ("b.rs", "use crate::C; pub struct B(C); pub fn other() {}");
        let files = [ROOT, ("a.rs", "use crate::B;"), b, ("c.rs", "pub struct C;")];
        assert_eq!(of(&files), None);
        let files = [ROOT, ("a.rs", "fn f() { crate::other(); }"), ("b.rs", "use super::a::f;"), files[3]];
        assert_eq!(of(&files).unwrap(), "a.rs → b.rs → a.rs");
    }

    #[test]
    fn the_root_is_a_file_where_it_defines_or_uses_something() {
        let files =
            [("lib.rs", "mod a; pub use a::f; pub struct Mine;"), ("a.rs", "use crate::Mine; pub fn f() {}")];
        assert_eq!(of(&files), None);
        let lib = ("lib.rs", "mod a; pub use a::f; pub struct Mine; impl Mine { fn g() { f() } }");
        assert_eq!(of(&[lib, files[1]]).unwrap(), "a.rs → lib.rs → a.rs");
        let lib = ("lib.rs", "mod a; pub struct Mine; impl Mine { fn g() { a::f() } }");
        assert_eq!(of(&[lib, files[1]]).unwrap(), "a.rs → lib.rs → a.rs");
    }

    #[test]
    fn folders_are_followed_down_and_up() {
        let lib = ("lib.rs", "mod a; mod d;");
        let a = ("a/mod.rs", "mod inner; pub use inner::Inner; pub struct A;");
        let inner = ("a/inner.rs", "use super::A; use super::super::d::D; pub struct Inner(A, D);");
        assert_eq!(of(&[lib, a, inner, ("d.rs", "pub struct D;")]), None);
        let d = ("d.rs", "use crate::a::Inner; pub struct D;");
        assert_eq!(of(&[lib, a, inner, d]).unwrap(), "a/inner.rs → d.rs → a/inner.rs");
        let a = ("a/mod.rs", "mod inner; pub struct A; fn f() { inner::g() }");
        assert_eq!(
            of(&[lib, a, inner, ("d.rs", "pub struct D;")]).unwrap(),
            "a/inner.rs → a/mod.rs → a/inner.rs"
        );
    }

    #[test]
    fn modules_within_a_file_are_of_that_file() {
        let a = ("a.rs", "mod within { use super::A; use super::super::b::B; } pub struct A; use within::x;");
        let b = ("b.rs", "pub struct B; pub fn other() {}");
        assert_eq!(of(&[ROOT, a, b, ("c.rs", "")]), None);
        let b = ("b.rs", "pub struct B; fn other() { super::a::within::f() }");
        assert_eq!(of(&[ROOT, a, b, ("c.rs", "")]).unwrap(), "a.rs → b.rs → a.rs");
    }

    #[test]
    fn tests_comments_and_strings_do_not_count() {
        let a = ("a.rs", "use crate::b; /// [`f`](crate::c)\nfn f() { \"crate::c::x\"; /* crate::c::x */ }");
        let b =
            ("b.rs", "#[cfg(test)] use crate::a; #[cfg(test)] #[allow(x)] mod tests { use crate::a::{f}; }");
        let c = ("c.rs", "struct C { #[cfg(test)] field: crate::a::A, other: crate::b::B }");
        assert_eq!(of(&[ROOT, a, b, c]), None);
        let b = ("b.rs", "#[cfg(not(test))] use crate::a;");
        assert_eq!(of(&[ROOT, a, b, c]).unwrap(), "a.rs → b.rs → a.rs");
    }

    #[test]
    fn other_crates_and_names_of_ones_own_are_no_files() {
        let a = (
            "a.rs",
            "use anyhow::anyhow; use ::b::B; use crate::b::other as b; fn f() { b::x(); Vec::<u8>::c::d() }",
        );
        let b = ("b.rs", "pub mod other { pub fn x() { anyhow::anyhow!() } } fn f() { rand::a::b() }");
        assert_eq!(of(&[ROOT, a, b, ("c.rs", "")]), None);
    }

    #[test]
    fn programs_are_roots_of_their_own() {
        let main = ("main.rs", "mod a; mod b;");
        let files =
            [main, ("a.rs", "use crate::b;"), ("b.rs", "use crate::a;"), ("bin/p.rs", "fn main() {}")];
        assert_eq!(of(&files).unwrap(), "a.rs → b.rs → a.rs");
    }

    #[test]
    fn a_module_without_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lib.rs"), "mod a;").unwrap();
        assert!(circle(folder.path()).unwrap_err().to_string().contains("a.rs"));
    }
}
